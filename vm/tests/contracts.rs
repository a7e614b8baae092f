//! The example contracts: their artifacts are what their sources compiled to, and they keep their promises.

#![allow(clippy::unwrap_used)]

mod stage;

use alloy_dyn_abi::{DynSolValue, FunctionExt, JsonAbiExt};
use alloy_json_abi::JsonAbi;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use serde_json::Value;
use stage::{COINBASE, SENDER, Stage};
use std::path::{Path, PathBuf};
use synod_vm::{Execution, Status, Transaction};

const NAMES: [&str; 4] = ["Escrow", "Exchange", "MultiSignatureWallet", "Token"];
const BOB: Address = Address::with_last_byte(0xb0);
const SELLER: Address = Address::with_last_byte(0x5e);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contracts")
}

/// An artifact's parts.
struct Artifact {
    json: Value,
    abi: JsonAbi,
    creation: Bytes,
}

fn artifact(name: &str) -> Artifact {
    let text = std::fs::read_to_string(folder().join("out").join(format!("{name}.json"))).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let abi = serde_json::from_value(json["abi"].clone()).unwrap();
    let creation = json["bytecode"]["object"].as_str().unwrap().parse().unwrap();
    Artifact { json, abi, creation }
}

/// A contract in place, and what can be asked of it.
struct Contract {
    address: Address,
    abi: JsonAbi,
}

fn deploy(stage: &mut Stage, name: &str, arguments: &[DynSolValue], value: u64) -> Contract {
    let Artifact { abi, creation, .. } = artifact(name);
    let data = match &abi.constructor {
        Some(constructor) => [&creation[..], &constructor.abi_encode_input_raw(arguments).unwrap()].concat(),
        None => creation.to_vec(),
    };
    let mut transaction = stage.creating(data.into());
    (transaction.gas_limit, transaction.value) = (10_000_000, U256::from(value));
    let execution = stage.execute(&transaction).unwrap();
    assert_eq!(execution.status, Status::Success, "{name}");
    Contract { address: execution.created.unwrap(), abi }
}

impl Contract {
    fn execute(
        &self,
        stage: &mut Stage,
        sender: Address,
        name: &str,
        arguments: &[DynSolValue],
    ) -> Execution {
        let function = &self.abi.functions[name][0];
        let transaction = Transaction {
            sender,
            nonce: stage.world.accounts.get(&sender).map_or(0, |account| account.nonce),
            to: Some(self.address),
            data: function.abi_encode_input(arguments).unwrap().into(),
            gas_limit: 1_000_000,
            ..stage.creating(Bytes::new())
        };
        stage.execute(&transaction).unwrap()
    }

    /// A call that must succeed, and what it returned.
    #[track_caller]
    fn call(
        &self,
        stage: &mut Stage,
        sender: Address,
        name: &str,
        arguments: &[DynSolValue],
    ) -> Vec<DynSolValue> {
        let execution = self.execute(stage, sender, name, arguments);
        assert_eq!(execution.status, Status::Success, "{name}: {}", execution.output);
        self.abi.functions[name][0].abi_decode_output(&execution.output).unwrap()
    }

    /// A call that must be undone with the error called `error`.
    #[track_caller]
    fn refuses(
        &self,
        stage: &mut Stage,
        sender: Address,
        name: &str,
        arguments: &[DynSolValue],
        error: &str,
    ) {
        let execution = self.execute(stage, sender, name, arguments);
        assert_eq!(execution.status, Status::Revert, "{name}");
        let declared = self.abi.errors.get(error).map(|errors| errors[0].selector());
        let text =
            declared.map_or_else(|| keccak256("Error(string)")[..4].to_vec(), |selector| selector.to_vec());
        assert_eq!(execution.output[..4], text, "{name}: {}", execution.output);
        if declared.is_none() {
            let said = String::from_utf8_lossy(&execution.output);
            assert!(said.contains(error), "{said}");
        }
    }
}

fn number(value: u64) -> DynSolValue {
    DynSolValue::Uint(U256::from(value), 256)
}

fn address(value: Address) -> DynSolValue {
    DynSolValue::Address(value)
}

fn text(value: &str) -> DynSolValue {
    DynSolValue::String(value.to_owned())
}

fn one(values: Vec<DynSolValue>) -> U256 {
    values[0].as_uint().unwrap().0
}

/// A stage on which others can pay too.
fn stage() -> Stage {
    let mut stage = Stage::new();
    for account in [BOB, SELLER, COINBASE] {
        stage.world.insert(account, U256::from(10).pow(U256::from(18)), 0, Bytes::new(), []);
    }
    stage
}

fn token(stage: &mut Stage) -> Contract {
    deploy(stage, "Token", &[text("Gold"), text("GLD"), number(1_000_000)], 0)
}

#[test]
fn every_artifact_is_what_its_source_compiled_to() {
    let mut sources: Vec<_> =
        std::fs::read_dir(folder().join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    let stems: Vec<_> = sources.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(stems, NAMES);
    for (name, source) in NAMES.iter().zip(&sources) {
        let artifact = artifact(name);
        assert_eq!(artifact.json["contractName"], **name);
        let hash = keccak256(std::fs::read(source).unwrap()).to_string();
        assert_eq!(
            artifact.json["source"]["keccak256"], hash,
            "{name} is older than its source: npm run build"
        );
        assert!(!artifact.creation.is_empty() && !artifact.abi.functions.is_empty());
    }
}

#[test]
fn what_lies_on_the_chain_is_the_deployed_bytecode() {
    let mut stage = stage();
    let gold = token(&mut stage);
    let silver = token(&mut stage);
    let deployed = [
        ("Escrow", vec![address(SELLER), address(BOB), number(60)], 5),
        ("Exchange", vec![address(gold.address), address(silver.address)], 0),
        ("MultiSignatureWallet", vec![DynSolValue::Array(vec![address(BOB), address(SENDER)]), number(2)], 9),
        ("Token", vec![text("Gold"), text("GLD"), number(7)], 0),
    ];
    for (name, arguments, value) in deployed {
        let contract = deploy(&mut stage, name, &arguments, value);
        let json = artifact(name).json;
        let mut code = stage.world.code_of(&contract.address).to_vec();
        // The constructor fills the immutable values in; the artifact has zeros there.
        let immutable = json["deployedBytecode"]["immutableReferences"].as_object().unwrap();
        for place in immutable.values().flat_map(|places| places.as_array().unwrap()) {
            let start = place["start"].as_u64().unwrap() as usize;
            let length = place["length"].as_u64().unwrap() as usize;
            code[start..start + length].fill(0);
        }
        let expected: Bytes = json["deployedBytecode"]["object"].as_str().unwrap().parse().unwrap();
        assert_eq!(Bytes::from(code), expected, "{name}");
    }
}

#[test]
fn a_token_moves_is_allowed_and_burns() {
    let mut stage = stage();
    let token = token(&mut stage);
    let coin = U256::from(10).pow(U256::from(18));
    let stage = &mut stage;
    assert_eq!(one(token.call(stage, BOB, "balanceOf", &[address(SENDER)])), coin * U256::from(1_000_000));
    token.call(stage, SENDER, "transfer", &[address(BOB), number(500)]);
    token.refuses(stage, BOB, "transfer", &[address(SENDER), number(501)], "ERC20InsufficientBalance");
    token.refuses(stage, BOB, "transfer", &[address(token.address), number(1)], "ERC20InvalidReceiver");
    let from_bob = [address(BOB), address(SELLER), number(200)];
    token.refuses(stage, SENDER, "transferFrom", &from_bob, "ERC20InsufficientAllowance");
    token.call(stage, BOB, "approve", &[address(SENDER), number(300)]);
    token.call(stage, SENDER, "transferFrom", &from_bob);
    assert_eq!(one(token.call(stage, BOB, "allowance", &[address(BOB), address(SENDER)])), U256::from(100));
    token.refuses(stage, BOB, "burn", &[number(0)], "nothing to burn");
    token.call(stage, BOB, "burn", &[number(300)]);
    let supply = one(token.call(stage, BOB, "totalSupply", &[]));
    assert_eq!(supply, coin * U256::from(1_000_000) - U256::from(300));
    assert_eq!(one(token.call(stage, BOB, "balanceOf", &[address(BOB)])), U256::ZERO);
}

#[test]
fn a_wallet_of_several_pays_when_enough_agree_and_once() {
    let mut stage = stage();
    let owners = DynSolValue::Array(vec![address(SENDER), address(BOB), address(SELLER)]);
    let wallet = deploy(&mut stage, "MultiSignatureWallet", &[owners, number(2)], 1_000);
    let stage = &mut stage;
    let payment = [address(Address::with_last_byte(0x99)), number(600), DynSolValue::Bytes(Vec::new())];
    wallet.refuses(stage, COINBASE, "propose", &payment, "NotAnOwner");
    wallet.call(stage, BOB, "propose", &payment);
    let id = [number(0)];
    wallet.refuses(stage, BOB, "execute", &id, "TooFewConfirmations");
    wallet.refuses(stage, BOB, "confirm", &id, "AlreadyConfirmed");
    wallet.call(stage, SENDER, "confirm", &id);
    wallet.call(stage, SENDER, "revoke", &id);
    wallet.refuses(stage, BOB, "execute", &id, "TooFewConfirmations");
    wallet.call(stage, SELLER, "confirm", &id);
    wallet.call(stage, BOB, "execute", &id);
    wallet.refuses(stage, BOB, "execute", &id, "AlreadyExecuted");
    wallet.refuses(stage, BOB, "execute", &[number(1)], "NoSuchProposal");
    assert_eq!(stage.world.accounts[&Address::with_last_byte(0x99)].balance, U256::from(600));
    assert_eq!(stage.world.accounts[&wallet.address].balance, U256::from(400));
}

#[test]
fn an_escrow_pays_one_side_once() {
    let mut stage = stage();
    let arguments = [address(SELLER), address(BOB), number(60)];
    let stage = &mut stage;
    let escrow = deploy(stage, "Escrow", &arguments, 700);
    escrow.refuses(stage, SELLER, "release", &[], "NotAllowed");
    escrow.refuses(stage, SENDER, "refund", &[], "NotAllowed");
    escrow.call(stage, SENDER, "release", &[]);
    escrow.refuses(stage, SELLER, "refund", &[], "Over");
    assert_eq!(stage.world.accounts[&escrow.address].balance, U256::ZERO);

    let late = deploy(stage, "Escrow", &arguments, 700);
    stage.block.time_seconds += 61;
    late.call(stage, SENDER, "refund", &[]);
    late.refuses(stage, SENDER, "release", &[], "Over");
    assert_eq!(stage.world.accounts[&late.address].balance, U256::ZERO);
}

#[test]
fn an_exchange_never_loses_by_a_swap() {
    let mut stage = stage();
    let stage = &mut stage;
    let (gold, silver) = (token(stage), token(stage));
    let exchange = deploy(stage, "Exchange", &[address(gold.address), address(silver.address)], 0);
    for token in [&gold, &silver] {
        token.call(stage, SENDER, "approve", &[address(exchange.address), DynSolValue::Uint(U256::MAX, 256)]);
    }
    exchange.call(stage, SENDER, "provide", &[number(1_000_000), number(4_000_000), number(1)]);
    let product = |stage: &mut Stage| {
        let mut held =
            |token: &Contract| one(token.call(stage, BOB, "balanceOf", &[address(exchange.address)]));
        held(&gold) * held(&silver)
    };
    let mut before = product(stage);
    for (from, amount) in [(&gold, 10_000), (&silver, 77_777), (&gold, 1_000_000), (&silver, 5)] {
        let given = [address(from.address), number(amount)];
        let quoted = exchange.call(stage, BOB, "quote", &given).remove(0);
        let too_much = [address(from.address), number(amount), DynSolValue::Uint(U256::MAX, 256)];
        exchange.refuses(stage, SENDER, "swap", &too_much, "TooLittle");
        let swap = [address(from.address), number(amount), quoted.clone()];
        assert_eq!(exchange.call(stage, SENDER, "swap", &swap), [quoted]);
        let after = product(stage);
        assert!(after >= before, "the product never falls");
        before = after;
    }
    exchange.refuses(stage, SENDER, "swap", &[address(BOB), number(1), number(0)], "NotOurs");
    // Shares are worth what they were made for, and no share can be given back twice.
    let shares = one(exchange.call(stage, SENDER, "shares", &[address(SENDER)]));
    exchange.call(stage, SENDER, "withdraw", &[DynSolValue::Uint(shares, 256)]);
    let again = exchange.execute(stage, SENDER, "withdraw", &[number(1)]);
    assert_eq!(again.status, Status::Revert);
    assert_eq!(again.output[..4], keccak256("Panic(uint256)")[..4]);
}
