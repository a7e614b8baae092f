//! What a compiler wrote about a contract: its interface, and the bytecode that creates it.
//!
//! Read are Foundry's `out/*.json`, hardhat's artifacts, solc's standard and combined output, a bare ABI,
//! and raw hex (a file, or the word itself). Where a file holds several contracts, `FILE:NAME` names one.

use std::io::Read;
use std::path::Path;

use alloy_json_abi::JsonAbi;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::suggest;
use synod_types::Bytes;

/// Build outputs of large projects stay far below this.
const LENGTH_LIMIT: u64 = 64 << 20;

/// One contract of a compiler's output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Artifact {
    /// What its source calls it, where that is known.
    pub(crate) name: Option<String>,
    /// Its interface; `None` for raw bytecode.
    pub(crate) abi: Option<JsonAbi>,
    /// What creates it.
    bytecode: Bytecode,
}

#[derive(Debug, Clone, PartialEq)]
enum Bytecode {
    Whole(Bytes),
    /// Nothing: an interface, an abstract contract, a bare ABI.
    Absent,
    /// Libraries' addresses are still to be filled in.
    Unlinked,
}

impl Artifact {
    /// Reads the artifact that `named` means: `FILE`, `FILE:NAME` or hex.
    ///
    /// # Errors
    /// When there is none, or several.
    pub(crate) fn load(named: &str) -> Outcome<Self> {
        if named.starts_with("0x") && !Path::new(named).exists() {
            return Self::raw(named).ok_or_else(|| malformed(named, "it is not hex"));
        }
        let (path, contract) = split(named);
        let text = read(Path::new(path))?;
        let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        // Digits alone are a JSON number too, and hex.
        let json =
            serde_json::from_str::<Value>(&text).ok().filter(|json| json.is_object() || json.is_array());
        let Some(json) = json else {
            let raw = Self::raw(text.trim());
            return raw.ok_or_else(|| malformed(path, "it is neither JSON nor hex"));
        };
        choose(Self::all(&json, stem.as_deref(), path)?, contract, path)
    }

    /// What creates the contract.
    ///
    /// # Errors
    /// When there is nothing, or nothing whole.
    pub(crate) fn creation(&self) -> Outcome<&Bytes> {
        let name = self.name.as_deref().unwrap_or("this");
        match &self.bytecode {
            Bytecode::Whole(code) => Ok(code),
            Bytecode::Absent => Err(Failure::usage(
                "no_bytecode",
                format!("{name} has no bytecode: an interface or an abstract contract cannot be deployed"),
            )
            .hint("give the artifact of the contract that implements it")),
            Bytecode::Unlinked => Err(Failure::usage(
                "unlinked",
                format!("{name} uses libraries, and their addresses are not filled in"),
            )
            .hint(
                "deploy the libraries and compile again with their addresses (solc and forge: --libraries)",
            )),
        }
    }

    fn raw(hex: &str) -> Option<Self> {
        let code: Bytes = alloy_primitives::hex::decode(hex).ok()?.into();
        (!code.is_empty()).then_some(Self { name: None, abi: None, bytecode: Bytecode::Whole(code) })
    }

    /// Every contract in a document.
    fn all(json: &Value, stem: Option<&str>, path: &str) -> Outcome<Vec<Self>> {
        if json.is_array() || json.get("abi").is_some() {
            return Ok(vec![Self::single(json, stem, path)?]);
        }
        let Some(contracts) = json.get("contracts").and_then(Value::as_object) else {
            return Err(malformed(path, "there is no \"abi\" and no \"contracts\" in it"));
        };
        let mut found = Vec::new();
        for (key, value) in contracts {
            // Combined output: "file:Name" → {"abi", "bin"}. Standard output: file → Name → {"abi", "evm"}.
            if value.get("abi").is_some() || value.get("bin").is_some() {
                let name = key.rsplit(':').next().unwrap_or(key);
                found.push(Self::read(name, &value["abi"], &value["bin"], path)?);
                continue;
            }
            for (name, contract) in value.as_object().into_iter().flatten() {
                found.push(Self::read(name, &contract["abi"], &contract["evm"]["bytecode"]["object"], path)?);
            }
        }
        Ok(found)
    }

    /// A document about one contract.
    fn single(json: &Value, stem: Option<&str>, path: &str) -> Outcome<Self> {
        let name = json.get("contractName").and_then(Value::as_str).or(stem).unwrap_or_default();
        if json.is_array() {
            return Self::read(name, json, &Value::Null, path);
        }
        let bytecode = &json["bytecode"];
        let object = if bytecode.is_object() { &bytecode["object"] } else { bytecode };
        let object = if object.is_null() { &json["evm"]["bytecode"]["object"] } else { object };
        Self::read(name, &json["abi"], object, path)
    }

    fn read(name: &str, abi: &Value, code: &Value, path: &str) -> Outcome<Self> {
        let abi = match abi {
            // Old compilers wrote the interface as a text inside the JSON.
            Value::String(text) => serde_json::from_str(text),
            Value::Null => Ok(None),
            value => serde_json::from_value(value.clone()),
        }
        .map_err(|error| malformed(path, &format!("the interface of {name:?} does not read: {error}")))?;
        let bytecode = match code.as_str().map(|text| text.trim_start_matches("0x")) {
            None | Some("") => Bytecode::Absent,
            Some(digits) if digits.contains("__") => Bytecode::Unlinked,
            Some(digits) => match alloy_primitives::hex::decode(digits) {
                Ok(code) => Bytecode::Whole(code.into()),
                Err(error) => {
                    return Err(malformed(path, &format!("the bytecode of {name:?} is not hex: {error}")));
                }
            },
        };
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), abi, bytecode })
    }
}

/// `FILE:NAME`, where the file exists.
fn split(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((path, contract)) if !Path::new(named).exists() => (path, Some(contract)),
        _ => (named, None),
    }
}

fn read(path: &Path) -> Outcome<String> {
    let failed = |error: std::io::Error| {
        Failure::file(path, &error).hint(
            "give a compiler's artifact (Foundry: out/NAME.sol/NAME.json), FILE:NAME, or 0x and the bytecode",
        )
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let length = file.take(LENGTH_LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
    if length as u64 > LENGTH_LIMIT {
        return Err(malformed(&path.display().to_string(), "it is longer than 64 MiB"));
    }
    Ok(text)
}

fn choose(all: Vec<Artifact>, contract: Option<&str>, path: &str) -> Outcome<Artifact> {
    let known: Vec<String> = all.iter().filter_map(|one| one.name.clone()).collect();
    let mut fitting: Vec<Artifact> = match contract {
        Some(contract) => all.into_iter().filter(|one| one.name.as_deref() == Some(contract)).collect(),
        // Interfaces beside the contract itself are no choice to make.
        None if all.len() > 1 => all.into_iter().filter(|one| one.bytecode != Bytecode::Absent).collect(),
        None => all,
    };
    let list = known.join(", ");
    match (fitting.len(), contract) {
        (1, _) => Ok(fitting.remove(0)),
        (0, Some(contract)) => {
            let failure = Failure::usage("no_contract", format!("{path} has no contract called {contract}"));
            Err(match suggest::nearest(contract, known.iter().map(String::as_str)) {
                Some(meant) => failure.hint(format!("did you mean {path}:{meant}?")),
                None => failure.hint(format!("it has {list}")),
            })
        }
        (0, None) => Err(malformed(path, "there is no contract in it")),
        (_, _) => Err(Failure::usage("which_contract", format!("{path} holds several contracts: {list}"))
            .hint(format!("name one: {path}:{}", fitting[0].name.as_deref().unwrap_or("NAME")))),
    }
}

fn malformed(path: &str, problem: &str) -> Failure {
    let shown: String = path.chars().take(60).collect();
    Failure::usage("bad_artifact", format!("{shown} is no contract's artifact: {problem}"))
        .hint("artifacts of solc, Foundry and hardhat are read, and raw hex")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn abi() -> Value {
        json!([{"type": "function", "name": "poke", "inputs": [], "outputs": [], "stateMutability": "nonpayable"}])
    }

    fn load(value: &Value) -> Outcome<Artifact> {
        load_as(&value.to_string(), "")
    }

    fn load_as(text: &str, contract: &str) -> Outcome<Artifact> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Thing.json");
        std::fs::write(&path, text).unwrap();
        Artifact::load(&format!("{}{contract}", path.display()))
    }

    #[test]
    fn every_compilers_form_is_read() {
        for (form, value, name) in [
            (
                "foundry",
                json!({"abi": abi(), "bytecode": {"object": "0x6001"}, "deployedBytecode": {}}),
                "Thing",
            ),
            ("hardhat", json!({"contractName": "Box", "abi": abi(), "bytecode": "0x6001"}), "Box"),
            ("one of solc", json!({"abi": abi(), "evm": {"bytecode": {"object": "6001"}}}), "Thing"),
            (
                "standard",
                json!({"contracts": {
                    "a.sol": {"IBox": {"abi": [], "evm": {"bytecode": {"object": ""}}},
                              "Box": {"abi": abi(), "evm": {"bytecode": {"object": "6001"}}}}}}),
                "Box",
            ),
            ("combined", json!({"contracts": {"a.sol:Box": {"abi": abi(), "bin": "6001"}}}), "Box"),
            (
                "old combined",
                json!({"contracts": {"a.sol:Box": {"abi": abi().to_string(), "bin": "6001"}}}),
                "Box",
            ),
        ] {
            let artifact = load(&value).unwrap();
            assert_eq!(artifact.name.as_deref(), Some(name), "{form}");
            assert_eq!(artifact.creation().unwrap()[..], [0x60, 0x01], "{form}");
            assert!(artifact.abi.unwrap().functions.contains_key("poke"), "{form}");
        }
    }

    #[test]
    fn hex_alone_is_a_contract_without_an_interface() {
        for artifact in [Artifact::load("0x6001").unwrap(), load_as("6001\n", "").unwrap()] {
            assert_eq!((artifact.creation().unwrap()[..].to_vec(), artifact.abi), (vec![0x60, 0x01], None));
        }
    }

    #[test]
    fn a_bare_interface_is_good_for_calls_alone() {
        let artifact = load(&abi()).unwrap();
        assert!(artifact.abi.as_ref().unwrap().functions.contains_key("poke"));
        assert_eq!(artifact.creation().unwrap_err().code(), "no_bytecode");
    }

    #[test]
    fn of_several_contracts_one_must_be_named() {
        let two = json!({"contracts": {"a.sol": {
            "Box": {"abi": [], "evm": {"bytecode": {"object": "6001"}}},
            "Bag": {"abi": [], "evm": {"bytecode": {"object": "6002"}}}}}})
        .to_string();
        let error = load_as(&two, "").unwrap_err();
        assert_eq!(error.code(), "which_contract");
        assert!(error.to_string().contains("Bag, Box"));
        assert_eq!(load_as(&two, ":Bag").unwrap().creation().unwrap()[..], [0x60, 0x02]);
        assert!(load_as(&two, ":Bax").unwrap_err().next_step().unwrap().contains("did you mean"));
    }

    #[test]
    fn what_cannot_be_deployed_says_why() {
        let unlinked = json!({"abi": [], "bytecode": {"object": "0x60__$aabb$__"}});
        assert_eq!(load(&unlinked).unwrap().creation().unwrap_err().code(), "unlinked");
        let code = |text: &str| load_as(text, "").unwrap_err().code().to_owned();
        for text in [
            "",
            "{}",
            "hello",
            "0x",
            "7",
            r#"{"contracts": {}}"#,
            r#"{"abi": 7}"#,
            r#"{"abi": [], "bytecode": "0xzz"}"#,
        ] {
            assert_eq!(code(text), "bad_artifact", "{text:?}");
        }
        assert_eq!(Artifact::load("/nowhere/Thing.json").unwrap_err().code(), "file");
        assert_eq!(Artifact::load("0x6").unwrap_err().code(), "bad_artifact");
    }
}
