//! What RPC asks of a committee's node.

use std::time::{Duration, Instant};

use synod_consensus::committee::{Certificate, Committee, MemberIndex};
use synod_ledger::disk::Disk;
use synod_types::address::address_of;
use synod_types::{Genesis, Height};

use super::certificates::Certificates;
use super::members::Members;
use crate::driver::peers::PeerTable;
use crate::rpc::types::{CertificateView, CommitteeView, MemberView};

/// The committee, for readers.
pub(in crate::driver) struct CommitteeSide<D: Disk> {
    pub(super) committee: Committee,
    pub(super) certificates: Certificates<D>,
    pub(super) members: Members,
    /// Which member this node is; none is a follower.
    pub(super) own: Option<MemberIndex>,
}

impl<D> CommitteeSide<D>
where
    D: Disk + Send + 'static,
    D::File: Send + Sync,
{
    /// The certificate of this very block, waited for: the newest blocks get theirs within milliseconds.
    pub(in crate::driver) fn of_block(&self, height: Height, patience: Duration) -> Option<Certificate> {
        let certificate = self.certificates.wait_for(height, Instant::now() + patience)?;
        Some(certificate).filter(|certificate| certificate.statement.height == height)
    }

    /// The certificate that vouches for the block at `height`.
    pub(in crate::driver) fn certificate(&self, height: Height, tip: Height) -> Option<CertificateView> {
        let certificate = self.certificates.covering(height)?;
        let statement = certificate.statement;
        Some(CertificateView {
            height: statement.height,
            block_hash: statement.block_hash,
            position: statement.position,
            signers: certificate.signatures.members().map(|member| member.0).collect(),
            quorum: count(self.committee.quorum()),
            certificate: certificate.to_bytes().into(),
            tip_height: tip,
        })
    }

    /// Who belongs to it, and who is heard.
    pub(in crate::driver) fn view(
        &self,
        genesis: &Genesis,
        peers: &PeerTable,
        height: Height,
    ) -> CommitteeView {
        let record = self.committee.record();
        let member = |index: MemberIndex| {
            let member = &record.members[usize::from(index.0)];
            let named = genesis.members.iter().find(|named| named.key == member.key);
            let peer = self.members.peer(index);
            let this_node = self.own == Some(index);
            MemberView {
                index: index.0,
                name: named.map(|named| named.name.clone()).unwrap_or_default(),
                key: member.key,
                address: address_of(&member.key),
                incarnation: member.incarnation,
                connected: this_node || peer.is_some(),
                this_node,
                height: if this_node { Some(height) } else { peer.and_then(|peer| peers.height(peer)) },
            }
        };
        CommitteeView {
            epoch: record.epoch.0,
            ordering: record.ordering.clone(),
            faults: count(self.committee.faults()),
            quorum: count(self.committee.quorum()),
            members: self.committee.indexes().map(member).collect(),
            height,
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
