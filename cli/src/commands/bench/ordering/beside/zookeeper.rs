//! ZooKeeper's own protocol, as much as writing needs: a session, one node for each connection, and `setData` on it,
//! many on their way at a time, answered in order.
//!
//! Records are in jute's encoding: integers in network order, a length before each string and buffer; a length
//! before each packet.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::{PATIENCE, Window, Written, failed, value};
use crate::commands::bench::load::network::go_on;
use crate::commands::bench::load::step::sleep_until;
use crate::failure::Outcome;

/// Operations.
const CREATE: i32 = 1;
const SET_DATA: i32 = 5;
/// The node is there already.
const NODE_EXISTS: i32 = -110;
/// All permissions.
const ALL: i32 = 31;
const SESSION_MS: i32 = 30_000;
/// No answer here is longer.
const ANSWER_LIMIT: usize = 64 * 1024;

/// One connection, with its session.
struct Session {
    stream: TcpStream,
    number: i32,
}

/// A packet that is being written.
#[derive(Default)]
struct Packet(Vec<u8>);

impl Packet {
    fn int(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn long(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn buffer(self, bytes: &[u8]) -> Self {
        let mut packet = self.int(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        packet.0.extend(bytes);
        packet
    }
}

impl Session {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Self { stream, number: 0 };
        // Version, last zxid seen, timeout, session, password.
        session.write(Packet::default().int(0).long(0).int(SESSION_MS).long(0).buffer(&[0; 16]))?;
        session.read()?;
        Ok(session)
    }

    fn write(&mut self, packet: Packet) -> io::Result<()> {
        let framed = Packet::default().buffer(&packet.0);
        self.stream.write_all(&framed.0)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_LIMIT {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map(|()| bytes)
    }

    fn request(&mut self, operation: i32) -> Packet {
        self.number = self.number.wrapping_add(1);
        Packet::default().int(self.number).int(operation)
    }

    /// An answer's error code.
    fn answer(&mut self) -> io::Result<i32> {
        let bytes = self.read()?;
        // Its number, its zxid, the code.
        let code = bytes.get(12..16).and_then(|code| code.try_into().ok());
        code.map(i32::from_be_bytes).ok_or_else(|| io::Error::other("an answer without a code"))
    }

    fn create(&mut self, path: &str) -> io::Result<()> {
        let packet = self.request(CREATE).buffer(path.as_bytes()).buffer(&value());
        // Anybody may do anything; the node stays.
        self.write(packet.int(1).int(ALL).buffer(b"world").buffer(b"anyone").int(0))?;
        match self.answer()? {
            0 | NODE_EXISTS => Ok(()),
            code => Err(io::Error::other(format!("{path} cannot be made: error {code}"))),
        }
    }

    fn set(&mut self, path: &str) -> io::Result<()> {
        let packet = self.request(SET_DATA).buffer(path.as_bytes()).buffer(&value()).int(-1);
        self.write(packet)
    }
}

/// Drives it.
pub(super) fn drive(address: SocketAddr, shares: &[u32], window: Window) -> Outcome<Vec<Written>> {
    std::thread::scope(|scope| {
        let lanes: Vec<_> = shares
            .iter()
            .zip(0_u32..)
            .map(|(share, lane)| scope.spawn(move || one(address, lane, *share, window)))
            .collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect()
    })
}

fn one(address: SocketAddr, lane: u32, share: u32, window: Window) -> Outcome<Written> {
    let broken = |error: io::Error| failed("zookeeper", address, error);
    let path = format!("/synod-bench-{lane}");
    let mut session = Session::open(address).map_err(broken)?;
    session.create(&path).map_err(broken)?;
    sleep_until(window.begun)?;
    let (mut written, mut sent) = (Written::default(), VecDeque::new());
    loop {
        go_on()?;
        while sent.len() < share as usize && Instant::now() < window.to {
            sent.push_back(Instant::now());
            session.set(&path).map_err(broken)?;
        }
        let Some(first) = sent.pop_front() else { return Ok(written) };
        match session.answer().map_err(broken)? {
            0 => written.answered(first, window),
            code => return Err(failed("zookeeper", address, format!("a write is refused: error {code}"))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_jute() {
        let packet = Packet::default().int(1).long(-2).buffer(b"ab");
        assert_eq!(packet.0, [0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 2, b'a', b'b']);
    }
}
