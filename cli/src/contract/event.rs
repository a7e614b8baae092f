//! What a log says: the event that a contract declares for it, with its arguments in their order.

use alloy_dyn_abi::{DynSolValue, EventExt};
use alloy_json_abi::{Event, JsonAbi};
use alloy_primitives::{B256, hex};
use serde_json::Value;

use super::show::{self, Titles};
use crate::failure::{Failure, Outcome};
use crate::suggest;

/// A log that an interface explains.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The event's name.
    pub(crate) name: String,
    /// `Transfer(from: alice, to: bob, value: 5)`
    pub(crate) text: String,
    /// The arguments for programs.
    pub(crate) arguments: Value,
}

/// What a log says, if one of the interfaces declares its event.
pub(crate) fn tell<'a>(
    topics: &[B256],
    data: &[u8],
    interfaces: impl IntoIterator<Item = &'a JsonAbi>,
    titles: &dyn Titles,
) -> Option<Told> {
    interfaces.into_iter().flat_map(JsonAbi::events).find_map(|event| read(event, topics, data, titles))
}

/// A log that no interface explains, for people.
pub(crate) fn raw_text(topics: &[B256], data: &[u8]) -> String {
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    format!("topics [{}], data {}", topics.join(", "), hex::encode_prefixed(data))
}

/// The first topics of the events called `name`, by name or by signature.
///
/// # Errors
/// When the interface has none.
pub(crate) fn selectors(abi: &JsonAbi, name: &str) -> Outcome<Vec<B256>> {
    let plain: String = name.chars().filter(|letter| !letter.is_whitespace()).collect();
    let is_meant = |event: &&Event| !event.anonymous && (event.name == plain || event.signature() == plain);
    let found: Vec<B256> = abi.events().filter(is_meant).map(Event::selector).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let failure = Failure::usage("no_event", format!("the contract has no event called {name}"));
    let known: Vec<&str> = abi.events.keys().map(String::as_str).collect();
    Err(match suggest::nearest(&plain, known.iter().copied()) {
        Some(meant) => failure.hint(format!("did you mean {meant}?")),
        None if known.is_empty() => failure.hint("its interface has no events"),
        None => failure.hint(format!("it has {}", known.join(", "))),
    })
}

fn read(event: &Event, topics: &[B256], data: &[u8], titles: &dyn Titles) -> Option<Told> {
    // An anonymous event fits any log of its shape; to claim that would be a guess.
    let indexed = event.inputs.iter().filter(|param| param.indexed).count();
    if event.anonymous || topics.first() != Some(&event.selector()) || topics.len() != indexed + 1 {
        return None;
    }
    let decoded = event.decode_log_parts(topics.iter().copied(), data).ok()?;
    let (mut indexed, mut body) = (decoded.indexed.into_iter(), decoded.body.into_iter());
    let mut next = |is_indexed: bool| if is_indexed { indexed.next() } else { body.next() };
    let values: Option<Vec<DynSolValue>> = event.inputs.iter().map(|param| next(param.indexed)).collect();
    let values = values?;
    let names = || event.inputs.iter().map(|param| param.name.as_str());
    let told = show::named_texts(names(), &values, titles).join(", ");
    let pairs = event.inputs.iter().zip(&values);
    let pairs = pairs.map(|(param, value)| (param.name.as_str(), show::json(value, &param.components)));
    Some(Told {
        name: event.name.clone(),
        text: format!("{}({told})", event.name),
        arguments: show::keyed(pairs.collect()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256, keccak256};
    use serde_json::json;
    use synod_types::address::format_address;

    struct Alice;

    impl Titles for Alice {
        fn title(&self, address: Address) -> Option<String> {
            (address == Address::repeat_byte(0xa1)).then(|| "alice".to_owned())
        }
    }

    fn abi() -> JsonAbi {
        JsonAbi::parse([
            "event Transfer(address indexed from, uint256 value, address indexed to)",
            "event Note(string indexed title, string text)",
        ])
        .unwrap()
    }

    fn tell_one(topics: &[B256], data: &[u8]) -> Option<Told> {
        tell(topics, data, [&abi()], &Alice)
    }

    #[test]
    fn an_event_is_told_with_its_arguments_in_their_order() {
        let (alice, bob) = (Address::repeat_byte(0xa1), Address::repeat_byte(0xb0));
        let topics = [abi().events["Transfer"][0].selector(), alice.into_word(), bob.into_word()];
        let told = tell_one(&topics, &U256::from(5).to_be_bytes::<32>()).unwrap();
        let (alice, bob) = (format_address(&alice), format_address(&bob));
        assert_eq!(told.text, format!("Transfer(from: alice ({alice}), value: 5, to: {bob})"));
        assert_eq!(told.arguments, json!({"from": alice, "value": "5", "to": bob}));
    }

    #[test]
    fn an_indexed_text_is_known_by_its_hash_alone() {
        let topics = [abi().events["Note"][0].selector(), keccak256("title")];
        let data = DynSolValue::Tuple(vec![DynSolValue::String("hello".to_owned())]).abi_encode_params();
        let told = tell_one(&topics, &data).unwrap();
        assert_eq!(told.text, format!("Note(title: {}, text: \"hello\")", keccak256("title")));
    }

    #[test]
    fn a_log_of_another_shape_is_not_explained() {
        let selector = abi().events["Transfer"][0].selector();
        let word = B256::repeat_byte(1);
        for (topics, length) in
            [(vec![], 0), (vec![word], 32), (vec![selector], 32), (vec![selector, word, word], 31)]
        {
            assert_eq!(tell_one(&topics, &vec![0; length]), None, "{topics:?} {length}");
        }
        assert!(raw_text(&[word], &[7]).ends_with("data 0x07"));
    }

    #[test]
    fn events_are_named_by_name_or_signature() {
        let transfer = abi().events["Transfer"][0].selector();
        assert_eq!(selectors(&abi(), "Transfer").unwrap(), [transfer]);
        assert_eq!(selectors(&abi(), "Transfer(address, uint256, address)").unwrap(), [transfer]);
        assert_eq!(selectors(&abi(), "Trasnfer").unwrap_err().next_step(), Some("did you mean Transfer?"));
    }
}
