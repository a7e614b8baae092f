//! Damage at rest (S-D5): what the twin's sectors may turn into while nobody writes them.
//!
//! Each method changes both what a reader sees and what a power cut leaves, and answers whether there was
//! such a place.

use super::SimDisk;
use super::machine::{FileState, Image, SECTOR};

impl SimDisk {
    /// Changes one byte of a file by flipping the bits of `mask`.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        self.rot(name, |bytes| bytes.get_mut(offset as usize).map(|byte| *byte ^= mask).is_some())
    }

    /// Zeroes the sector that holds this offset.
    pub fn zero_sector(&self, name: &str, offset: u64) -> bool {
        self.rot(name, |bytes| {
            let start = offset as usize / SECTOR * SECTOR;
            let end = (start + SECTOR).min(bytes.len());
            bytes.get_mut(start..end).map(|sector| sector.fill(0)).is_some()
        })
    }

    /// Copies one sector over another, as a misdirected write does.
    pub fn misdirect(&self, name: &str, from: u64, to: u64) -> bool {
        self.rot(name, |bytes| {
            let (from, to) = (from as usize / SECTOR * SECTOR, to as usize / SECTOR * SECTOR);
            let whole = from.max(to) + SECTOR <= bytes.len();
            if whole {
                bytes.copy_within(from..from + SECTOR, to);
            }
            whole
        })
    }

    /// Puts one sector back as it was in an earlier image: a write that the disk acknowledged and forgot.
    pub fn forget_sector(&self, name: &str, offset: u64, earlier: &Image) -> bool {
        let Some(old) = self.full_name(name).ok().and_then(|name| earlier.bytes(&name).map(<[u8]>::to_vec))
        else {
            return false;
        };
        self.rot(name, |bytes| {
            let start = offset as usize / SECTOR * SECTOR;
            let end = (start + SECTOR).min(bytes.len()).min(old.len());
            match (bytes.get_mut(start..end), old.get(start..end)) {
                (Some(sector), Some(before)) => {
                    sector.copy_from_slice(before);
                    true
                }
                _ => false,
            }
        })
    }

    /// Cuts a file at a length.
    pub fn cut(&self, name: &str, length: u64) -> bool {
        self.rot(name, |bytes| {
            let shorter = (length as usize) < bytes.len();
            bytes.truncate(length as usize);
            shorter
        })
    }

    /// A file's bytes as a reader sees them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let name = self.full_name(name).ok()?;
        let machine = self.machine();
        let id = machine.names.get(&name)?;
        machine.files.get(id).map(|file| file.cache.clone())
    }

    fn rot(&self, name: &str, damage: impl Fn(&mut Vec<u8>) -> bool) -> bool {
        let Ok(name) = self.full_name(name) else { return false };
        let mut machine = self.machine();
        let Some(id) = machine.names.get(&name).copied() else { return false };
        let Some(FileState { cache, durable, .. }) = machine.files.get_mut(&id) else { return false };
        damage(durable);
        damage(cache)
    }
}
