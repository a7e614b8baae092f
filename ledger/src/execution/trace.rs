//! One transaction of a block again, watched.

use synod_types::Address;
use synod_types::{UnixMillis, VerifiedTransaction};
use synod_vm::tracer::Tracer;
use synod_vm::{Execution, Vm};

use super::{LeftOut, Parent, Rules, open_block, seal};
use crate::state::{DiffBuilder, StateRead};

/// A block of which a transaction is executed again.
#[derive(Debug, Clone)]
pub struct Traced {
    /// Its time.
    pub time: UnixMillis,
    /// Who got its tips.
    pub fee_recipient: Address,
    /// Its transactions up to the one that is watched, in order.
    pub transactions: Vec<VerifiedTransaction>,
}

/// Executes the last of the block's transactions over the state that the ones before it left, watched.
/// `None` when there is none. `go_on` is asked between them; false ends it with `None` too.
///
/// # Errors
/// [`LeftOut`] when one of them cannot be charged: then `state` is not its parent's.
pub fn trace<S: StateRead + ?Sized, T: Tracer>(
    vm: &mut Vm,
    rules: &Rules,
    state: &S,
    parent: &Parent<'_>,
    block: &Traced,
    tracer: &mut T,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Execution>, LeftOut> {
    let Some((last, before)) = block.transactions.split_last() else { return Ok(None) };
    let mut changes = DiffBuilder::new(state);
    let time = seal::clamp_time(block.time);
    let mut room = open_block(rules, parent, time, block.fee_recipient, &mut changes);
    for transaction in before {
        if !go_on() {
            return Ok(None);
        }
        room.run(vm, transaction, &mut changes)?;
    }
    room.check(last, &mut changes)?;
    Ok(Some(room.watch(vm, last, &changes, tracer)))
}
