//! The bytes of a segment: its header (twice), then frames at sector boundaries.
//!
//! All numbers are big-endian. A segment starts with two equal headers, 4 KiB apart, so that one bad page does
//! not hide the salt:
//!
//! ```text
//! 0  "SYNODSEG"   8 version u32   12 kind u32   16 segment u32   20 bytes of the segment u32
//!    the highest bit of the kind: the file was another segment before, whose bytes stand where no frame does
//! 24 salt [16]    40 first 8 bytes of SHA-256(tag ‖ bytes 0..40)                       = 48
//! ```
//!
//! and each frame, from byte 8,192 on, with a header of its own in front of its payload:
//!
//! ```text
//! 0  "SYNF"       4 length of the payload u32       8 number u64      16 salt [16]
//! 32 hash of the previous frame [32]               64 hash of this frame [32]
//! 96 first 8 bytes of SHA-256(tag ‖ bytes 0..96)                                       = 104
//! hash = SHA-256(tag ‖ number ‖ previous ‖ length ‖ payload)
//! ```
//!
//! The frame's hash is its checksum, and the link that the next frame repeats. It binds neither salt nor place,
//! so that a repair can be checked by the chain alone. The header's own check makes a header believable when
//! its payload is not: a believable header with a later number proves that an earlier frame had been synced.
//! Frames start at sectors so that writing one never touches a sector that holds a durable one.

use sha2::{Digest, Sha256};
use synod_types::B256;

use super::{FrameNumber, LogKind, Salt};

/// The format that this program writes and reads.
pub(super) const VERSION: u32 = 1;
/// Frames start at multiples of this.
pub(super) const SECTOR: usize = 512;
/// Bytes before the first frame.
pub(super) const FRAMES_START: usize = 8192;
/// Where the two copies of the segment's header stand.
pub(super) const SEGMENT_HEADERS: [usize; 2] = [0, 4096];
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 48;
/// Bytes of a frame's header.
pub(super) const FRAME_HEADER: usize = 104;
/// The smallest and the largest segment.
pub(super) const SEGMENT_BYTES: std::ops::RangeInclusive<u32> = (16 << 10)..=(1 << 30);

/// In the kind's place: see above.
const REUSED: u32 = 1 << 31;
const SEGMENT_MAGIC: &[u8; 8] = b"SYNODSEG";
const FRAME_MAGIC: &[u8; 4] = b"SYNF";

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) version: u32,
    pub(super) kind: u32,
    pub(super) segment: u32,
    pub(super) bytes: u32,
    pub(super) salt: Salt,
    /// What stands beyond its frames is of an earlier segment, under another salt.
    pub(super) is_reused: bool,
}

impl SegmentHeader {
    pub(super) fn new(kind: LogKind, segment: u32, bytes: u32, salt: Salt) -> Self {
        SegmentHeader { version: VERSION, kind: kind.code(), segment, bytes, salt, is_reused: false }
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_be_bytes());
        let kind = if self.is_reused { self.kind | REUSED } else { self.kind };
        bytes[12..16].copy_from_slice(&kind.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.segment.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[24..40].copy_from_slice(&self.salt.0);
        let check = short_check(b"synod/log/segment/v1", &bytes[..40]);
        bytes[40..].copy_from_slice(&check);
        bytes
    }

    /// The header, when it is one: magic and check hold. The caller judges version and kind.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEGMENT_HEADER] = bytes.get(..SEGMENT_HEADER)?.try_into().ok()?;
        let whole =
            &bytes[..8] == SEGMENT_MAGIC && bytes[40..] == short_check(b"synod/log/segment/v1", &bytes[..40]);
        whole.then(|| SegmentHeader {
            version: number32(&bytes[8..]),
            kind: number32(&bytes[12..]) & !REUSED,
            segment: number32(&bytes[16..]),
            bytes: number32(&bytes[20..]),
            salt: Salt(array(&bytes[24..])),
            is_reused: number32(&bytes[12..]) & REUSED != 0,
        })
    }
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: u32,
    pub(super) number: FrameNumber,
    pub(super) salt: Salt,
    pub(super) previous: B256,
    pub(super) hash: B256,
}

impl FrameHeader {
    pub(super) fn new(number: FrameNumber, salt: Salt, previous: B256, payload: &[u8]) -> Self {
        let hash = frame_hash(number, previous, payload);
        FrameHeader { length: payload.len() as u32, number, salt, previous, hash }
    }

    pub(super) fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.number.0.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.salt.0);
        bytes[32..64].copy_from_slice(self.previous.as_slice());
        bytes[64..96].copy_from_slice(self.hash.as_slice());
        let check = short_check(b"synod/log/frame-header/v1", &bytes[..96]);
        bytes[96..].copy_from_slice(&check);
        bytes
    }

    /// The header, when it is one: magic and check hold. The caller judges salt, number and chain.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(FRAME_MAGIC) {
            return None;
        }
        let bytes: &[u8; FRAME_HEADER] = bytes.get(..FRAME_HEADER)?.try_into().ok()?;
        (bytes[96..] == short_check(b"synod/log/frame-header/v1", &bytes[..96])).then(|| FrameHeader {
            length: number32(&bytes[4..]),
            number: FrameNumber(u64::from_be_bytes(array(&bytes[8..]))),
            salt: Salt(array(&bytes[16..])),
            previous: B256::new(array(&bytes[32..])),
            hash: B256::new(array(&bytes[64..])),
        })
    }

    /// Whether `payload` is the one that this header was written for.
    pub(super) fn vouches_for(&self, payload: &[u8]) -> bool {
        if synod_types::mutant!("sto-1-ignore-checksum") {
            return payload.len() == self.length as usize;
        }
        payload.len() == self.length as usize && self.hash == frame_hash(self.number, self.previous, payload)
    }
}

/// The link of the chain: what the next frame names as its previous one.
pub(super) fn frame_hash(number: FrameNumber, previous: B256, payload: &[u8]) -> B256 {
    let mut hasher = Sha256::new();
    hasher.update(b"synod/log/frame/v1");
    hasher.update(number.0.to_be_bytes());
    hasher.update(previous.as_slice());
    hasher.update((payload.len() as u64).to_be_bytes());
    hasher.update(payload);
    B256::new(hasher.finalize().into())
}

/// Bytes that a frame takes in its segment, with the rest of its last sector.
pub(super) fn frame_space(payload: usize) -> usize {
    (FRAME_HEADER + payload).next_multiple_of(SECTOR)
}

/// The salt of one segment: what the caller gave, made different for each segment of one opening.
pub(super) fn segment_salt(salt: Salt, segment: u32) -> Salt {
    let mut hasher = Sha256::new();
    hasher.update(b"synod/log/salt/v1");
    hasher.update(salt.0);
    hasher.update(segment.to_be_bytes());
    Salt(array(&hasher.finalize()))
}

/// 8 bytes of SHA-256 under a tag: enough against accidents, which is all that a header's check is for.
pub(super) fn short_check(tag: &[u8], bytes: &[u8]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    hasher.update(tag);
    hasher.update(bytes);
    array(&hasher.finalize())
}

/// The first `N` bytes; every caller has at least so many.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

pub(super) fn number32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(array(bytes))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn golden_bytes_of_a_segment_header() {
        let header = SegmentHeader::new(LogKind::Blocks, 7, 16 << 20, Salt([0xab; 16]));
        let bytes = header.encode();
        assert_eq!(hex::encode(bytes), GOLDEN_SEGMENT);
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
    }

    #[test]
    fn golden_bytes_of_a_frame() {
        let header = FrameHeader::new(FrameNumber(9), Salt([0xcd; 16]), B256::repeat_byte(0x11), b"payload");
        let bytes = header.encode();
        assert_eq!(hex::encode(bytes), GOLDEN_FRAME);
        assert_eq!(FrameHeader::decode(&bytes), Some(header));
        assert!(header.vouches_for(b"payload") && !header.vouches_for(b"paYload"));
    }

    #[test]
    fn a_header_with_any_flipped_bit_is_none() {
        let segment = SegmentHeader::new(LogKind::Votes, 1, 1 << 20, Salt([1; 16])).encode();
        let frame = FrameHeader::new(FrameNumber(1), Salt([2; 16]), B256::ZERO, b"").encode();
        for bit in 0..8 {
            for at in 0..SEGMENT_HEADER {
                let mut bytes = segment;
                bytes[at] ^= 1 << bit;
                assert_eq!(SegmentHeader::decode(&bytes), None);
            }
            for at in 0..FRAME_HEADER {
                let mut bytes = frame;
                bytes[at] ^= 1 << bit;
                assert_eq!(FrameHeader::decode(&bytes), None);
            }
        }
        assert_eq!(FrameHeader::decode(&frame[..100]), None);
    }

    const GOLDEN_SEGMENT: &str = "53594e4f4453454700000001000000010000000701000000\
        abababababababababababababababab91f712e910570588";
    const GOLDEN_FRAME: &str = "53594e46000000070000000000000009cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
        1111111111111111111111111111111111111111111111111111111111111111\
        6dbf16acfd61980e463f0d6642ec628a6ac446e46bf14dddd2f8ba913bdedbf03f26e8577b5d5b9c";
}
