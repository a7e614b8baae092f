// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

interface IToken {
    function balanceOf(address holder) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A small exchange of two tokens. What it holds of each keeps a constant product; three in a thousand of
/// what comes in stay with those who provided the tokens.
///
/// For plain tokens alone: ones that take a fee in transit, or change balances by themselves, are refused
/// or lose money here.
contract Exchange {
    event Provided(address indexed provider, uint256 amount0, uint256 amount1, uint256 shares);
    event Withdrawn(address indexed provider, uint256 amount0, uint256 amount1, uint256 shares);
    event Swapped(address indexed trader, address indexed from, uint256 given, address indexed to, uint256 received);

    error NotOurs(address token);
    error TooLittle(uint256 received, uint256 least);
    error TransferFailed(address token);
    error Reentered();

    /// Shares that nobody owns, so that no first provider can make a share worth more than others can pay.
    uint256 private constant LOCKED = 1000;

    IToken public immutable token0;
    IToken public immutable token1;
    uint256 public reserve0;
    uint256 public reserve1;
    uint256 public totalShares;
    mapping(address provider => uint256) public shares;
    bool private transient busy;

    /// A token that calls back finds the door closed.
    modifier once() {
        if (busy) revert Reentered();
        busy = true;
        _;
        busy = false;
    }

    constructor(IToken token0_, IToken token1_) {
        require(address(token0_) != address(token1_), "two different tokens");
        (token0, token1) = (token0_, token1_);
    }

    /// What `amount` of a token would buy now.
    function quote(address from, uint256 amount) public view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut) = reserves(from);
        uint256 counted = amount * 997;
        return (counted * reserveOut) / (reserveIn * 1000 + counted);
    }

    /// Gives `amount` of a token, which must be approved before, for at least `least` of the other.
    function swap(address from, uint256 amount, uint256 least) external once returns (uint256 received) {
        require(amount > 0, "nothing to swap");
        received = quote(from, amount);
        if (received == 0 || received < least) revert TooLittle(received, least);
        bool forward = from == address(token0);
        IToken to = forward ? token1 : token0;
        if (forward) {
            (reserve0, reserve1) = (reserve0 + amount, reserve1 - received);
        } else {
            (reserve0, reserve1) = (reserve0 - received, reserve1 + amount);
        }
        take(IToken(from), amount);
        give(to, received);
        emit Swapped(msg.sender, from, amount, address(to), received);
    }

    /// Provides both tokens, in the proportion that is here already, for at least `least` shares.
    function provide(uint256 amount0, uint256 amount1, uint256 least) external once returns (uint256 made) {
        if (totalShares == 0) {
            uint256 root = squareRoot(amount0 * amount1);
            require(root > LOCKED, "too little to begin with");
            totalShares = LOCKED;
            made = root - LOCKED;
        } else {
            uint256 by0 = (amount0 * totalShares) / reserve0;
            uint256 by1 = (amount1 * totalShares) / reserve1;
            made = by0 < by1 ? by0 : by1;
            // No more is taken than the shares are worth, rounded up.
            amount0 = (made * reserve0 + totalShares - 1) / totalShares;
            amount1 = (made * reserve1 + totalShares - 1) / totalShares;
        }
        if (made == 0 || made < least) revert TooLittle(made, least);
        totalShares += made;
        shares[msg.sender] += made;
        (reserve0, reserve1) = (reserve0 + amount0, reserve1 + amount1);
        take(token0, amount0);
        take(token1, amount1);
        emit Provided(msg.sender, amount0, amount1, made);
    }

    /// Gives shares back for their part of both tokens.
    function withdraw(uint256 amount) external once returns (uint256 amount0, uint256 amount1) {
        require(amount > 0, "nothing to withdraw");
        // More than the caller has is an underflow here, and ends it.
        shares[msg.sender] -= amount;
        amount0 = (amount * reserve0) / totalShares;
        amount1 = (amount * reserve1) / totalShares;
        totalShares -= amount;
        (reserve0, reserve1) = (reserve0 - amount0, reserve1 - amount1);
        give(token0, amount0);
        give(token1, amount1);
        emit Withdrawn(msg.sender, amount0, amount1, amount);
    }

    function reserves(address from) private view returns (uint256, uint256) {
        if (from == address(token0)) return (reserve0, reserve1);
        if (from == address(token1)) return (reserve1, reserve0);
        revert NotOurs(from);
    }

    /// What was promised must have arrived.
    function take(IToken token, uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        bool moved = token.transferFrom(msg.sender, address(this), amount);
        if (!moved || token.balanceOf(address(this)) - before != amount) revert TransferFailed(address(token));
    }

    function give(IToken token, uint256 amount) private {
        if (!token.transfer(msg.sender, amount)) revert TransferFailed(address(token));
    }

    /// Newton's method, rounded down.
    function squareRoot(uint256 square) private pure returns (uint256 root) {
        if (square == 0) return 0;
        root = square;
        uint256 next = square / 2 + 1;
        while (next < root) {
            root = next;
            next = (square / next + next) / 2;
        }
    }
}
