//! What was handed out: one unit of work for each request, found again by its header's commitment.
//!
//! Units of one template differ in their extra nonces, so that no two miners search the same headers. They are
//! kept beyond their template's life, because a late solution deserves to hear that it is late; the oldest are
//! forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use synod_types::block::HEADER_LENGTH;
use synod_types::hash::sha256;
use synod_types::{B256, BlockHash, U256};

use crate::rpc::types::TemplateView;

/// Units that are remembered: at a few requests a second, hours; at the highest rate of one address, half a minute.
const REMEMBERED: usize = 65_536;
/// Solutions of one unit that are remembered. On the easiest chains a miner finds several before it hears of
/// the block that its first one made.
const SOLUTIONS: usize = 16;

/// A template as work is cut from it.
#[derive(Debug)]
pub(super) struct Stock {
    /// Its name to whoever takes the solution.
    pub(super) template_id: String,
    /// The block below.
    pub(super) parent: BlockHash,
    /// What the block would hold, as far as miners care: how many transactions, and what they pay.
    pub(super) contents: (u32, U256),
    /// The number that a digest may not exceed.
    pub(super) target: U256,
    header: [u8; HEADER_LENGTH],
    /// The commitment without the extra nonce, which is its last field.
    commitment: Vec<u8>,
}

/// A header that nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// The header, its nonce 0.
    pub(super) header: [u8; HEADER_LENGTH],
    /// The number that a digest may not exceed.
    pub(super) target: U256,
}

/// A solution, as whoever knows the template takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Solution {
    pub(super) template_id: String,
    pub(super) extra_nonce: u64,
    pub(super) time: u32,
    pub(super) nonce: u32,
}

/// Why a header is no solution, before its work is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No unit has this commitment: invented, or forgotten.
    Unknown,
    /// It came before.
    Duplicate,
    /// It differs from its unit in more than the nonce.
    Altered,
}

/// The units.
#[derive(Debug)]
pub(super) struct Units {
    issued: HashMap<B256, Issued>,
    order: VecDeque<B256>,
    next_extra_nonce: u64,
}

#[derive(Debug)]
struct Issued {
    stock: Arc<Stock>,
    extra_nonce: u64,
    solved: Vec<u32>,
}

impl Stock {
    /// Of a template; `None` when it is none that work can be cut from, which would be a bug of ours.
    pub(super) fn new(view: &TemplateView) -> Option<Self> {
        let (commitment, _extra_nonce) = view.commitment.split_last_chunk::<8>()?;
        Some(Self {
            template_id: view.template_id.clone(),
            parent: view.parent,
            contents: (view.transactions, view.pays),
            target: view.target.into(),
            header: view.header.as_ref().try_into().ok()?,
            commitment: commitment.to_vec(),
        })
    }

    fn header(&self, extra_nonce: u64) -> [u8; HEADER_LENGTH] {
        let mut header = self.header;
        let commitment = sha256(&[&self.commitment, &extra_nonce.to_be_bytes()]);
        header[36..68].copy_from_slice(commitment.as_slice());
        header
    }
}

impl Units {
    /// None yet; extra nonces begin at `first`.
    pub(super) fn new(first: u64) -> Self {
        Self { issued: HashMap::new(), order: VecDeque::new(), next_extra_nonce: first }
    }

    /// Cuts another unit.
    pub(super) fn issue(&mut self, stock: &Arc<Stock>) -> Unit {
        let extra_nonce = self.next_extra_nonce;
        // Wrapping: it starts somewhere, and no endpoint hands out 2^64 units.
        self.next_extra_nonce = extra_nonce.wrapping_add(1);
        let header = stock.header(extra_nonce);
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.issued.remove(&oldest);
        }
        let commitment = commitment(&header);
        self.issued.insert(commitment, Issued { stock: Arc::clone(stock), extra_nonce, solved: Vec::new() });
        self.order.push_back(commitment);
        Unit { header, target: stock.target }
    }

    /// The solution that a header is, if it is a unit's with a nonce that was not taken before.
    pub(super) fn find(&self, header: &[u8; HEADER_LENGTH]) -> Result<Solution, Unfit> {
        let issued = self.issued.get(&commitment(header)).ok_or(Unfit::Unknown)?;
        let (time, nonce) = (little_endian(header, 68), little_endian(header, 76));
        // Version, parent, time and bits.
        if header[..36] != issued.stock.header[..36] || header[68..76] != issued.stock.header[68..76] {
            return Err(Unfit::Altered);
        }
        if issued.solved.contains(&nonce) {
            return Err(Unfit::Duplicate);
        }
        let (template_id, extra_nonce) = (issued.stock.template_id.clone(), issued.extra_nonce);
        Ok(Solution { template_id, extra_nonce, time, nonce })
    }

    /// Remembers that a header was taken as a solution.
    pub(super) fn solved(&mut self, header: &[u8; HEADER_LENGTH]) {
        if let Some(issued) = self.issued.get_mut(&commitment(header))
            && issued.solved.len() < SOLUTIONS
        {
            issued.solved.push(little_endian(header, 76));
        }
    }
}

fn commitment(header: &[u8; HEADER_LENGTH]) -> B256 {
    B256::from_slice(&header[36..68])
}

fn little_endian(header: &[u8; HEADER_LENGTH], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_types::{Address, Height};

    fn stock(id: &str) -> Arc<Stock> {
        let mut header = [7; HEADER_LENGTH];
        header[76..].copy_from_slice(&[0; 4]);
        let view = TemplateView {
            template_id: id.to_owned(),
            height: Height(1),
            parent: BlockHash::default(),
            bits: 0,
            target: B256::repeat_byte(1),
            commitment: id.bytes().chain([0; 8]).collect::<Vec<u8>>().into(),
            header: header.to_vec().into(),
            min_time: 0,
            max_time: 0,
            expires_at: 0,
            transactions: 0,
            pays: U256::ZERO,
            reward_to: Address::ZERO,
        };
        Arc::new(Stock::new(&view).unwrap())
    }

    #[test]
    fn every_unit_is_another_header_and_its_solution_names_its_template() {
        let (mut units, stock) = (Units::new(u64::MAX), stock("a"));
        let (first, second) = (units.issue(&stock), units.issue(&stock));
        assert_ne!(first, second);
        let mut solved = second.header;
        solved[76..].copy_from_slice(&9u32.to_le_bytes());
        let solution = units.find(&solved).unwrap();
        assert_eq!(
            solution,
            Solution { template_id: "a".to_owned(), extra_nonce: 0, time: 0x0707_0707, nonce: 9 }
        );
        assert_eq!(units.find(&first.header).unwrap().extra_nonce, u64::MAX);
    }

    #[test]
    fn what_was_taken_is_a_duplicate_and_what_was_changed_is_told_apart() {
        let (mut units, stock) = (Units::new(5), stock("a"));
        let header = units.issue(&stock).header;
        units.solved(&header);
        assert_eq!(units.find(&header), Err(Unfit::Duplicate));
        for at in [0, 4, 35, 68, 71, 72, 75] {
            let mut altered = header;
            altered[at] ^= 1;
            assert_eq!(units.find(&altered), Err(Unfit::Altered), "byte {at}");
        }
        for at in [36, 67] {
            let mut invented = header;
            invented[at] ^= 1;
            assert_eq!(units.find(&invented), Err(Unfit::Unknown), "byte {at}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let (mut units, stock) = (Units::new(0), stock("a"));
        let first = units.issue(&stock).header;
        let second = units.issue(&stock).header;
        for _ in 1..REMEMBERED {
            units.issue(&stock);
        }
        assert_eq!(units.find(&first), Err(Unfit::Unknown));
        assert!(units.find(&second).is_ok());
        assert_eq!((units.issued.len(), units.order.len()), (REMEMBERED, REMEMBERED));
        for nonce in 0..100u32 {
            let mut solved = second;
            solved[76..].copy_from_slice(&nonce.to_le_bytes());
            units.solved(&solved);
        }
        assert_eq!(units.issued[&commitment(&second)].solved.len(), SOLUTIONS);
    }
}
