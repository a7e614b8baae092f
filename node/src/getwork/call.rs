//! JSON-RPC 1.0 as miners speak it: no version, positional parameters, and in every answer a result, an error
//! and the request's id, of which one of the first two is null.

use serde::Deserialize;
use serde_json::{Value, json};
use synod_types::block::HEADER_LENGTH;

use super::layout;
use super::units::Unit;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    /// `getwork` without parameters.
    Work,
    /// `getwork` with a solution; `None` when it is no header.
    Solution(Option<Box<[u8; HEADER_LENGTH]>>),
    /// Any other method.
    Unknown,
}

/// An error's number and sentence.
pub(super) type Fault = (i32, &'static str);

/// Not JSON.
pub(super) const PARSE_ERROR: Fault = (-32700, "the request is no JSON");
/// JSON, and no request.
pub(super) const INVALID_REQUEST: Fault = (-32600, "the request is no JSON-RPC call");
/// Another method than `getwork`.
pub(super) const METHOD_NOT_FOUND: Fault = (-32601, "Method not found");
/// Parameters that `getwork` does not take.
pub(super) const INVALID_PARAMETERS: Fault = (-32602, "getwork takes no parameter, or one: the data in hex");

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    id: Value,
}

/// Reads a request's body: its id, and the call or what is wrong with it.
pub(super) fn read(body: &[u8]) -> (Value, Result<Call, Fault>) {
    let request: Request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) if error.is_data() => return (Value::Null, Err(INVALID_REQUEST)),
        Err(_) => return (Value::Null, Err(PARSE_ERROR)),
    };
    let call = if request.method == "getwork" { getwork(&request.params) } else { Ok(Call::Unknown) };
    (request.id, call)
}

fn getwork(params: &Value) -> Result<Call, Fault> {
    let none = Vec::new();
    let params = match params {
        Value::Null => &none,
        Value::Array(params) => params,
        _ => return Err(INVALID_PARAMETERS),
    };
    match params.as_slice() {
        [] => Ok(Call::Work),
        // A miner repeats a call that fails, and for ever; one that is answered with false it forgets.
        [Value::String(data)] => Ok(Call::Solution(layout::header(data).map(Box::new))),
        _ => Err(INVALID_PARAMETERS),
    }
}

/// The answer with a result.
pub(super) fn answer(id: &Value, result: &Value) -> String {
    json!({ "result": result, "error": null, "id": id }).to_string()
}

/// The answer with an error.
pub(super) fn error(id: &Value, code: &Value, message: &str) -> String {
    json!({ "result": null, "error": { "code": code, "message": message }, "id": id }).to_string()
}

/// A unit as `getwork` gives it.
pub(super) fn work(unit: &Unit) -> Value {
    json!({
        "midstate": layout::midstate(&unit.header),
        "data": layout::data(&unit.header),
        "hash1": layout::HASH1,
        "target": layout::target(unit.target),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_miners_write_them() {
        let ask = b"{\"method\": \"getwork\", \"params\": [], \"id\":0}\r\n";
        assert_eq!(read(ask), (json!(0), Ok(Call::Work)));
        assert_eq!(read(b"{\"method\":\"getwork\"}"), (Value::Null, Ok(Call::Work)));
        let header = [9; HEADER_LENGTH];
        let submit = format!(
            "{{\"method\": \"getwork\", \"params\": [ \"{}\" ], \"id\":1}}\r\n",
            layout::data(&header)
        );
        assert_eq!(read(submit.as_bytes()), (json!(1), Ok(Call::Solution(Some(Box::new(header))))));
        let template = b"{\"method\": \"getblocktemplate\", \"params\": [{\"capabilities\": [\"longpoll\"]}], \"id\":0}\r\n";
        assert_eq!(read(template), (json!(0), Ok(Call::Unknown)));
        let nonsense = b"{\"method\": \"getwork\", \"params\": [\"zz\"], \"id\":\"x\"}";
        assert_eq!(read(nonsense), (json!("x"), Ok(Call::Solution(None))));
    }

    #[test]
    fn nonsense_has_a_number_of_its_own() {
        let fault = |body: &[u8]| read(body).1.expect_err("a fault");
        for body in [&b""[..], b"{", b"\xff\xfe", b"{\"method\": \"getwork\"} x", b"GET / HTTP/1.1"] {
            assert_eq!(fault(body), PARSE_ERROR);
        }
        for body in [&b"[]"[..], b"5", b"{}", b"{\"method\": 5}", b"[{\"method\": \"getwork\"}]"] {
            assert_eq!(fault(body), INVALID_REQUEST);
        }
        for params in ["{}", "5", "[1]", "[\"a\", \"b\"]", "[null]", "[[]]"] {
            let body = format!("{{\"method\": \"getwork\", \"params\": {params}}}");
            assert_eq!(fault(body.as_bytes()), INVALID_PARAMETERS, "{params}");
        }
        let deep =
            format!("{{\"method\": \"getwork\", \"params\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(fault(deep.as_bytes()), PARSE_ERROR);
    }
}
