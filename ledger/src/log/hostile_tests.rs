//! Hostile bytes in the places where the log keeps its own (STO-9): beneath the checks, and with checks that hold.

use synod_types::{B256, Epoch, Position, Slot};

use super::journal::RecordPlace;
use super::journal::operation::{Content, Operation};
use super::layout::{FrameHeader, SegmentHeader, short_check};
use super::marker::Marker;
use super::{FrameNumber, LogKind, Salt};
use crate::hostile::{Decoder, alone, inputs, try_decoders};

/// A decoder of bytes that end in their own check: each input is tried as it is, and once more with a check
/// that holds, so that what stands behind the check is tried as well.
fn checked(
    name: &'static str,
    sample: Vec<u8>,
    tag: &'static [u8],
    rewrite: impl Fn(&[u8]) -> Option<Vec<u8>> + 'static,
) -> Decoder {
    Decoder::bytes(name, vec![sample], move |bytes| {
        if let Some(body) = bytes.len().checked_sub(8) {
            let mut sealed = bytes.to_vec();
            let check = short_check(tag, &sealed[..body]);
            sealed[body..].copy_from_slice(&check);
            if let Some(written) = rewrite(&sealed) {
                assert_eq!(written, sealed[..written.len()]);
            }
        }
        let written = rewrite(bytes)?;
        Some([&written, &bytes[written.len()..]].concat())
    })
}

fn operations() -> Vec<u8> {
    let position = Position { epoch: Epoch(2), slot: Slot(9) };
    let operations = [
        Operation::Put { place: RecordPlace::At(position), bytes: b"vote" },
        Operation::Put { place: RecordPlace::Register(7), bytes: b"view" },
        Operation::EraseBelow(position),
    ];
    let mut bytes = Vec::new();
    operations.iter().for_each(|operation| operation.encode(&mut bytes));
    bytes
}

fn rewrite_content(bytes: &[u8]) -> Option<Vec<u8>> {
    let (content, mut rest) = Content::decode(bytes)?;
    let mut written = Vec::new();
    while !rest.is_empty() {
        let (operation, length) = Operation::decode(rest)?;
        operation.encode(&mut written);
        rest = &rest[length..];
    }
    Some(content.encode(&written))
}

#[test]
fn sto_9_hostile_bytes_in_the_logs_are_refused_or_kept_exactly() {
    alone(module_path!(), "sto_9_hostile_bytes_in_the_logs_are_refused_or_kept_exactly", || {
        let segment = SegmentHeader::new(LogKind::Votes, 3, 1 << 20, Salt([5; 16])).encode().to_vec();
        let frame = FrameHeader::new(FrameNumber(9), Salt([5; 16]), B256::repeat_byte(1), b"payload");
        let marker = Marker::new(7).encode(LogKind::Votes).to_vec();
        let group = Content::Group { number: 4 }.encode(&operations());
        let snapshot = Content::Snapshot { groups: 9, part: 1, parts: 3 }.encode(&operations());
        let decoders = [
            checked("segment header", segment, b"synod/log/segment/v1", |bytes| {
                SegmentHeader::decode(bytes).map(|header| header.encode().to_vec())
            }),
            checked("frame header", frame.encode().to_vec(), b"synod/log/frame-header/v1", |bytes| {
                let header = FrameHeader::decode(bytes)?;
                let _ = header.vouches_for(bytes);
                Some(header.encode().to_vec())
            }),
            checked("log marker", marker, b"synod/log/marker/v1", |bytes| {
                let marker = Marker::decode(bytes.try_into().ok()?, LogKind::Votes).ok()?;
                Some(marker.encode(LogKind::Votes).to_vec())
            }),
            Decoder::bytes("votes journal frame", vec![group, snapshot], rewrite_content),
        ];
        try_decoders(&decoders, inputs(8_000));
    });
}
