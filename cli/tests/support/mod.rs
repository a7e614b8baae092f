//! What the command's tests stand on: a home of their own for each, and a small node of ours that behaves
//! as badly as a test wants.

#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

pub mod majority;
pub mod net;
pub mod node;
pub mod socket;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A temporary home, and the command in it.
pub struct Home {
    folder: tempfile::TempDir,
    rpc: Option<String>,
}

/// What a run of the command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "correct horse\n").unwrap();
        Self { folder, rpc: None }
    }

    pub fn beside(node: &node::FakeNode) -> Self {
        Self { rpc: Some(node.url()), ..Self::new() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(line).env_clear().env("SYNOD_HOME", self.folder()).current_dir(self.folder());
        command.env("SYNOD_PASSWORD_FILE", self.folder().join("password")).stdin(Stdio::null());
        if let Some(rpc) = &self.rpc {
            command.env("SYNOD_RPC", rpc);
        }
        command
    }

    pub fn run(&self, line: &[&str]) -> Ran {
        ran(self.command(line).output().unwrap())
    }

    pub fn start(&self, line: &[&str]) -> Child {
        self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn run_with_input(&self, line: &[&str], input: &str) -> Ran {
        use std::io::Write;
        let mut child = self
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        ran(child.wait_with_output().unwrap())
    }

    /// The records of signed transactions, of all accounts and networks.
    pub fn records(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder().join("wallet/outbox"), &mut found);
        found
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// The result of a run that must have succeeded.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The error object of a run that must have failed with `code`.
    #[track_caller]
    pub fn error(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "", "nothing but the result goes to stdout");
        let value: Value = serde_json::from_str(&self.stderr).unwrap();
        value["error"].clone()
    }

    /// The error's stable code, of a run that must have failed with exit code `code`.
    #[track_caller]
    pub fn error_code(&self, code: i32) -> String {
        self.error(code)["code"].as_str().unwrap().to_owned()
    }
}

/// The first of 63 ports that nobody has and that no other test takes, of this run or of another beside it.
pub fn ports() -> u16 {
    synod_node::ports::block().unwrap()
}

/// The flags that give `synod testnet up` those ports.
pub fn port_flags() -> Vec<String> {
    let first = ports();
    let flags = [("--rpc-port", 0), ("--p2p-port", 8), ("--web-port", 32), ("--getwork-port", 40)];
    flags.into_iter().flat_map(|(flag, at)| [flag.to_owned(), (first + at).to_string()]).collect()
}
