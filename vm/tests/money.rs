//! Where the money goes: fees, value, failed calls, self-destructs. The stage checks that it is conserved.

#![allow(clippy::unwrap_used)]

mod stage;

use alloy_primitives::{Bytes, U256};
use stage::assembler::assemble;
use stage::{COINBASE, SENDER, Stage, at};
use synod_vm::{Halt, Refusal, Status, Transaction};

/// EVM-16: the base fee is burnt, the tip goes to the coinbase, the rest comes back.
#[test]
fn evm_16_a_transfer_pays_base_fee_and_tip() {
    let mut stage = Stage::new();
    let before = stage.world.accounts[&SENDER].balance;
    let transfer = Transaction { value: U256::from(5), ..stage.calling(0xb0) };
    let execution = stage.execute(&transfer).unwrap();
    assert_eq!(execution.gas_used, 21_000);
    assert_eq!(execution.burnt.base_fee, U256::from(7 * 21_000));
    assert_eq!(execution.tip, U256::from(2 * 21_000));
    let sender = stage.world.accounts[&SENDER];
    assert_eq!(sender.balance, before - U256::from(5 + 9 * 21_000));
    assert_eq!(sender.nonce, 1);
    assert_eq!(stage.world.accounts[&COINBASE].balance, execution.tip);
    assert_eq!(stage.world.accounts[&at(0xb0)].balance, U256::from(5));
}

/// A call that fails moves nothing, pays for its gas, and counts the nonce.
#[test]
fn a_failed_call_moves_no_value() {
    for (source, status) in
        [("1 0 SSTORE 0 0 REVERT", Status::Revert), ("1 0 SSTORE INVALID", Status::Halt(Halt::Invalid))]
    {
        let mut stage = Stage::new().contract(0xc0, source);
        let call = Transaction { value: U256::from(77), ..stage.calling(0xc0) };
        let execution = stage.execute(&call).unwrap();
        assert_eq!(execution.status, status);
        assert_eq!(stage.world.accounts[&at(0xc0)].balance, U256::from(1_000));
        assert_eq!(stage.world.accounts[&SENDER].nonce, 1);
        assert!(stage.world.storage.is_empty());
    }
}

/// EVM-2: sending more than there is fails, and costs only the call.
#[test]
fn evm_2_a_call_without_the_wei_fails() {
    let mut stage = Stage::new().contract(0xc0, "0 0 0 0 1001 0xb0 0 CALL 0 MSTORE 32 0 RETURN");
    let execution = stage.call(0xc0);
    assert_eq!(stage::number(&execution), U256::ZERO);
    assert!(!stage.world.accounts.contains_key(&at(0xb0)));
}

/// Deploys what destroys itself in its own transaction, in three ways. `after` runs in the factory with
/// the new address on top of the stack.
fn factory(runtime: &str, after: &str) -> Stage {
    let runtime = assemble(runtime);
    let word = U256::from_be_slice(&runtime);
    let init = assemble(&format!("{word} 0 MSTORE {} {} RETURN", runtime.len(), 32 - runtime.len()));
    let init_word = U256::from_be_slice(&init);
    let source = format!("{init_word} 0 MSTORE {} {} 100 CREATE {after} STOP", init.len(), 32 - init.len());
    Stage::new().contract(0xc0, &source)
}

const CALL_IT: &str = "0 0 0 0 0 DUP6 GAS CALL POP";

/// EVM-10: a new contract that destroys itself in favour of itself burns what it has.
#[test]
fn evm_10_a_new_contract_that_sends_to_itself_burns() {
    let mut stage = factory("ADDRESS SELFDESTRUCT", CALL_IT);
    let execution = stage.call(0xc0);
    assert_eq!(execution.status, Status::Success);
    assert_eq!(execution.burnt.self_destruct, U256::from(100));
    assert_eq!(stage.world.accounts.len(), 3, "sender, coinbase and factory are left");
}

/// EVM-10: wei that reach a contract after it destroyed itself are burnt at the end.
#[test]
fn evm_10_wei_sent_to_the_dead_are_burnt() {
    let pay = "0 0 0 0 30 DUP6 GAS CALL POP";
    let mut stage = factory("0xbe SELFDESTRUCT", &format!("{CALL_IT} {pay} {CALL_IT} {pay}"));
    let execution = stage.call(0xc0);
    assert_eq!(execution.status, Status::Success);
    // The contract destroys itself at every call: 30 wei arrive with each payment and go on at once.
    assert_eq!(execution.burnt.self_destruct, U256::ZERO);
    assert_eq!(stage.world.accounts[&at(0xbe)].balance, U256::from(160));
    // With no code to send them on, they stay until the end, and are burnt.
    let init = assemble("0xbe SELFDESTRUCT");
    let word = U256::from_be_slice(&init);
    let source = format!("{word} 0 MSTORE {} {} 100 CREATE {pay} STOP", init.len(), 32 - init.len());
    let mut stage = Stage::new().contract(0xc0, &source);
    let execution = stage.call(0xc0);
    assert_eq!(execution.burnt.self_destruct, U256::from(30));
    assert_eq!(stage.world.accounts[&at(0xbe)].balance, U256::from(100));
}

/// EVM-4, EVM-10: what a reverted frame burnt is not burnt.
#[test]
fn evm_4_a_revert_takes_a_burn_back() {
    let inner = factory("ADDRESS SELFDESTRUCT", CALL_IT).world.code_of(&at(0xc0));
    let mut code = inner[..inner.len() - 1].to_vec();
    code.extend_from_slice(&assemble("0 0 REVERT"));
    let mut stage = Stage::new().code(0xb0, code.into()).contract(0xc0, "0 0 0 0 0 0xb0 GAS CALL STOP");
    let execution = stage.call(0xc0);
    assert_eq!(execution.burnt.self_destruct, U256::ZERO);
    assert_eq!(stage.world.accounts[&at(0xb0)].balance, U256::from(1_000));
}

/// EVM-16: what cannot be paid for is refused, however large the numbers.
#[test]
fn evm_16_absurd_fees_are_refused() {
    let mut stage = Stage::new();
    let balance = stage.world.accounts[&SENDER].balance;
    let absurd =
        Transaction { max_fee_per_gas: U256::MAX, max_tip_per_gas: U256::MAX, ..stage.calling(0xb0) };
    assert_eq!(stage.execute(&absurd), Err(Refusal::InsufficientFunds { balance, needed: U256::MAX }));
    let all = Transaction { value: balance, ..stage.calling(0xb0) };
    let needed = balance + U256::from(10 * 1_000_000);
    assert_eq!(stage.execute(&all), Err(Refusal::InsufficientFunds { balance, needed }));
    let low = Transaction { max_fee_per_gas: U256::from(6), ..stage.calling(0xb0) };
    let refusal = Refusal::FeeBelowBaseFee { max_fee: U256::from(6), base_fee: U256::from(7) };
    assert_eq!(stage.execute(&low), Err(refusal));
}

/// EVM-16: nonces count one by one, contracts send nothing, the last nonce is never used.
#[test]
fn evm_16_senders_are_checked() {
    let mut stage = Stage::new().contract(0xc0, "STOP");
    let early = Transaction { nonce: 1, ..stage.calling(0xb0) };
    assert_eq!(stage.execute(&early), Err(Refusal::NonceTooHigh { expected: 0, found: 1 }));
    stage.call(0xc0);
    let again = Transaction { nonce: 0, ..stage.calling(0xb0) };
    assert_eq!(stage.execute(&again), Err(Refusal::NonceTooLow { expected: 1, found: 0 }));
    let contract = Transaction { sender: at(0xc0), ..stage.calling(0xb0) };
    assert_eq!(stage.execute(&contract), Err(Refusal::SenderIsContract));
    stage.world.insert(SENDER, U256::from(10).pow(U256::from(20)), u64::MAX, Bytes::new(), []);
    let last = stage.calling(0xb0);
    assert_eq!(stage.execute(&last), Err(Refusal::NonceUsedUp));
}
