//! A node of a few lines: a chain without blocks' contents, a pool, and whatever misbehaviour a test asks for.
//!
//! It judges nonces, signatures and replacements by rules of its own, so that a wallet that breaks them is
//! caught; it answers with the structs of the real server.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use synod_node::rpc::types::{
    AccountView, BlockSummary, FeesView, HistoryPage, MempoolSummary, PoolView, ReceiptView, SolveOutcome,
    SolveView, StatusView, SubmitOutcome, SubmitView, TemplateView, TransactionStatus, TransactionStatusView,
    TransactionView,
};
use synod_types::address::parse_address;
use synod_types::amount::{GWEI, SYN};
use synod_types::genesis::{Ordering, ProofOfWork};
use synod_types::{
    Address, B256, BlockHash, Bloom, Bytes, Commitment, Gas, Genesis, Header, Height, Position, Transaction,
    TransactionId, U256, UnixMillis, VerifiedTransaction, codec,
};

/// What becomes of the next submissions, one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// The connection closes before the node has looked at the transaction.
    Deaf,
    /// The node takes the transaction, and the answer is lost.
    Mute,
    /// The node says that it is busy.
    Busy,
    /// The node refuses with this code.
    Refuse(&'static str),
    /// The node waits with looking at the transaction until [`FakeNode::release`], then forgets it.
    Hold,
}

#[derive(Default)]
struct State {
    genesis: Option<Genesis>,
    height: u64,
    nonces: BTreeMap<Address, u64>,
    balances: BTreeMap<Address, U256>,
    pool: Vec<VerifiedTransaction>,
    included: BTreeMap<TransactionId, (u64, VerifiedTransaction)>,
    replaced: BTreeMap<TransactionId, TransactionId>,
    moods: VecDeque<Mood>,
    mines_at_once: bool,
    held: usize,
    submissions: usize,
    solved: usize,
}

pub struct FakeNode {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl FakeNode {
    /// A node of a test network that puts every transaction into a block at once.
    pub fn start() -> Self {
        Self::of(genesis(true, 1))
    }

    pub fn of(genesis: Genesis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { genesis: Some(genesis), height: 10, mines_at_once: true, ..State::default() };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn genesis(&self) -> Genesis {
        self.with(|state| state.genesis.clone().unwrap())
    }

    pub fn mines_at_once(&self, mines: bool) {
        self.with(|state| state.mines_at_once = mines);
    }

    pub fn moods(&self, moods: &[Mood]) {
        self.with(|state| state.moods = moods.iter().copied().collect());
    }

    /// Puts the pool into a block, and `more` empty blocks on top.
    pub fn mine(&self, more: u64) {
        self.with(|state| {
            state.mine();
            state.height += more;
        });
    }

    /// Loses the pool, as a restart without its journal would.
    pub fn forget_pool(&self) {
        self.with(|state| state.pool.clear());
    }

    /// Forgets what replaced what, as a restart does.
    pub fn forget_replacements(&self) {
        self.with(|state| state.replaced.clear());
    }

    /// Takes every block back: what was in them is unknown again.
    pub fn reorganise_everything(&self) {
        self.with(|state| {
            let included = std::mem::take(&mut state.included);
            for (_, transaction) in included.into_values() {
                *state.nonces.entry(transaction.sender()).or_default() -= 1;
            }
        });
    }

    /// The pool is lost, and another wallet with the same keys has used the nonces that were in it.
    pub fn lose_pool_to_another_wallet(&self) {
        self.with(|state| {
            for lost in std::mem::take(&mut state.pool) {
                *state.nonces.entry(lost.sender()).or_default() += 1;
            }
        });
    }

    pub fn set_balance(&self, address: Address, wei: u128) {
        self.with(|state| state.balances.insert(address, U256::from(wei)));
    }

    pub fn wait_for_submission(&self, count: usize) {
        self.wait_until(|state| state.submissions >= count);
    }

    pub fn wait_for_hold(&self) {
        self.wait_until(|state| state.held > 0);
    }

    pub fn release(&self) {
        self.with(|state| state.held = 0);
    }

    /// (nonce, value) of everything in the pool and in blocks, by nonce.
    pub fn payments(&self) -> Vec<(u64, u128)> {
        self.with(|state| {
            let included = state.included.values().map(|(_, one)| one);
            let mut all: Vec<(u64, u128)> = included
                .chain(&state.pool)
                .map(|one| (one.native().nonce, one.native().value.to::<u128>()))
                .collect();
            all.sort_unstable();
            all
        })
    }

    pub fn solved(&self) -> usize {
        self.with(|state| state.solved)
    }

    pub fn wait_for_solution(&self) {
        self.wait_until(|state| state.solved > 0);
    }

    pub fn submissions(&self) -> usize {
        self.with(|state| state.submissions)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
        result
    }

    fn wait_until(&self, holds: impl Fn(&State) -> bool) {
        let guard = self.state.0.lock().unwrap();
        let (_guard, timeout) =
            self.state.1.wait_timeout_while(guard, Duration::from_secs(60), |state| !holds(state)).unwrap();
        assert!(!timeout.timed_out(), "the command never came so far");
    }
}

pub fn genesis(testnet: bool, salt: u8) -> Genesis {
    Genesis {
        chain_id: 7,
        salt: B256::repeat_byte(salt),
        time: UnixMillis(1_700_000_000_000),
        ordering: Ordering::Pow,
        members: Vec::new(),
        alloc: BTreeMap::new(),
        fees: Default::default(),
        limits: Default::default(),
        pow: ProofOfWork::testnet(0x207f_ffff),
        testnet,
    }
}

type Shared = (Mutex<State>, Condvar);

/// What a method gives: a result, an error object, or a closed connection.
enum Answer {
    Result(Value),
    Error(&'static str),
    Silence,
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(request) = read_request(&mut stream) else { return };
    let body = match answer(&request, shared) {
        Answer::Silence => return,
        Answer::Result(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
        Answer::Error(code) => json!({"jsonrpc": "2.0", "id": request["id"], "error": {
            "code": -32000, "message": format!("refused: {code}"), "data": {"code": code, "hint": "a hint"}}}),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
}

fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&chunk[..length]);
        let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
        let promised: usize = head.split("content-length: ").nth(1)?.lines().next()?.trim().parse().ok()?;
        if bytes.len() >= at + 4 + promised {
            return serde_json::from_slice(&bytes[at + 4..]).ok();
        }
    }
}

fn answer(request: &Value, shared: &Shared) -> Answer {
    let params = &request["params"];
    let text = |index: usize| params[index].as_str().unwrap_or_default().to_owned();
    let method = request["method"].as_str().unwrap_or_default();
    match method {
        "synod_submit" => return submit(&text(0), shared),
        "synod_template" => return template(&text(0), params[1].as_str(), shared),
        "synod_solve" => return solve(params, shared),
        _ => {}
    }
    let state = shared.0.lock().unwrap();
    let genesis = state.genesis.as_ref().unwrap();
    let result = match method {
        "synod_status" => serde_json::to_value(state.status()),
        "synod_genesis" => serde_json::from_str(&genesis.to_json()),
        "synod_account" => serde_json::to_value(state.account(parse_address(&text(0)).unwrap())),
        "synod_transaction" => serde_json::to_value(state.transaction(text(0).parse().unwrap())),
        "synod_fees" => serde_json::to_value(FeesView {
            base_fee: GWEI,
            next_base_fee: GWEI,
            suggested_tip: GWEI,
            gas_target_per_second: 50_000_000,
            height: Height(state.height),
        }),
        "synod_history" => serde_json::to_value(HistoryPage {
            items: Vec::new(),
            next_cursor: None,
            height: Height(state.height),
            base_height: Height(0),
        }),
        "synod_pool" => serde_json::to_value(PoolView {
            transactions: state.pool.len() as u64,
            bytes: 0,
            bytes_limit: 1 << 26,
            senders: 1,
            fee_to_enter: 0,
            entries: Vec::new(),
            truncated: false,
        }),
        _ => return Answer::Error("method_not_found"),
    };
    Answer::Result(result.unwrap())
}

fn submit(raw: &str, shared: &Shared) -> Answer {
    let mut state = shared.0.lock().unwrap();
    state.submissions += 1;
    let mood = state.moods.pop_front();
    shared.1.notify_all();
    match mood {
        Some(Mood::Deaf) => return Answer::Silence,
        Some(Mood::Busy) => return Answer::Error("busy"),
        Some(Mood::Refuse(code)) => return Answer::Error(code),
        Some(Mood::Hold) => {
            state.held += 1;
            shared.1.notify_all();
            drop(shared.1.wait_while(state, |state| state.held > 0).unwrap());
            return Answer::Silence;
        }
        Some(Mood::Mute) | None => {}
    }
    let raw: Bytes = raw.parse().unwrap();
    let answer = state.take(&raw);
    shared.1.notify_all();
    if mood == Some(Mood::Mute) { Answer::Silence } else { answer }
}

/// The template of the present height. With the id of a template the answer waits until that one is old.
fn template(reward_to: &str, old: Option<&str>, shared: &Shared) -> Answer {
    let state = shared.0.lock().unwrap();
    let limit = Duration::from_millis(500);
    let waiting = |state: &mut State| old == Some(state.height.to_string().as_str());
    let (state, _) = shared.1.wait_timeout_while(state, limit, waiting).unwrap();
    let header = header(state.height + 1, 0, 1_700_000_000, 0);
    Answer::Result(
        serde_json::to_value(TemplateView {
            template_id: state.height.to_string(),
            height: Height(state.height + 1),
            parent: BlockHash::default(),
            bits: header.bits,
            target: B256::ZERO,
            commitment: codec::encode(&commitment(state.height + 1, 0)).into(),
            header: header.to_bytes().to_vec().into(),
            min_time: 1_700_000_000,
            max_time: 1_700_000_005,
            expires_at: 0,
            transactions: 0,
            pays: U256::from(5 * SYN),
            reward_to: parse_address(reward_to).unwrap(),
        })
        .unwrap(),
    )
}

fn solve(params: &Value, shared: &Shared) -> Answer {
    let mut state = shared.0.lock().unwrap();
    let number = |index: usize| params[index].as_u64().unwrap() as u32;
    let extra_nonce = params[1].as_str().unwrap().parse().unwrap();
    let header = header(state.height + 1, extra_nonce, number(2), number(3));
    let outcome = if params[0].as_str() != Some(state.height.to_string().as_str()) {
        SolveOutcome::Stale
    } else if header.hash().to_number() <= TARGET << 232 {
        SolveOutcome::Accepted
    } else {
        SolveOutcome::Wrong
    };
    let height = Height(state.height + 1);
    if outcome == SolveOutcome::Accepted {
        state.height += 1;
        state.solved += 1;
    }
    shared.1.notify_all();
    let view = SolveView { outcome, block_hash: Some(header.hash()), height: Some(height), reason: None };
    Answer::Result(serde_json::to_value(view).unwrap())
}

/// The bits 0x1f00ff00 mean 0xff00 · 2^224, which is this number · 2^232: one hash in some 65,000 will do.
const TARGET: U256 = U256::from_limbs([0x00ff, 0, 0, 0]);

fn header(height: u64, extra_nonce: u64, time: u32, nonce: u32) -> Header {
    let commitment = commitment(height, extra_nonce).digest();
    Header { version: 1, parent: BlockHash::default(), commitment, time, bits: 0x1f00_ff00, nonce }
}

fn commitment(height: u64, extra_nonce: u64) -> Commitment {
    Commitment {
        format: 1,
        position: Position::default(),
        height: Height(height),
        millis: 0,
        transactions_root: B256::ZERO,
        state_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        gas_used: Gas(0),
        gas_limit: Gas(1),
        base_fee: 1,
        proposer: Address::ZERO,
        fee_recipient: Address::ZERO,
        next_committee: B256::ZERO,
        extra_nonce,
    }
}

impl State {
    fn take(&mut self, raw: &[u8]) -> Answer {
        let genesis = self.genesis.as_ref().unwrap();
        let Ok(transaction) = Transaction::from_bytes(raw) else { return Answer::Error("malformed") };
        let Ok(verified) = transaction.verify(genesis.chain_id, genesis.hash()) else {
            return Answer::Error("bad_signature");
        };
        if let Some((height, _)) = self.included.get(&verified.id()) {
            let depth = self.height - height + 1;
            return submitted(verified.id(), Some((*height, depth)));
        }
        if self.pool.iter().any(|one| one.id() == verified.id()) {
            return submitted(verified.id(), None);
        }
        let (sender, nonce) = (verified.sender(), verified.native().nonce);
        if nonce < self.nonce(sender) {
            return Answer::Error("nonce_too_low");
        }
        let rival = self.pool.iter().position(|one| (one.sender(), one.native().nonce) == (sender, nonce));
        if let Some(rival) = rival {
            let (old, new) = (self.pool[rival].native(), verified.native());
            if new.max_fee * 10 < old.max_fee * 11 || new.max_tip * 10 < old.max_tip * 11 {
                return Answer::Error("replacement_underpriced");
            }
            let (old, new) = (self.pool.remove(rival).id(), verified.id());
            self.replaced.values_mut().filter(|by| **by == old).for_each(|by| *by = new);
            self.replaced.insert(old, new);
        }
        let id = verified.id();
        self.pool.push(verified);
        if self.mines_at_once {
            self.mine();
        }
        submitted(id, None)
    }

    fn mine(&mut self) {
        self.height += 1;
        let mut pool = std::mem::take(&mut self.pool);
        pool.sort_by_key(|one| one.native().nonce);
        for one in pool {
            let nonce = self.nonces.entry(one.sender()).or_default();
            if *nonce == one.native().nonce {
                *nonce += 1;
                self.included.insert(one.id(), (self.height, one));
            } else {
                self.pool.push(one);
            }
        }
    }

    fn nonce(&self, address: Address) -> u64 {
        self.nonces.get(&address).copied().unwrap_or_default()
    }

    fn account(&self, address: Address) -> AccountView {
        let waiting =
            |nonce: u64| self.pool.iter().any(|one| one.sender() == address && one.native().nonce == nonce);
        let pending_nonce = (self.nonce(address)..).find(|nonce| !waiting(*nonce)).unwrap();
        AccountView {
            address,
            nonce: self.nonce(address),
            balance: self.balances.get(&address).copied().unwrap_or(U256::from(1_000_000 * SYN)),
            immature: U256::ZERO,
            pending_nonce,
            pending_out: U256::ZERO,
            pending_in: U256::ZERO,
            code_hash: None,
            height: Height(self.height),
            block_hash: BlockHash::default(),
        }
    }

    fn transaction(&self, id: TransactionId) -> TransactionStatusView {
        let included = self.included.get(&id);
        let waiting = self.pool.iter().find(|one| one.id() == id);
        let status = match (included, waiting) {
            (Some(_), _) => TransactionStatus::Included,
            (None, Some(_)) => TransactionStatus::Pending,
            (None, None) => TransactionStatus::Unknown,
        };
        let depth = included.map(|(height, _)| self.height - height + 1);
        let settled_depth = self.genesis.as_ref().unwrap().pow.settled_depth;
        let shown = included.map(|(_, one)| one).or(waiting);
        TransactionStatusView {
            id,
            status,
            transaction: shown.map(|one| TransactionView::new(one.transaction(), id, one.sender())),
            receipt: included.map(|_| ReceiptView {
                succeeded: true,
                gas_used: Gas(21_000),
                effective_fee: 2 * GWEI,
                fee: U256::from(42_000 * GWEI),
                created: None,
                output: Bytes::new(),
                reason: None,
                logs: Vec::new(),
            }),
            block_hash: included.map(|_| BlockHash::default()),
            height: included.map(|(height, _)| Height(*height)),
            index: included.map(|_| 0),
            depth,
            work_on_top: None,
            settled: depth.is_some_and(|depth| depth >= settled_depth),
            reason: None,
            replaced_by: self.replaced.get(&id).copied(),
            tip_height: Height(self.height),
        }
    }

    fn status(&self) -> StatusView {
        let genesis = self.genesis.as_ref().unwrap();
        StatusView {
            version: "0.1.0".to_owned(),
            name: "fake".to_owned(),
            chain_id: genesis.chain_id,
            genesis_hash: genesis.hash(),
            ordering: "pow".to_owned(),
            facts: std::collections::BTreeMap::new(),
            waits_for: String::new(),
            testnet: genesis.testnet,
            peer_id: "12D3KooW".to_owned(),
            head: BlockSummary {
                hash: BlockHash::default(),
                height: Height(self.height),
                parent: BlockHash::default(),
                time: UnixMillis(1_700_000_000_000),
                transactions: 0,
                gas_used: Gas(0),
                fee_recipient: Address::ZERO,
            },
            safe_height: Height(self.height.saturating_sub(5)),
            settled_height: Height(0),
            base_height: Height(0),
            snapshot_height: None,
            settled_reversals: 0,
            base_fee: GWEI,
            work: U256::from(1),
            peers: 0,
            configured_peers: 0,
            mempool: MempoolSummary { transactions: self.pool.len() as u64, bytes: 0 },
            mining: None,
            syncing: None,
            started_at: UnixMillis(0),
            ready: true,
            reason: None,
        }
    }
}

fn submitted(id: TransactionId, included: Option<(u64, u64)>) -> Answer {
    let view = SubmitView {
        id,
        outcome: if included.is_some() { SubmitOutcome::Included } else { SubmitOutcome::Pending },
        height: included.map(|(height, _)| Height(height)),
        depth: included.map(|(_, depth)| depth),
        replaced: None,
        reason: None,
    };
    Answer::Result(serde_json::to_value(view).unwrap())
}
