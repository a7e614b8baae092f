//! The ledger over the real log code: what was committed is there after a restart, what was not may be gone, and
//! reorganisations survive (STO-1, A14).
#![allow(clippy::unwrap_used)]

use synod_ledger::disk::{Disk, RealDisk};
use synod_ledger::execution::Proposal;
use synod_ledger::log::blocks::{BlockLog, OpenedBlocks};
use synod_ledger::log::{LogOptions, Salt};
use synod_ledger::testing::{account, genesis, key, transfer};
use synod_ledger::{BlockHistory, Ledger, LoggedHistory, Options};
use synod_types::{Block, Height, UnixMillis};

fn open(folder: &std::path::Path) -> Ledger<LoggedHistory<RealDisk>> {
    let disk = RealDisk::open(&folder.join("blocks")).unwrap();
    let OpenedBlocks::Whole(log, _) = BlockLog::open(disk, LogOptions::blocks(Salt([1; 16]))).unwrap() else {
        panic!("the log is whole");
    };
    let options = Options {
        layers: 5,
        checkpoint_every: 4,
        index: Some(folder.join("index")),
        ..Options::new([1; 32])
    };
    Ledger::open(genesis(), LoggedHistory::new(log, &genesis()), options).unwrap().0
}

fn extend<D: Disk>(chain: &mut Ledger<LoggedHistory<D>>, count: u64, branch: u64) -> Vec<Block> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        let rules = chain.rules().clone();
        let nonce = chain.head().height().0;
        let proposal = Proposal {
            time: UnixMillis(chain.head().time().0 + 2_000),
            proposer: account(3),
            fee_recipient: account(20 + branch),
            transactions: (0..4)
                .map(|from| transfer(&rules, &key(from), nonce, key(9).public(), 9))
                .collect(),
        };
        let block = chain.build(proposal, 0).block;
        chain.append(&block, &()).unwrap();
        blocks.push(block);
    }
    blocks
}

#[test]
fn a14_what_was_committed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("blocks")).unwrap();
    let mut chain = open(folder.path());
    let blocks = extend(&mut chain, 25, 0);
    chain.commit().unwrap();
    extend(&mut chain, 3, 0);
    assert_eq!(
        chain.reader().block_at(Height(28)).unwrap().unwrap().height(),
        Height(28),
        "readable at once"
    );
    let account_before = chain.reader().view_at(Height(25)).unwrap().entries();
    drop(chain);
    let mut chain = open(folder.path());
    assert_eq!(chain.head().hash, blocks[24].hash(), "the uncommitted tail is gone");
    assert_eq!(chain.view().entries(), account_before);

    let rewound = chain.rewind(&blocks[21].hash()).unwrap();
    assert_eq!(rewound.blocks, blocks[22..].iter().rev().cloned().collect::<Vec<_>>());
    let branch = extend(&mut chain, 6, 1);
    assert_eq!(chain.block(&blocks[23].hash()).unwrap(), None, "a block that left the chain is not served");
    assert_eq!(chain.block(&branch[2].hash()).unwrap().as_ref(), Some(&branch[2]));
    chain.commit().unwrap();
    let entries = chain.view().entries();
    drop(chain);
    let mut chain = open(folder.path());
    assert_eq!(chain.head().hash, branch[5].hash());
    assert_eq!(chain.view().entries(), entries);

    // Below the checkpoint, down to the genesis block, and up again.
    let genesis_hash = chain.reader().block_at(Height(0)).unwrap().unwrap().hash();
    assert!(chain.rewind(&genesis_hash).unwrap().replayed);
    let fresh = extend(&mut chain, 7, 2);
    chain.commit().unwrap();
    drop(chain);
    let chain = open(folder.path());
    assert_eq!(chain.head().hash, fresh[6].hash());
    assert_eq!(chain.recount_root(), chain.head().commitment.state_root);
}

#[test]
fn a_proof_of_an_account_is_checked_offline_and_refused_when_changed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("blocks")).unwrap();
    let mut chain = open(folder.path());
    extend(&mut chain, 3, 0);
    for number in [0, 9, 77] {
        let proof = chain.proof(&account(number));
        assert_eq!(proof.verify(), Ok(chain.head().hash));
        assert_eq!(proof.account.is_empty(), number == 77);
        let mut richer = proof.clone();
        richer.account.balance += synod_types::U256::ONE;
        assert!(richer.verify().is_err());
        let mut other = proof.clone();
        // (Two absent accounts may share a walk, so the absent one is exchanged for a present one.)
        other.address = account(if number == 77 { 9 } else { number + 1 });
        assert!(other.verify().is_err());
        let mut forged = proof.clone();
        forged.commitment.state_root.0[0] ^= 1;
        assert!(forged.verify().is_err());
    }
}

#[test]
fn another_networks_log_is_refused() {
    let mut log = synod_ledger::MemoryHistory::default();
    let mut chain = Ledger::open(genesis(), log.clone(), Options::new([1; 32])).unwrap().0;
    let rules = chain.rules().clone();
    let proposal = Proposal {
        time: rules.genesis_time,
        proposer: account(0),
        fee_recipient: account(0),
        transactions: Vec::new(),
    };
    let block = chain.build(proposal, 0).block;
    log.append(&block).unwrap();
    let mut other = genesis();
    other.chain_id += 1;
    let refused = Ledger::open(other, log, Options::new([1; 32])).err().unwrap();
    assert!(matches!(refused, synod_ledger::OpenError::OtherNetwork));
}
