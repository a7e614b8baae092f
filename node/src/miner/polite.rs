//! Puts a thread behind everything else on the machine.
//!
//! Under Linux's SCHED_IDLE a thread gets what others leave, and any other thread that wakes takes the core at
//! once: that is what keeps a node's answers quick while it mines. A nice value alone would make it wait for
//! the end of the miner's slice.
//!
//! # Safety
//!
//! One system call, whose only pointer is to a value on this function's stack that the kernel reads.
#![allow(unsafe_code)]

use std::io;

/// Gives the calling thread the lowest scheduling priority.
///
/// # Errors
///
/// The operating system's refusal, and `Unsupported` where there is no such call.
pub(super) fn give_way() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: the pointer is to a live, initialised value; thread 0 means the calling one.
        match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameter) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}
