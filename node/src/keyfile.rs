//! The key file, version 1: one secret key under a password.
//!
//! Argon2id (64 MiB, 3 passes, 1 lane) makes a key of the password, XChaCha20-Poly1305 seals the 32-byte
//! seed with it, and everything else in the file is the seal's associated data: neither the address nor a
//! parameter can be changed without the seal breaking. The wallet's keys and the keys of nodes on real
//! networks are such files.
//!
//! ```json
//! {"version": 1, "kind": "ed25519", "address": "0x…",
//!  "kdf": {"name": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 1, "salt": "0x…"},
//!  "aead": "xchacha20-poly1305", "nonce": "0x…", "ciphertext": "0x…"}
//! ```

use argon2::{Algorithm, Argon2, Params};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use synod_types::address::{address_of, format_address, parse_address};
use synod_types::codec::{self, fixed};
use synod_types::{Address, Bytes, SecretKey};
use zeroize::Zeroizing;

const VERSION: u32 = 1;
const KIND: &str = "ed25519";
const KDF: &str = "argon2id";
const AEAD: &str = "xchacha20-poly1305";
/// The sealed seed and its tag.
const CIPHERTEXT_LENGTH: usize = 32 + 16;
/// A key file is some 500 bytes; a longer one is something else.
const LENGTH_LIMIT: usize = 4096;

/// Argon2id's cost. Files may carry another one than ours, within bounds: a file must not be able to take
/// all memory or run for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    fn is_within_bounds(self) -> bool {
        (8 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

/// Fresh randomness for one seal. A nonce and a salt are never used twice.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// Of the password's key.
    pub salt: [u8; 16],
    /// Of the seal.
    pub nonce: [u8; 24],
}

/// A key file's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    version: u32,
    kind: String,
    address: String,
    kdf: Kdf,
    aead: String,
    nonce: Bytes,
    ciphertext: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Bytes,
}

/// Everything but the ciphertext, in canonical bytes: the seal's associated data.
#[derive(Serialize)]
struct Header<'a> {
    version: u32,
    kind: &'a str,
    #[serde(with = "fixed")]
    address: Address,
    kdf: &'a str,
    cost: Cost,
    salt: &'a [u8],
    aead: &'a str,
    nonce: &'a [u8],
}

/// Why a key file gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not JSON, or not of this shape.
    #[error("not a key file: {0}")]
    Form(String),
    /// Of a later version of this format.
    #[error("a key file of version {0}; this synod reads version 1, so a newer one is needed")]
    Version(u32),
    /// A field whose value this version cannot have.
    #[error("not a key file of version 1: {field} {problem}")]
    Field {
        /// Its path.
        field: &'static str,
        /// What would be right.
        problem: &'static str,
    },
    /// The seal does not open.
    #[error("wrong password, or the key file was changed")]
    Password,
    /// Argon2 found no memory.
    #[error("deriving the key needs {0} KiB of memory, which this machine does not give")]
    Memory(u32),
}

impl KeyFile {
    /// Seals the key of `seed` under `password`.
    ///
    /// # Errors
    /// [`KeyFileError::Memory`].
    pub fn seal(seed: &[u8; 32], password: &[u8], fresh: &Freshness) -> Result<Self, KeyFileError> {
        let cost = Cost::DEFAULT;
        let address = address_of(&SecretKey::from_seed(seed).public());
        let mut file = Self {
            version: VERSION,
            kind: KIND.to_owned(),
            address: format_address(&address),
            kdf: Kdf {
                name: KDF.to_owned(),
                memory_kib: cost.memory_kib,
                passes: cost.passes,
                lanes: cost.lanes,
                salt: fresh.salt.to_vec().into(),
            },
            aead: AEAD.to_owned(),
            nonce: fresh.nonce.to_vec().into(),
            ciphertext: Bytes::new(),
        };
        let cipher = cipher(password, &fresh.salt, cost)?;
        let sealed =
            cipher.encrypt(&XNonce::from(fresh.nonce), Payload { msg: seed, aad: &file.header(address) });
        file.ciphertext = sealed.expect("32 bytes are far below the cipher's limit").into();
        Ok(file)
    }

    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// [`KeyFileError`], which names the field.
    pub fn from_json(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > LENGTH_LIMIT {
            return Err(KeyFileError::Form(format!(
                "{} bytes, where at most {LENGTH_LIMIT} are",
                text.len()
            )));
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let form = |error: serde_json::Error| KeyFileError::Form(error.to_string());
        let Version { version } = serde_json::from_str(text).map_err(form)?;
        if version != VERSION {
            return Err(KeyFileError::Version(version));
        }
        let file: Self = serde_json::from_str(text).map_err(form)?;
        file.check()?;
        Ok(file)
    }

    /// The JSON form, one field a line.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a key file always serializes") + "\n"
    }

    /// Whose key it is.
    pub fn address(&self) -> Address {
        parse_address(&self.address).expect("checked when read, formatted when made")
    }

    /// Opens the seal.
    ///
    /// # Errors
    /// [`KeyFileError::Password`], also when anything in the file was changed.
    pub fn open(&self, password: &[u8]) -> Result<SecretKey, KeyFileError> {
        let cost = Cost { memory_kib: self.kdf.memory_kib, passes: self.kdf.passes, lanes: self.kdf.lanes };
        let cipher = cipher(password, &self.kdf.salt, cost)?;
        let nonce = <[u8; 24]>::try_from(self.nonce.as_ref()).expect("checked when read");
        let sealed = Payload { msg: &self.ciphertext, aad: &self.header(self.address()) };
        let opened = cipher.decrypt(&XNonce::from(nonce), sealed).map_err(|_| KeyFileError::Password)?;
        let opened = Zeroizing::new(opened);
        let seed = <&[u8; 32]>::try_from(opened.as_slice()).map_err(|_| KeyFileError::Password)?;
        let key = SecretKey::from_seed(seed);
        if address_of(&key.public()) == self.address() { Ok(key) } else { Err(KeyFileError::Password) }
    }

    fn header(&self, address: Address) -> Vec<u8> {
        let Kdf { name, memory_kib, passes, lanes, salt } = &self.kdf;
        let header = Header {
            version: self.version,
            kind: &self.kind,
            address,
            kdf: name,
            cost: Cost { memory_kib: *memory_kib, passes: *passes, lanes: *lanes },
            salt,
            aead: &self.aead,
            nonce: &self.nonce,
        };
        [b"synod/key-file/v1".as_slice(), &codec::encode(&header)].concat()
    }

    fn check(&self) -> Result<(), KeyFileError> {
        let demand = |holds: bool, field: &'static str, problem: &'static str| {
            if holds { Ok(()) } else { Err(KeyFileError::Field { field, problem }) }
        };
        let Kdf { memory_kib, passes, lanes, .. } = self.kdf;
        demand(self.kind == KIND, "kind", "must be \"ed25519\"")?;
        demand(parse_address(&self.address).is_ok(), "address", "must be an address with its checksum")?;
        demand(self.kdf.name == KDF, "kdf.name", "must be \"argon2id\"")?;
        demand(
            Cost { memory_kib, passes, lanes }.is_within_bounds(),
            "kdf",
            "must cost 8 MiB to 1 GiB, 1 to 16 passes and 1 to 16 lanes",
        )?;
        demand((8..=64).contains(&self.kdf.salt.len()), "kdf.salt", "must have 8 to 64 bytes")?;
        demand(self.aead == AEAD, "aead", "must be \"xchacha20-poly1305\"")?;
        demand(self.nonce.len() == 24, "nonce", "must have 24 bytes")?;
        demand(self.ciphertext.len() == CIPHERTEXT_LENGTH, "ciphertext", "must have 48 bytes")
    }
}

fn cipher(password: &[u8], salt: &[u8], cost: Cost) -> Result<XChaCha20Poly1305, KeyFileError> {
    let memory = |_| KeyFileError::Memory(cost.memory_kib);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(memory)?;
    let argon = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon.hash_password_into(password, salt, key.as_mut()).map_err(memory)?;
    Ok(XChaCha20Poly1305::new(&(*key).into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The text of an official vector file, or `None`, loudly, where the vectors are not at hand.
    fn vectors(file: &str) -> Option<String> {
        let Some(folder) = std::env::var_os("SYNOD_VECTORS") else {
            eprintln!("skipped: SYNOD_VECTORS is not set, so {file} was not read");
            return None;
        };
        let path = std::path::Path::new(&folder).join("wallet").join(file);
        Some(std::fs::read_to_string(path).expect("the vectors are readable"))
    }

    const FRESH: Freshness = Freshness { salt: [3; 16], nonce: [4; 24] };

    fn sealed() -> KeyFile {
        KeyFile::seal(&[7; 32], b"correct horse", &FRESH).unwrap()
    }

    #[test]
    fn the_file_has_its_published_form_and_opens_with_the_password_alone() {
        let file = sealed();
        let json: serde_json::Value = serde_json::from_str(&file.to_json()).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["address"], "0x305498f8e08BC65DBacb4514475E01AFbE03f575");
        let kdf = serde_json::json!({
            "name": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 1,
            "salt": "0x03030303030303030303030303030303",
        });
        assert_eq!(json["kdf"], kdf);
        let read = KeyFile::from_json(&file.to_json()).unwrap();
        assert_eq!(*read.open(b"correct horse").unwrap().seed(), [7; 32]);
        assert_eq!(read.open(b"Correct horse").unwrap_err(), KeyFileError::Password);
    }

    #[test]
    fn golden_ciphertext() {
        let golden = "0x527a98a82d9e8e4be9560e55bc2b776d97f1df97adf901d1a1c465216a72a7fc\
            526d7dd34ea932069fa72d9c0d5914b1";
        assert_eq!(sealed().ciphertext.to_string(), golden);
    }

    #[test]
    fn whatever_is_changed_the_seal_breaks() {
        let other = KeyFile::seal(&[8; 32], b"correct horse", &FRESH).unwrap();
        type Change = fn(&mut KeyFile, &KeyFile);
        let changes: [Change; 5] = [
            |file, other| file.address.clone_from(&other.address),
            |file, _| file.kdf.passes = 2,
            |file, _| file.kdf.salt = vec![9; 16].into(),
            |file, _| file.nonce = vec![9; 24].into(),
            |file, other| file.ciphertext = other.ciphertext.clone(),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut file = sealed();
            change(&mut file, &other);
            assert_eq!(file.open(b"correct horse").unwrap_err(), KeyFileError::Password, "change {index}");
        }
    }

    #[test]
    fn impossible_files_are_refused_by_field() {
        type Spoil = fn(&mut serde_json::Value);
        let cases: [(Spoil, &str); 10] = [
            (|file| file["version"] = 2.into(), "version 2"),
            (|file| file["kind"] = "rsa".into(), "kind"),
            (|file| file["address"] = "0x12".into(), "address"),
            (|file| file["kdf"]["name"] = "scrypt".into(), "kdf.name"),
            (|file| file["kdf"]["memory_kib"] = u32::MAX.into(), "kdf must cost"),
            (|file| file["kdf"]["passes"] = 0.into(), "kdf must cost"),
            (|file| file["nonce"] = "0x00".into(), "nonce"),
            (|file| file["ciphertext"] = "0x00".into(), "ciphertext"),
            (|file| file["aead"] = "none".into(), "aead"),
            (|file| file["comment"] = "hello".into(), "comment"),
        ];
        for (spoil, expected) in cases {
            let mut json = serde_json::to_value(sealed()).unwrap();
            spoil(&mut json);
            let error = KeyFile::from_json(&json.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for text in ["", "{}", "[]", &"x".repeat(5000)] {
            assert!(KeyFile::from_json(text).is_err());
        }
    }

    /// RFC 9106 and its companions: the cases that our crate can express (Argon2id, with and without secret
    /// and data).
    #[test]
    fn argon2id_passes_the_published_vectors() {
        let Some(text) = vectors("argon2id.txt") else { return };
        let mut checked = 0;
        for case in text.split("COUNT = ").skip(1) {
            let value = |name: &str| {
                let line = case.lines().find(|line| line.starts_with(&format!("{name} =")));
                line.map(|line| line.split_once('=').unwrap().1.trim().to_owned())
            };
            let number = |name: &str| value(name).unwrap().parse::<u32>().unwrap();
            let bytes = |name: &str| alloy_primitives::hex::decode(value(name).unwrap_or_default()).unwrap();
            let (secret, data, output) = (bytes("secret"), bytes("ad"), bytes("output"));
            let mut builder = argon2::ParamsBuilder::new();
            builder
                .m_cost(number("memcost"))
                .t_cost(number("iter"))
                .p_cost(number("lanes"))
                .output_len(output.len());
            if !data.is_empty() {
                builder.data(argon2::AssociatedData::new(&data).unwrap());
            }
            let params = builder.build().unwrap();
            let version = argon2::Version::V0x13;
            let argon = Argon2::new_with_secret(&secret, Algorithm::Argon2id, version, params).unwrap();
            let mut made = vec![0; output.len()];
            argon.hash_password_into(&bytes("pass"), &bytes("salt"), &mut made).unwrap();
            assert_eq!(made, output);
            checked += 1;
        }
        assert!(checked >= 3, "{checked} cases");
    }

    /// The example of draft-irtf-cfrg-xchacha, appendix A.3.1.
    #[test]
    fn xchacha20_poly1305_seals_the_drafts_example() {
        let key: [u8; 32] = std::array::from_fn(|index| 0x80 + index as u8);
        let nonce: [u8; 24] = std::array::from_fn(|index| 0x40 + index as u8);
        let text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
            sunscreen would be it.";
        let aad = alloy_primitives::hex!("50515253c0c1c2c3c4c5c6c7");
        let cipher = XChaCha20Poly1305::new(&key.into());
        let sealed = cipher.encrypt(&nonce.into(), Payload { msg: text.as_slice(), aad: &aad }).unwrap();
        assert_eq!(sealed[..8], alloy_primitives::hex!("bd6d179d3e83d43b"));
        assert_eq!(sealed[text.len()..], alloy_primitives::hex!("c0875924c1c7987947deafd8780acf49"));
    }

    /// Wycheproof has ChaCha20-Poly1305 without the X; XChaCha is the same cipher behind one more HChaCha20.
    #[test]
    fn chacha20_poly1305_gives_the_published_verdicts() {
        let Some(text) = vectors("wycheproof_chacha20_poly1305_test.json") else { return };
        let suite: serde_json::Value = serde_json::from_str(&text).unwrap();
        let bytes =
            |value: &serde_json::Value| alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap();
        let mut checked = 0;
        for test in suite["testGroups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["tests"].as_array().unwrap())
        {
            let Ok(nonce) = <[u8; 12]>::try_from(bytes(&test["iv"])) else { continue };
            let key = <[u8; 32]>::try_from(bytes(&test["key"])).unwrap();
            let cipher = chacha20poly1305::ChaCha20Poly1305::new(&key.into());
            let sealed = [bytes(&test["ct"]), bytes(&test["tag"])].concat();
            let payload = Payload { msg: &sealed, aad: &bytes(&test["aad"]) };
            let opened = cipher.decrypt(&nonce.into(), payload).ok();
            let expected = (test["result"] == "valid").then(|| bytes(&test["msg"]));
            assert_eq!(opened, expected, "case {}", test["tcId"]);
            checked += 1;
        }
        assert!(checked > 100, "{checked} cases");
    }
}
