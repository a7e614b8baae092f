//! Stories of the machine, told through its boundary.
