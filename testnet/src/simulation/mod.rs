//! Whole nodes in the simulator: the real ledger and the real logs over the disk's twin, under the real proof of
//! work or the real PBFT, in virtual time.
//!
//! The world, its faults and its observer are those of [`synod_consensus::sim`]; what changes is who keeps the
//! blocks. Clients sign real transfers, the real pool holds them, the real ledger executes them, and the real
//! log writes them to a disk of which a power cut leaves what it likes: lost, torn, reordered. So money (A4),
//! equal state (A12), durability (A5) and recovery (A14) are judged where they are made:
//!
//! - [`disk`]: one node's storage, with what goes wrong there and what must be found again.
//! - [`ledger`]: one node's ledger and pool, as the simulator drives them.
//! - [`committee`]: a member's node, with its journal of votes, and what its primary offers.
//! - [`books`]: the naive second ledger, which shares nothing with the real one.
//! - [`clients`]: who signs what, and what must be executed in the end.

mod books;
mod clients;
mod committee;
mod disk;
mod ledger;
#[cfg(feature = "mutants")]
pub mod mutants;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use synod_consensus::paxos::Paxos;
use synod_consensus::pbft::Pbft;
use synod_consensus::sim::committee::run_on;
use synod_consensus::sim::pow::{EPOCH_MS, Setting, parameters};
use synod_consensus::sim::{Options, Report, Subject, pow};
use synod_consensus::zab::Zab;
use synod_ledger::execution::{Rules, genesis_block};
use synod_ledger::testing;
use synod_types::{Genesis, UnixMillis};

use self::books::Books;
use self::clients::Clients;
use self::committee::RealChain;
use self::ledger::NodeLedger;

/// What all nodes of a run share.
struct Common {
    genesis: Genesis,
    rules: Rules,
    books: RefCell<Books>,
    clients: RefCell<Clients>,
}

impl Common {
    fn new(genesis: Genesis) -> Rc<Self> {
        Rc::new(Self {
            rules: Rules::from(&genesis),
            books: RefCell::new(Books::new(&genesis)),
            clients: RefCell::default(),
            genesis,
        })
    }
}

/// Runs one seed with whole nodes.
pub fn run(options: &Options) -> Report {
    match options.subject {
        Subject::Pow => run_miners(options),
        Subject::Pbft => run_on::<RealChain<Pbft>>(options),
        Subject::Paxos => run_on::<RealChain<Paxos>>(options),
        Subject::Zab => run_on::<RealChain<Zab>>(options),
    }
}

fn run_miners(options: &Options) -> Report {
    let common = Common::new(genesis());
    let header = genesis_block(&common.genesis).header;
    let open = |seed| NodeLedger::new(Rc::clone(&common), seed);
    pow::run(options, &Setting { parameters: parameters(), genesis: header, open: &open })
}

/// A test network with ten funded accounts, and blocks that are full early.
fn genesis() -> Genesis {
    let mut genesis =
        Genesis { time: UnixMillis(EPOCH_MS), pow: parameters(), salt: [5; 32].into(), ..testing::genesis() };
    genesis.limits.block_transactions = 16;
    genesis
}
