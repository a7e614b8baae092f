//! `synod testnet logs`: the ends of the nodes' logs, and with `--follow` what is added to them.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use synod_testnet::folder::{Endpoint, read_endpoints};
use synod_testnet::network::Testnet;
use synod_testnet::process::{last_lines, log_file};

use super::failure;
use crate::client::interrupt;
use crate::context::Context;
use crate::failure::Outcome;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is read of one file in one look; the rest waits for the next.
const READ_LIMIT: u64 = 256 * 1024;

/// The end of a node's log
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod testnet logs node1 --lines 50\n  synod testnet logs --follow\n  synod testnet logs | grep WARN"
)]
pub(crate) struct Logs {
    /// node2, or just 2; all nodes without one
    node: Option<String>,
    /// How many lines
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: usize,
    /// Go on with what is added, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

impl Logs {
    pub(super) fn run(self, testnet: &Testnet, context: &Context) -> Outcome<()> {
        let nodes = match &self.node {
            Some(name) => vec![testnet.find(name).map_err(failure)?],
            None => read_endpoints(testnet.root()).map_err(failure)?.nodes,
        };
        if self.follow {
            // The ends come first, as lines of the same stream.
            let named = nodes.len() > 1;
            for node in &nodes {
                for line in last_lines(&log_file(node), self.limit()).lines() {
                    print(context, named, &node.name, line);
                }
            }
            follow(&nodes, context);
            return Ok(());
        }
        let nodes = nodes
            .into_iter()
            .map(|node| NodeLog { log: last_lines(&log_file(&node), self.limit()), name: node.name });
        context.output.result(&Ends { nodes: nodes.collect() });
        Ok(())
    }

    fn limit(&self) -> usize {
        self.lines.min(100_000)
    }
}

/// The ends of logs.
#[derive(Serialize)]
struct Ends {
    nodes: Vec<NodeLog>,
}

#[derive(Serialize)]
struct NodeLog {
    name: String,
    log: String,
}

impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for NodeLog { name, log } in &self.nodes {
            if self.nodes.len() > 1 {
                writeln!(formatter, "== {name}")?;
            }
            formatter.write_str(log)?;
        }
        Ok(())
    }
}

/// One line of a stream.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    line: &'a str,
}

fn print(context: &Context, named: bool, name: &str, line: &str) {
    match (context.output.is_json(), named) {
        (true, _) => context.output.line(&Line { name, line }),
        (false, true) => context.output.text(&format!("{name}  {line}")),
        (false, false) => context.output.text(line),
    }
}

fn follow(nodes: &[Endpoint], context: &Context) {
    interrupt::arm();
    let mut tails: Vec<Tail> = nodes.iter().map(|node| Tail::at_end(log_file(node))).collect();
    while !interrupt::flag().load(Ordering::Relaxed) {
        for (node, tail) in nodes.iter().zip(&mut tails) {
            for line in tail.added() {
                print(context, nodes.len() > 1, &node.name, &line);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A file that grows, and is moved away when it is long.
struct Tail {
    path: PathBuf,
    /// Which file it is, and how far it was read.
    place: Option<(u64, u64)>,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl Tail {
    fn at_end(path: PathBuf) -> Self {
        let place = path.metadata().ok().map(|metadata| (metadata.ino(), metadata.len()));
        Self { path, place, rest: Vec::new() }
    }

    /// The whole lines that are new. A file that cannot be read has none; it may come back.
    fn added(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let Ok(metadata) = file.metadata() else { return Vec::new() };
        let read_to = match self.place {
            Some((inode, offset)) if inode == metadata.ino() && offset <= metadata.len() => offset,
            _ => 0,
        };
        let read = file
            .seek(SeekFrom::Start(read_to))
            .and_then(|_| file.take(READ_LIMIT).read_to_end(&mut self.rest))
            .unwrap_or_default();
        self.place = Some((metadata.ino(), read_to + read as u64));
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    /// Lines come whole, and a file that was moved away is followed by its successor.
    #[test]
    fn a_log_is_followed_over_its_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        let add = |text: &str| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        add("old\n");
        let mut tail = Tail::at_end(path.clone());
        assert_eq!(tail.added(), Vec::<String>::new());
        add("one\ntw");
        assert_eq!(tail.added(), ["one"]);
        add("o\n");
        assert_eq!(tail.added(), ["two"]);
        std::fs::rename(&path, folder.path().join("node.log.1")).unwrap();
        assert_eq!(tail.added(), Vec::<String>::new());
        add("three\n");
        assert_eq!(tail.added(), ["three"]);
    }
}
