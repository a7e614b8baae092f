//! What RPC asks of a committee's node.

use std::time::{Duration, Instant};

use synod_consensus::committee::{Certificate, MemberIndex, Succession};
use synod_ledger::Executed;
use synod_ledger::disk::Disk;
use synod_types::address::address_of;
use synod_types::{B256, Epoch, Height};

use super::certificates::Certificates;
use super::epoch::{Epochs, Now};
use super::evidence::EvidenceFolder;
use super::reads::Reads;
use crate::driver::peers::PeerTable;
use crate::rpc::types::{CertificateView, CommitteeView, EvidenceView, MemberView};

/// The committee, for readers.
pub(in crate::driver) struct CommitteeSide<D: Disk> {
    pub(super) now: Now,
    pub(super) epochs: Epochs<D>,
    pub(super) certificates: Certificates<D>,
    pub(super) kept: EvidenceFolder,
    pub(super) reads: Reads<D>,
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
        let quorum = self.epochs.record(statement.position.epoch)?.check().ok()?.quorum;
        Some(CertificateView {
            height: statement.height,
            block_hash: statement.block_hash,
            position: statement.position,
            signers: certificate.signatures.members().map(|member| member.0).collect(),
            quorum: count(quorum),
            certificate: certificate.to_bytes().into(),
            tip_height: tip,
        })
    }

    /// What leads from the genesis to the committee of `epoch`; `None` while a certificate is missing here.
    pub(in crate::driver) fn successions(&self, epoch: Epoch) -> Option<Vec<Succession>> {
        self.epochs.successions(epoch)
    }

    /// What members did wrong.
    pub(in crate::driver) fn evidence(&self) -> std::io::Result<Vec<EvidenceView>> {
        self.kept.all()
    }

    /// From which height on reads miss nothing.
    pub(in crate::driver) fn reads(&self) -> &Reads<D> {
        &self.reads
    }

    /// Who belongs to it, and who is heard.
    pub(in crate::driver) fn view(&self, peers: &PeerTable, head: &Executed) -> CommitteeView {
        let (current, height) = (self.now.current(), head.height());
        let (committee, own) = (current.committee(), current.config.me());
        let record = committee.record();
        let member = |index: MemberIndex| {
            let member = &record.members[usize::from(index.0)];
            let peer = current.members.peer(index);
            let this_node = own == Some(index);
            MemberView {
                index: index.0,
                name: member.name.clone(),
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
            base: record.base,
            faults: count(committee.faults()),
            quorum: count(committee.quorum()),
            members: committee.indexes().map(member).collect(),
            height,
            ends: height > record.base && head.commitment.next_committee != B256::ZERO,
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
