//! The bytes of a journal's frame: what the frame is, then operations back to back.
//!
//! ```text
//! 1 group      number u64
//! 2 snapshot   groups u64   part u32   parts u32
//!
//! 1 placed     epoch u64   slot u64   length u32   record
//! 2 register   register u16           length u32   record
//! 3 erase      epoch u64   slot u64
//! ```

use synod_types::{Epoch, Position, Slot};

use super::RecordPlace;
use crate::log::layout::{array, number32};

const GROUP: u8 = 1;
const SNAPSHOT: u8 = 2;
const PLACED: u8 = 1;
const REGISTER: u8 = 2;
const ERASE: u8 = 3;

/// Bytes that a frame's own header takes at most.
pub(super) const CONTENT_HEADER: usize = 17;

/// What a frame of the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Content {
    /// The records of one commit.
    Group { number: u64 },
    /// One part of the records that were live after that many groups.
    Snapshot { groups: u64, part: u32, parts: u32 },
}

impl Content {
    pub(in crate::log) fn encode(&self, operations: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CONTENT_HEADER + operations.len());
        match self {
            Content::Group { number } => {
                bytes.push(GROUP);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            Content::Snapshot { groups, part, parts } => {
                bytes.push(SNAPSHOT);
                bytes.extend_from_slice(&groups.to_be_bytes());
                bytes.extend_from_slice(&part.to_be_bytes());
                bytes.extend_from_slice(&parts.to_be_bytes());
            }
        }
        bytes.extend_from_slice(operations);
        bytes
    }

    /// What the frame is, and its operations.
    pub(in crate::log) fn decode(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = payload.split_first()?;
        let number = u64::from_be_bytes(array(rest.get(..8)?));
        match *kind {
            GROUP => Some((Content::Group { number }, &rest[8..])),
            SNAPSHOT => {
                let (part, parts) = (number32(rest.get(8..12)?), number32(rest.get(12..16)?));
                (part < parts).then_some((Content::Snapshot { groups: number, part, parts }, &rest[16..]))
            }
            _ => None,
        }
    }
}

/// One change of the live records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Operation<'a> {
    Put { place: RecordPlace, bytes: &'a [u8] },
    EraseBelow(Position),
}

impl<'a> Operation<'a> {
    /// Bytes of its encoding.
    pub(super) fn length(&self) -> usize {
        match self {
            Operation::Put { place: RecordPlace::At(_), bytes } => 21 + bytes.len(),
            Operation::Put { place: RecordPlace::Register(_), bytes } => 7 + bytes.len(),
            Operation::EraseBelow(_) => 17,
        }
    }

    pub(in crate::log) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Operation::Put { place, bytes } => {
                match place {
                    RecordPlace::At(position) => encode_position(PLACED, position, out),
                    RecordPlace::Register(register) => {
                        out.push(REGISTER);
                        out.extend_from_slice(&register.to_be_bytes());
                    }
                }
                out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Operation::EraseBelow(position) => encode_position(ERASE, position, out),
        }
    }

    /// The operation at the start of `bytes` and how many bytes it takes; a record's bytes are the last of them.
    pub(in crate::log) fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (kind, rest) = bytes.split_first()?;
        let (place, start) = match *kind {
            PLACED => (RecordPlace::At(decode_position(rest)?), 17),
            REGISTER => (RecordPlace::Register(u16::from_be_bytes(array(rest.get(..2)?))), 3),
            ERASE => return Some((Operation::EraseBelow(decode_position(rest)?), 17)),
            _ => return None,
        };
        let length = number32(bytes.get(start..start + 4)?) as usize;
        let end = (start + 4).checked_add(length)?;
        Some((Operation::Put { place, bytes: bytes.get(start + 4..end)? }, end))
    }
}

fn encode_position(kind: u8, position: &Position, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&position.epoch.0.to_be_bytes());
    out.extend_from_slice(&position.slot.0.to_be_bytes());
}

fn decode_position(bytes: &[u8]) -> Option<Position> {
    let number = |at: usize| Some(u64::from_be_bytes(array(bytes.get(at..at + 8)?)));
    Some(Position { epoch: Epoch(number(0)?), slot: Slot(number(8)?) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn golden_bytes_of_a_group_and_of_a_snapshot() {
        let position = Position { epoch: Epoch(2), slot: Slot(0x31) };
        let operations = [
            Operation::Put { place: RecordPlace::At(position), bytes: b"vote" },
            Operation::Put { place: RecordPlace::Register(7), bytes: b"view" },
            Operation::EraseBelow(position),
        ];
        let mut bytes = Vec::new();
        operations.iter().for_each(|operation| operation.encode(&mut bytes));
        let body = "010000000000000002000000000000003100000004766f7465\
                    0200070000000476696577\
                    0300000000000000020000000000000031";
        assert_eq!(hex::encode(&bytes), body);
        assert_eq!(bytes.len(), operations.iter().map(Operation::length).sum::<usize>());
        let mut at = 0;
        for operation in operations {
            let (decoded, length) = Operation::decode(&bytes[at..]).unwrap();
            assert_eq!(decoded, operation);
            at += length;
        }
        let group = Content::Group { number: 9 };
        let snapshot = Content::Snapshot { groups: 9, part: 1, parts: 3 };
        assert_eq!(hex::encode(group.encode(&[])), "010000000000000009");
        assert_eq!(hex::encode(snapshot.encode(&[])), "0200000000000000090000000100000003");
        assert_eq!(Content::decode(&snapshot.encode(&bytes)), Some((snapshot, &bytes[..])));
        assert_eq!(Content::decode(&group.encode(&bytes)), Some((group, &bytes[..])));
    }

    #[test]
    fn gen_9_cut_operations_are_refused() {
        let mut bytes = Vec::new();
        Operation::Put { place: RecordPlace::Register(1), bytes: &[5; 50] }.encode(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(Operation::decode(&bytes[..length]), None);
        }
        bytes[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Operation::decode(&bytes), None);
        assert_eq!(Content::decode(&[2; 12]), None);
    }
}
