//! Hostile bytes where a snapshot comes from somebody else (PBFT-15, STO-9): beneath the hashes that guard it.

use super::chunk::Chunk;
use super::intake::Intake;
use super::manifest::Manifest;
use super::tests::{served, story};
use crate::disk::SimDisk;
use crate::hostile::{Decoder, alone, inputs, try_decoders};
use crate::testing::genesis;

#[test]
fn pbft_15_hostile_snapshots_are_refused_or_kept_exactly() {
    alone(module_path!(), "pbft_15_hostile_snapshots_are_refused_or_kept_exactly", || {
        let disk = SimDisk::new(0);
        story(12).make(disk.clone(), 12).unwrap();
        let (manifest, chunks) = served(&disk, 12);
        let ends = vec![chunks[0].clone(), chunks[chunks.len() - 1].clone()];
        let rewrite = |bytes: &[u8]| Chunk::from_bytes(bytes).map(|chunk| chunk.to_bytes());
        // A manifest that a liar wrote around the very bytes: nothing but the state root refuses them.
        let naming = manifest.clone();
        let taken = move |bytes: &[u8]| {
            let mut intake = Intake::new(naming.naming(&[bytes, bytes]));
            let is_first = intake.take(bytes).is_ok();
            assert!(intake.take(bytes).is_err(), "what came once does not come again");
            is_first.then(|| bytes.to_vec())
        };
        let decoders = [
            Decoder::bytes("manifest", vec![manifest.to_bytes()], |bytes| {
                Manifest::read(bytes, &genesis()).ok().map(|manifest| manifest.to_bytes())
            }),
            Decoder::bytes("chunk", ends, rewrite),
            Decoder::bytes("chunk under a lying manifest", vec![chunks[0].clone()], taken),
        ];
        try_decoders(&decoders, inputs(6_000));
    });
}
