//! `synod testnet fault`: the links of a network that was started with `--faults`.

use std::fmt;
use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use synod_testnet::error::TestnetError;
use synod_testnet::folder::{Folder, read_endpoints};
use synod_testnet::network::Testnet;
use synod_testnet::proxy::{self, Order, Rule};

use super::failure;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// What to do to links
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  synod testnet fault partition 0,1 2,3\n  synod testnet fault delay 200\n  synod testnet fault heal"
)]
pub(crate) enum Fault {
    Partition(Partition),
    Delay(Delay),
    Heal(Heal),
    Show(Show),
}

/// Cut the network into groups
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod testnet fault partition 0,1 2,3\n  synod testnet fault partition 0 1,2,3 --hold"
)]
pub(crate) struct Partition {
    /// Groups of node numbers: 0,1 2,3
    #[arg(required = true, num_args = 2..)]
    groups: Vec<String>,
    /// Hold the bytes instead of closing the connections
    #[arg(long)]
    hold: bool,
}

/// Delay every byte
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet fault delay 200")]
pub(crate) struct Delay {
    /// By so many milliseconds, at most a minute
    #[arg(value_parser = clap::value_parser!(u64).range(0..=60_000))]
    milliseconds: u64,
}

/// Everything passes again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet fault heal")]
pub(crate) struct Heal {}

/// Which rules hold
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  synod testnet fault show")]
pub(crate) struct Show {}

impl Fault {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let root = testnet.root();
        let nodes = read_endpoints(root).map_err(failure)?.nodes.len();
        let network = Folder::lock(root).and_then(|folder| folder.network()).map_err(failure)?;
        let control = match network.proxy_control {
            Some(control) => control,
            None if network.links.is_empty() => return Err(failure(TestnetError::NoProxy)),
            None => {
                return Err(Failure::failed(
                    "not_running",
                    "the network does not run, and neither do its links",
                )
                .hint("synod testnet up"));
            }
        };
        let orders = match self {
            Self::Partition(Partition { groups, hold }) => {
                let groups = parse_groups(&groups, nodes)?;
                proxy::partition(&groups, if hold { Rule::Hold } else { Rule::Cut })
            }
            Self::Delay(Delay { milliseconds }) => delay(nodes, milliseconds),
            Self::Heal(_) => vec![Order::Heal],
            Self::Show(_) => vec![Order::Rules],
        };
        let mut rules = Vec::new();
        for order in orders {
            rules = proxy::command(control, &order).map_err(failure)?.rules;
        }
        context.output.result(&Links { rules });
        Ok(())
    }
}

/// A rule for each node's links to the others.
fn delay(nodes: usize, milliseconds: u64) -> Vec<Order> {
    let others = |from| (0..nodes).filter(|to| *to != from).collect();
    (0..nodes)
        .map(|from| Order::Set { from: vec![from], to: others(from), rule: Rule::Delay(milliseconds) })
        .collect()
}

#[derive(Serialize)]
struct Links {
    rules: Vec<(usize, usize, Rule)>,
}

impl fmt::Display for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            return formatter.write_str("every link passes");
        }
        for (index, (from, to, rule)) in self.rules.iter().enumerate() {
            let rule = match rule {
                Rule::Pass => "passes".to_owned(),
                Rule::Delay(milliseconds) => format!("{milliseconds} ms late"),
                Rule::Hold => "held".to_owned(),
                Rule::Cut => "cut".to_owned(),
            };
            let end = if index + 1 == self.rules.len() { "" } else { "\n" };
            write!(formatter, "node{from} → node{to}: {rule}{end}")?;
        }
        Ok(())
    }
}

/// Reads `0,1 2,3`; nodes that are not named form a group of their own.
fn parse_groups(texts: &[String], nodes: usize) -> Outcome<Vec<Vec<usize>>> {
    let wrong = |problem: String| {
        Failure::usage("groups", problem).hint("write groups of node numbers, for example: 0,1 2,3")
    };
    let mut seen = vec![false; nodes];
    let mut groups = Vec::new();
    for text in texts {
        let mut group = Vec::new();
        for number in text.split(',') {
            let node: usize =
                number.trim().parse().map_err(|_| wrong(format!("{number:?} is no node's number")))?;
            match seen.get_mut(node) {
                None => return Err(wrong(format!("there is no node {node}; they are 0 to {}", nodes - 1))),
                Some(seen) if *seen => return Err(wrong(format!("node {node} is in two groups"))),
                Some(seen) => *seen = true,
            }
            group.push(node);
        }
        groups.push(group);
    }
    let rest: Vec<usize> = (0..nodes).filter(|node| !seen[*node]).collect();
    if !rest.is_empty() {
        groups.push(rest);
    }
    Ok(groups)
}

/// Serves the links until it is told to stop.
///
/// # Errors
/// No network, or a port that is taken.
pub(super) fn run_proxy(root: &Path) -> Outcome<()> {
    let network = Folder::read_network(root).map_err(failure)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("system", error.to_string()))?;
    let served = runtime.block_on(proxy::serve(network.links, |control| {
        let mut stdout = std::io::stdout();
        // Whoever started us reads this one line; if it has gone, nobody can give orders.
        let _ = writeln!(stdout, "{control}").and_then(|()| stdout.flush());
    }));
    served.map_err(|error| Failure::failed("proxy", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_and_the_rest_stands_together() {
        let read = |texts: &[&str], nodes| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            parse_groups(&texts, nodes)
        };
        assert_eq!(read(&["0,1", "2,3"], 4), Ok(vec![vec![0, 1], vec![2, 3]]));
        assert_eq!(read(&["0", "1"], 4), Ok(vec![vec![0], vec![1], vec![2, 3]]));
        for wrong in [&["0,0", "1"][..], &["0", "4"], &["a", "1"], &["0,", "1"]] {
            assert!(read(wrong, 4).is_err(), "{wrong:?}");
        }
    }
}
