//! One whole node's ledger, as the simulator drives it: the real ledger over the real log, and the real pool.
//! A miner's node is that; a member's ([`super::committee`]) stands on it.

use std::rc::Rc;

use alloy_primitives::Bytes;
use synod_consensus::Time;
use synod_consensus::pow::History;
use synod_consensus::random::Random;
use synod_consensus::sim::{Complaint, DiskState, SyncError, Template};
use synod_ledger::execution::{Proposal, intrinsic_gas};
use synod_ledger::state::{StateRead, View};
use synod_ledger::{AppendError, BlockHistory as _, Executed, Ledger, Options, VerifiedCache};
use synod_node::mempool::{
    AccountState, AccountView, BlockRoom, ChainRules, Changed, NewTip, Origin, Pool, PoolLimits, Tip,
};
use synod_types::{Address, Block, BlockHash, Height, TransactionId, UnixMillis, VerifiedTransaction};

use super::Common;
use super::books::wrong;
use super::clients::Clients;
use super::disk::{Blocks, Storage};

/// Few layers, so that runs rewind below them.
const LAYERS: usize = 6;
/// Signatures that a node remembers.
const REMEMBERED: usize = 512;

/// One node's ledger and what it stands on.
pub(super) struct NodeLedger {
    pub(super) common: Rc<Common>,
    seed: u64,
    pub(super) storage: Storage,
    /// Always there but while it restarts.
    running: Option<Running>,
    pub(super) pool: Pool,
    pub(super) known: VerifiedCache,
    complaint: Option<Complaint>,
    pub(super) happened: Vec<&'static str>,
}

/// What lives as long as the process.
pub(super) struct Running {
    pub(super) ledger: Ledger<Blocks>,
    pub(super) blocks: Blocks,
}

/// The accounts at the tip, as the pool asks for them.
struct Accounts<'a>(&'a View);

impl AccountView for Accounts<'_> {
    fn account(&self, address: &Address) -> AccountState {
        let account = self.0.account(address);
        AccountState { nonce: account.nonce, balance: account.balance }
    }
}

impl NodeLedger {
    pub(super) fn new(common: Rc<Common>, seed: u64) -> Self {
        Self::on(Storage::new(seed), common, seed)
    }

    /// A node on this storage.
    pub(super) fn on(storage: Storage, common: Rc<Common>, seed: u64) -> Self {
        let pool = empty_pool(&common);
        let mut node = Self {
            storage,
            running: None,
            pool,
            known: VerifiedCache::new(REMEMBERED),
            complaint: None,
            happened: Vec::new(),
            common,
            seed,
        };
        node.boot();
        node
    }

    /// The process starts: the log is read, the state is rebuilt, the pool is empty.
    fn boot(&mut self) {
        if let Err(refused) = self.try_to_boot() {
            self.complain(wrong("A5", format!("the node does not start again: {}", refused.0)));
            self.replace_disk();
        }
    }

    fn try_to_boot(&mut self) -> Result<(), super::disk::Refused> {
        let blocks = self.storage.open(&self.common.genesis)?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        let options = Options { layers: LAYERS, ..Options::new(seed) };
        let opened = Ledger::open(self.common.genesis.clone(), blocks.clone(), options);
        let (ledger, _) = opened.map_err(|error| super::disk::Refused(error.to_string()))?;
        self.running = Some(Running { ledger, blocks });
        self.pool = empty_pool(&self.common);
        self.reset_pool(&[], Vec::new());
        self.check_state();
        Ok(())
    }

    /// The disk is beyond repair here; another one is put in, and the node starts with nothing.
    fn replace_disk(&mut self) {
        self.storage.drop_image();
        self.storage.restore_image();
        self.happened.push("damaged disk replaced");
        if let Err(refused) = self.try_to_boot() {
            panic!("an empty disk is refused: {}", refused.0);
        }
    }

    pub(super) fn running(&self) -> &Running {
        self.running.as_ref().expect("a process that restarts is asked for nothing")
    }

    pub(super) fn ledger(&mut self) -> &mut Ledger<Blocks> {
        &mut self.running.as_mut().expect("a process that restarts is asked for nothing").ledger
    }

    pub(super) fn view(&self) -> View {
        self.running().ledger.view()
    }

    pub(super) fn complain(&mut self, complaint: Complaint) {
        self.complaint.get_or_insert(complaint);
    }

    pub(super) fn take_complaint(&mut self) -> Option<Complaint> {
        self.complaint.take()
    }

    fn note(&mut self, result: Result<(), Complaint>) {
        if let Err(complaint) = result {
            self.complain(complaint);
        }
    }

    /// The whole state is what the books say (A2, A4, A12), and its tree's root what the header says (A14).
    fn check_state(&mut self) {
        let head = self.running().ledger.head();
        let verdict = self.common.books.borrow().compare(head.hash, &head.view);
        self.note(verdict);
        if self.running().ledger.recount_root() != head.commitment.state_root {
            let message =
                format!("the state after {} does not have the root that its header binds", head.hash);
            self.complain(wrong("A14", message));
        }
    }

    pub(super) fn reset_pool(
        &mut self,
        included: &[(Address, TransactionId)],
        reverted: Vec<VerifiedTransaction>,
    ) {
        let ledger = &self.running.as_ref().expect("the process runs").ledger;
        let head = ledger.head();
        self.pool.reset(NewTip {
            tip: Tip { height: head.height(), base_fee: ledger.base_fee_at(head.time()) },
            view: &Accounts(&head.view),
            changed: Changed::Unknown,
            included,
            reverted,
            now: head.time(),
        });
    }

    pub(super) fn submit(&mut self, transfer: VerifiedTransaction, origin: Origin, wall: UnixMillis) {
        self.known.insert(transfer.clone());
        let view = self.view();
        // A rival that pays no more, or one that is known, is refused; the client has its answer.
        let _ = self.pool.insert(transfer, origin, wall, &Accounts(&view));
    }

    /// The power fails, perhaps amid a commit, and the process is gone.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        if self.storage.will_fail(random) {
            self.happened.push("power lost within a commit");
            // Whatever it answers, nobody hears it any more.
            let _ = self.ledger().commit();
        }
        self.running = None;
    }

    /// The process is gone.
    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    /// The process starts after a power cut: all that was proven durable must be there.
    pub(super) fn come_back(&mut self) {
        self.boot();
        let running = self.running.take().expect("it has just started");
        let verdict = self.storage.check(&running.blocks);
        self.running = Some(running);
        self.note(verdict);
    }

    /// Another disk is put in, an empty one.
    pub(super) fn lose_disk(&mut self) {
        self.running = None;
        self.storage.drop_image();
        self.storage.restore_image();
        self.boot();
    }

    /// Makes all blocks durable.
    pub(super) fn commit(&mut self) -> Result<(), SyncError> {
        let running = self.running.as_mut().expect("a process that restarts is asked for nothing");
        let result = running.ledger.commit().map(drop);
        match self.storage.committed(result, || running.ledger.commit().map(drop)) {
            Ok(outcome) => outcome,
            Err(complaint) => {
                self.complain(complaint);
                Err(SyncError::Failed)
            }
        }
    }

    /// Executes another's block on the tip and writes it; its transactions.
    pub(super) fn append_block(&mut self, block: &Block) -> Result<Vec<TransactionId>, String> {
        let running = self.running.as_mut().expect("a process that restarts is asked for nothing");
        let executed = match running.ledger.append(block, &self.known) {
            Ok(executed) => executed,
            Err(AppendError::Refused(refusal)) => return Err(refusal.to_string()),
            Err(AppendError::History(error)) => {
                self.complain(wrong("A8", format!("a block does not fit into the open group: {error}")));
                return Err(error.to_string());
            }
        };
        self.took(block, &executed);
        Ok(executed.transactions.iter().map(|one| one.id).collect())
    }

    /// A block is on the tip: the books must say the same of it.
    pub(super) fn took(&mut self, block: &Block, executed: &Executed) {
        let included: Vec<_> = executed.transactions.iter().map(|one| (one.sender, one.id)).collect();
        self.executed(block, &included);
        let verdict = self.common.books.borrow().compare(executed.hash, &executed.view);
        self.note(verdict);
        self.reset_pool(&included, Vec::new());
    }

    /// A block was executed, with these transactions.
    fn executed(&mut self, block: &Block, included: &[(Address, TransactionId)]) {
        let clients = self.common.clients.borrow();
        let stranger = included.iter().map(|(_, id)| *id).find(|id| !clients.has_signed(*id));
        drop(clients);
        if let Some(id) = stranger {
            self.complain(wrong("A2", format!("transaction {id} is executed, and nobody signed it")));
        }
        let kept = self.common.books.borrow_mut().keep(block);
        self.note(kept);
        if !block.transactions.is_empty() {
            self.happened.push("block with transfers");
        }
        self.storage.wrote(block.clone());
    }
}

impl synod_consensus::sim::Ledger for NodeLedger {
    const HAS_CLIENTS: bool = true;
    const ROTS: bool = true;

    fn history(&self) -> History {
        let blocks = &self.running().blocks;
        let header = |height| {
            let block = blocks.block_at(Height(height)).expect("the log was read at the start");
            block.expect("it is not above the tip").header
        };
        History {
            chain: (1..=blocks.height().0).map(header).collect(),
            undone: blocks.undone().expect("the log was read at the start"),
        }
    }

    fn assemble(&mut self, template: &Template) -> Option<Block> {
        if self.tip() != template.parent {
            return None;
        }
        let view = self.view();
        let heard = self.common.clients.borrow().gossiped(|address| view.account(&address).nonce);
        for transfer in heard {
            self.submit(transfer, Origin::Network, template.time);
        }
        let base_fee = self.ledger().base_fee_at(template.time);
        let transactions = self.pool.select(BlockRoom::of(&self.common.genesis), base_fee);
        let proposal = Proposal {
            time: template.time,
            proposer: template.recipient,
            fee_recipient: template.recipient,
            transactions,
        };
        let built = self.ledger().build(proposal, template.bits);
        for (transaction, reason) in &built.left_out {
            if !reason.may_pass_later() {
                self.pool.remove(transaction.id());
            }
        }
        Some(built.block)
    }

    fn execute(&mut self, _: BlockHash, body: &Bytes) -> Result<(), String> {
        self.append_block(&Block::from_bytes(body).map_err(|error| error.to_string())?).map(|_| ())
    }

    fn rewind(&mut self, to: BlockHash) -> Result<(), String> {
        let rewound = self.ledger().rewind(&to).map_err(|error| error.to_string())?;
        if rewound.blocks.is_empty() {
            return Ok(());
        }
        self.storage.wrote_rewind();
        if rewound.replayed {
            self.happened.push("rewind below the layers");
        }
        let transactions: Vec<_> =
            rewound.blocks.into_iter().rev().flat_map(|block| block.transactions).collect();
        if !transactions.is_empty() {
            self.happened.push("transfers reverted");
        }
        let running = self.running.as_mut().expect("a process that restarts is asked for nothing");
        let verdicts = running.ledger.verify(&transactions, &self.known);
        let reverted = verdicts.into_iter().filter_map(Result::ok).collect();
        self.reset_pool(&[], reverted);
        self.check_state();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SyncError> {
        self.commit()
    }

    fn load(&self, block_hash: BlockHash) -> Option<Bytes> {
        let block = self.running().blocks.any_block(block_hash).ok().flatten()?;
        Some(block.to_bytes().into())
    }

    fn power_cut(&mut self, random: &mut Random) {
        self.lose_power(random);
        self.storage.power_cut(random);
        self.come_back();
    }

    fn tip(&self) -> BlockHash {
        self.running().ledger.head().hash
    }

    fn set_disk(&mut self, disk: DiskState) {
        self.storage.set_state(disk);
    }

    fn keep_image(&mut self) {
        self.storage.keep_image();
    }

    fn restore_image(&mut self) {
        self.running = None;
        self.storage.restore_image();
        self.boot();
    }

    fn drop_image(&mut self) {
        self.storage.drop_image();
    }

    fn rot(&mut self, random: &mut Random) -> bool {
        self.running = None;
        let flipped = self.storage.flip(random);
        let Ok(()) = self.try_to_boot() else {
            self.happened.push("damage refused");
            self.replace_disk();
            return true;
        };
        if !flipped {
            return false;
        }
        let running = self.running.take().expect("it has just started");
        let verdict = self.storage.check_flipped(&running.blocks);
        self.running = Some(running);
        match verdict {
            Ok(is_shorter) => {
                self.happened.push(if is_shorter {
                    "damage cut off as a tail"
                } else {
                    "damage without harm"
                });
                is_shorter
            }
            Err(complaint) => {
                self.complain(complaint);
                true
            }
        }
    }

    fn client(&mut self, now: Time, wall: UnixMillis, random: &mut Random) {
        let view = self.view();
        let nonce_of = |address: Address| view.account(&address).nonce;
        let common = Rc::clone(&self.common);
        let client = Clients::caller(nonce_of, &common.clients.borrow(), random);
        let nonce = nonce_of(synod_ledger::testing::account(client));
        let transfer = common.clients.borrow_mut().transfer(&common.rules, client, nonce, now, random);
        self.submit(transfer, Origin::Local, wall);
    }

    fn waits_since(&self) -> Option<Time> {
        let view = self.view();
        self.common.clients.borrow().waits_since(|address| view.account(&address).nonce)
    }

    fn complaint(&mut self) -> Option<Complaint> {
        self.take_complaint()
    }

    fn happened(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.happened)
    }
}

fn empty_pool(common: &Common) -> Pool {
    let rules = ChainRules::of(&common.genesis, intrinsic_gas);
    let base_fee = u128::from(common.genesis.fees.initial_base_fee);
    Pool::new(PoolLimits::default(), rules, Tip { height: synod_types::Height(0), base_fee })
}
