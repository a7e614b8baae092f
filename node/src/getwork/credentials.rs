//! Who may ask for work, and whom it pays: HTTP basic authentication (RFC 7617).
//!
//! The password is one for all users. The configured user name is paid where the configuration says; an
//! address as user name is paid itself, so that several miners share an endpoint without sharing rewards.
//! What was sent is compared by its hash and without an early end, so that time tells nothing.

use synod_types::address::parse_address;
use synod_types::hash::sha256;
use synod_types::{Address, B256};

use super::config::GetworkConfig;

/// The longest `Authorization` that is looked at.
const LONGEST: usize = 512;

/// The keys to the endpoint.
#[derive(Debug)]
pub(super) struct Credentials {
    user: B256,
    password: B256,
    reward_to: Option<Address>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No credentials, or wrong ones.
    Unknown,
    /// The right ones, and nobody to pay.
    NoReward,
}

impl Credentials {
    /// Of a configuration; `reward_to` is who gets the rewards of its user.
    pub(super) fn new(config: &GetworkConfig, reward_to: Option<Address>) -> Self {
        Self {
            user: digest(config.user.as_bytes()),
            password: digest(config.password.as_str().as_bytes()),
            reward_to,
        }
    }

    /// The account that a request's `Authorization` mines to.
    pub(super) fn account(&self, authorization: Option<&[u8]>) -> Result<Address, Denied> {
        let given = authorization.filter(|value| value.len() <= LONGEST).and_then(decode);
        // Something is compared even when nothing fits, so that all refusals take the same time.
        let (user, password) = given.unwrap_or_default();
        let is_password = same(&digest(&password), &self.password);
        let is_user = same(&digest(&user), &self.user);
        let address = str::from_utf8(&user).ok().and_then(|text| parse_address(text).ok());
        match (is_password, is_user, address) {
            (true, true, _) => self.reward_to.ok_or(Denied::NoReward),
            (true, false, Some(address)) => Ok(address),
            _ => Err(Denied::Unknown),
        }
    }
}

fn digest(text: &[u8]) -> B256 {
    sha256(&[b"synod/getwork/credentials/v1", text])
}

/// Equality in a time that does not depend on where the first difference is.
fn same(one: &B256, other: &B256) -> bool {
    let difference = one.iter().zip(other.iter()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// User and password of `Basic` and base64.
fn decode(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = base64(rest.trim_ascii())?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

/// Standard base64 (RFC 4648, section 4), with or without its padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0, 0u32);
    for character in text {
        held = held << 6 | sextet(*character)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    // A character more than whole bytes need, or bits that say nothing.
    (bits < 6 && held == 0).then_some(bytes)
}

fn sextet(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::config::Password;
    use super::*;

    fn credentials(reward_to: Option<Address>) -> Credentials {
        let config = GetworkConfig {
            enabled: true,
            user: "miner".to_owned(),
            password: Password::new("a:b"),
            ..GetworkConfig::default()
        };
        Credentials::new(&config, reward_to)
    }

    #[test]
    fn base64_is_read_as_the_standard_writes_it() {
        let cases: [(&str, &str); 7] = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(coded.as_bytes()).unwrap(), plain.as_bytes());
            assert_eq!(base64(coded.trim_end_matches('=').as_bytes()).unwrap(), plain.as_bytes());
        }
        assert_eq!(base64(b"+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        for wrong in ["Z", "Zg===", "Zm9v!", "Zm 9v", "Zh==", "=Zg"] {
            assert_eq!(base64(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_user_is_paid_where_the_configuration_says_and_an_address_itself() {
        let reward = Address::repeat_byte(7);
        let credentials = credentials(Some(reward));
        // miner:a:b
        assert_eq!(credentials.account(Some(b"Basic bWluZXI6YTpi")), Ok(reward));
        assert_eq!(credentials.account(Some(b"basic  bWluZXI6YTpi ")), Ok(reward));
        // 0x0000000000000000000000000000000000000001:a:b
        let address = b"Basic MHgwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxOmE6Yg==";
        let one: Address = "0x0000000000000000000000000000000000000001".parse().unwrap();
        assert_eq!(credentials.account(Some(address)), Ok(one));
    }

    #[test]
    fn anything_else_is_denied() {
        let credentials = credentials(Some(Address::repeat_byte(7)));
        let wrong: [Option<&[u8]>; 8] = [
            None,
            Some(b""),
            Some(b"Basic"),
            Some(b"Basic bWluZXI6"),         // miner:
            Some(b"Basic bWluZXI6YTpiYg=="), // miner:a:bb
            Some(b"Basic bWluZXI"),          // miner, no colon
            Some(b"Bearer bWluZXI6YTpi"),
            Some(&[b'B'; 4096]),
        ];
        for value in wrong {
            assert_eq!(credentials.account(value), Err(Denied::Unknown), "{value:?}");
        }
        let nobody = super::tests::credentials(None);
        assert_eq!(nobody.account(Some(b"Basic bWluZXI6YTpi")), Err(Denied::NoReward));
    }
}
