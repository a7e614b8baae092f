//! What one node is told: the flags that `synod node` and `synod init` share.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use synod_node::config::{LogFormat, Settings};
use synod_node::network::PeerAddress;
use synod_testnet::accounts;
use synod_types::Address;
use synod_types::address::parse_address;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::wallet::names::Names;

/// The settings of one node.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The node")]
pub(crate) struct SettingsOptions {
    /// What people call it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where JSON-RPC is answered
    #[arg(long, value_name = "IP:PORT")]
    rpc_listen: Option<SocketAddr>,
    /// A web origin whose pages may call the RPC; may be given again
    #[arg(long, value_name = "ORIGIN")]
    rpc_cors: Vec<String>,
    /// Where peers connect; may be given again
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) p2p_listen: Vec<SocketAddr>,
    /// A peer to connect to: /ip4/ADDRESS/tcp/PORT/p2p/PEER; may be given again
    #[arg(long = "peer", visible_alias = "bootstrap", value_name = "ADDRESS")]
    peers: Vec<PeerAddress>,
    /// Where metrics and health are answered
    #[arg(long, value_name = "IP:PORT")]
    web_listen: Option<SocketAddr>,
    /// Mine with so many threads; 0 does not mine
    #[arg(long, value_name = "THREADS")]
    pub(crate) mine: Option<usize>,
    /// Who gets the rewards and, where a committee orders, the tips: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    reward_to: Option<String>,
    /// Serve miners that speak getwork there; their password is SYNOD_GETWORK_PASSWORD or node.toml's
    #[arg(long, value_name = "IP:PORT")]
    getwork_listen: Option<SocketAddr>,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    log_format: Option<LogFormat>,
    /// What is logged, such as info or info,synod_node::network=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["text", "json"])
        .map(|word| if word == "json" { LogFormat::Json } else { LogFormat::Text })
}

impl SettingsOptions {
    /// The flags that only nodes of mined networks have, and whether they were given.
    pub(crate) fn of_mining(&self) -> [(&'static str, bool); 2] {
        [("--mine", self.mine.is_some()), ("--getwork-listen", self.getwork_listen.is_some())]
    }

    /// The settings, with names looked up on a network that is a test network or not.
    ///
    /// # Errors
    /// For an account that there is not, or that must not get rewards.
    pub(crate) fn resolve(self, context: &Context, testnet: bool) -> Outcome<Settings> {
        let reward_to = self.reward_to.map(|text| recipient(context, &text, testnet)).transpose()?;
        Ok(Settings {
            name: self.name,
            rpc: self.rpc_listen,
            cors: self.rpc_cors,
            p2p: self.p2p_listen,
            peers: self.peers.iter().map(ToString::to_string).collect(),
            web: self.web_listen,
            getwork: self.getwork_listen,
            mine: self.mine,
            reward_to,
            log_format: self.log_format,
            log_level: self.log_level,
        })
    }
}

/// The account that gets money of a network: outside test networks none whose key everybody has.
///
/// # Errors
/// When `text` is no account, or such a one.
pub(crate) fn recipient(context: &Context, text: &str, testnet: bool) -> Outcome<Address> {
    // An address needs no home to be read.
    let address = match text.starts_with("0x").then(|| parse_address(text)) {
        Some(Ok(address)) => address,
        _ => Names::new(context.keystore()?, testnet).account(text)?.address,
    };
    if !testnet && accounts::is_public(&address) {
        return Err(Failure::usage(
            "dev_account",
            format!("everybody has the key of {text}, and this is not a test network"),
        )
        .hint("`synod wallet new NAME` makes an account of your own"));
    }
    Ok(address)
}
