//! The model ledger of a committee's simulation: eight accounts, transfers with nonces, blocks of payloads.
//!
//! It is a total function of the parent and the payload, as the real one is: transfers that cannot be charged
//! are left out. Its log is a list of which the unsynced tail may get lost.

use alloy_primitives::{B256, Bytes};
use synod_types::hash::sha256;
use synod_types::{BlockHash, Slot, UnixMillis};

use crate::committee::{Certificate, History, Payload, Validity};
use crate::random::Random;

/// How many accounts there are.
pub(super) const ACCOUNTS: usize = 8;
/// What each has at first.
pub(super) const FIRST_BALANCE: u64 = 1_000;
/// Bytes before the transfers: the time, and what tells two proposals of one time apart.
const HEAD: usize = 16;
/// Bytes of a transfer.
pub(super) const TRANSFER: usize = 16;

/// A transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Transfer {
    /// Who pays.
    pub(super) from: u8,
    /// The payer's count.
    pub(super) nonce: u32,
    /// Who is paid.
    pub(super) to: u8,
    /// How much.
    pub(super) amount: u16,
}

impl Transfer {
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
        let is_known = usize::from(transfer.from.max(transfer.to)) < ACCOUNTS;
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
}

impl Default for State {
    fn default() -> Self {
        Self { balances: [FIRST_BALANCE; ACCOUNTS], nonces: [0; ACCOUNTS] }
    }
}

impl State {
    fn apply(&mut self, transfer: Transfer) -> bool {
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

    fn root(&self) -> B256 {
        let words: Vec<u8> = self
            .balances
            .iter()
            .map(|balance| balance.to_be_bytes())
            .chain(self.nonces.iter().map(|nonce| u64::from(*nonce).to_be_bytes()))
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

    /// The number of blocks, which is the last slot.
    pub(super) fn length(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The block of a slot, from 1.
    pub(super) fn block(&self, slot: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(slot.checked_sub(1)?).ok()?)
    }

    /// The bodies of durable blocks from this slot on.
    pub(super) fn bodies_from(&self, slot: u64) -> Vec<Bytes> {
        let first = (slot.max(1) - 1) as usize;
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
        let executed: Vec<Transfer> =
            offered.into_iter().filter(|transfer| self.state.apply(*transfer)).collect();
        let root = self.state.root();
        let (parent, time_bytes) = (self.tip(), time.0.to_be_bytes());
        let hash = [b"model block", parent.0.as_slice(), root.as_slice(), body, &time_bytes];
        let hash = BlockHash(sha256(&hash));
        self.blocks.push(Block { hash, body: body.clone(), executed, time });
        hash
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.blocks.len();
        self.synced_certificate = self.certificate.clone();
    }

    pub(super) fn store_certificate(&mut self, certificate: Certificate) {
        if self.certificate.as_ref().is_none_or(|known| known.slot() < certificate.slot()) {
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

    /// What a start finds.
    pub(super) fn history(&self) -> History {
        let executed = Slot(self.length());
        // It may be of a block that is not here (yet): nothing is left to attest then.
        let stored = self.certificate.clone();
        let certified = stored.as_ref().map_or(0, |certificate| certificate.slot().0 as usize);
        let first = certified.min(self.blocks.len());
        History {
            executed,
            block_hash: self.tip(),
            certificate: stored,
            uncertified: self.blocks[first..].iter().map(|block| block.hash).collect(),
            has_ended: false,
        }
    }
}
