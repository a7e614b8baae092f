//! EVM-17: every Cancun case of the official state tests passes, by root, logs and expected accounts.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use synod_vm::Vm;
use synod_vm::state_test::{Summary, run_file};

fn json_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            json_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

/// Runs files taken from `queue` until it is empty.
fn work(root: &Path, queue: &Mutex<Vec<PathBuf>>) -> Summary {
    let mut summary = Summary::default();
    let mut vm = Vm::new();
    loop {
        let Some(path) = queue.lock().unwrap().pop() else { return summary };
        let text = std::fs::read_to_string(&path).unwrap();
        let reports = run_file(&mut vm, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let relative = path.strip_prefix(root).unwrap();
        let directory = relative.parent().unwrap().display().to_string();
        summary.add(&directory, &relative.file_name().unwrap().to_string_lossy(), &reports);
    }
}

#[test]
fn evm_17_every_cancun_state_test_passes() {
    let Ok(vectors) = std::env::var("SYNOD_VECTORS") else {
        eprintln!("skipped: SYNOD_VECTORS is not set");
        return;
    };
    let root = Path::new(&vectors).join("evm");
    let mut files = Vec::new();
    json_files(&root, &mut files);
    files.reverse();
    let queue = Mutex::new(files);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&root, &queue))).collect();
        workers.into_iter().for_each(|worker| summary.merge(worker.join().unwrap()));
    });
    println!("{summary}");
    assert_eq!(summary.failed(), 0, "{}", summary.first_failure().unwrap_or_default());
    assert!(summary.passed() > 3_000, "only {} cases were found", summary.passed());
}
