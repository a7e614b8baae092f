//! Members that order opaque bytes, as processes of the bench's own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use synod_node::rpc::ordered::OrderedView;
use synod_testnet::folder::Endpoint;
use synod_testnet::network::Testnet;
use synod_testnet::process;
use synod_types::genesis::Ordering;

use super::connection::Connection;
use super::network::{go_on, options};
use crate::client::http::Url;
use crate::client::interrupt;
use crate::failure::{Failure, Outcome};

/// How long they may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The members.
pub(crate) struct Members {
    testnet: Testnet,
    endpoints: Vec<Endpoint>,
    children: Vec<Child>,
    /// Their RPC endpoints.
    pub(crate) urls: Vec<Url>,
    /// Which of them leads.
    pub(crate) leader: usize,
}

impl Members {
    /// Makes a network in a folder, starts its members, and waits until one leads and all hear each other.
    ///
    /// # Errors
    /// They do not start.
    pub(crate) fn start(folder: &Path, ordering: Ordering, nodes: usize, sync: bool) -> Outcome<Self> {
        // From now on Ctrl-C must not leave processes behind.
        interrupt::arm();
        let failed = |error: &dyn std::fmt::Display| Failure::failed("bench", error.to_string());
        let synod = std::env::current_exe().map_err(|error| failed(&error))?;
        let testnet = Testnet::new(&synod, &folder.join("members"));
        let options = options(ordering, nodes, sync)?;
        let endpoints = testnet.make(&options).map_err(|error| failed(&error))?.nodes;
        let urls = endpoints.iter().map(|node| Url::parse(&node.rpc));
        let urls = urls.collect::<Result<Vec<Url>, _>>().map_err(|error| failed(&error))?;
        let mut members = Self { testnet, endpoints, children: Vec::new(), urls, leader: 0 };
        for node in &members.endpoints {
            let logs = node.folder.join("logs");
            fs::create_dir_all(&logs).map_err(|error| Failure::file(&logs, &error))?;
            let child = Command::new(&synod)
                .args(["bench", "member", "--config"])
                .arg(node.folder.join("node.toml"))
                // Held open for as long as this process lives: a member ends with it.
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn();
            members.children.push(child.map_err(|error| failed(&error))?);
        }
        members.assemble()?;
        Ok(members)
    }

    /// Waits until all are connected to all and one leads: whoever came later than what is decided without it would
    /// never have it.
    fn assemble(&mut self) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let (mut leader, mut connected) = (None, 0);
            for (at, (child, node)) in self.children.iter_mut().zip(&self.endpoints).enumerate() {
                if let Ok(Some(status)) = child.try_wait() {
                    let log = process::last_lines(&process::log_file(node), 5);
                    return Err(Failure::failed("bench", format!("{} ended, {status}: {log}", node.name)));
                }
                let view = Connection::open(&self.urls[at])
                    .and_then(|mut connection| connection.call::<OrderedView>("synod_ordered", json!([])));
                if let Ok(view) = view {
                    connected += usize::from(view.members == self.urls.len());
                    leader = leader.or(view.leads.then_some(at));
                }
            }
            if let Some(leader) = leader.filter(|_| connected == self.urls.len()) {
                self.leader = leader;
                return Ok(());
            }
            go_on()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Failure::failed("bench", "the members do not find each other, or none of them leads"))
    }

    /// Processor time that each has taken so far, with its name.
    pub(crate) fn cpu(&self) -> Vec<(String, Duration)> {
        let time = |child: &Child| i32::try_from(child.id()).ok().and_then(process::cpu_time);
        let all = self.endpoints.iter().zip(&self.children);
        all.map(|(node, child)| (node.name.clone(), time(child).unwrap_or_default())).collect()
    }

    /// What each says of itself, in their order.
    ///
    /// # Errors
    /// One does not answer.
    pub(crate) fn views(&self) -> Outcome<Vec<OrderedView>> {
        let view = |url| Connection::open(url)?.call("synod_ordered", json!([]));
        self.urls.iter().map(view).collect()
    }

    /// Waits until all that run have what is final at any of them: under members that only crash, the one that answered
    /// is ahead of the others' logs. If they do not come to it, the count shows what is missing.
    ///
    /// # Errors
    /// Ctrl-C.
    pub(crate) fn catch_up(&mut self) -> Outcome<()> {
        let begun = Instant::now();
        let height = |url| -> Outcome<u64> {
            let view: OrderedView = Connection::open(url)?.call("synod_ordered", json!([]))?;
            Ok(view.height.0)
        };
        while begun.elapsed() < PATIENCE {
            let running = self.children.iter_mut().map(|child| matches!(child.try_wait(), Ok(None)));
            let running = self.urls.iter().zip(running.collect::<Vec<_>>()).filter(|(_, runs)| *runs);
            let heights = running.map(|(url, _)| height(url)).collect::<Outcome<Vec<u64>>>();
            if heights.is_ok_and(|heights| heights.windows(2).all(|pair| pair[0] == pair[1])) {
                break;
            }
            go_on()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the one that leads, and gives the moment.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn kill_leader(&mut self) -> Outcome<Instant> {
        let leader = &mut self.children[self.leader];
        let killed = leader.kill().and_then(|()| leader.wait());
        killed.map_err(|error| Failure::failed("bench", format!("the leader is not killed: {error}")))?;
        Ok(Instant::now())
    }

    /// Ends all members; their folders stay.
    ///
    /// # Errors
    /// One does not end.
    pub(crate) fn stop(&mut self) -> Outcome<&[Endpoint]> {
        for child in &self.children {
            process::terminate(child);
        }
        let begun = Instant::now();
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::failed("bench", "a member does not end"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(&self.endpoints)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What cannot be removed lies in a folder for temporary things.
        let _ = self.testnet.remove();
    }
}
