//! `[getwork]` of `node.toml`.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use synod_types::Address;
use synod_types::address::parse_address;

use crate::config::address_text;

/// The fewest characters of a password outside test networks: whoever knows it mines to an account of theirs.
const SHORTEST_PASSWORD: usize = 12;
/// The most characters of a user's name and of a password.
const LONGEST: usize = 128;

/// `[getwork]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GetworkConfig {
    /// Whether miners that speak `getwork` are served.
    pub enabled: bool,
    /// Where.
    pub listen: SocketAddr,
    /// The user name whose rewards go to `reward_to`. An address as user name is paid itself.
    pub user: String,
    /// The password of every user.
    pub password: Password,
    /// Who gets the rewards of `user`; `mining.reward_to` when it is not given.
    #[serde(with = "address_text", skip_serializing_if = "Option::is_none")]
    pub reward_to: Option<Address>,
}

impl Default for GetworkConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 9332)),
            user: "synod".to_owned(),
            password: Password::default(),
            reward_to: None,
        }
    }
}

/// A password; it is not shown where things are printed for debugging.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

impl GetworkConfig {
    /// What is wrong with it, and with which key; `testnet` when the genesis says so, `None` while it is not
    /// known.
    pub(crate) fn problem(&self, testnet: Option<bool>) -> Option<(&'static str, String)> {
        if !self.enabled {
            return None;
        }
        let fits = |text: &str| {
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !fits(&self.user) || self.user.contains(':') || parse_address(&self.user).is_ok() {
            let problem = "must be a name of 1 to 128 visible characters without a colon, and no address";
            return Some(("getwork.user", problem.to_owned()));
        }
        if !fits(self.password.as_str()) {
            let problem = "must be 1 to 128 visible characters when getwork is enabled";
            return Some(("getwork.password", problem.to_owned()));
        }
        if testnet == Some(false) && self.password.as_str().len() < SHORTEST_PASSWORD {
            let problem = format!("must have at least {SHORTEST_PASSWORD} characters outside test networks");
            return Some(("getwork.password", problem));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(user: &str, password: &str) -> GetworkConfig {
        let password = Password::new(password);
        GetworkConfig { enabled: true, user: user.to_owned(), password, ..GetworkConfig::default() }
    }

    #[test]
    fn weak_and_impossible_credentials_are_named() {
        let problem = |user: &str, password: &str, testnet| {
            config(user, password).problem(testnet).map_or("", |(key, _)| key)
        };
        assert_eq!(problem("synod", "synod", None), "");
        assert_eq!(problem("synod", "synod", Some(true)), "");
        assert_eq!(problem("synod", "synod", Some(false)), "getwork.password");
        assert_eq!(
            problem("synod", "a long password".split(' ').next().unwrap_or(""), Some(false)),
            "getwork.password"
        );
        assert_eq!(problem("synod", "twelve-chars", Some(false)), "");
        assert_eq!(problem("synod", "", None), "getwork.password");
        assert_eq!(problem("a:b", "x", None), "getwork.user");
        assert_eq!(problem("", "x", None), "getwork.user");
        assert_eq!(problem("0x0000000000000000000000000000000000000001", "x", None), "getwork.user");
        assert_eq!(GetworkConfig::default().problem(Some(false)), None, "off needs nothing");
    }

    #[test]
    fn a_password_is_not_printed() {
        assert!(!format!("{:?}", config("synod", "hunter2")).contains("hunter2"));
    }
}
