//! `synod contract call`: a question to a contract, answered by the node without a transaction.

use std::fmt;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use synod_node::rpc::types::{CallRequest, CallView};
use synod_types::amount::parse_amount;
use synod_types::{Bytes, U256};

use super::{Asked, Found, Surroundings, Target};
use crate::client::Settle;
use crate::context::Context;
use crate::contract::show;
use crate::failure::{Exit, Failure, Outcome};

/// Ask a contract
///
/// Runs a function on the newest state and shows what it returns. Nothing is sent, nothing is paid, nothing
/// changes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  synod contract call TOKEN balanceOf alice\n  synod contract call TOKEN transfer bob 12e18 --from alice      what would happen\n  synod contract call 0x5FbDB2315678afecb367f032d93F642f64180aa3 'decimals() returns (uint8)'\n  synod contract call EXCHANGE quote TOKEN 5e18 --json"
)]
pub(crate) struct CallCommand {
    #[command(flatten)]
    target: Target,
    /// The function, by name, by signature, or as Solidity declares it; raw call data as 0x…
    function: String,
    /// Its arguments: names, 12e18, 1.5syn, 0x…, '[1, 2]', '(alice, true)'
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Whom the contract sees as its caller: a name or an address
    #[arg(long, value_name = "ACCOUNT")]
    from: Option<String>,
    /// Money that would go along: 1.5, 1.5syn, 3gwei
    #[arg(long, value_name = "AMOUNT", value_parser = parse_amount, default_value = "0")]
    value: U256,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    call: String,
    /// The returned values by name, or as a list; `null` for raw call data.
    values: Option<Value>,
    output: Bytes,
    gas_used: u64,
    height: u64,
    #[serde(skip)]
    texts: Vec<String>,
}

impl CallCommand {
    pub(super) fn run(self, context: &Context) -> Outcome<()> {
        let around = Surroundings::about(context, &self.target)?;
        let found = self.target.find(&around)?;
        let from = self.from.as_deref().map(|from| around.session.names.account(from)).transpose()?;
        let asked = found.asked(Some(&self.function), &self.arguments, &around)?;
        asked.demand_payable(self.value)?;
        let request = CallRequest {
            from: from.map(|from| from.address),
            to: Some(found.account.address),
            value: self.value,
            data: asked.data.clone(),
            ..CallRequest::default()
        };
        let view = around.session.node.call_contract(&request).settle()?;
        if !view.succeeded {
            return Err(undone(&view, &found, &around));
        }
        if view.output.is_empty() && asked.call.as_ref().is_some_and(|call| !call.function.outputs.is_empty())
        {
            demand_code(&found, &around)?;
        }
        if asked.call.as_ref().is_some_and(crate::contract::interface::Call::changes_state) {
            context.output.note("nothing was sent: this is what `synod contract send` would do now");
        }
        context.output.result(&Answer::new(&asked, view, &around)?);
        Ok(())
    }
}

fn undone(view: &CallView, found: &Found, around: &Surroundings) -> Failure {
    let (stopped, address) = (view.reason.as_deref(), Some(found.account.address));
    let reason = around.reason(&view.output, stopped, address, found.abi.as_ref());
    Failure::new(Exit::Refused, "call_failed", format!("the contract refuses: {reason}"))
        .details(serde_json::json!({"reason": reason, "output": view.output}))
}

/// An account without code answers every question with nothing.
fn demand_code(found: &Found, around: &Surroundings) -> Outcome<()> {
    let code = around.session.node.code(found.account.address).settle()?;
    if !code.code.is_empty() {
        return Ok(());
    }
    let message = format!("there is no contract at {}", found.account.short());
    Err(Failure::failed("no_code", message)
        .hint("is its transaction in a block yet? `synod contract list` shows addresses"))
}

impl Answer {
    fn new(asked: &Asked, view: CallView, around: &Surroundings) -> Outcome<Self> {
        let (mut texts, mut values) = (vec![view.output.to_string()], None);
        if let Some(call) = &asked.call {
            let returned = call.returned(&view.output)?;
            let outputs = &call.function.outputs;
            let names = outputs.iter().map(|output| output.name.as_str());
            texts = show::named_texts(names, &returned, &around.directory());
            values = Some(show::object(outputs, &returned));
        }
        Ok(Self {
            call: asked.action.clone(),
            values,
            gas_used: view.gas_used,
            height: view.height.0,
            output: view.output,
            texts,
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.texts.is_empty() {
            true => formatter.write_str("✓ it returns nothing, and would succeed"),
            false => formatter.write_str(&self.texts.join("\n")),
        }
    }
}
