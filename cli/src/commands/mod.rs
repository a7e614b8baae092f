//! The subcommands, a file or a folder each.

pub(crate) mod bench;
pub(crate) mod chain;
pub(crate) mod completions;
pub(crate) mod contract;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod mine;
pub(crate) mod node;
pub(crate) mod settings;
pub(crate) mod sim;
pub(crate) mod testnet;
pub(crate) mod validator;
pub(crate) mod vm;
pub(crate) mod wallet;
