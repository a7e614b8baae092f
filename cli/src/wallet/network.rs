//! The chain that this wallet signs for.
//!
//! The genesis hash of the first network that the wallet meets is pinned in `wallet/network.json`. A node of
//! another network is refused from then on: it might answer for money that is elsewhere, and a payment
//! signed for it is none to those who wait for it. One case mends itself: the local test network was
//! reset, which makes a new chain at every time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use synod_node::rpc::types::StatusView;
use synod_types::B256;

use crate::failure::{Exit, Failure, Outcome};
use crate::home::{Existing, private_folder, write_private};

/// A network, as a signature binds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// The chain's id.
    pub(crate) chain_id: u64,
    /// The genesis hash.
    pub(crate) genesis_hash: B256,
    /// Whether the genesis says that it is a test network.
    pub(crate) testnet: bool,
}

impl From<&StatusView> for Network {
    fn from(status: &StatusView) -> Self {
        Self { chain_id: status.chain_id, genesis_hash: status.genesis_hash, testnet: status.testnet }
    }
}

impl Network {
    /// The first digits of the genesis hash, which name folders and lines of output.
    pub(crate) fn short(&self) -> String {
        self.genesis_hash.to_string()[2..10].to_owned()
    }

    /// `test network 1234 (genesis 0a1b2c3d)`.
    pub(crate) fn title(&self) -> String {
        let kind = if self.testnet { "test network" } else { "network" };
        format!("{kind} {} (genesis {})", self.chain_id, self.short())
    }
}

/// The pinned network's file.
#[derive(Debug, Clone)]
pub(crate) struct Pin(PathBuf);

/// What comparing a node's network with the pin came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// It was the pinned one.
    Same,
    /// There was no pin: this one is pinned now.
    First,
    /// The local test network was made anew, and the pin follows it.
    Renewed,
}

impl Pin {
    /// The pin below the wallet's folder.
    pub(crate) fn new(wallet: &Path) -> Self {
        Self(wallet.join("network.json"))
    }

    /// The pinned network, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(&self) -> Outcome<Option<Network>> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file(&self.0, &error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            Failure::failed("pin_damaged", format!("{}: {error}", self.0.display()))
                .hint("`synod wallet network --accept HASH` pins the network again")
        })
    }

    /// Pins `network`.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write(&self, network: &Network) -> Outcome<()> {
        if let Some(folder) = self.0.parent() {
            private_folder(folder)?;
        }
        let text = serde_json::to_string_pretty(network).expect("a network always serializes") + "\n";
        write_private(&self.0, text.as_bytes(), Existing::Replace)
            .map_err(|error| Failure::file(&self.0, &error))
    }

    /// Holds a node's network against the pin. `local` is the genesis hash of this home's own test network.
    ///
    /// # Errors
    /// When the node is of another network.
    pub(crate) fn check(&self, network: &Network, local: Option<&str>) -> Outcome<Pinned> {
        let pinned = match self.read()? {
            None => Pinned::First,
            Some(pinned) if pinned == *network => return Ok(Pinned::Same),
            Some(pinned) if is_reset(&pinned, network, local) => Pinned::Renewed,
            Some(pinned) => return Err(other_network(&pinned, network)),
        };
        self.write(network)?;
        Ok(pinned)
    }
}

fn is_reset(pinned: &Network, network: &Network, local: Option<&str>) -> bool {
    pinned.testnet && network.testnet && local == Some(network.genesis_hash.to_string().as_str())
}

fn other_network(pinned: &Network, network: &Network) -> Failure {
    let message = format!("this node is of {}, and the wallet is of {}", network.title(), pinned.title());
    Failure::new(Exit::Verification, "wrong_network", message)
        .hint(format!(
            "if you mean this network from now on: synod wallet network --accept {}",
            network.genesis_hash
        ))
        .details(serde_json::json!({
            "pinned": pinned.genesis_hash.to_string(),
            "node": network.genesis_hash.to_string(),
        }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(byte: u8, testnet: bool) -> Network {
        Network { chain_id: u64::from(byte), genesis_hash: B256::repeat_byte(byte), testnet }
    }

    #[test]
    fn the_first_network_is_pinned_and_another_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pin = Pin::new(folder.path());
        assert_eq!(pin.check(&network(1, false), None).unwrap(), Pinned::First);
        assert_eq!(pin.check(&network(1, false), None).unwrap(), Pinned::Same);
        let refused = pin.check(&network(2, false), None).unwrap_err();
        assert_eq!((refused.code(), refused.exit()), ("wrong_network", Exit::Verification));
        assert_eq!(pin.read().unwrap(), Some(network(1, false)));
    }

    #[test]
    fn a_reset_of_the_local_test_network_is_followed_and_no_other_change() {
        let folder = tempfile::tempdir().unwrap();
        let pin = Pin::new(folder.path());
        let local = network(2, true).genesis_hash.to_string();
        pin.check(&network(1, true), None).unwrap();
        assert!(pin.check(&network(3, true), Some(&local)).is_err(), "not the local one");
        assert!(pin.check(&network(2, false), Some(&local)).is_err(), "no test network");
        assert_eq!(pin.check(&network(2, true), Some(&local)).unwrap(), Pinned::Renewed);
        pin.write(&network(1, false)).unwrap();
        assert!(pin.check(&network(2, true), Some(&local)).is_err(), "the pinned one is real");
    }
}
