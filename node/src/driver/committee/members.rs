//! Which peer speaks for which member.
//!
//! A node's network key is not its validator key: the one opens connections, the other signs votes. A member
//! introduces itself over each new connection, by a signature of its validator key over the network, the epoch
//! and the peer's name (P2P-12); nothing that a peer says as a member is heard before. Two connections that
//! claim one member are an alarm: either its key is in two places, or a proxy stands between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use synod_consensus::committee::{Committee, MemberIndex, Signer};
use synod_types::{Epoch, Signature};

use crate::network::PeerName;

/// The domain tag of an introduction.
const TAG: &[u8] = b"synod/introduction/v1";

/// "This peer speaks for this member."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Introduction {
    /// The epoch: the committee of another cannot check it.
    pub(super) epoch: Epoch,
    member: MemberIndex,
    signature: Signature,
}

impl Introduction {
    /// What `signer`'s node says of itself.
    pub(super) fn new(committee: &Committee, signer: &Signer, peer: PeerName) -> Self {
        let epoch = committee.epoch();
        Self { epoch, member: signer.index(), signature: signer.sign(committee, TAG, peer.as_bytes()) }
    }

    /// The member, if `peer` may speak for it.
    fn member(&self, committee: &Committee, peer: PeerName) -> Option<MemberIndex> {
        let is_signed = committee.verify(self.member, TAG, peer.as_bytes(), &self.signature);
        is_signed.then_some(self.member)
    }
}

/// The table; a clone is the same table.
#[derive(Debug, Clone)]
pub(super) struct Members {
    committee: Committee,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    peers: BTreeMap<MemberIndex, PeerName>,
    members: BTreeMap<PeerName, MemberIndex>,
}

/// Why an introduction is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The signature is not the member's over this peer.
    Forged,
    /// Another connection speaks for the member.
    Twin,
}

impl Members {
    pub(super) fn new(committee: Committee) -> Self {
        Self { committee, table: Arc::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an introduction; `None` when it was known.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn introduced(
        &self,
        peer: PeerName,
        introduction: &Introduction,
    ) -> Result<Option<MemberIndex>, Refused> {
        if self.table().members.contains_key(&peer) {
            return Ok(None);
        }
        let Some(member) = introduction.member(&self.committee, peer) else { return Err(Refused::Forged) };
        let mut table = self.table();
        if table.peers.contains_key(&member) {
            return Err(Refused::Twin);
        }
        table.peers.insert(member, peer);
        table.members.insert(peer, member);
        Ok(Some(member))
    }

    /// The connection is gone; the member that it spoke for.
    pub(super) fn disconnected(&self, peer: PeerName) -> Option<MemberIndex> {
        let mut table = self.table();
        let member = table.members.remove(&peer)?;
        table.peers.remove(&member);
        Some(member)
    }

    /// Whom the peer speaks for.
    pub(super) fn member(&self, peer: PeerName) -> Option<MemberIndex> {
        self.table().members.get(&peer).copied()
    }

    /// Who speaks for the member.
    pub(super) fn peer(&self, member: MemberIndex) -> Option<PeerName> {
        self.table().peers.get(&member).copied()
    }

    /// Everybody who speaks for a member.
    pub(super) fn peers(&self) -> Vec<PeerName> {
        self.table().members.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::committee::fixture::Four;

    fn peer(byte: u8) -> PeerName {
        PeerName::from_bytes([byte; 32])
    }

    #[test]
    fn p2p_12_a_peer_speaks_for_a_member_only_by_that_members_signature_over_it() {
        let four = Four::new(1);
        let members = Members::new(four.committee.clone());
        let own = Introduction::new(&four.committee, &four.signers[2], peer(7));
        assert_eq!(members.introduced(peer(8), &own), Err(Refused::Forged), "copied from another peer");
        let elsewhere = Four::new(2);
        let foreign = Introduction::new(&elsewhere.committee, &elsewhere.signers[2], peer(7));
        assert_eq!(members.introduced(peer(7), &foreign), Err(Refused::Forged), "of another network");
        let as_another = Introduction { member: MemberIndex(1), ..own.clone() };
        assert_eq!(members.introduced(peer(7), &as_another), Err(Refused::Forged));
        let nobody = Introduction { member: MemberIndex(9), ..own.clone() };
        assert_eq!(members.introduced(peer(7), &nobody), Err(Refused::Forged));
        assert_eq!(members.member(peer(7)), None);
        assert_eq!(members.introduced(peer(7), &own), Ok(Some(MemberIndex(2))));
        assert_eq!(
            (members.member(peer(7)), members.peer(MemberIndex(2))),
            (Some(MemberIndex(2)), Some(peer(7)))
        );
    }

    #[test]
    fn p2p_12_two_connections_for_one_member_are_an_alarm_until_the_first_is_gone() {
        let four = Four::new(1);
        let members = Members::new(four.committee.clone());
        let say = |name| Introduction::new(&four.committee, &four.signers[0], name);
        assert_eq!(members.introduced(peer(1), &say(peer(1))), Ok(Some(MemberIndex(0))));
        assert_eq!(members.introduced(peer(1), &say(peer(1))), Ok(None));
        assert_eq!(members.introduced(peer(2), &say(peer(2))), Err(Refused::Twin));
        assert_eq!(members.disconnected(peer(2)), None);
        assert_eq!(members.disconnected(peer(1)), Some(MemberIndex(0)));
        assert_eq!(members.introduced(peer(2), &say(peer(2))), Ok(Some(MemberIndex(0))));
        assert_eq!(members.peers(), [peer(2)]);
    }
}
