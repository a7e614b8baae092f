//! Ports of this machine for nodes that live for a while only: those of a bench or a test.
//!
//! A port that the system gives (port 0) may, once it is let go, be given to anybody's outgoing connection before the
//! node listens on it; a client that keeps asking a node which is not there yet can even connect to itself there.
//! These lie below the ports that the system gives to connections, and belong to one process until it ends.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// The ports of a block, its guard among them.
const BLOCK: u16 = 64;
/// The first port of the first block.
const FIRST: u16 = 10_000;
/// The blocks that there are: up to port 31,760.
const BLOCKS: u16 = 340;

/// The first of 63 ports in a row that nobody listens on and that no other process takes by this function: the
/// sixty-fourth is held until this process ends.
///
/// # Errors
/// No block is free.
pub fn block() -> std::io::Result<u16> {
    let wanted = (std::process::id() % u32::from(BLOCKS)) as u16;
    for next in 0..BLOCKS {
        let first = FIRST + (wanted + next) % BLOCKS * BLOCK;
        // The guard first: nobody looks at the ports of a block that is another's, who may be about to listen there.
        let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, first + BLOCK - 1)) else { continue };
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..first + BLOCK - 1).all(is_free) {
            std::mem::forget(guard);
            return Ok(first);
        }
    }
    Err(Error::new(ErrorKind::AddrNotAvailable, "no 64 ports in a row are free"))
}

/// A loopback address that nobody listens on, another at each call.
///
/// # Errors
/// No block is free.
pub fn unused() -> std::io::Result<SocketAddr> {
    static LEFT: Mutex<std::ops::Range<u16>> = Mutex::new(0..0);
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    if left.is_empty() {
        let first = block()?;
        *left = first..first + BLOCK - 1;
    }
    let port = left.next().unwrap_or(FIRST);
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let given: std::collections::BTreeSet<_> = (0..200).map(|_| unused().unwrap()).collect();
        assert_eq!(given.len(), 200);
        assert!(given.iter().all(|address| (FIRST..FIRST + BLOCKS * BLOCK).contains(&address.port())));
    }

    #[test]
    fn a_block_that_is_held_is_not_given_again() {
        let (one, two) = (block().unwrap(), block().unwrap());
        assert_ne!(one, two);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one + BLOCK - 1)).is_err());
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one)).is_ok());
    }
}
