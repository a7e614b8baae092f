//! `synod mine`: a miner outside any node, over RPC.
//!
//! - [`follow`]: one thread keeps a long poll for templates open, with the first node that answers.
//! - [`dig`]: the miner's threads search; the main thread carries solutions to the node and tells people.
//! - [`report`]: what it tells.

mod dig;
mod follow;
mod report;

use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use clap::Args;
use synod_node::miner::{Kernel, Miner, Settings, Share};
use synod_types::address::format_address;

use self::dig::Dig;
use self::follow::{Event, Follower};
use self::report::Started;
use crate::client::interrupt;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Mine from outside a node, over its RPC
///
/// Shows the hash rate, accepted and stale blocks, the expected time to the next and the share of the network.
/// Of several nodes the first that answers is mined for; when it fails the next one is, until it comes back.
/// Ctrl-C ends it with a summary; Ctrl-Z and `fg` pause and resume it. With --json one object a line.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod mine --threads 2 --to alice\n  synod mine --to alice --rpc http://10.0.0.1:8545,http://10.0.0.2:8545\n\nOther SHA-256d miners need no synod: nodes with [getwork] enabled = true in node.toml serve them, as local networks do:\n  minerd -a sha256d -o http://127.0.0.1:9332 -u synod -p synod\nThe user name may be an address, which is then paid."
)]
pub(crate) struct Mine {
    /// Who gets the rewards: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    to: String,
    /// How many threads hash
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// How much of its time each thread hashes, in percent
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    share: u32,
    /// End after so many blocks
    #[arg(long, value_name = "COUNT")]
    blocks: Option<u64>,
}

impl Mine {
    /// Mines until Ctrl-C or the last block asked for.
    ///
    /// # Errors
    /// When the nodes give no templates, or the machine no threads.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let session = context.session()?;
        let nodes = context.nodes()?;
        let reward_to = session.names.account(&self.to)?.address;
        interrupt::arm();
        let (events, received) = sync_channel(64);
        let kernel = Kernel::best();
        let share = Share::per_mille(self.share * 10);
        let settings = Settings { kernel, threads: usize::from(self.threads), polite: true, share };
        let reports = events.clone();
        // The loop below never waits for the miner, so a full channel means that nobody listens any more.
        let miner = Miner::start(settings, move |report| drop(reports.try_send(Event::Search(report))))
            .map_err(|error| Failure::failed("miner", error.to_string()))?;
        report::tell(
            context,
            None,
            &Started {
                event: "started",
                reward_to: format_address(&reward_to),
                threads: self.threads,
                kernel: kernel.name(),
                nodes: nodes.iter().map(|node| node.url().to_string()).collect(),
            },
        );
        let mined = std::thread::scope(|scope| {
            let follower =
                Follower { nodes: &nodes, genesis_hash: session.network.genesis_hash, reward_to, events };
            scope.spawn(move || follower.run());
            let mut dig = Dig::new(context, &nodes, &miner, reward_to);
            let outcome = dig.run(&received, self.blocks);
            // Ends the thread that follows templates, whose long poll watches this flag.
            interrupt::flag().store(true, Ordering::Relaxed);
            drop(received);
            outcome.map(|()| dig.sum())
        })?;
        context.output.result(&mined);
        Ok(())
    }
}
