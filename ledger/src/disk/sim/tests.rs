//! The twin itself: it must lose what a disk may lose, keep what a disk must keep, and repeat itself.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::disk::DiskFile;

fn written(disk: &SimDisk, name: &str) -> SimFile {
    let file = disk.create(name).unwrap();
    disk.sync_folder().unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync_data().unwrap();
    file
}

#[test]
fn synced_bytes_and_names_survive_every_power_cut() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = written(&disk, "a");
        file.write_at(2048, &[2; 4096]).unwrap();
        disk.power_cut(PowerCut::Tear, &mut Choices::new(seed));
        let bytes = disk.bytes("a").unwrap();
        assert_eq!(bytes[..2048], [1; 2048]);
        assert!(bytes[2048..].iter().all(|byte| [0, 2].contains(byte)));
    }
}

#[test]
fn s_d2_a_torn_write_shows_every_shape_over_the_seeds() {
    let (mut lost, mut kept, mut prefix, mut suffix, mut holes) = (0, 0, 0, 0, 0);
    for seed in 0..400 {
        let disk = SimDisk::new(0);
        let file = written(&disk, "a");
        file.write_at(0, &[2; 2048]).unwrap();
        disk.power_cut(PowerCut::Tear, &mut Choices::new(seed));
        let bytes = disk.bytes("a").unwrap();
        let changes = bytes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        match (bytes[0], bytes[2047], changes) {
            (1, 1, 0) => lost += 1,
            (2, 2, 0) => kept += 1,
            (2, 1, 1) => prefix += 1,
            (1, 2, 1) => suffix += 1,
            _ => holes += 1,
        }
    }
    assert!([lost, kept, prefix, suffix, holes].iter().all(|count| *count > 5));
}

#[test]
fn s_d2_overlapping_writes_land_in_any_order() {
    let results: std::collections::BTreeSet<u8> = (0..50)
        .map(|seed| {
            let disk = SimDisk::new(0);
            let file = written(&disk, "a");
            file.write_at(0, &[2; 512]).unwrap();
            file.write_at(0, &[3; 512]).unwrap();
            disk.power_cut(PowerCut::Tear, &mut Choices::new(seed));
            disk.bytes("a").unwrap()[0]
        })
        .collect();
    assert_eq!(results.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn an_unsynced_name_may_vanish_with_all_its_synced_bytes() {
    let disk = SimDisk::new(0);
    let file = disk.create("a").unwrap();
    file.write_at(0, b"bytes").unwrap();
    file.sync_data().unwrap();
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    assert!(disk.list().unwrap().is_empty());
    assert!(matches!(disk.open("a"), Err(DiskError::NotFound { .. })));
}

#[test]
fn s_d3_a_failed_sync_leaves_bytes_that_are_visible_clean_and_not_durable() {
    let disk = SimDisk::new(3);
    let file = written(&disk, "a");
    disk.set_faults(Faults { failing_syncs: [disk.syncs() + 1].into(), ..Faults::default() });
    file.write_at(0, &[2; 2048]).unwrap();
    assert!(matches!(file.sync_data(), Err(DiskError::Failed { .. })));
    file.sync_data().unwrap();
    assert_eq!(disk.bytes("a").unwrap(), [2; 2048]);
    disk.power_cut(PowerCut::KeepUnsynced, &mut Choices::new(0));
    assert_ne!(disk.bytes("a").unwrap(), [2; 2048]);
}

#[test]
fn s_d4_a_full_disk_refuses_growth_and_nothing_else() {
    let disk = SimDisk::new(0);
    let file = written(&disk, "a");
    disk.set_faults(Faults { capacity_bytes: Some(2048), ..Faults::default() });
    file.write_at(0, &[3; 2048]).unwrap();
    assert!(file.write_at(2000, &[3; 100]).unwrap_err().is_no_space());
    disk.set_faults(Faults::default());
    file.write_at(2000, &[3; 100]).unwrap();
}

#[test]
fn s_c1_the_power_goes_off_at_the_chosen_operation_and_handles_die() {
    let disk = SimDisk::new(0);
    let file = written(&disk, "a");
    disk.set_faults(Faults { power_off_after: Some(disk.operations() + 1), ..Faults::default() });
    file.write_at(0, b"last").unwrap();
    assert!(matches!(file.sync_data(), Err(DiskError::PowerLost)));
    assert!(matches!(disk.list(), Err(DiskError::PowerLost)));
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    assert!(matches!(file.length(), Err(DiskError::PowerLost)));
    assert_eq!(disk.bytes("a").unwrap()[0], 1);
}

#[test]
fn a_killed_process_leaves_its_writes_in_the_cache() {
    let disk = SimDisk::new(0);
    let file = written(&disk, "a");
    file.write_at(0, b"last").unwrap();
    disk.kill();
    assert_eq!(&disk.bytes("a").unwrap()[..4], b"last");
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    assert_eq!(disk.bytes("a").unwrap()[0], 1);
}

#[test]
fn s_c5_an_image_put_back_is_the_past() {
    let disk = SimDisk::new(0);
    let file = written(&disk, "a");
    let past = disk.image();
    file.write_at(0, &[7; 2048]).unwrap();
    file.sync_data().unwrap();
    assert!(disk.forget_sector("a", 600, &past));
    let bytes = disk.bytes("a").unwrap();
    assert_eq!((bytes[511], bytes[512], bytes[1023], bytes[1024]), (7, 1, 1, 7));
    disk.restore(&past);
    assert_eq!(disk.bytes("a").unwrap(), [1; 2048]);
}

#[test]
fn folders_share_a_machine_but_not_names() {
    let disk = SimDisk::new(0);
    let (votes, blocks) = (disk.folder("votes"), disk.folder("blocks"));
    votes.create("a").unwrap();
    blocks.create("a").unwrap();
    votes.sync_folder().unwrap();
    disk.power_cut(PowerCut::LoseUnsynced, &mut Choices::new(0));
    assert_eq!((votes.list().unwrap().len(), blocks.list().unwrap().len()), (1, 0));
}
