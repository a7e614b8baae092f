//! The subcommands, a file or a folder each.

pub(crate) mod chain;
pub(crate) mod wallet;
