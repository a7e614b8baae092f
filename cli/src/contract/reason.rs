//! Why a call was undone: the bytes that a contract gives with a revert, in words.
//!
//! `revert("text")` and failed `require`s carry `Error(string)`; the compiler's own checks carry
//! `Panic(uint256)`; the rest are errors that contracts declare.

use std::fmt;

use alloy_dyn_abi::{DynSolType, DynSolValue, JsonAbiExt};
use alloy_json_abi::JsonAbi;
use alloy_primitives::{U256, hex};
use serde::Serialize;
use serde_json::{Value, json};

use super::show::{self, Titles};

/// `Error(string)`
const ERROR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// `Panic(uint256)`
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
/// Longer data is cut in messages.
const SHOWN_BYTES: usize = 68;

/// A reason in words and for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reason {
    /// `ERC20InsufficientBalance`, `Error`, `Panic`; `None` where there is no reason or it cannot be read.
    name: Option<String>,
    /// The error's arguments, or what could not be read.
    arguments: Value,
    #[serde(rename = "message")]
    text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Reason {
    /// A call that the machine stopped: it gives no reason of its own.
    pub(crate) fn halted(why: &str) -> Self {
        Self { name: None, arguments: Value::Null, text: format!("it was stopped: {why}") }
    }

    /// Reads what the ledger itself gives as a reason.
    pub(crate) fn of_ledger(output: &[u8]) -> Self {
        built_in(output).unwrap_or_else(|| unknown(output))
    }

    /// Reads what a call returned when it was undone. The interfaces are searched in order: the contract's own
    /// first, then others', since errors of contracts further down come through.
    pub(crate) fn read<'a>(
        output: &[u8],
        interfaces: impl IntoIterator<Item = &'a JsonAbi>,
        titles: &dyn Titles,
    ) -> Self {
        if output.is_empty() {
            let text = "the contract gives no reason".to_owned();
            return Self { name: None, arguments: Value::Null, text };
        }
        built_in(output)
            .or_else(|| interfaces.into_iter().find_map(|abi| declared(output, abi, titles)))
            .unwrap_or_else(|| unknown(output))
    }
}

fn built_in(output: &[u8]) -> Option<Reason> {
    let (selector, data) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR => {
            let DynSolValue::String(text) = DynSolType::String.abi_decode(data).ok()? else { return None };
            let arguments = json!([text]);
            Some(Reason { name: Some("Error".to_owned()), arguments, text: format!("{text:?}") })
        }
        PANIC => {
            let (code, _) = DynSolType::Uint(256).abi_decode(data).ok()?.as_uint()?;
            let text = format!("panic 0x{code:02x}: {}", panic_words(code));
            Some(Reason { name: Some("Panic".to_owned()), arguments: json!([code.to_string()]), text })
        }
        _ => None,
    }
}

/// The codes of Solidity's documentation.
fn panic_words(code: U256) -> &'static str {
    match u64::try_from(code) {
        Ok(0x00) => "the compiler inserted it",
        Ok(0x01) => "an assertion does not hold",
        Ok(0x11) => "a number became too large or fell below zero",
        Ok(0x12) => "a division by zero",
        Ok(0x21) => "a number that is no value of its enum",
        Ok(0x22) => "bytes in storage that are encoded wrongly",
        Ok(0x31) => "pop from an empty array",
        Ok(0x32) => "an index beyond an array's end",
        Ok(0x41) => "more memory than there can be",
        Ok(0x51) => "a call of a function variable that was never set",
        _ => "a code that Solidity does not document",
    }
}

fn declared(output: &[u8], abi: &JsonAbi, titles: &dyn Titles) -> Option<Reason> {
    let (selector, data) = output.split_first_chunk::<4>()?;
    let fitting = abi.errors().find_map(|error| {
        (error.selector() == *selector).then(|| Some((error, error.abi_decode_input(data).ok()?)))?
    });
    let (error, values) = fitting?;
    let names = error.inputs.iter().map(|param| param.name.as_str());
    let told = show::named_texts(names, &values, titles).join(", ");
    let arguments = show::object(&error.inputs, &values);
    Some(Reason { name: Some(error.name.clone()), arguments, text: format!("{}({told})", error.name) })
}

fn unknown(output: &[u8]) -> Reason {
    let more = if output.len() > SHOWN_BYTES { "…" } else { "" };
    let shown = hex::encode_prefixed(&output[..output.len().min(SHOWN_BYTES)]);
    let text = format!("an error that no known interface declares: {shown}{more}");
    Reason { name: None, arguments: Value::String(hex::encode_prefixed(output)), text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    struct Nobody;

    impl Titles for Nobody {
        fn title(&self, _address: Address) -> Option<String> {
            None
        }
    }

    fn abi() -> JsonAbi {
        JsonAbi::parse(["error TooLittle(uint256 received, uint256 least)", "error Closed()"]).unwrap()
    }

    fn read(output: &[u8]) -> Reason {
        let other = JsonAbi::parse(["error Other(bool)"]).unwrap();
        Reason::read(output, [&other, &abi()], &Nobody)
    }

    fn with(selector: [u8; 4], value: &DynSolValue) -> Vec<u8> {
        [&selector[..], &value.abi_encode()].concat()
    }

    fn uint(number: u64) -> DynSolValue {
        DynSolValue::Uint(U256::from(number), 256)
    }

    #[test]
    fn the_three_kinds_of_reasons_are_read() {
        let text = DynSolValue::String("nothing to \"burn\"".to_owned());
        assert_eq!(read(&with(ERROR, &text)).to_string(), "\"nothing to \\\"burn\\\"\"");
        assert_eq!(
            read(&with(PANIC, &uint(0x11))).to_string(),
            "panic 0x11: a number became too large or fell below zero"
        );
        let declared = abi().errors["TooLittle"][0].abi_encode_input(&[uint(4), uint(5)]).unwrap();
        let reason = read(&declared);
        assert_eq!(reason.to_string(), "TooLittle(received: 4, least: 5)");
        let expected = json!({"name": "TooLittle", "arguments": {"received": "4", "least": "5"},
            "message": "TooLittle(received: 4, least: 5)"});
        assert_eq!(serde_json::to_value(reason).unwrap(), expected);
        assert_eq!(read(&abi().errors["Closed"][0].selector()[..]).to_string(), "Closed()");
    }

    #[test]
    fn every_panic_code_has_its_words() {
        for code in [0x00, 0x01, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x41, 0x51] {
            let told = read(&with(PANIC, &uint(code))).to_string();
            assert!(
                told.starts_with(&format!("panic 0x{code:02x}: ")) && !told.contains("document"),
                "{told}"
            );
        }
        assert!(read(&with(PANIC, &uint(0x99))).to_string().contains("does not document"));
    }

    #[test]
    fn anything_else_is_shown_as_it_is() {
        assert_eq!(read(&[]).to_string(), "the contract gives no reason");
        let selector = abi().errors["TooLittle"][0].selector();
        for odd in [&[1][..], &[1, 2, 3, 4, 5], &ERROR, &[ERROR, [9; 4]].concat(), &PANIC, &selector[..]] {
            let told = read(odd).to_string();
            assert!(told.ends_with(&hex::encode_prefixed(odd)), "{told}");
        }
        assert!(read(&[7; 4_000]).to_string().len() < 250);
    }
}
