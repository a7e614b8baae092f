//! `synod vm`: the contract interpreter, judged by the official state tests.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde::Serialize;
use synod_vm::Vm;
use synod_vm::state_test::{Summary, run_file};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// Files that are looked into below a folder.
const MOST_FILES: usize = 200_000;

/// The contract interpreter
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  synod vm test vectors/evm")]
pub(crate) enum VmCommand {
    /// Run official state tests: every Cancun case of the JSON files below a folder
    #[command(after_help = "Example:\n  synod vm test vectors/evm --jobs 2")]
    Test {
        /// A folder of state tests, or one file
        path: PathBuf,
        /// How many threads; one for each core by default
        #[arg(long)]
        jobs: Option<usize>,
    },
}

impl VmCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// Exit code 6 when a case fails.
    pub(crate) fn run(self, context: &Context) -> Outcome<()> {
        let Self::Test { path, jobs } = self;
        let mut files = Vec::new();
        collect(&path, &mut files).map_err(|error| Failure::file(&path, &error))?;
        if files.is_empty() {
            return Err(Failure::usage("no_tests", format!("there is no .json file in {}", path.display())));
        }
        files.sort();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let begun = Instant::now();
        let tested = run_all(&path, files, jobs.unwrap_or(cores).clamp(1, 256), context);
        let failed = tested.summary.failed() + tested.unreadable.len();
        context.output.result(&Tested::new(&tested, begun.elapsed()));
        if failed > 0 {
            return Err(Failure::new(
                Exit::Verification,
                "state_tests",
                format!("{failed} cases or files failed"),
            ));
        }
        Ok(())
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") && files.len() < MOST_FILES {
            files.push(path);
        }
    }
    Ok(())
}

/// What all threads found together.
#[derive(Default)]
struct All {
    summary: Summary,
    /// Files that are no state tests, with the reason.
    unreadable: Vec<String>,
}

fn run_all(root: &Path, files: Vec<PathBuf>, jobs: usize, context: &Context) -> All {
    let progress = context.output.progress("running state tests");
    let (count, done) = (files.len(), AtomicUsize::new(0));
    let queue = Mutex::new(files.into_iter());
    let mut all = All::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| work(root, &queue, &done))).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            progress.say(format!("{} of {count} files", done.load(Ordering::Relaxed)));
            std::thread::sleep(Duration::from_millis(50));
        }
        for worker in workers {
            match worker.join() {
                Ok(found) => {
                    all.summary.merge(found.summary);
                    all.unreadable.extend(found.unreadable);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

fn work(root: &Path, queue: &Mutex<std::vec::IntoIter<PathBuf>>, done: &AtomicUsize) -> All {
    let (mut all, mut vm) = (All::default(), Vm::new());
    loop {
        let Some(path) = queue.lock().expect("no thread panics with the queue").next() else { return all };
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let tested = std::fs::read_to_string(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| run_file(&mut vm, &text).map_err(|error| error.to_string()));
        match tested {
            Ok(reports) => {
                let folder = relative.parent().unwrap_or(Path::new("")).display().to_string();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                all.summary.add(&folder, &name, &reports);
            }
            Err(error) => all.unreadable.push(format!("{}: {error}", relative.display())),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Serialize)]
struct Folder {
    folder: String,
    passed: usize,
    failed: usize,
}

/// The result.
#[derive(Serialize)]
struct Tested {
    passed: usize,
    failed: usize,
    seconds: f64,
    folders: Vec<Folder>,
    first_difference: Option<String>,
    unreadable: Vec<String>,
}

impl Tested {
    fn new(all: &All, elapsed: Duration) -> Self {
        let folder = |(folder, passed, failed): (&str, usize, usize)| Folder {
            folder: folder.to_owned(),
            passed,
            failed,
        };
        Self {
            passed: all.summary.passed(),
            failed: all.summary.failed(),
            seconds: elapsed.as_secs_f64(),
            folders: all.summary.directories().map(folder).collect(),
            first_difference: all.summary.first_failure().map(str::to_owned),
            unreadable: all.unreadable.clone(),
        }
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for folder in self.folders.iter().filter(|folder| folder.passed + folder.failed > 0) {
            let mark = if folder.failed == 0 { "" } else { "  FAILED" };
            writeln!(
                formatter,
                "{:>6} of {:<6} {}{mark}",
                folder.passed,
                folder.passed + folder.failed,
                folder.folder
            )?;
        }
        write!(formatter, "{} passed, {} failed in {:.1} s", self.passed, self.failed, self.seconds)?;
        if let Some(difference) = &self.first_difference {
            write!(formatter, "\nthe first difference: {difference}")?;
        }
        for file in &self.unreadable {
            write!(formatter, "\nnot a state test: {file}")?;
        }
        Ok(())
    }
}
