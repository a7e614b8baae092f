//! What every command needs: where to write, where its files are, which node to ask.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use synod_node::rpc::types::StatusView;
use synod_types::Genesis;

use crate::client::locate::{endpoints, locate, locate_all};
use crate::client::{Node, Settle};
use crate::failure::{Failure, Outcome};
use crate::home::Home;
use crate::output::Output;
use crate::wallet::keystore::Keystore;
use crate::wallet::names::Names;
use crate::wallet::network::{Network, Pin, Pinned};

/// The surroundings of one run.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where to write.
    pub(crate) output: Output,
    rpc: Vec<String>,
}

/// A node of the network that the wallet is pinned to.
#[derive(Debug)]
pub(crate) struct Session {
    /// The node.
    pub(crate) node: Node,
    /// What it said of itself.
    pub(crate) status: StatusView,
    /// Its network.
    pub(crate) network: Network,
    /// What names mean on it.
    pub(crate) names: Names,
}

impl Context {
    /// For the first node of `rpc` that listens, or wherever one is found.
    pub(crate) fn new(output: Output, rpc: Vec<String>) -> Self {
        Self { output, rpc }
    }

    /// The home folder.
    ///
    /// # Errors
    /// When there is no place for one.
    pub(crate) fn home(&self) -> Outcome<Home> {
        Home::locate()
    }

    /// The wallet's folder.
    ///
    /// # Errors
    /// As [`Context::home`].
    pub(crate) fn wallet(&self) -> Outcome<PathBuf> {
        Ok(self.home()?.wallet())
    }

    /// The keys of this home.
    ///
    /// # Errors
    /// As [`Context::home`].
    pub(crate) fn keystore(&self) -> Outcome<Keystore> {
        Ok(Keystore::new(&self.wallet()?))
    }

    /// The node to ask, which may not answer.
    ///
    /// # Errors
    /// When its address is none.
    pub(crate) fn node(&self) -> Outcome<Node> {
        Ok(Node::new(locate(&self.rpc, &self.home()?)?))
    }

    /// Every node that may be asked, in the order of preference, whether or not it answers.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn nodes(&self) -> Outcome<Vec<Node>> {
        Ok(locate_all(&self.rpc, &self.home()?)?.into_iter().map(Node::new).collect())
    }

    /// The nodes that were named, none when nobody named one.
    ///
    /// # Errors
    /// As [`Context::nodes`].
    pub(crate) fn named_nodes(&self) -> Outcome<Vec<Node>> {
        if self.rpc.iter().all(String::is_empty) { Ok(Vec::new()) } else { self.nodes() }
    }

    /// A node that answers and is of the wallet's network, which is pinned now if it is the first.
    ///
    /// # Errors
    /// When no node answers, or one of another network.
    pub(crate) fn session(&self) -> Outcome<Session> {
        let (home, node) = (self.home()?, self.node()?);
        let status = node.status().settle()?;
        let network = Network::from(&status);
        let local = endpoints(&home)?.map(|endpoints| endpoints.genesis_hash);
        if Pin::new(&home.wallet()).check(&network, local.as_deref())? == Pinned::Renewed {
            self.output
                .note(format_args!("the local network was reset; the wallet follows to {}", network.title()));
        }
        let names = Names::new(Keystore::new(&home.wallet()), network.testnet);
        Ok(Session { node, status, network, names })
    }

    /// Asks a yes-or-no question on the terminal. Without one the answer must have been given as a flag.
    ///
    /// # Errors
    /// When the answer is no, or nobody can be asked.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Outcome<()> {
        if yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "confirmation_needed",
                "this needs a yes, and there is no terminal to ask on",
            )
            .hint("add --yes if you mean it"));
        }
        let mut stderr = std::io::stderr();
        let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
        match read {
            Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
            _ => Err(Failure::failed("declined", "nothing was done")),
        }
    }
}

/// Whether a committee orders the node's network.
pub(crate) fn has_committee(status: &StatusView) -> bool {
    status.ordering != "pow"
}

impl Session {
    /// Whether a committee orders, so that what is settled is final.
    pub(crate) fn network_has_committee(&self) -> bool {
        has_committee(&self.status)
    }

    /// The network's genesis document.
    ///
    /// # Errors
    /// When the node's does not read, or is another's than it said.
    pub(crate) fn genesis(&self) -> Outcome<Genesis> {
        let text = self.node.genesis().settle()?.to_string();
        let genesis = Genesis::from_json(&text).map_err(|error| {
            Failure::failed("genesis", format!("the node's genesis does not read: {error}"))
        })?;
        if genesis.hash() != self.network.genesis_hash {
            return Err(Failure::failed("genesis", "the node gives another genesis than the one it names"));
        }
        Ok(genesis)
    }
}
