//! A typed word as a value of the ABI.
//!
//! ```text
//! address     alice, dev0, TOKEN, 0x305498f8e08BC65DBacb4514475E01AFbE03f575
//! uint, int   42, 12e18, 1.5syn, 5gwei, 0x2a, -7
//! bool        true, false
//! string      as it stands; inside brackets also "with, commas"
//! bytes       0x0102
//! T[], T[3]   [1, 2, 3]
//! (A, B)      (alice, 12e18)
//! ```

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, Function, hex};

use super::number;

/// Brackets inside brackets; no contract that people call by hand comes near.
const DEEPEST: usize = 16;

/// Who knows what a name means: the account or the contract called so, or why there is none.
pub(crate) trait Addresses {
    /// The address that `text` means.
    ///
    /// # Errors
    /// One sentence.
    fn address(&self, text: &str) -> Result<Address, String>;
}

/// Reads `text` as a value of type `wanted`.
///
/// # Errors
/// One sentence that says what is wrong with the word.
pub(crate) fn read(
    wanted: &DynSolType,
    text: &str,
    addresses: &dyn Addresses,
) -> Result<DynSolValue, String> {
    Reader { addresses }.value(wanted, text, 0)
}

struct Reader<'a> {
    addresses: &'a dyn Addresses,
}

impl Reader<'_> {
    fn value(&self, wanted: &DynSolType, text: &str, depth: usize) -> Result<DynSolValue, String> {
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} brackets inside each other"));
        }
        let trimmed = text.trim();
        let numbered = |error: number::NumberError| format!("{trimmed:?} {error}");
        Ok(match wanted {
            DynSolType::Bool => DynSolValue::Bool(boolean(trimmed)?),
            DynSolType::Uint(bits) => {
                DynSolValue::Uint(number::unsigned(trimmed, *bits).map_err(numbered)?, *bits)
            }
            DynSolType::Int(bits) => {
                DynSolValue::Int(number::signed(trimmed, *bits).map_err(numbered)?, *bits)
            }
            DynSolType::Address => DynSolValue::Address(self.addresses.address(trimmed)?),
            DynSolType::Bytes => DynSolValue::Bytes(bytes(trimmed)?),
            DynSolType::FixedBytes(length) => {
                let mut word = [0; 32];
                let given = exactly(trimmed, *length)?;
                word[..*length].copy_from_slice(&given);
                DynSolValue::FixedBytes(word.into(), *length)
            }
            DynSolType::Function => DynSolValue::Function(Function::from_slice(&exactly(trimmed, 24)?)),
            // At the top a string is exactly what the shell gave; inside brackets quotes mark its ends.
            DynSolType::String if depth == 0 => DynSolValue::String(text.to_owned()),
            DynSolType::String => DynSolValue::String(unquote(trimmed)?),
            DynSolType::Array(of) => DynSolValue::Array(self.items(of, trimmed, depth)?),
            DynSolType::FixedArray(of, length) => {
                let items = self.items(of, trimmed, depth)?;
                if items.len() != *length {
                    return Err(format!("{trimmed:?} has {} items, and {length} are wanted", items.len()));
                }
                DynSolValue::FixedArray(items)
            }
            DynSolType::Tuple(types) => DynSolValue::Tuple(self.members(types, trimmed, depth)?),
        })
    }

    fn items(&self, of: &DynSolType, text: &str, depth: usize) -> Result<Vec<DynSolValue>, String> {
        let parts = split(inside(text, '[', ']')?)?;
        parts.into_iter().map(|part| self.value(of, part, depth + 1)).collect()
    }

    fn members(&self, types: &[DynSolType], text: &str, depth: usize) -> Result<Vec<DynSolValue>, String> {
        let parts = split(inside(text, '(', ')')?)?;
        if parts.len() != types.len() {
            return Err(format!("{text:?} has {} members, and {} are wanted", parts.len(), types.len()));
        }
        types.iter().zip(parts).map(|(wanted, part)| self.value(wanted, part, depth + 1)).collect()
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits =
        text.strip_prefix("0x").ok_or_else(|| format!("{text:?} is no bytes: write 0x and hex digits"))?;
    hex::decode(digits).map_err(|_| format!("{text:?} is no bytes: after 0x come pairs of hex digits"))
}

fn exactly(text: &str, length: usize) -> Result<Vec<u8>, String> {
    let given = bytes(text)?;
    if given.len() == length {
        return Ok(given);
    }
    Err(format!("{text:?} is {} bytes, and exactly {length} are wanted", given.len()))
}

/// What stands between a pair of brackets.
fn inside(text: &str, open: char, close: char) -> Result<&str, String> {
    let inner = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    inner.ok_or_else(|| format!("{text:?} must stand in {open} and {close}"))
}

/// The parts between commas that stand in no inner bracket and no quotes.
fn split(text: &str) -> Result<Vec<&str>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let unbalanced = || format!("the brackets or quotes in {text:?} do not match");
    let (mut parts, mut open, mut from) = (Vec::new(), Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' => open.push(']'),
            '(' => open.push(')'),
            ']' | ')' if open.pop() != Some(letter) => return Err(unbalanced()),
            ',' if open.is_empty() => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if quoted || !open.is_empty() {
        return Err(unbalanced());
    }
    parts.push(&text[from..]);
    Ok(parts)
}

/// A string inside brackets: bare, or in quotes as in JSON.
fn unquote(text: &str) -> Result<String, String> {
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    serde_json::from_str(text).map_err(|_| format!("{text} is no string in quotes, as JSON writes them"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{I256, U256};

    struct Alice;

    impl Addresses for Alice {
        fn address(&self, text: &str) -> Result<Address, String> {
            if text == "alice" { Ok(Address::repeat_byte(0xa1)) } else { Err(format!("{text:?} is nobody")) }
        }
    }

    fn value(wanted: &str, text: &str) -> Result<DynSolValue, String> {
        read(&DynSolType::parse(wanted).unwrap(), text, &Alice)
    }

    fn uint(number: u64) -> DynSolValue {
        DynSolValue::Uint(U256::from(number), 256)
    }

    #[test]
    fn words_become_values_of_every_type() {
        let alice = DynSolValue::Address(Address::repeat_byte(0xa1));
        let text = |text: &str| DynSolValue::String(text.to_owned());
        for (wanted, typed, expected) in [
            ("bool", "true", DynSolValue::Bool(true)),
            ("uint256", "5gwei", uint(5_000_000_000)),
            ("int8", "-7", DynSolValue::Int(I256::try_from(-7).unwrap(), 8)),
            ("address", "alice", alice.clone()),
            ("bytes", "0x", DynSolValue::Bytes(Vec::new())),
            ("bytes", "0x0aFF", DynSolValue::Bytes(vec![0x0a, 0xff])),
            (
                "bytes2",
                "0x0102",
                DynSolValue::FixedBytes(alloy_primitives::B256::right_padding_from(&[1, 2]), 2),
            ),
            ("string", " as, it \"stands\" ", text(" as, it \"stands\" ")),
            ("string", "", text("")),
            ("uint256[]", "[]", DynSolValue::Array(Vec::new())),
            ("uint256[]", "[1, 2,3]", DynSolValue::Array(vec![uint(1), uint(2), uint(3)])),
            ("uint256[2]", "[1,0x2]", DynSolValue::FixedArray(vec![uint(1), uint(2)])),
            ("(address,uint256)", "(alice, 3)", DynSolValue::Tuple(vec![alice, uint(3)])),
            (
                "string[]",
                r#"[plain, "a, b]", "say \"hi\""]"#,
                DynSolValue::Array(vec![text("plain"), text("a, b]"), text("say \"hi\"")]),
            ),
            (
                "(uint256,(uint256[],bool))[]",
                "[(1,([2,3],true)),(4,([],false))]",
                DynSolValue::Array(vec![
                    DynSolValue::Tuple(vec![
                        uint(1),
                        DynSolValue::Tuple(vec![
                            DynSolValue::Array(vec![uint(2), uint(3)]),
                            DynSolValue::Bool(true),
                        ]),
                    ]),
                    DynSolValue::Tuple(vec![
                        uint(4),
                        DynSolValue::Tuple(vec![DynSolValue::Array(Vec::new()), DynSolValue::Bool(false)]),
                    ]),
                ]),
            ),
        ] {
            assert_eq!(value(wanted, typed).as_ref(), Ok(&expected), "{wanted} {typed}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_sentence() {
        for (wanted, typed, told) in [
            ("bool", "yes", "neither true nor false"),
            ("uint8", "256", "does not fit"),
            ("uint256", "alice", "is no number"),
            ("address", "bob", "is nobody"),
            ("bytes", "0102", "write 0x"),
            ("bytes", "0x012", "pairs of hex digits"),
            ("bytes4", "0x010203", "3 bytes, and exactly 4"),
            ("uint256[]", "1,2", "must stand in [ and ]"),
            ("uint256[2]", "[1]", "1 items, and 2 are wanted"),
            ("uint256[]", "[1,]", "is no number"),
            ("uint256[][]", "[[1,2]", "do not match"),
            ("uint256[][]", "[[1)]", "do not match"),
            ("(uint256,bool)", "(1)", "1 members, and 2 are wanted"),
            ("string[]", r#"["open]"#, "do not match"),
            ("string[]", r#"["a"b]"#, "no string in quotes"),
        ] {
            let error = value(wanted, typed).unwrap_err();
            assert!(error.contains(told), "{wanted} {typed}: {error}");
        }
        let deep = format!("uint256{}", "[]".repeat(20));
        let typed = format!("{}{}", "[".repeat(20), "]".repeat(20));
        assert!(value(&deep, &typed).unwrap_err().contains("more than 16 brackets"));
    }
}
