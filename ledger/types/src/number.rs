//! Newtypes for numbers that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl $name {
            /// The next number, or `None` at the end of the range.
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }
        }
    };
}

number!(
    /// How many blocks stand below a block: the genesis block has height 0.
    Height(u64)
);
number!(
    /// A committee's term. Ordering, committee and parameters are fixed within one.
    Epoch(u64)
);
number!(
    /// A place in the order within an epoch. Under proof of work the slot is the height.
    Slot(u64)
);
number!(
    /// Units of execution.
    Gas(u64)
);
number!(
    /// Milliseconds since the Unix epoch.
    UnixMillis(u64)
);

impl UnixMillis {
    /// Whole seconds, rounded down.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A place in the whole order: positions compare by epoch, then by slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch.
    pub epoch: Epoch,
    /// The slot within it.
    pub slot: Slot,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.epoch, self.slot)
    }
}
