// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// A buyer's money, held until the goods are there.
///
/// The buyer deploys it with the price. The buyer releases the money to the seller; the seller, or once the
/// deadline has passed the buyer, takes it back to the buyer; an arbiter whom both trust can do either.
contract Escrow {
    enum State {
        Held,
        Released,
        Refunded
    }

    event Deposited(address indexed buyer, address indexed seller, uint256 value, uint256 deadline);
    event Released(address indexed by, uint256 value);
    event Refunded(address indexed by, uint256 value);

    error NotAllowed(address caller);
    error Over(State state);

    address payable public immutable buyer;
    address payable public immutable seller;
    address public immutable arbiter;
    uint256 public immutable deadline;
    uint256 public immutable price;
    State public state;

    /// `duration` counts seconds from now.
    constructor(address payable seller_, address arbiter_, uint256 duration) payable {
        require(msg.value > 0, "an escrow holds money: send the price with it");
        require(seller_ != address(0) && seller_ != msg.sender, "the seller must be somebody else");
        require(duration <= 3650 days, "a deadline within ten years");
        (buyer, seller, arbiter) = (payable(msg.sender), seller_, arbiter_);
        (deadline, price) = (block.timestamp + duration, msg.value);
        emit Deposited(msg.sender, seller_, msg.value, deadline);
    }

    /// Pays the seller.
    function release() external {
        if (msg.sender != buyer && msg.sender != arbiter) revert NotAllowed(msg.sender);
        settle(State.Released, seller);
        emit Released(msg.sender, price);
    }

    /// Gives the money back.
    function refund() external {
        bool late = msg.sender == buyer && block.timestamp > deadline;
        if (msg.sender != seller && msg.sender != arbiter && !late) revert NotAllowed(msg.sender);
        settle(State.Refunded, buyer);
        emit Refunded(msg.sender, price);
    }

    /// The state changes before the money moves: nobody is paid twice.
    function settle(State outcome, address payable to) private {
        if (state != State.Held) revert Over(state);
        state = outcome;
        (bool paid, ) = to.call{value: price}("");
        require(paid, "the receiver does not take the money");
    }
}
