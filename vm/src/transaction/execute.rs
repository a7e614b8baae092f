//! Executing one transaction, from its checks to its diff: buy gas, run, refund, pay, settle.

use super::validate::{Rules, validate};
use super::{Block, Burnt, Execution, Refusal, Transaction, Vm, intrinsic_gas};
use crate::fork::FORK;
use crate::frame::{Environment, Input, Source};
use crate::host::Host;
use crate::interpreter::{CallRequest, CreateRequest, create_address};
use crate::journal::{AccountId, Journal};
use crate::machine::{End, Machine, Status};
use crate::tracer::{CallKind, NoTracer, Tracer};
use alloy_primitives::{Address, Bytes, U256};

impl Vm {
    /// Executes a transaction on `host`, which stays as it is: the changes are in [`Execution::diff`].
    ///
    /// # Errors
    ///
    /// A [`Refusal`] when the transaction cannot be in this block; it then costs nothing.
    pub fn execute(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
    ) -> Result<Execution, Refusal> {
        self.execute_traced(host, block, transaction, &mut NoTracer)
    }

    /// As [`Self::execute`], watched by `tracer`.
    ///
    /// # Errors
    ///
    /// As [`Self::execute`].
    pub fn execute_traced<T: Tracer>(
        &mut self,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        tracer: &mut T,
    ) -> Result<Execution, Refusal> {
        self.execute_by(Rules::Consensus, host, block, transaction, tracer)
    }

    pub(super) fn execute_by<T: Tracer>(
        &mut self,
        rules: Rules,
        host: &dyn Host,
        block: &Block,
        transaction: &Transaction,
        tracer: &mut T,
    ) -> Result<Execution, Refusal> {
        let mut journal = Journal::new(host, &mut self.code_cache, &mut self.tables);
        let sender = journal.load(&transaction.sender);
        let gas_price = validate(transaction, block, journal.account(sender), rules)?;
        let environment = Environment {
            block,
            origin: transaction.sender,
            gas_price,
            data: &transaction.data,
            blob_hashes: transaction.blobs.as_ref().map_or(&[], |blobs| &blobs.hashes),
        };
        let machine = Machine { buffers: &mut self.buffers, journal, environment, tracer };
        let execution = Run { machine, transaction, sender, price: gas_price }.execute();
        self.buffers.reset();
        Ok(execution)
    }
}

/// A transaction that has passed its checks.
struct Run<'r, 'm, 'h, T> {
    machine: Machine<'m, 'h, T>,
    transaction: &'r Transaction,
    sender: AccountId,
    /// Wei for each unit of gas.
    price: U256,
}

impl<T: Tracer> Run<'_, '_, '_, T> {
    fn execute(mut self) -> Execution {
        self.buy_gas();
        self.warm_up();
        let gas = self.transaction.gas_limit - intrinsic_gas(self.transaction);
        let (end, created) = match self.transaction.to {
            Some(to) => (self.call(to, gas), None),
            None => self.create(gas),
        };
        let output = self.output(end, created);
        self.settle(end, output, created)
    }

    /// Takes the price of all gas and blobs from the sender before anything runs.
    fn buy_gas(&mut self) {
        let gas = U256::from(self.transaction.gas_limit) * self.price;
        let cost = gas + self.blob_fee();
        let journal = &mut self.machine.journal;
        let balance = journal.account(self.sender).balance;
        journal.set_balance(self.sender, balance.checked_sub(cost).expect("funds were checked"));
    }

    fn blob_fee(&self) -> U256 {
        let blobs = self.transaction.blobs.as_ref();
        blobs.map_or(U256::ZERO, |blobs| blobs.gas() * self.machine.environment.block.blob_base_fee)
    }

    /// Warms what EIP-2929, 2930 and 3651 list; precompiles are warm anyway (EVM-5).
    fn warm_up(&mut self) {
        let journal = &mut self.machine.journal;
        journal.warm(self.sender);
        journal.access(&self.machine.environment.block.coinbase);
        for (address, slots) in &self.transaction.access_list {
            let (account, _) = journal.access(address);
            for &slot in slots {
                journal.warm_slot(account, slot);
            }
        }
    }

    fn call(&mut self, to: Address, gas: u64) -> End {
        let journal = &mut self.machine.journal;
        let (account, _) = journal.access(&to);
        // Only a simulation can have used up its nonces.
        if journal.account(self.sender).nonce != u64::MAX {
            journal.increment_nonce(self.sender);
        }
        self.machine.run_call(CallRequest {
            kind: CallKind::Call,
            code_address: to,
            code_account: account,
            payer: self.sender,
            account,
            caller: self.transaction.sender,
            value: self.transaction.value,
            transfers: true,
            is_static: false,
            gas,
            input: self.data(),
            output: (0, 0),
        })
    }

    /// Creates a contract; gives its address when that succeeded.
    fn create(&mut self, gas: u64) -> (End, Option<Address>) {
        let nonce = self.machine.journal.account(self.sender).nonce;
        let address = create_address(&self.transaction.sender, nonce);
        let value = self.transaction.value;
        let request = CreateRequest { kind: CallKind::Create, address, value, gas, init_code: self.data() };
        let end = self.machine.run_create(request, self.sender);
        (end, (end.status == Status::Success).then_some(address))
    }

    fn data(&self) -> Input {
        Input { source: Source::Transaction, start: 0, len: self.transaction.data.len() }
    }

    /// What the frame returned; for a creation the code that it deployed.
    fn output(&mut self, end: End, created: Option<Address>) -> Bytes {
        match (end.status, created) {
            (Status::Halt(_), _) => Bytes::new(),
            (_, Some(address)) => {
                let account = self.machine.journal.load(&address);
                self.machine.journal.code(account).bytes().clone()
            }
            _ => Bytes::copy_from_slice(self.machine.output()),
        }
    }

    /// Refunds gas, pays the coinbase, counts what is burnt, and reads off the diff.
    fn settle(self, end: End, output: Bytes, created: Option<Address>) -> Execution {
        let blob_fee = self.blob_fee();
        let Machine { mut journal, environment: Environment { block, .. }, .. } = self.machine;
        let gas_limit = self.transaction.gas_limit;
        let spent = gas_limit - end.gas_left;
        let gas_refunded = journal.refund().min(spent / refund_quotient());
        let gas_used = spent - gas_refunded;

        journal.credit(self.sender, self.price * U256::from(gas_limit - gas_used));
        let burnt_price = self.price.min(block.base_fee);
        let tip = (self.price - burnt_price) * U256::from(gas_used);
        let coinbase = journal.load(&block.coinbase);
        journal.credit(coinbase, tip);

        let finished = journal.finish();
        Execution {
            status: end.status,
            gas_used,
            gas_refunded,
            output,
            created,
            logs: finished.logs,
            diff: finished.diff,
            burnt: Burnt {
                base_fee: burnt_price * U256::from(gas_used),
                blob_fee,
                self_destruct: finished.burnt,
            },
            tip,
        }
    }
}

/// EIP-3529: at most a fifth of the gas is refunded.
fn refund_quotient() -> u64 {
    if synod_types::mutant!("evm-refund-half") { 2 } else { FORK.refund_quotient }
}
