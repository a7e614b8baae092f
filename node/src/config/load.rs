//! A configuration from its file, and from the environment, which wins over it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Config;
use crate::getwork::Password;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this shape.
    #[error("{path}: {problem}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What and where.
        problem: String,
    },
    /// An environment variable's value does not fit.
    #[error("{variable}={value:?}: {problem}")]
    Environment {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would fit.
        problem: String,
    },
    /// Values that do not go together.
    #[error("node.toml: {key}: {problem}")]
    Value {
        /// The key's path.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads the file at `path`, lets the environment override it, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, the variable or the line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(path)?;
        config.check()?;
        Ok(config)
    }

    /// The same without the check, for whoever has [`super::Settings`] to apply before it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_with(path, |name| std::env::var(name).ok())
    }

    pub(super) fn read_with(
        path: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), problem: error.to_string() })?;
        let base = path.parent().unwrap_or(Path::new("."));
        // Through its components, so that `net/.` is called `net`.
        config.folder = base.join(&config.folder).components().collect();
        config.apply_environment(variable)?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration always serializes")
    }

    fn apply_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let parse = |name: &'static str| -> Result<Option<SocketAddr>, ConfigError> {
            let Some(value) = variable(name) else { return Ok(None) };
            let address = value.parse().map_err(|_| ConfigError::Environment {
                variable: name,
                value: value.clone(),
                problem: "is no address and port, such as 127.0.0.1:8545".to_owned(),
            })?;
            Ok(Some(address))
        };
        if let Some(listen) = parse("SYNOD_RPC_LISTEN")? {
            self.rpc.listen = listen;
        }
        if let Some(listen) = parse("SYNOD_P2P_LISTEN")? {
            self.p2p.listen = vec![listen];
        }
        if let Some(listen) = parse("SYNOD_WEB_LISTEN")? {
            self.web.listen = listen;
        }
        if let Some(listen) = parse("SYNOD_GETWORK_LISTEN")? {
            self.getwork.listen = listen;
        }
        if let Some(password) = variable("SYNOD_GETWORK_PASSWORD") {
            self.getwork.password = Password::new(password);
        }
        if let Some(level) = variable("SYNOD_LOG") {
            self.log.level = level;
        }
        Ok(())
    }
}
