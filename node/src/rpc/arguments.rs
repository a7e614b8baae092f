//! Positional parameters, read one by one. What is wrong is named by the parameter and by what would be
//! right; what was sent is never repeated (RPC-6: someone may have pasted a key).

use jsonrpsee::types::Params;
use jsonrpsee::types::params::ParamsSequence;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use synod_types::{Address, TransactionId};

use super::types::{ErrorCode, Refusal, text};

/// The parameters of one call.
pub(super) struct Arguments<'a> {
    sequence: ParamsSequence<'a>,
}

impl<'a> Arguments<'a> {
    pub(super) fn of(params: &'a Params<'_>) -> Result<Self, Refusal> {
        if params.is_object() {
            return Err(Refusal::new(ErrorCode::Malformed, "parameters are given by position, in an array"));
        }
        Ok(Self { sequence: params.sequence() })
    }

    /// The next parameter.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str, form: &str) -> Result<T, Refusal> {
        self.sequence.next::<T>().map_err(|_| wrong(name, form))
    }

    /// The next parameter, or nothing when it is absent or `null`.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, Refusal> {
        self.sequence.optional_next::<T>().map_err(|_| wrong(name, form))
    }

    /// That was all: a parameter too many is a misunderstanding.
    pub(super) fn end(mut self) -> Result<(), Refusal> {
        match self.sequence.optional_next::<IgnoredAny>() {
            Ok(None) => Ok(()),
            _ => Err(Refusal::new(ErrorCode::Malformed, "more parameters than this method takes")),
        }
    }

    pub(super) fn address(&mut self, name: &str) -> Result<Address, Refusal> {
        self.required::<AddressArgument>(name, ADDRESS).map(|argument| argument.0)
    }

    pub(super) fn optional_address(&mut self, name: &str) -> Result<Option<Address>, Refusal> {
        Ok(self.optional::<AddressArgument>(name, ADDRESS)?.map(|argument| argument.0))
    }

    pub(super) fn transaction_id(&mut self) -> Result<TransactionId, Refusal> {
        self.required::<IdArgument>("id", "a transaction's id: 0x and 64 hex digits").map(|id| id.0)
    }

    pub(super) fn exact_number(&mut self, name: &str) -> Result<u64, Refusal> {
        self.required::<ExactArgument>(name, "a number, or a decimal string").map(|number| number.0)
    }
}

const ADDRESS: &str = "an address: 0x and 40 hex digits, whose letters' case is a checksum when it is mixed";

fn wrong(name: &str, form: &str) -> Refusal {
    Refusal::new(ErrorCode::Malformed, format!("the parameter {name} must be {form}"))
}

#[derive(Deserialize)]
struct AddressArgument(#[serde(with = "text::checksummed")] Address);

struct IdArgument(TransactionId);

impl<'de> Deserialize<'de> for IdArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer).map(Self)
    }
}

#[derive(Deserialize)]
struct ExactArgument(#[serde(with = "text::exact")] u64);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_position_and_none_is_too_many() {
        let params = Params::new(Some("[5, null, \"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\"]"));
        let mut arguments = Arguments::of(&params).unwrap();
        assert_eq!(arguments.exact_number("a").unwrap(), 5);
        assert_eq!(arguments.optional::<u64>("b", "a number").unwrap(), None);
        arguments.address("c").unwrap();
        assert_eq!(arguments.optional::<u64>("d", "a number").unwrap(), None);
        arguments.end().unwrap();
        let params = Params::new(Some("[5, 6]"));
        let mut arguments = Arguments::of(&params).unwrap();
        arguments.exact_number("a").unwrap();
        assert!(arguments.end().is_err());
    }

    #[test]
    fn rpc_6_what_was_sent_is_never_repeated() {
        for text in ["[\"hunter2\"]", "[{\"hunter2\": 1}]", "{\"a\": \"hunter2\"}", "[]", "[[\"hunter2\"", ""]
        {
            let params = Params::new(Some(text));
            let refused = Arguments::of(&params).and_then(|mut arguments| arguments.address("address"));
            let refusal = refused.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::Malformed);
            assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
        }
    }
}
