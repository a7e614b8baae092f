//! Contracts that this home knows by name: where they are, and their interfaces.
//!
//! ```text
//! contracts/<genesis>/<name>.json
//! ```
//!
//! A name is as an account's, and capitals do not matter: `TOKEN` finds `token`. A name that an account has
//! too is refused where an address is asked for, since money could go to either.

use std::path::PathBuf;

use alloy_json_abi::JsonAbi;
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use synod_types::address::{format_address, parse_address};

use super::argument::Addresses;
use super::show::Titles;
use crate::failure::{Failure, Outcome};
use crate::home::{Existing, Home, private_folder, write_private};
use crate::suggest;
use crate::wallet::names::{Name, Names};
use crate::wallet::network::Network;

/// As for compilers' outputs; an interface is a fraction of one.
const LENGTH_LIMIT: u64 = 64 << 20;

/// A contract that is known by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: Name,
    /// Where it is.
    pub(crate) address: Address,
    /// Its interface, if it is known.
    pub(crate) abi: Option<JsonAbi>,
    /// The transaction that created it, if it was ours.
    pub(crate) transaction: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    version: u32,
    name: String,
    address: String,
    transaction: Option<String>,
    abi: Option<JsonAbi>,
}

/// The contracts of one network.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Book {
    /// The contracts that `home` knows on `network`.
    ///
    /// # Errors
    /// When a file does not read.
    pub(crate) fn open(home: &Home, network: &Network) -> Outcome<Self> {
        let folder = home.contracts().join(network.short());
        let failed = |error: &std::io::Error| Failure::file(&folder, error);
        let mut entries = Vec::new();
        match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
            Ok(files) => {
                for file in files {
                    let path = file.map_err(|error| failed(&error))?.path();
                    if path.extension().is_some_and(|extension| extension == "json") {
                        entries.push(read(&path)?);
                    }
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { folder, entries })
    }

    /// All of them, by name.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The contract called `text`, if there is one.
    pub(crate) fn named(&self, text: &str) -> Option<&Entry> {
        let name: Name = text.to_ascii_lowercase().parse().ok()?;
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Puts the contract called `text` first, so that where its address has several names this one is shown:
    /// it is the one that was asked for.
    pub(crate) fn prefer(&mut self, text: &str) {
        let named = self.named(text).map(|entry| entry.name.clone());
        let rank = |entry: &Entry| Some(&entry.name) != named.as_ref();
        self.entries.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
    }

    /// The contract at `address`, if it is known; of several names the preferred one, or the first.
    pub(crate) fn at(&self, address: Address) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.address == address)
    }

    /// The interfaces of all contracts, the one at `first` before the others.
    pub(crate) fn interfaces(&self, first: Option<Address>) -> impl Iterator<Item = &JsonAbi> {
        let is_first = move |entry: &&Entry| Some(entry.address) == first;
        let own = self.entries.iter().filter(is_first);
        let others = self.entries.iter().filter(move |entry| !is_first(entry));
        own.chain(others).filter_map(|entry| entry.abi.as_ref())
    }

    /// A free name for a contract that its source calls `source`: `Token` becomes `token`, or `token-2`.
    pub(crate) fn free_name(&self, source: Option<&str>, names: &Names) -> Name {
        let letters = source.unwrap_or_default().chars();
        let plain: String = letters
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase())
            .take(24)
            .collect();
        let base = if plain.parse::<Name>().is_ok() { plain } else { "contract".to_owned() };
        let candidates =
            std::iter::once(base.clone()).chain((2u64..).map(|number| format!("{base}-{number}")));
        let free = candidates.filter_map(|text| text.parse().ok());
        let is_free = |name: &Name| self.demand_free(name, names).is_ok();
        free.into_iter().find(is_free).expect("some number is free")
    }

    /// Refuses a name that is taken.
    ///
    /// # Errors
    /// When a contract or an account has it.
    pub(crate) fn demand_free(&self, name: &Name, names: &Names) -> Outcome<()> {
        if let Some(taken) = self.named(name.as_ref()) {
            let message =
                format!("the contract at {} is called {name} already", format_address(&taken.address));
            return Err(Failure::usage("name_taken", message).hint("give another --name"));
        }
        if names.account(name.as_ref()).is_ok() || name.dev_index().is_some() {
            let message =
                format!("an account is called {name}, and its address would be confused with the contract's");
            return Err(Failure::usage("name_taken", message).hint("give another --name"));
        }
        Ok(())
    }

    /// Remembers a contract; it is durable when this returns.
    ///
    /// # Errors
    /// When the disk fails, or another process took the name.
    pub(crate) fn remember(&mut self, entry: Entry) -> Outcome<()> {
        private_folder(&self.folder)?;
        let file = EntryFile {
            version: 1,
            name: entry.name.to_string(),
            address: format_address(&entry.address),
            transaction: entry.transaction.clone(),
            abi: entry.abi.clone(),
        };
        let path = self.folder.join(format!("{}.json", entry.name));
        let text = serde_json::to_string_pretty(&file).expect("an interface always serializes") + "\n";
        write_private(&path, text.as_bytes(), Existing::Keep)
            .map_err(|error| Failure::file(&path, &error))?;
        self.entries.push(entry);
        Ok(())
    }
}

impl Book {
    /// Forgets a contract that never came to be.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn forget(&mut self, name: &Name) -> Outcome<()> {
        let path = self.folder.join(format!("{name}.json"));
        self.entries.retain(|entry| entry.name != *name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(&path, &error)),
            _ => Ok(()),
        }
    }
}

fn read(path: &std::path::Path) -> Outcome<Entry> {
    let damaged = |problem: &dyn std::fmt::Display| {
        Failure::failed("contract_damaged", format!("{}: {problem}", path.display()))
            .hint("remove the file, and add the contract again: synod contract add NAME ADDRESS ARTIFACT")
    };
    let failed = |error: std::io::Error| Failure::file(path, &error);
    if std::fs::metadata(path).map_err(failed)?.len() > LENGTH_LIMIT {
        return Err(damaged(&"longer than any interface"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let file: EntryFile = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    if file.version != 1 {
        return Err(damaged(&format!("version {}, and this synod reads version 1", file.version)));
    }
    let name = file.name.parse().map_err(|error| damaged(&error))?;
    let address = parse_address(&file.address).map_err(|error| damaged(&error))?;
    Ok(Entry { name, address, abi: file.abi, transaction: file.transaction })
}

/// Every name that this home knows: of accounts and of contracts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    /// Accounts.
    pub(crate) names: &'a Names,
    /// Contracts.
    pub(crate) book: &'a Book,
}

impl Addresses for Directory<'_> {
    fn address(&self, text: &str) -> Result<Address, String> {
        let account = self.names.account(text);
        match (account, self.book.named(text)) {
            (Ok(account), Some(entry)) if account.address != entry.address => {
                Err(format!("{text} is an account and a contract: give the address"))
            }
            (Ok(account), _) => Ok(account.address),
            (Err(_), Some(entry)) => Ok(entry.address),
            (Err(failure), None) => Err(match failure.next_step() {
                Some(hint) => format!("{failure} ({hint})"),
                None => failure.to_string(),
            }),
        }
    }
}

impl Titles for Directory<'_> {
    fn title(&self, address: Address) -> Option<String> {
        let account = self.names.name_of(address).ok().flatten().map(|name| name.to_string());
        account.or_else(|| self.book.at(address).map(|entry| entry.name.to_string()))
    }
}

impl<'a> Directory<'a> {
    /// The contract that a command is about: a name, or an address, known or not.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn contract(&self, text: &str) -> Outcome<(Address, Option<&'a Entry>)> {
        if text.starts_with("0x") {
            let address = parse_address(text)
                .map_err(|error| Failure::usage("bad_address", format!("{text}: {error}")))?;
            return Ok((address, self.book.at(address)));
        }
        if let Some(entry) = self.book.named(text) {
            return Ok((entry.address, Some(entry)));
        }
        let failure =
            Failure::failed("unknown_contract", format!("no contract called {text:?} is known here"));
        let known = self.book.entries().iter().map(|entry| entry.name.as_ref());
        Err(match suggest::nearest(&text.to_ascii_lowercase(), known) {
            Some(meant) => failure.hint(format!("did you mean {meant}?")),
            None => failure.hint(
                "`synod contract list` shows those that are; `synod contract add NAME ADDRESS ARTIFACT` adds one",
            ),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::wallet::keystore::Keystore;
    use synod_types::B256;

    struct Place {
        _folder: tempfile::TempDir,
        home: Home,
        names: Names,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let names = Names::new(Keystore::new(&home.wallet()), true);
        Place { _folder: folder, home, names }
    }

    fn network(genesis: u8) -> Network {
        Network { chain_id: 7, genesis_hash: B256::repeat_byte(genesis), testnet: true }
    }

    fn entry(name: &str, byte: u8) -> Entry {
        let abi = JsonAbi::parse(["function poke()"]).unwrap();
        Entry {
            name: name.parse().unwrap(),
            address: Address::repeat_byte(byte),
            abi: Some(abi),
            transaction: None,
        }
    }

    #[test]
    fn a_contract_is_known_by_name_on_its_own_network() {
        let place = place();
        let mut book = Book::open(&place.home, &network(1)).unwrap();
        book.remember(entry("token", 1)).unwrap();
        let again = Book::open(&place.home, &network(1)).unwrap();
        for name in ["token", "TOKEN", "Token"] {
            assert_eq!(again.named(name), Some(&entry("token", 1)));
        }
        assert_eq!(again.at(Address::repeat_byte(1)).unwrap().name.to_string(), "token");
        assert!(Book::open(&place.home, &network(2)).unwrap().entries().is_empty());
        assert_eq!(book.remember(entry("token", 2)).unwrap_err().code(), "file", "a name is given once");
        book.forget(&"token".parse().unwrap()).unwrap();
        assert!(Book::open(&place.home, &network(1)).unwrap().entries().is_empty());
    }

    #[test]
    fn free_names_follow_the_source_and_avoid_what_is_taken() {
        let place = place();
        let mut book = Book::open(&place.home, &network(1)).unwrap();
        let name = |book: &Book, source| book.free_name(source, &place.names).to_string();
        assert_eq!(name(&book, Some("Token")), "token");
        book.remember(entry("token", 1)).unwrap();
        assert_eq!(name(&book, Some("Token")), "token-2");
        assert_eq!(name(&book, Some("dev0")), "dev0-2");
        assert_eq!(name(&book, None), "contract");
        assert_eq!(name(&book, Some("1Inch")), "contract");
        for taken in ["token", "dev0", "dev9"] {
            let code = book.demand_free(&taken.parse().unwrap(), &place.names).unwrap_err().code().to_owned();
            assert_eq!(code, "name_taken", "{taken}");
        }
    }

    #[test]
    fn names_of_contracts_stand_where_addresses_do() {
        let place = place();
        let mut book = Book::open(&place.home, &network(1)).unwrap();
        book.remember(entry("token", 1)).unwrap();
        book.remember(entry("dev1", 2)).unwrap();
        let directory = Directory { names: &place.names, book: &book };
        assert_eq!(directory.address("TOKEN"), Ok(Address::repeat_byte(1)));
        assert_eq!(directory.title(Address::repeat_byte(1)).as_deref(), Some("token"));
        assert!(directory.address("dev0").is_ok());
        assert!(directory.address("dev1").unwrap_err().contains("an account and a contract"));
        assert!(directory.address("alcie").unwrap_err().contains("wallet new alcie"));
        assert_eq!(directory.contract("tokne").unwrap_err().next_step(), Some("did you mean token?"));
        assert_eq!(directory.contract("0x12").unwrap_err().code(), "bad_address");
        let stranger = format_address(&Address::repeat_byte(9));
        assert_eq!(directory.contract(&stranger).unwrap(), (Address::repeat_byte(9), None));
    }

    #[test]
    fn of_two_names_the_one_asked_for_is_shown() {
        let place = place();
        let mut book = Book::open(&place.home, &network(1)).unwrap();
        book.remember(entry("token", 1)).unwrap();
        book.remember(entry("gold", 1)).unwrap();
        let mut shown = Vec::new();
        for asked in ["", "TOKEN", "gold", "nobody"] {
            let mut book = book.clone();
            book.prefer(asked);
            shown.push(book.at(Address::repeat_byte(1)).unwrap().name.to_string());
        }
        assert_eq!(shown, ["gold", "token", "gold", "gold"]);
    }

    #[test]
    fn a_damaged_file_says_so() {
        let place = place();
        let mut book = Book::open(&place.home, &network(1)).unwrap();
        book.remember(entry("token", 1)).unwrap();
        let path = book.folder.join("token.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for spoilt in [
            text[..40].to_owned(),
            text.replace("\"version\": 1", "\"version\": 2"),
            text.replace("0x0101", "0x"),
        ] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(Book::open(&place.home, &network(1)).unwrap_err().code(), "contract_damaged");
        }
    }
}
