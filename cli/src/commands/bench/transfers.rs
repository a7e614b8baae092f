//! `synod bench transfers`: signed transfers, from a client's submission to finality, on real processes.
//!
//! Many accounts pay each other, each through one node, at a rate that does not wait for answers. The accounts get
//! their money first, from the funded ones, over the same RPC. Transfers are signed before a step begins: what is
//! measured is the network, and the signing is a wallet's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use synod_node::rpc::types::{AccountView, FeesView, StatusView};
use synod_testnet::accounts::{DEV_ACCOUNTS, dev_key};
use synod_types::address::{address_of, format_address};
use synod_types::amount::SYN;
use synod_types::genesis::Ordering;
use synod_types::hash::sha256;
use synod_types::{
    Address, B256, Bytes, Gas, NativeTransaction, SecretKey, Transaction, TransactionId, U256,
};

use super::load::connection::Connection;
use super::load::lane::{self, Item};
use super::load::network::{Network, go_on};
use super::load::step::{Step, StepResult};
use super::{DiskSync, Figures, Scratch};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// Connections to each node.
const LANES: usize = 4;
/// What each paying account gets, in SYN.
const FUNDS_SYN: u128 = 10;
/// A sender's nonces may run so far ahead of its account.
const NONCES: u64 = 64;
/// How long the money may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Signed transfers through a whole network: how many are final a second, and how soon
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod bench transfers\n  synod bench transfers --rate 5000,15000 --for 60 --no-sync --json\n  synod bench transfers --rpc http://127.0.0.1:8545"
)]
pub(crate) struct Transfers {
    /// Transfers a second, a step for each number
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 10_000, 15_000, 20_000], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Vec<u32>,
    /// Seconds that a step is measured, after a short warm-up
    #[arg(long = "for", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Accounts that pay
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    senders: u32,
    /// Never sync to disk
    #[arg(long)]
    no_sync: bool,
    /// Where the network's files go; a temporary folder otherwise
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct TransfersResult {
    ordering: String,
    nodes: usize,
    /// Whether the nodes sync; unknown of a network that is not the bench's own.
    synced: Option<bool>,
    senders: u32,
    seconds: u32,
    disk: DiskSync,
    steps: Vec<StepResult>,
    /// The most that was final a second.
    best_per_second: f64,
}

/// What a signature binds, and what a transfer pays.
pub(super) struct Terms {
    chain_id: u64,
    genesis: B256,
    max_fee: u128,
    max_tip: u128,
}

/// The accounts that pay.
struct Payers {
    keys: Vec<(SecretKey, Address)>,
    next_nonce: Vec<u64>,
}

impl Transfers {
    /// Measures.
    ///
    /// # Errors
    /// The network does not start, or a node answers what it should not.
    pub(super) fn measure(self, context: &Context, progress: &Progress) -> Outcome<Figures> {
        let scratch = Scratch::new(self.folder.clone())?;
        let disk = DiskSync::measure(&scratch)?;
        let named = context.named_nodes()?;
        let network = if named.is_empty() {
            progress.say("four members start");
            Network::start(&scratch.path, Ordering::Pbft, None, !self.no_sync)?
        } else {
            Network::running(named.iter().map(|node| node.url().clone()).collect())
        };
        let mut connection = Connection::open(&network.nodes[0])?;
        let status: StatusView = connection.call("synod_status", json!([]))?;
        if status.ordering == "pow" {
            let message = "nothing is final at a height of a mined chain: this measures committees";
            return Err(Failure::usage("ordering", message));
        }
        let terms = Terms::of(&status, &mut connection)?;
        progress.say("the paying accounts get their money");
        let mut payers = Payers::new(self.senders)?;
        payers.fund(&terms, &network)?;

        let mut steps = Vec::new();
        for rate in self.rate.iter().copied() {
            progress.say(format!("{rate} transfers a second are signed"));
            let steady = Duration::from_secs(u64::from(self.seconds));
            let warm_up = (steady / 4).min(Duration::from_secs(2));
            let count = (f64::from(rate) * (warm_up + steady).as_secs_f64()) as u32;
            let (lanes, ids) = payers.transfers(&terms, rate, count, network.nodes.len());
            progress.say(format!("{rate} transfers a second"));
            let method = "synod_submit";
            let step = Step { network: &network, method, rate, warm_up, steady, lanes, ids }.run()?;
            let is_missing = step.lost + step.untaken > 0;
            steps.push(step);
            if is_missing {
                // What is missing holds its sender's later ones back.
                break;
            }
        }
        let best = steps.iter().map(|step| step.committed_per_second).fold(0.0, f64::max);
        let result = TransfersResult {
            ordering: status.ordering,
            nodes: network.nodes.len(),
            synced: named.is_empty().then_some(!self.no_sync),
            senders: self.senders,
            seconds: self.seconds,
            disk,
            steps,
            best_per_second: best,
        };
        let lines: Vec<String> = result.steps.iter().map(StepResult::line).collect();
        let kept =
            result.steps.iter().filter(|step| step.kept_up()).map(|step| step.offered_per_second).max();
        let text = format!(
            "{best:.0} transfers a second final at most; {}\n{}\n{} nodes under {}, {}; {}",
            kept.map_or("no step was kept up with".to_owned(), |rate| format!("{rate} offered kept up with")),
            lines.join("\n"),
            result.nodes,
            result.ordering,
            match result.synced {
                Some(true) => "synced",
                Some(false) => "not synced",
                None => "as they were started",
            },
            result.disk,
        );
        Ok(Figures::new(&result, text))
    }
}

impl Payers {
    /// Fresh accounts, so that no earlier bench has used their nonces.
    fn new(count: u32) -> Outcome<Self> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)
            .map_err(|error| Failure::failed("bench", format!("the system has no randomness: {error}")))?;
        let key = |number: u32| {
            let key =
                SecretKey::from_seed(&sha256(&[b"synod/bench/payer/v1", &salt, &number.to_be_bytes()]).0);
            let address = address_of(&key.public());
            (key, address)
        };
        Ok(Self { keys: (0..count).map(key).collect(), next_nonce: vec![0; count as usize] })
    }

    /// Pays every account from the funded ones, and waits until all have it: on every node, since each will be asked
    /// to take what they pay.
    fn fund(&self, terms: &Terms, network: &Network) -> Outcome<()> {
        let begun = Instant::now();
        let mut connections = network.nodes.iter().map(Connection::open).collect::<Outcome<Vec<_>>>()?;
        let mut shares = Vec::new();
        for dev in 0..DEV_ACCOUNTS {
            let key = dev_key(dev);
            let address = address_of(&key.public());
            let to = self.keys.iter().skip(usize::from(dev)).step_by(usize::from(DEV_ACCOUNTS));
            let to: Vec<Address> = to.map(|(_, address)| *address).collect();
            shares.push((key, address, nonce(&mut connections[0], address)?, to));
        }
        let value = U256::from(FUNDS_SYN) * U256::from(SYN);
        loop {
            let mut open = 0;
            for (key, address, first, to) in &shares {
                let at = nonce(&mut connections[0], *address)?;
                let done = usize::try_from(at.saturating_sub(*first)).unwrap_or(usize::MAX).min(to.len());
                let now = &to[done..to.len().min(done + NONCES as usize)];
                open += now.len();
                let items: Vec<Item> = now
                    .iter()
                    .zip(at..)
                    .map(|(to, nonce)| item(&terms.transfer(key, nonce, *to, value).1, Duration::ZERO, 0))
                    .collect();
                let give_up = Instant::now() + PATIENCE;
                lane::submit(&mut connections[0], "synod_submit", &items, Instant::now(), give_up)?;
            }
            if open == 0 {
                break;
            }
            pause_for_money(begun)?;
        }
        for connection in &mut connections[1..] {
            for (_, address, first, to) in &shares {
                while nonce(connection, *address)? < first + to.len() as u64 {
                    pause_for_money(begun)?;
                }
            }
        }
        Ok(())
    }

    /// So many transfers, signed on every core; the account of a transfer goes round, and keeps to one lane.
    fn transfers(
        &mut self,
        terms: &Terms,
        rate: u32,
        count: u32,
        nodes: usize,
    ) -> (Vec<Vec<Item>>, Vec<TransactionId>) {
        let lanes = nodes * LANES;
        let payers = self.keys.len();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (keys, firsts) = (&self.keys, &self.next_nonce);
        let sign = |number: u32| {
            let (payer, round) = (number as usize % payers, number as usize / payers);
            let to = keys[(payer * 7 + round + 1) % payers].1;
            let nonce = firsts[payer] + round as u64;
            let (id, transaction) = terms.transfer(&keys[payer].0, nonce, to, U256::from(1));
            let due = Duration::from_secs_f64(f64::from(number) / f64::from(rate));
            (payer % lanes, id, item(&transaction, due, number))
        };
        let numbers: Vec<u32> = (0..count).collect();
        let signed: Vec<(usize, TransactionId, Item)> = std::thread::scope(|scope| {
            let parts = numbers.chunks(numbers.len().div_ceil(cores).max(1));
            let parts: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter().map(|number| sign(*number)).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("signing does not panic")).collect()
        });
        let (mut items, mut ids) = (Vec::new(), Vec::with_capacity(signed.len()));
        items.resize_with(lanes, Vec::new);
        for (lane, id, item) in signed {
            items[lane].push(item);
            ids.push(id);
        }
        for (payer, next) in self.next_nonce.iter_mut().enumerate() {
            *next += (count as usize).saturating_sub(payer).div_ceil(payers) as u64;
        }
        (items, ids)
    }
}

impl Terms {
    /// Of the network that a node is in.
    pub(super) fn of(status: &StatusView, connection: &mut Connection) -> Outcome<Self> {
        let fees: FeesView = connection.call("synod_fees", json!([]))?;
        let max_tip = fees.suggested_tip.max(1);
        Ok(Self {
            chain_id: status.chain_id,
            genesis: status.genesis_hash,
            max_fee: fees.base_fee.max(fees.next_base_fee).saturating_mul(4).saturating_add(max_tip),
            max_tip,
        })
    }

    pub(super) fn transfer(
        &self,
        key: &SecretKey,
        nonce: u64,
        to: Address,
        value: U256,
    ) -> (TransactionId, Transaction) {
        let native = NativeTransaction {
            chain_id: self.chain_id,
            sender: key.public(),
            nonce,
            max_fee: self.max_fee,
            max_tip: self.max_tip,
            gas_limit: Gas(21_000),
            to: Some(to),
            value,
            data: Bytes::new(),
            access_list: Vec::new(),
            valid_until: None,
        };
        let id = TransactionId(sha256(&[&native.signed_bytes(self.genesis)]));
        (id, Transaction::Native(native.sign(self.genesis, key)))
    }
}

/// Before the next look at whether the money is there.
///
/// # Errors
/// It takes too long.
fn pause_for_money(begun: Instant) -> Outcome<()> {
    if begun.elapsed() > PATIENCE {
        let message = "the paying accounts do not get their money from dev0 to dev9";
        return Err(Failure::failed("bench", message)
            .hint("use a test network whose development accounts have money"));
    }
    go_on()?;
    std::thread::sleep(Duration::from_millis(50));
    Ok(())
}

fn item(transaction: &Transaction, due: Duration, number: u32) -> Item {
    let hex = alloy_primitives::hex::encode(transaction.to_bytes());
    Item { due, number, hex: hex.into_bytes().into() }
}

fn nonce(connection: &mut Connection, address: Address) -> Outcome<u64> {
    let account: AccountView = connection.call("synod_account", json!([format_address(&address)]))?;
    Ok(account.nonce)
}
