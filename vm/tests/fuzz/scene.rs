//! Scenes: four contracts, a few people, a block and one transaction.

use super::generator::Generator;
use super::{Piece, Random, compile};
use alloy_primitives::{Address, B256, Bytes, U256};
use synod_vm::{Block, Transaction, World};

/// The address of a scene's contract.
pub const fn contract(number: u64) -> Address {
    Address::with_last_byte(0xc0 + number as u8)
}

/// Sender, coinbase, one with wei, one absent.
pub const PEOPLE: [Address; 4] = [
    Address::with_last_byte(0xa0),
    Address::with_last_byte(0xcb),
    Address::with_last_byte(0xb1),
    Address::with_last_byte(0xb2),
];

/// All that a run needs.
#[derive(Debug, Clone)]
pub struct Scene {
    pub programs: Vec<Vec<Piece>>,
    /// The init code of a transaction that creates.
    pub init_code: Option<Vec<Piece>>,
    pub transaction: Transaction,
    pub storage: Vec<(u64, U256, U256)>,
}

impl Scene {
    /// The scene of a seed.
    pub fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let programs = (0..4).map(|_| Generator::new(random, 2).program()).collect();
        let creates = random.one_in(8);
        let init_code = creates.then(|| Generator::new(random, 1).program());
        let storage = (0..random.below(8))
            .map(|_| (random.below(4), U256::from(random.below(4)), U256::from(random.below(3))));
        let storage = storage.collect();
        let transaction = transaction(random, creates);
        Self { programs, init_code, transaction, storage }
    }

    pub fn world(&self) -> World {
        let mut world = World::default();
        world.insert(PEOPLE[0], U256::from(10).pow(U256::from(24)), 7, Bytes::new(), []);
        world.insert(PEOPLE[2], U256::from(12_345), 0, Bytes::new(), []);
        for (number, pieces) in self.programs.iter().enumerate() {
            let slots = self.storage.iter().filter(|(owner, ..)| *owner == number as u64);
            let slots: Vec<_> = slots.map(|(_, key, value)| (*key, *value)).collect();
            let balance = U256::from(500 * number);
            world.insert(contract(number as u64), balance, 1, code(pieces), slots);
        }
        world
    }

    pub fn block(&self) -> Block {
        Block {
            number: 1_000,
            time_seconds: 1_700_000_000,
            coinbase: PEOPLE[1],
            gas_limit: 30_000_000,
            base_fee: U256::from(7),
            prev_randao: B256::repeat_byte(0x5a),
            chain_id: 1_337,
            blob_base_fee: U256::from(1),
        }
    }

    pub fn transaction(&self) -> Transaction {
        let mut transaction = self.transaction.clone();
        if let Some(pieces) = &self.init_code {
            transaction.data = code(pieces);
        }
        transaction
    }
}

fn code(pieces: &[Piece]) -> Bytes {
    let mut code = Vec::new();
    compile(pieces, &mut code);
    code.into()
}

fn transaction(random: &mut Random, creates: bool) -> Transaction {
    let data: Vec<u8> = (0..random.below(70)).map(|_| random.next() as u8).collect();
    let tip = U256::from(random.below(5));
    let list = (0..random.below(3)).map(|_| {
        let slots = (0..random.below(3)).map(|_| U256::from(random.below(4))).collect();
        (contract(random.below(5)), slots)
    });
    let access_list = list.collect();
    Transaction {
        sender: PEOPLE[0],
        to: if creates { None } else { Some(contract(random.below(4))) },
        nonce: if random.one_in(200) { 8 } else { 7 },
        value: U256::from(if random.one_in(3) { random.below(2_000) } else { 0 }),
        data: data.into(),
        gas_limit: random.choose(&[60_000, 400_000, 1_000_000, 3_000_000, 10_000_000]) + random.below(30_000),
        max_fee_per_gas: U256::from(7 + random.below(6)),
        max_tip_per_gas: tip,
        access_list,
        blobs: None,
    }
}
