//! `synod contract trace`: a transaction's calls as a tree, with gas, events and reasons.

use std::fmt::{self, Write};

use alloy_dyn_abi::{FunctionExt, JsonAbiExt};
use alloy_json_abi::{Function, JsonAbi};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use synod_node::rpc::types::{TraceView, TracedCall};
use synod_types::amount::format_syn;
use synod_types::{Address, TransactionId};

use super::line::EventLine;
use super::{Surroundings, interface_of};
use crate::client::Settle;
use crate::commands::wallet::payment::parse_id;
use crate::context::Context;
use crate::contract::reason::Reason;
use crate::contract::show::{self, Titles};
use crate::failure::Outcome;

/// Longer data is cut in the tree; --json has all of it.
const SHOWN_BYTES: usize = 36;

/// Show what a transaction did, call by call
///
/// Executes the transaction again on the state that it ran on. Calls, events and errors are told by the
/// interfaces of the contracts that this home knows.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  synod contract trace 0xd5405721e9dba7f3b51da6ea30155cdf8bcdb611e3b72702da7bba4d4ce114a8"
)]
pub(crate) struct Trace {
    /// The transaction's id
    #[arg(value_parser = parse_id)]
    id: TransactionId,
    /// Artifacts with more interfaces
    #[arg(long, value_name = "ARTIFACT")]
    abi: Vec<String>,
}

/// The trace, and what the interfaces say of each call.
#[derive(Debug, Serialize)]
struct Traced {
    #[serde(flatten)]
    trace: TraceView,
    decoded: Vec<Decoded>,
    #[serde(skip)]
    titles: Vec<String>,
}

/// What is known of one call, in the order of `calls`.
#[derive(Debug, Serialize)]
struct Decoded {
    /// `null` where no known interface has the function.
    function: Option<String>,
    arguments: Option<Value>,
    values: Option<Value>,
    events: Vec<EventLine>,
    /// Why it failed.
    failure: Option<Reason>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    returned: String,
}

impl Trace {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let around = Surroundings::open(context)?;
        let more: Vec<JsonAbi> =
            self.abi.iter().map(|artifact| interface_of(artifact)).collect::<Outcome<_>>()?;
        let trace = around.session.node.trace(self.id).settle()?;
        let decoded = trace.calls.iter().map(|call| decode(call, &more, &around)).collect();
        let titles = trace.calls.iter().map(|call| title(call.address, &around)).collect();
        context.output.result(&Traced { trace, decoded, titles });
        Ok(())
    }
}

fn title(address: Address, around: &Surroundings) -> String {
    around.directory().title(address).unwrap_or_else(|| synod_types::address::format_address(&address))
}

fn decode(call: &TracedCall, more: &[JsonAbi], around: &Surroundings) -> Decoded {
    let directory = around.directory();
    let interfaces = || more.iter().chain(around.book.interfaces(Some(call.code_address)));
    let events = call.logs.iter().map(|log| {
        let interfaces = more.iter().chain(around.book.interfaces(Some(log.address)));
        EventLine::new(log.address, &log.topics, &log.data, interfaces, &directory)
    });
    let failure = (!call.succeeded).then(|| match &call.reason {
        Some(why) if call.output.is_empty() => Reason::halted(why),
        _ => Reason::read(&call.output, interfaces(), &directory),
    });
    let creates = call.kind.starts_with("create");
    let function = if creates { None } else { interfaces().find_map(|abi| function_of(abi, &call.input)) };
    let mut decoded = Decoded {
        function: function.map(Function::signature),
        arguments: None,
        values: None,
        events: events.collect(),
        failure,
        text: if creates { format!("{} bytes of init code", call.input.len()) } else { cut(&call.input) },
        returned: if creates { String::new() } else { cut(&call.output) },
    };
    let Some(function) = function else { return decoded };
    if let Ok(arguments) = function.abi_decode_input(call.input.get(4..).unwrap_or_default()) {
        let names = function.inputs.iter().map(|input| input.name.as_str());
        let told = show::named_texts(names, &arguments, &directory).join(", ");
        decoded.text = format!("{}({told})", function.name);
        decoded.arguments = Some(show::object(&function.inputs, &arguments));
    }
    if call.succeeded
        && let Ok(values) = function.abi_decode_output(&call.output)
    {
        let names = function.outputs.iter().map(|output| output.name.as_str());
        decoded.returned = show::named_texts(names, &values, &directory).join(", ");
        decoded.values = Some(show::object(&function.outputs, &values));
    }
    decoded
}

fn function_of<'a>(abi: &'a JsonAbi, input: &[u8]) -> Option<&'a Function> {
    let selector = *input.first_chunk::<4>()?;
    abi.functions().find(|function| function.selector() == selector)
}

fn cut(bytes: &[u8]) -> String {
    let shown = alloy_primitives::hex::encode_prefixed(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    match bytes.len() {
        0 => String::new(),
        length if length > SHOWN_BYTES => format!("{shown}… ({length} bytes)"),
        _ => shown,
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = &self.trace;
        let mark = if trace.succeeded { "✓" } else { "✗ failed," };
        write!(formatter, "{mark} {} gas in block {}", trace.gas_used, trace.height)?;
        if trace.gas_refunded > 0 {
            write!(formatter, ", {} refunded", trace.gas_refunded)?;
        }
        for ((call, decoded), title) in trace.calls.iter().zip(&self.decoded).zip(&self.titles) {
            let indent = "  ".repeat(call.depth as usize + 1);
            write!(formatter, "\n{indent}{}", line(call, decoded, title))?;
            for event in &decoded.events {
                let undone = if call.succeeded { "" } else { " (undone)" };
                write!(formatter, "\n{indent}  event {event}{undone}")?;
            }
            if let Some(failure) = &decoded.failure {
                write!(formatter, "\n{indent}  ✗ {failure}")?;
            }
        }
        if trace.omitted > 0 {
            write!(formatter, "\n  … and {} calls more", trace.omitted)?;
        }
        Ok(())
    }
}

/// `[51234] token.transfer(to: bob, value: 5) → true`
fn line(call: &TracedCall, decoded: &Decoded, title: &str) -> String {
    let mut line = format!("[{}] ", call.gas_used);
    let kind = match call.kind.as_str() {
        "call" => String::new(),
        other => format!("{} ", other.replace('_', " ")),
    };
    // Writing to a string cannot fail.
    let _ = match decoded.function {
        Some(_) => write!(line, "{kind}{title}.{}", decoded.text),
        None => write!(line, "{kind}{title} {}", decoded.text),
    };
    if !call.value.is_zero() {
        let _ = write!(line, " with {} SYN", format_syn(call.value));
    }
    if call.succeeded && !decoded.returned.is_empty() {
        let _ = write!(line, " → {}", decoded.returned);
    }
    line.trim_end().to_owned()
}
