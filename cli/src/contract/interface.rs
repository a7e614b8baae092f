//! Which function is meant, and its call data.
//!
//! A function is named by its name, or where several share it by its signature. Overloads are told apart
//! by the number of arguments, then by which of them the words can be read for; what is still open is
//! refused with the signatures to choose from.

use alloy_dyn_abi::{DynSolType, DynSolValue, FunctionExt, JsonAbiExt, Specifier};
use alloy_json_abi::{Function, JsonAbi, Param, StateMutability};

use super::argument::{self, Addresses};
use super::show::{self, Titles};
use crate::failure::{Failure, Outcome};
use crate::suggest;
use synod_types::Bytes;

/// A function with its arguments, as it will be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// The function.
    pub(crate) function: Function,
    /// The arguments.
    pub(crate) arguments: Vec<DynSolValue>,
    /// Selector and arguments.
    pub(crate) data: Bytes,
}

impl Call {
    /// The call that `name` and the typed `words` mean.
    ///
    /// # Errors
    /// When the interface has no such function, or the words do not fit it.
    pub(crate) fn read(
        abi: &JsonAbi,
        name: &str,
        words: &[String],
        addresses: &dyn Addresses,
    ) -> Outcome<Self> {
        let mut fitting = named(abi, name)?;
        if fitting.len() > 1 {
            fitting.retain(|function| function.inputs.len() == words.len());
            match fitting.len() {
                0 => return Err(wrong_count(name, &abi.functions[name], words.len())),
                1 => {}
                _ => {
                    let readable =
                        |function: &&Function| read_all(&function.inputs, words, addresses).is_ok();
                    let readable: Vec<&Function> = fitting.iter().copied().filter(readable).collect();
                    // Where none can be read the first says what is wrong with the words.
                    match readable.len() {
                        0 => fitting.truncate(1),
                        _ => fitting = readable,
                    }
                }
            }
        }
        let [function] = fitting[..] else { return Err(ambiguous(name, &fitting)) };
        if function.inputs.len() != words.len() {
            return Err(wrong_count(name, std::slice::from_ref(function), words.len()));
        }
        let arguments = read_all(&function.inputs, words, addresses)?;
        let data = function.abi_encode_input(&arguments).map_err(|error| unencodable(&error))?;
        Ok(Self { function: function.clone(), arguments, data: data.into() })
    }

    /// `transfer(to: bob (0x…), value: 5)`
    pub(crate) fn told(&self, titles: &dyn Titles) -> String {
        let names = self.function.inputs.iter().map(|param| param.name.as_str());
        let arguments = show::named_texts(names, &self.arguments, titles).join(", ");
        format!("{}({arguments})", self.function.name)
    }

    /// Whether a transaction is needed for it to have an effect.
    pub(crate) fn changes_state(&self) -> bool {
        matches!(self.function.state_mutability, StateMutability::NonPayable | StateMutability::Payable)
    }

    /// Refuses money for a function that does not take any: it would be undone.
    ///
    /// # Errors
    /// When it takes none.
    pub(crate) fn demand_payable(&self) -> Outcome<()> {
        if self.function.state_mutability == StateMutability::Payable {
            return Ok(());
        }
        let message = format!("{} takes no money", self.function.signature());
        Err(Failure::usage("not_payable", message).hint("leave --value away"))
    }

    /// What the contract returned.
    ///
    /// # Errors
    /// When it is not what the interface promises.
    pub(crate) fn returned(&self, output: &[u8]) -> Outcome<Vec<DynSolValue>> {
        self.function.abi_decode_output(output).map_err(|error| {
            let message = format!("the answer does not fit {}: {error}", self.function.signature());
            let hint = if output.is_empty() {
                "nothing was returned: is there a contract at this address?"
            } else {
                "is this the interface of this contract?"
            };
            Failure::failed("bad_answer", message).hint(hint)
        })
    }
}

/// The call data of a constructor: what creates the contract, then its arguments.
///
/// # Errors
/// When the words do not fit the constructor.
pub(crate) fn creation(
    code: &Bytes,
    abi: Option<&JsonAbi>,
    words: &[String],
    addresses: &dyn Addresses,
) -> Outcome<Bytes> {
    let Some(constructor) = abi.and_then(|abi| abi.constructor.as_ref()) else {
        if words.is_empty() {
            return Ok(code.clone());
        }
        let message = "the contract's constructor takes no arguments, or its interface is not known";
        return Err(Failure::usage("argument_count", message)
            .hint("raw bytecode must end with its encoded arguments already"));
    };
    if constructor.inputs.len() != words.len() {
        let signature = format!("constructor({})", signature_of(&constructor.inputs));
        return Err(count_failure(&signature, constructor.inputs.len(), words.len())
            .hint(format!("--args {}", arguments_of(&constructor.inputs))));
    }
    let arguments = read_all(&constructor.inputs, words, addresses)?;
    let encoded = constructor.abi_encode_input_raw(&arguments).map_err(|error| unencodable(&error))?;
    Ok([&code[..], &encoded].concat().into())
}

/// The type of a parameter.
///
/// # Errors
/// When the interface names a type that there is not.
pub(crate) fn type_of(param: &Param) -> Outcome<DynSolType> {
    param.resolve().map_err(|error| {
        Failure::failed("bad_interface", format!("the interface has a parameter of no known type: {error}"))
    })
}

fn named<'a>(abi: &'a JsonAbi, name: &str) -> Outcome<Vec<&'a Function>> {
    let plain: String = name.chars().filter(|letter| !letter.is_whitespace()).collect();
    if plain.contains('(') {
        let exact: Vec<&Function> =
            abi.functions().filter(|function| function.signature() == plain).collect();
        let same_name = plain.split('(').next().and_then(|name| abi.functions.get(name));
        return match (exact.is_empty(), same_name) {
            (false, _) => Ok(exact),
            (true, Some(others)) => {
                Err(Failure::usage("no_function", format!("there is no function {plain}"))
                    .hint(format!("there is {}", signatures(others.iter()))))
            }
            (true, None) => Err(unknown(abi, &plain)),
        };
    }
    match abi.functions.get(&plain) {
        Some(functions) => Ok(functions.iter().collect()),
        None => Err(unknown(abi, &plain)),
    }
}

fn read_all(inputs: &[Param], words: &[String], addresses: &dyn Addresses) -> Outcome<Vec<DynSolValue>> {
    let mut values = Vec::new();
    for (index, (param, word)) in inputs.iter().zip(words).enumerate() {
        let value = argument::read(&type_of(param)?, word, addresses).map_err(|problem| {
            let place = format!("argument {} ({})", index + 1, parameter(param));
            Failure::usage("bad_argument", format!("{place}: {problem}")).hint(how_to_write(&param.ty))
        })?;
        values.push(value);
    }
    Ok(values)
}

fn how_to_write(type_name: &str) -> &'static str {
    match type_name {
        name if name.ends_with(']') => "write lists as '[1, 2, 3]', quoted for the shell",
        name if name.starts_with("tuple") => "write structs as '(alice, 12e18)', quoted for the shell",
        name if name.starts_with("uint") || name.starts_with("int") => {
            "a bare number is raw; 12e18, 1.5syn and 5gwei work too"
        }
        "address" => "names of accounts and of contracts work, and 0x with 40 hex digits",
        name if name.starts_with("bytes") => "write bytes as 0x and hex digits",
        _ => "`synod contract call --help` has examples",
    }
}

fn unknown(abi: &JsonAbi, name: &str) -> Failure {
    let failure = Failure::usage("no_function", format!("the contract has no function called {name}"));
    match suggest::nearest(name, abi.functions.keys().map(String::as_str)) {
        Some(meant) => failure.hint(format!("did you mean {meant}?")),
        None if abi.functions.is_empty() => failure.hint("its interface is empty"),
        None => failure.hint(format!("it has {}", signatures(abi.functions()))),
    }
}

fn wrong_count(name: &str, functions: &[Function], given: usize) -> Failure {
    match functions {
        [only] => count_failure(&only.signature(), only.inputs.len(), given)
            .hint(format!("{name} {}", arguments_of(&only.inputs)).trim_end().to_owned()),
        _ => Failure::usage("argument_count", format!("no {name} takes {given} arguments"))
            .hint(format!("there is {}", signatures(functions.iter()))),
    }
}

fn count_failure(signature: &str, wanted: usize, given: usize) -> Failure {
    let plural = if wanted == 1 { "argument" } else { "arguments" };
    Failure::usage("argument_count", format!("{signature} takes {wanted} {plural}, and {given} are given"))
}

fn ambiguous(name: &str, fitting: &[&Function]) -> Failure {
    Failure::usage("which_function", format!("{name} with these arguments can mean several functions"))
        .hint(format!("give the whole signature, quoted: {}", signatures(fitting.iter().copied())))
}

fn unencodable(error: &alloy_dyn_abi::Error) -> Failure {
    Failure::failed("bad_interface", format!("the arguments cannot be encoded: {error}"))
}

fn signatures<'a>(functions: impl Iterator<Item = &'a Function>) -> String {
    functions.map(|function| function.signature()).collect::<Vec<_>>().join(", ")
}

fn signature_of(inputs: &[Param]) -> String {
    inputs.iter().map(|param| param.selector_type().into_owned()).collect::<Vec<_>>().join(",")
}

/// `to: address`, or the type alone where the source gave no name.
fn parameter(param: &Param) -> String {
    match param.name.as_str() {
        "" => param.selector_type().into_owned(),
        name => format!("{name}: {}", param.selector_type()),
    }
}

fn arguments_of(inputs: &[Param]) -> String {
    inputs.iter().map(|param| format!("<{}>", parameter(param))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use synod_types::Address;

    struct Nobody;

    impl Addresses for Nobody {
        fn address(&self, text: &str) -> Result<Address, String> {
            text.parse().map_err(|_| format!("{text:?} is nobody"))
        }
    }

    fn abi() -> JsonAbi {
        JsonAbi::parse([
            "function transfer(address to, uint256 value) returns (bool)",
            "function set(uint256 value)",
            "function set(string value)",
            "function set(bytes value)",
            "function set(uint256 key, uint256 value)",
            "function pay() payable",
            "function total() view returns (uint256)",
        ])
        .unwrap()
    }

    fn call(name: &str, words: &[&str]) -> Outcome<Call> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Call::read(&abi(), name, &words, &Nobody)
    }

    #[test]
    fn a_call_is_encoded_as_solidity_does() {
        let to = "0x00000000000000000000000000000000000000a1";
        let call = call("transfer", &[to, "12e18"]).unwrap();
        let expected = "0xa9059cbb00000000000000000000000000000000000000000000000000000000000000a1000000000000000000000000000000000000000000000000a688906bd8b00000";
        assert_eq!(call.data.to_string(), expected);
        assert!(call.changes_state() && call.demand_payable().is_err());
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(call.returned(&one).unwrap(), [DynSolValue::Bool(true)]);
        assert_eq!(call.returned(&[]).unwrap_err().code(), "bad_answer");
    }

    #[test]
    fn overloads_are_told_apart_by_count_by_types_and_by_signature() {
        let signature = |name: &str, words: &[&str]| call(name, words).unwrap().function.signature();
        assert_eq!(signature("set", &["1", "2"]), "set(uint256,uint256)");
        assert_eq!(signature("set", &["hello"]), "set(string)");
        assert_eq!(signature("set(uint256)", &["7"]), "set(uint256)");
        assert_eq!(signature("set( bytes )", &["0x07"]), "set(bytes)");
        // A number is a string too: nobody knows which is meant.
        let open = call("set", &["7"]).unwrap_err();
        assert_eq!(open.code(), "which_function");
        assert!(open.next_step().unwrap().contains("set(string)"));
        assert_eq!(call("set", &["1", "x"]).unwrap_err().code(), "bad_argument");
    }

    #[test]
    fn mistakes_are_answered_with_what_was_meant() {
        let hint = |name: &str, words: &[&str]| {
            let error = call(name, words).unwrap_err();
            (error.code().to_owned(), error.next_step().unwrap().to_owned())
        };
        assert_eq!(hint("trasnfer", &[]), ("no_function".into(), "did you mean transfer?".into()));
        assert!(hint("nothing", &[]).1.contains("total()"));
        assert!(hint("transfer(address)", &[]).1.contains("transfer(address,uint256)"));
        assert_eq!(
            hint("transfer", &["0x1"]),
            ("argument_count".into(), "transfer <to: address> <value: uint256>".into())
        );
        assert_eq!(hint("set", &["1", "2", "3"]).0, "argument_count");
        let error = call("transfer", &["mallory", "1"]).unwrap_err();
        assert_eq!(error.to_string(), "argument 1 (to: address): \"mallory\" is nobody");
    }

    #[test]
    fn a_constructors_arguments_follow_its_code() {
        let code = Bytes::from_static(&[0x60, 0x01]);
        let abi = JsonAbi::parse(["constructor(uint8 a, bool b)"]).unwrap();
        let data = creation(&code, Some(&abi), &["7".into(), "true".into()], &Nobody).unwrap();
        assert_eq!((data.len(), data[..2].to_vec(), data[33], data[65]), (66, vec![0x60, 0x01], 7, 1));
        let error = creation(&code, Some(&abi), &[], &Nobody).unwrap_err();
        assert_eq!(error.next_step(), Some("--args <a: uint8> <b: bool>"));
        assert_eq!(creation(&code, None, &[], &Nobody).unwrap(), code);
        assert_eq!(creation(&code, None, &["1".into()], &Nobody).unwrap_err().code(), "argument_count");
    }

    /// ABITests of ethereum/tests; their byte strings are written as text there, and as hex here.
    #[test]
    fn the_official_vectors() {
        let Some(text) = crate::wallet::vectors("../ethereum/ABITests/basic_abi_tests.json") else { return };
        let tests: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (name, test) in tests.as_object().unwrap() {
            let types: Vec<&str> =
                test["types"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            let typed = |(one, value): (&&str, &serde_json::Value)| match value.as_str() {
                Some(text) if one.starts_with("bytes") => alloy_primitives::hex::encode_prefixed(text),
                Some(text) => text.to_owned(),
                None => value.to_string(),
            };
            let words: Vec<String> = types.iter().zip(test["args"].as_array().unwrap()).map(typed).collect();
            let abi = JsonAbi::parse([format!("function f({})", types.join(",")).as_str()]).unwrap();
            let call = Call::read(&abi, "f", &words, &Nobody).unwrap();
            assert_eq!(
                alloy_primitives::hex::encode(&call.data[4..]),
                test["result"].as_str().unwrap(),
                "{name}"
            );
            assert_eq!(call.function.abi_decode_input(&call.data[4..]).unwrap(), call.arguments);
        }
    }
}
