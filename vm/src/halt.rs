//! Why a frame stopped by force: an exceptional halt takes all of the frame's gas and undoes its changes.

/// An exceptional halt (Yellow Paper, section 9.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Halt {
    /// Less gas was left than the instruction costs.
    #[error("out of gas: raise the gas limit")]
    OutOfGas,
    /// The instruction takes more items than the stack holds.
    #[error("stack underflow: the code takes an item that was never pushed")]
    StackUnderflow,
    /// The instruction would leave more than 1,024 items.
    #[error("stack overflow: the code keeps more than 1,024 items")]
    StackOverflow,
    /// The byte is no instruction of this fork.
    #[error("undefined opcode 0x{0:02x}: compile for the fork that this chain runs")]
    UndefinedOpcode(u8),
    /// `INVALID`, which compilers emit for a failed assertion.
    #[error("the contract executed INVALID: one of its own assertions failed")]
    Invalid,
    /// A jump to a byte that is no `JUMPDEST`, or is push data.
    #[error("jump to a place that is no JUMPDEST")]
    BadJump,
    /// A static frame tried to change state (EIP-214).
    #[error("a static call tried to change state")]
    WriteInStaticFrame,
    /// `RETURNDATACOPY` beyond the end of the returned data (EIP-211).
    #[error("RETURNDATACOPY beyond the returned data")]
    ReturnDataOutOfBounds,
    /// Init code longer than EIP-3860 allows.
    #[error("init code longer than 49,152 bytes")]
    InitCodeTooLong,
    /// Deployed code longer than EIP-170 allows.
    #[error("contract code longer than 24,576 bytes: split the contract")]
    CodeTooLong,
    /// Deployed code that begins with 0xEF (EIP-3541).
    #[error("contract code must not begin with 0xEF")]
    CodeBeginsWithEf,
    /// The new contract's address has a nonce, code or storage already.
    #[error("the new contract's address is already in use")]
    AddressInUse,
    /// A call or creation by a frame at depth 1,024; it costs the caller no forwarded gas.
    #[error("calls are nested more than 1,024 deep")]
    TooDeep,
    /// A call or creation with more wei than the caller has; it costs no forwarded gas.
    #[error("the contract has less than it wants to send")]
    InsufficientBalance,
    /// A creation by an account whose nonce is the last one; it costs no forwarded gas.
    #[error("the creator's nonce is used up")]
    NonceUsedUp,
    /// Ended by whoever ran it; never part of a block.
    #[error("stopped: it takes longer, or more memory, than this node gives to a call")]
    Stopped,
    /// A precompiled contract refused its input.
    #[error("a precompiled contract refused its input")]
    PrecompileFailed,
}
