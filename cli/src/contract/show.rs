//! Values of the ABI for people and for programs.
//!
//! People see names beside addresses and `12e18` beside long numbers. Programs get JSON: numbers as decimal
//! strings, bytes as `0x` hex, structs as objects where their members have names.

use alloy_dyn_abi::DynSolValue;
use alloy_json_abi::Param;
use alloy_primitives::{Address, hex};
use serde_json::{Map, Value};
use synod_types::address::format_address;

use super::number;

/// Who knows what an address is called.
pub(crate) trait Titles {
    /// The name of an address, if it has one here.
    fn title(&self, address: Address) -> Option<String>;
}

/// One value, for people.
pub(crate) fn text(value: &DynSolValue, titles: &dyn Titles) -> String {
    match value {
        DynSolValue::Uint(number, _) => match number::shortly(*number) {
            Some(short) => format!("{number} ({short})"),
            None => number.to_string(),
        },
        DynSolValue::Address(address) => address_text(*address, titles),
        DynSolValue::String(text) => format!("{text:?}"),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => {
            format!("[{}]", texts(items, titles).join(", "))
        }
        DynSolValue::Tuple(members) => format!("({})", texts(members, titles).join(", ")),
        plain => json(plain, &[]).as_str().map_or_else(|| json(plain, &[]).to_string(), str::to_owned),
    }
}

/// An address with its name: `alice (0x…)`.
pub(crate) fn address_text(address: Address, titles: &dyn Titles) -> String {
    match titles.title(address) {
        Some(name) => format!("{name} ({})", format_address(&address)),
        None => format_address(&address),
    }
}

/// Values with their names, for people: `to: alice (0x…), value: 5`.
pub(crate) fn named_texts<'a>(
    names: impl IntoIterator<Item = &'a str>,
    values: &[DynSolValue],
    titles: &dyn Titles,
) -> Vec<String> {
    let name = |(name, value): (&str, &DynSolValue)| match name {
        "" => text(value, titles),
        name => format!("{name}: {}", text(value, titles)),
    };
    names.into_iter().zip(values).map(name).collect()
}

fn texts(values: &[DynSolValue], titles: &dyn Titles) -> Vec<String> {
    values.iter().map(|value| text(value, titles)).collect()
}

/// One value for programs. `components` names a struct's members.
pub(crate) fn json(value: &DynSolValue, components: &[Param]) -> Value {
    match value {
        DynSolValue::Bool(yes) => Value::Bool(*yes),
        DynSolValue::Int(number, _) => Value::String(number.to_string()),
        DynSolValue::Uint(number, _) => Value::String(number.to_string()),
        DynSolValue::FixedBytes(word, length) => Value::String(hex::encode_prefixed(&word[..*length])),
        DynSolValue::Address(address) => Value::String(format_address(address)),
        DynSolValue::Function(function) => Value::String(hex::encode_prefixed(function)),
        DynSolValue::Bytes(bytes) => Value::String(hex::encode_prefixed(bytes)),
        DynSolValue::String(text) => Value::String(text.clone()),
        DynSolValue::Array(items) | DynSolValue::FixedArray(items) => {
            items.iter().map(|item| json(item, components)).collect()
        }
        DynSolValue::Tuple(members) => object(components, members),
    }
}

/// Values by the names of their parameters, or a list where not all have different names.
pub(crate) fn object(params: &[Param], values: &[DynSolValue]) -> Value {
    let named =
        params.iter().zip(values).map(|(param, value)| (param.name.as_str(), json(value, &param.components)));
    if params.len() != values.len() {
        return values.iter().map(|value| json(value, &[])).collect();
    }
    keyed(named.collect())
}

/// The same for pairs that are made already.
pub(crate) fn keyed(pairs: Vec<(&str, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in &pairs {
        let is_new = !name.is_empty() && object.insert((*name).to_owned(), value.clone()).is_none();
        if !is_new {
            return pairs.into_iter().map(|(_, value)| value).collect();
        }
    }
    Value::Object(object)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, I256, U256};
    use serde_json::json;

    struct Alice;

    impl Titles for Alice {
        fn title(&self, address: Address) -> Option<String> {
            (address == Address::repeat_byte(0xa1)).then(|| "alice".to_owned())
        }
    }

    fn uint(number: u64) -> DynSolValue {
        DynSolValue::Uint(U256::from(number), 256)
    }

    #[test]
    fn people_see_names_and_short_numbers() {
        let alice = Address::repeat_byte(0xa1);
        for (value, told) in [
            (uint(5), "5".to_owned()),
            (uint(1_500_000_000_000_000_000), "1500000000000000000 (1.5e18)".to_owned()),
            (DynSolValue::Int(I256::MINUS_ONE, 8), "-1".to_owned()),
            (DynSolValue::Bool(true), "true".to_owned()),
            (DynSolValue::Address(alice), format!("alice ({})", format_address(&alice))),
            (DynSolValue::Address(Address::ZERO), format_address(&Address::ZERO)),
            (DynSolValue::Bytes(vec![1, 2]), "0x0102".to_owned()),
            (DynSolValue::FixedBytes(B256::repeat_byte(7), 2), "0x0707".to_owned()),
            (DynSolValue::String("a\"\x1b[31m".to_owned()), "\"a\\\"\\u{1b}[31m\"".to_owned()),
            (
                DynSolValue::Tuple(vec![uint(1), DynSolValue::Array(vec![uint(2), uint(3)])]),
                "(1, [2, 3])".to_owned(),
            ),
        ] {
            assert_eq!(text(&value, &Alice), told);
        }
    }

    #[test]
    fn programs_get_objects_where_there_are_names() {
        let output = |name: &str, ty: &str| json!({"name": name, "type": ty});
        let mut list = output("list", "tuple[]");
        list["components"] = json!([output("id", "uint256"), output("ok", "bool")]);
        let outputs = json!([list, output("", "uint256"), output("note", "string")]);
        let outputs: Vec<Param> = serde_json::from_value(outputs).unwrap();
        let item = DynSolValue::Tuple(vec![uint(1), DynSolValue::Bool(true)]);
        let values = [DynSolValue::Array(vec![item]), uint(7), DynSolValue::String("x".to_owned())];
        // One output has no name: the whole is a list, its structs are objects all the same.
        assert_eq!(object(&outputs, &values), json!([[{"id": "1", "ok": true}], "7", "x"]));
        let named = [outputs[0].clone(), outputs[2].clone()];
        let values = [values[0].clone(), values[2].clone()];
        assert_eq!(object(&named, &values), json!({"list": [{"id": "1", "ok": true}], "note": "x"}));
    }
}
