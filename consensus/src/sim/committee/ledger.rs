//! The model ledger of a committee's simulation: eight accounts, transfers with nonces, blocks of payloads.
//!
//! It is a total function of the parent and the payload, as the real one is: transfers that cannot be charged
//! are left out. Its log is a list of which the unsynced tail may get lost.

use alloy_primitives::{B256, Bytes};
use synod_types::hash::sha256;
use synod_types::{BlockHash, Slot, UnixMillis};

use crate::committee::{Certificate, Committee, History, Payload, Validity};
use crate::random::Random;

/// How many accounts there are.
pub(super) const ACCOUNTS: usize = 8;
/// What each has at first.
pub(super) const FIRST_BALANCE: u64 = 1_000;
/// Bytes before the transfers: the time, and what tells two proposals of one time apart.
const HEAD: usize = 16;
/// Bytes of a transfer.
pub(super) const TRANSFER: usize = 16;

/// The most members of whom the state keeps something.
const MEMBERS: usize = 32;
/// Who pays for a change of the committee.
const CHANGE: u8 = u8::MAX;

/// A transfer; or a change of the committee, which takes a member back under its next incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Transfer {
    /// Who pays.
    pub(super) from: u8,
    /// The payer's count. Of a change, the epoch that it ends.
    pub(super) nonce: u32,
    /// Who is paid. Of a change, the member.
    pub(super) to: u8,
    /// How much. Of a change, the incarnation.
    pub(super) amount: u16,
}

impl Transfer {
    /// Ends an epoch: in the next the member counts under this incarnation.
    pub(super) fn change(member: u8, epoch: u32, incarnation: u16) -> Self {
        Self { from: CHANGE, nonce: epoch, to: member, amount: incarnation }
    }

    /// Whether it changes the committee.
    pub(super) fn is_change(self) -> bool {
        self.from == CHANGE
    }

    fn to_bytes(self) -> [u8; TRANSFER] {
        let mut bytes = [0; TRANSFER];
        bytes[0] = self.from;
        bytes[1] = self.to;
        bytes[2..4].copy_from_slice(&self.amount.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.nonce.to_be_bytes());
        let signature = sha256(&[b"client", &bytes[..8]]);
        bytes[8..].copy_from_slice(&signature[..8]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; TRANSFER] = bytes.try_into().ok()?;
        let transfer = Self {
            from: bytes[0],
            to: bytes[1],
            amount: u16::from_be_bytes([bytes[2], bytes[3]]),
            nonce: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        };
        let is_known = if transfer.is_change() {
            usize::from(transfer.to) < MEMBERS
        } else {
            usize::from(transfer.from.max(transfer.to)) < ACCOUNTS
        };
        (is_known && transfer.to_bytes() == *bytes).then_some(transfer)
    }
}

/// A payload of transfers.
pub(super) fn payload(time: UnixMillis, salt: u64, transfers: &[Transfer]) -> Payload {
    let mut bytes = [time.0.to_be_bytes(), salt.to_be_bytes()].concat();
    transfers.iter().for_each(|transfer| bytes.extend_from_slice(&transfer.to_bytes()));
    Payload::new(bytes.into()).expect("small, and begins with its time")
}

/// The transfers of a payload; `None` when it is not valid.
pub(super) fn transfers(bytes: &[u8]) -> Option<Vec<Transfer>> {
    bytes.get(HEAD..)?.chunks(TRANSFER).map(Transfer::from_bytes).collect()
}

/// What the model's members check of a payload.
#[derive(Debug)]
pub(super) struct ModelValidity;

impl Validity for ModelValidity {
    fn check(&self, payload: &Payload) -> Result<(), String> {
        transfers(payload.bytes()).map(drop).ok_or_else(|| "a transfer is not signed".to_owned())
    }
}

/// The accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) balances: [u64; ACCOUNTS],
    pub(super) nonces: [u32; ACCOUNTS],
    /// The epoch of the next block.
    pub(super) epoch: u32,
    /// Each member's incarnation in it.
    pub(super) incarnations: [u16; MEMBERS],
}

impl Default for State {
    fn default() -> Self {
        Self {
            balances: [FIRST_BALANCE; ACCOUNTS],
            nonces: [0; ACCOUNTS],
            epoch: 0,
            incarnations: [0; MEMBERS],
        }
    }
}

impl State {
    /// Whether the transfer was executed, or never can be.
    pub(super) fn is_over(&self, transfer: &Transfer) -> bool {
        if transfer.is_change() {
            return transfer.nonce < self.epoch
                || transfer.amount <= self.incarnations[usize::from(transfer.to)];
        }
        transfer.nonce < self.nonces[usize::from(transfer.from)]
    }

    /// Executes a transfer in a block of this epoch.
    fn apply(&mut self, transfer: Transfer, epoch: u32) -> bool {
        if transfer.is_change() {
            return self.change(transfer, epoch);
        }
        let (from, to) = (usize::from(transfer.from), usize::from(transfer.to));
        let amount = u64::from(transfer.amount);
        if self.nonces[from] != transfer.nonce || self.balances[from] < amount {
            return false;
        }
        self.nonces[from] += 1;
        self.balances[from] -= amount;
        self.balances[to] += amount;
        true
    }

    /// One change ends an epoch; a second one in its last block comes too late.
    fn change(&mut self, change: Transfer, epoch: u32) -> bool {
        let incarnation = &mut self.incarnations[usize::from(change.to)];
        let is_next = incarnation.checked_add(1) == Some(change.amount);
        if change.nonce != epoch || self.epoch != epoch || !is_next {
            return false;
        }
        *incarnation = change.amount;
        self.epoch += 1;
        true
    }

    fn root(&self) -> B256 {
        let words: Vec<u8> = self
            .balances
            .iter()
            .map(|balance| balance.to_be_bytes())
            .chain(self.nonces.iter().map(|nonce| u64::from(*nonce).to_be_bytes()))
            .chain([u64::from(self.epoch).to_be_bytes()])
            .chain(self.incarnations.iter().map(|incarnation| u64::from(*incarnation).to_be_bytes()))
            .flatten()
            .collect();
        sha256(&[b"model state", &words])
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) hash: BlockHash,
    /// The payload; empty for a null slot.
    pub(super) body: Bytes,
    pub(super) executed: Vec<Transfer>,
    /// Where it ends an epoch: each member's incarnation in the next.
    pub(super) ends: Option<[u16; MEMBERS]>,
    time: UnixMillis,
}

/// One node's ledger and block log.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelLedger {
    blocks: Vec<Block>,
    synced: usize,
    state: State,
    /// The newest certificate told of, and the one that a power cut leaves.
    certificate: Option<Certificate>,
    synced_certificate: Option<Certificate>,
}

impl ModelLedger {
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The number of blocks, which is the tip's height.
    pub(super) fn length(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The block at a height, from 1.
    pub(super) fn block(&self, height: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(height.checked_sub(1)?).ok()?)
    }

    /// The bodies of durable blocks from this height on.
    pub(super) fn bodies_from(&self, height: u64) -> Vec<Bytes> {
        let first = (height.max(1) - 1) as usize;
        self.blocks[..self.synced].iter().skip(first).map(|block| block.body.clone()).collect()
    }

    fn tip(&self) -> BlockHash {
        self.blocks.last().map_or(BlockHash(B256::repeat_byte(1)), |block| block.hash)
    }

    /// Builds the payload's block and writes it; it is durable only after `sync`.
    pub(super) fn append(&mut self, body: &Bytes) -> BlockHash {
        let parent_time = self.blocks.last().map_or(UnixMillis(0), |block| block.time);
        let time = body.first_chunk::<8>().map_or(parent_time, |time| UnixMillis(u64::from_be_bytes(*time)));
        let time = time.max(parent_time);
        let offered = if body.is_empty() { Vec::new() } else { transfers(body).expect("a valid payload") };
        let epoch = self.state.epoch;
        let executed: Vec<Transfer> =
            offered.into_iter().filter(|transfer| self.state.apply(*transfer, epoch)).collect();
        let ends = (self.state.epoch > epoch).then_some(self.state.incarnations);
        let root = self.state.root();
        let (parent, time_bytes) = (self.tip(), time.0.to_be_bytes());
        let hash = [b"model block", parent.0.as_slice(), root.as_slice(), body, &time_bytes];
        let hash = BlockHash(sha256(&hash));
        self.blocks.push(Block { hash, body: body.clone(), executed, ends, time });
        hash
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.blocks.len();
        self.synced_certificate = self.certificate.clone();
    }

    pub(super) fn store_certificate(&mut self, certificate: Certificate) {
        let height = |known: &Certificate| known.statement.height;
        if self.certificate.as_ref().is_none_or(|known| height(known) < height(&certificate)) {
            self.certificate = Some(certificate);
        }
    }

    /// Of the unsynced blocks a prefix survives.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        let unsynced = (self.blocks.len() - self.synced) as u64;
        let kept = if random.chance(700_000) { 0 } else { random.below(unsynced + 1) };
        self.blocks.truncate(self.synced + kept as usize);
        self.synced = self.blocks.len();
        self.certificate = self.synced_certificate.clone();
        let bodies: Vec<Bytes> = self.blocks.drain(..).map(|block| block.body).collect();
        self.state = State::default();
        for body in &bodies {
            self.append(body);
        }
    }

    /// What a start in this committee's epoch finds.
    pub(super) fn history(&self, committee: &Committee) -> History {
        let base = committee.record().base;
        let is_of = |known: &&Certificate| known.statement.position.epoch == committee.epoch();
        let stored = self.certificate.as_ref().filter(is_of).cloned();
        // It may be of a block that is not here (yet): nothing is left to attest then.
        let certified = stored.as_ref().map_or(base, |certificate| certificate.statement.height);
        let first = (certified.0 as usize).min(self.blocks.len());
        History {
            executed: Slot(self.length() - base.0),
            block_hash: self.tip(),
            certificate: stored,
            uncertified: self.blocks[first..].iter().map(|block| block.hash).collect(),
            has_ended: false,
        }
    }
}
