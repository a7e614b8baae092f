//! The state and the block that a genesis stands for.

use std::sync::{Arc, OnceLock};

use synod_types::block::{FORMAT_VERSION, HEADER_VERSION, transactions_root};
use synod_types::hash::list_root;
use synod_types::{
    Address, B256, Block, BlockHash, Bloom, Commitment, Gas, Genesis, Header, Height, Position,
};

use crate::state::{Account, Entries, System, leaves};
use crate::trie::Trie;

/// A genesis and its block, which is computed when it is first asked for: hashing the whole first state takes
/// time that a start from a checkpoint does not have to spend.
#[derive(Debug)]
pub struct Beginning {
    genesis: Arc<Genesis>,
    block: OnceLock<Block>,
}

impl Beginning {
    /// The beginning of a network.
    pub fn new(genesis: Genesis) -> Self {
        Self { genesis: Arc::new(genesis), block: OnceLock::new() }
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The block at height 0.
    pub fn block(&self) -> &Block {
        self.block.get_or_init(|| genesis_block(&self.genesis))
    }
}

/// The first state: the allocated balances, and a meter that stands at the first base fee.
pub fn genesis_entries(genesis: &Genesis) -> Entries {
    let funded = genesis.alloc.iter().filter(|(_, balance)| !balance.is_zero());
    Entries {
        accounts: funded.map(|(address, balance)| (*address, Account::funded(*balance))).collect(),
        records: Vec::new(),
        code: Vec::new(),
        system: System { base_fee: u128::from(genesis.fees.initial_base_fee), ..System::default() },
    }
}

/// The block at height 0. Its parent is the genesis hash, its target the first one of proof of work; there is
/// none under a committee.
pub fn genesis_block(genesis: &Genesis) -> Block {
    let commitment = Commitment {
        format: FORMAT_VERSION,
        position: Position::default(),
        height: Height(0),
        millis: (genesis.time.0 % 1000) as u16,
        transactions_root: transactions_root(&[]),
        state_root: Trie::from_leaves(leaves::all(&genesis_entries(genesis))).root(),
        receipts_root: list_root::<[u8; 0]>([]),
        logs_bloom: Bloom::ZERO,
        gas_used: Gas(0),
        gas_limit: genesis.limits.block_gas,
        base_fee: u128::from(genesis.fees.initial_base_fee),
        proposer: Address::ZERO,
        fee_recipient: Address::ZERO,
        next_committee: B256::ZERO,
        extra_nonce: 0,
    };
    let header = Header {
        version: HEADER_VERSION,
        parent: BlockHash(genesis.hash()),
        commitment: commitment.digest(),
        time: genesis.time.seconds() as u32,
        bits: if genesis.ordering.has_committee() { 0 } else { genesis.pow.bits },
        nonce: 0,
    };
    Block { header, commitment, transactions: Vec::new() }
}
