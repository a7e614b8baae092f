//! Where log lines go: standard error, or a file that is rotated at 10 MiB and kept five times.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogConfig, LogFormat};

/// A log file's size at which it is put aside, in bytes.
const FILE_LIMIT: u64 = 10 * 1024 * 1024;
/// How many files are kept, the current one included.
const FILES: usize = 5;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("log level {level:?}: {problem}; write for example info or info,synod_node::network=debug")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file cannot be opened.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A second call.
    #[error("logging was started before in this process")]
    Twice,
}

/// Sends the process's log lines to `file`, or to standard error without one.
///
/// # Errors
/// [`LoggingError`].
pub fn start(config: &LogConfig, file: Option<&Path>) -> Result<(), LoggingError> {
    let filter = filter(&config.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(true);
    let started = match (file, config.format) {
        (None, LogFormat::Text) => {
            let colour =
                io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            builder.with_ansi(colour).with_writer(io::stderr).try_init()
        }
        (None, LogFormat::Json) => builder.json().with_writer(io::stderr).try_init(),
        (Some(path), LogFormat::Text) => {
            builder.with_ansi(false).with_writer(RotatingFile::open(path)?).try_init()
        }
        (Some(path), LogFormat::Json) => builder.json().with_writer(RotatingFile::open(path)?).try_init(),
    };
    started.map_err(|_| LoggingError::Twice)
}

/// Which lines are logged.
///
/// # Errors
/// [`LoggingError::Level`].
pub fn filter(level: &str) -> Result<EnvFilter, LoggingError> {
    // Gossip warns of every message that it already carries, which is what keeps it from sending twice.
    EnvFilter::try_new(format!("libp2p_gossipsub=error,{level}"))
        .map_err(|error| LoggingError::Level { level: level.to_owned(), problem: error.to_string() })
}

/// A file that makes room for itself: `node.log`, `node.log.1`, … `node.log.4`.
struct RotatingFile(Mutex<Current>);

struct Current {
    path: PathBuf,
    file: File,
    written: u64,
}

impl RotatingFile {
    fn open(path: &Path) -> Result<Self, LoggingError> {
        let fail = |source| LoggingError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let file = append_to(path).map_err(fail)?;
        let written = file.metadata().map_err(fail)?.len();
        Ok(Self(Mutex::new(Current { path: path.to_owned(), file, written })))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Current {
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..FILES - 1).rev() {
            // The older files need not exist yet.
            let _ = std::fs::rename(numbered(number), numbered(number + 1));
        }
        std::fs::rename(&self.path, numbered(1))?;
        self.file = append_to(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// One line on its way into the file.
struct Line<'a>(&'a RotatingFile);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut current = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.written > 0 && current.written + bytes.len() as u64 > FILE_LIMIT {
            current.rotate()?;
        }
        current.file.write_all(bytes)?;
        current.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RotatingFile {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.log");
        let file = RotatingFile::open(&path).expect("opened");
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..65 {
            file.make_writer().write_all(&line).expect("written");
        }
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        assert_eq!(names, ["node.log", "node.log.1", "node.log.2", "node.log.3", "node.log.4"]);
        assert!(std::fs::metadata(&path).expect("there").len() <= FILE_LIMIT);
    }

    #[test]
    fn a_wrong_level_is_explained() {
        let config = LogConfig { level: "a=b=c".to_owned(), ..LogConfig::default() };
        assert!(start(&config, None).expect_err("no level").to_string().contains("info"));
    }
}
