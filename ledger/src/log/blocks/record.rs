//! What a frame of the block log holds: deliveries, one after the other.
//!
//! ```text
//! 1 appended   height u64   hash [32]   parent [32]   length u32   block
//! 2 rewound    height u64   hash [32]
//! 3 restarted  height u64   hash [32]
//! ```
//!
//! Big-endian, back to back, to the end of the payload. The parent is what makes the chain checkable without
//! decoding a block, and what tells, behind a damaged frame, which blocks are missing.

use synod_types::{B256, BlockHash, Height};

use crate::log::layout::{array, number32};

const APPENDED: u8 = 1;
const REWOUND: u8 = 2;
const RESTARTED: u8 = 3;
const TIP_LENGTH: usize = 40;

/// A block by height and hash; as a tip, the block on which the next one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

/// A delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A block on the tip.
    Appended {
        /// The block.
        block: Tip,
        /// The hash of the block below.
        parent: BlockHash,
        /// Its encoding, opaque here.
        bytes: &'a [u8],
    },
    /// The blocks above this one left the chain. They can still be read by hash.
    Rewound(Tip),
    /// The chain goes on from this block, which came as a snapshot.
    Restarted(Tip),
}

impl<'a> Record<'a> {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Appended { block, parent, bytes } => {
                encode_tip(APPENDED, block, out);
                out.extend_from_slice(parent.0.as_slice());
                out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Record::Rewound(tip) => encode_tip(REWOUND, tip, out),
            Record::Restarted(tip) => encode_tip(RESTARTED, tip, out),
        }
    }

    /// The record at the start of `bytes` and how many bytes it takes; `None` when there is no whole one.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (kind, rest) = bytes.split_first()?;
        let tip = Tip {
            height: Height(u64::from_be_bytes(array(rest.get(..8)?))),
            hash: BlockHash(B256::new(array(rest.get(8..TIP_LENGTH)?))),
        };
        match *kind {
            APPENDED => {
                let parent = BlockHash(B256::new(array(rest.get(TIP_LENGTH..72)?)));
                let length = number32(rest.get(72..76)?) as usize;
                let block = rest.get(76..76usize.checked_add(length)?)?;
                Some((Record::Appended { block: tip, parent, bytes: block }, 77 + length))
            }
            REWOUND => Some((Record::Rewound(tip), 1 + TIP_LENGTH)),
            RESTARTED => Some((Record::Restarted(tip), 1 + TIP_LENGTH)),
            _ => None,
        }
    }

    /// Every record of a frame with its place in the payload; `None` unless all of it is records.
    pub fn decode_all(payload: &'a [u8]) -> Option<Vec<(usize, Self)>> {
        let (mut records, mut at) = (Vec::new(), 0);
        while at < payload.len() {
            let (record, length) = Record::decode(&payload[at..])?;
            records.push((at, record));
            at += length;
        }
        Some(records)
    }

    /// Where the chain stands after the record.
    pub fn tip(&self) -> Tip {
        match self {
            Record::Appended { block, .. } => *block,
            Record::Rewound(tip) | Record::Restarted(tip) => *tip,
        }
    }
}

/// A frame's payload of these records.
pub(super) fn encode_all(records: &[Record<'_>]) -> Vec<u8> {
    let mut payload = Vec::new();
    records.iter().for_each(|record| record.encode(&mut payload));
    payload
}

fn encode_tip(kind: u8, tip: &Tip, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&tip.height.0.to_be_bytes());
    out.extend_from_slice(tip.hash.0.as_slice());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    fn tip(height: u64) -> Tip {
        Tip { height: Height(height), hash: BlockHash(B256::repeat_byte(height as u8)) }
    }

    #[test]
    fn golden_bytes_of_the_records() {
        let records = [
            Record::Appended { block: tip(0x21), parent: tip(0x20).hash, bytes: b"block" },
            Record::Rewound(tip(0x1f)),
            Record::Restarted(tip(0x7e)),
        ];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        let (h21, h20) = ("21".repeat(32), "20".repeat(32));
        let expected = format!(
            "010000000000000021{h21}{h20}00000005626c6f636b02000000000000001f{}03000000000000007e{}",
            "1f".repeat(32),
            "7e".repeat(32)
        );
        assert_eq!(hex::encode(&bytes), expected);
        let decoded: Vec<Record<'_>> =
            Record::decode_all(&bytes).unwrap().into_iter().map(|(_, record)| record).collect();
        assert_eq!(decoded, records);
    }

    #[test]
    fn gen_9_cut_or_strange_records_are_refused() {
        let mut bytes = Vec::new();
        Record::Appended { block: tip(1), parent: tip(0).hash, bytes: &[5; 50] }.encode(&mut bytes);
        for length in 1..bytes.len() {
            assert!(Record::decode_all(&bytes[..length]).is_none());
        }
        bytes[73..77].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Record::decode_all(&bytes).is_none());
        assert!(Record::decode_all(&[9; 100]).is_none());
    }
}
