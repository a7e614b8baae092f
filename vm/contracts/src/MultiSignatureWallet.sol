// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Money that moves only when enough of its owners agree. Owners and quorum never change.
///
/// An owner proposes a call, owners confirm it, and once `required` have done so any owner executes it.
contract MultiSignatureWallet {
    event Received(address indexed from, uint256 value);
    event Proposed(uint256 indexed id, address indexed by, address indexed to, uint256 value, bytes data);
    event Confirmed(uint256 indexed id, address indexed by, uint256 confirmations);
    event Revoked(uint256 indexed id, address indexed by, uint256 confirmations);
    event Executed(uint256 indexed id, bytes result);

    error NotAnOwner(address caller);
    error NoSuchProposal(uint256 id);
    error AlreadyExecuted(uint256 id);
    error AlreadyConfirmed(uint256 id, address owner);
    error NotConfirmed(uint256 id, address owner);
    error TooFewConfirmations(uint256 have, uint256 need);

    struct Proposal {
        address to;
        uint256 value;
        bytes data;
        bool executed;
        uint256 confirmations;
    }

    address[] private owners_;
    uint256 public immutable required;
    mapping(address account => bool) public isOwner;
    mapping(uint256 id => mapping(address owner => bool)) public hasConfirmed;
    Proposal[] private proposals;

    modifier onlyOwner() {
        if (!isOwner[msg.sender]) revert NotAnOwner(msg.sender);
        _;
    }

    modifier open(uint256 id) {
        if (id >= proposals.length) revert NoSuchProposal(id);
        if (proposals[id].executed) revert AlreadyExecuted(id);
        _;
    }

    constructor(address[] memory owners, uint256 quorum) payable {
        require(quorum > 0 && quorum <= owners.length, "the quorum must be between 1 and the number of owners");
        for (uint256 i = 0; i < owners.length; i++) {
            require(owners[i] != address(0) && !isOwner[owners[i]], "owners must be different accounts");
            isOwner[owners[i]] = true;
        }
        owners_ = owners;
        required = quorum;
    }

    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    function listOwners() external view returns (address[] memory) {
        return owners_;
    }

    function count() external view returns (uint256) {
        return proposals.length;
    }

    function proposal(uint256 id) external view returns (Proposal memory) {
        if (id >= proposals.length) revert NoSuchProposal(id);
        return proposals[id];
    }

    /// Proposes a call; the proposer confirms it by that.
    function propose(address to, uint256 value, bytes calldata data) external onlyOwner returns (uint256 id) {
        id = proposals.length;
        proposals.push(Proposal(to, value, data, false, 0));
        emit Proposed(id, msg.sender, to, value, data);
        agree(id);
    }

    function confirm(uint256 id) external onlyOwner open(id) {
        if (hasConfirmed[id][msg.sender]) revert AlreadyConfirmed(id, msg.sender);
        agree(id);
    }

    function revoke(uint256 id) external onlyOwner open(id) {
        if (!hasConfirmed[id][msg.sender]) revert NotConfirmed(id, msg.sender);
        hasConfirmed[id][msg.sender] = false;
        emit Revoked(id, msg.sender, --proposals[id].confirmations);
    }

    /// Makes the call. It counts as executed before it begins, so that it cannot be made again from within;
    /// if it fails, all of this is undone, with its own reason.
    function execute(uint256 id) external onlyOwner open(id) returns (bytes memory result) {
        Proposal storage chosen = proposals[id];
        if (chosen.confirmations < required) revert TooFewConfirmations(chosen.confirmations, required);
        chosen.executed = true;
        bool succeeded;
        (succeeded, result) = chosen.to.call{value: chosen.value}(chosen.data);
        if (!succeeded) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
        emit Executed(id, result);
    }

    function agree(uint256 id) private {
        hasConfirmed[id][msg.sender] = true;
        emit Confirmed(id, msg.sender, ++proposals[id].confirmations);
    }
}
