//! The twin's state: files with two images, names with two images, counters, and what a power cut does.

use std::collections::BTreeMap;
use std::io;

use super::choices::Choices;
use super::faults::{Faults, PowerCut};
use crate::disk::{DiskError, Operation};

/// The unit that a disk writes whole, more or less.
pub(super) const SECTOR: usize = 512;
/// The largest file of the twin: a runaway offset is a bug of the caller, not a reason to take all memory.
const FILE_LIMIT: u64 = 1 << 32;
/// EIO, as the system would number it.
const EIO: i32 = 5;

/// The durable state of a machine.
#[derive(Debug, Clone, Default)]
pub struct Image {
    files: BTreeMap<u64, Vec<u8>>,
    names: BTreeMap<String, u64>,
}

impl Image {
    /// A file's bytes by its full name.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.files.get(self.names.get(name)?).map(Vec::as_slice)
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) boot: u64,
    pub(super) faults: Faults,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) writes: u64,
    pub(super) files: BTreeMap<u64, FileState>,
    pub(super) names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    powered: bool,
    choices: Choices,
}

#[derive(Debug, Default)]
pub(super) struct FileState {
    /// What a reader sees.
    pub(super) cache: Vec<u8>,
    /// What a power cut leaves.
    pub(super) durable: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Debug, Clone)]
struct Write {
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create {
        name: String,
        id: u64,
    },
    Rename {
        from: String,
        to: String,
        id: u64,
    },
    Remove {
        name: String,
    },
    /// Both end with a slash.
    RenameFolder {
        from: String,
        to: String,
    },
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Machine {
            boot: 0,
            faults: Faults::default(),
            operations: 0,
            syncs: 0,
            writes: 0,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            next_file: 0,
            powered: true,
            choices: Choices::new(seed),
        }
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        self.check_power()?;
        let inside = self.names.keys().filter_map(|name| name.strip_prefix(folder));
        Ok(inside.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    pub(super) fn open(&self, name: &str) -> Result<(u64, u64), DiskError> {
        self.check_power()?;
        let id = self.names.get(name).ok_or_else(|| DiskError::NotFound { name: name.to_owned() })?;
        Ok((*id, self.boot))
    }

    pub(super) fn create(&mut self, name: &str) -> Result<(u64, u64), DiskError> {
        self.begin()?;
        if self.names.contains_key(name) {
            return Err(DiskError::AlreadyExists { name: name.to_owned() });
        }
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, FileState::default());
        self.change_name(NameChange::Create { name: name.to_owned(), id });
        Ok((id, self.boot))
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.begin()?;
        let id = *self.names.get(from).ok_or_else(|| DiskError::NotFound { name: from.to_owned() })?;
        self.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), id });
        Ok(())
    }

    pub(super) fn rename_folder(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.begin()?;
        if !self.names.keys().any(|name| name.starts_with(from)) {
            return Err(DiskError::NotFound { name: from.to_owned() });
        }
        let is_taken = self.names.keys().any(|name| name.starts_with(to));
        if is_taken || self.name_changes.iter().any(|change| change.folder() == from) {
            return Err(io_error(Operation::Rename, from));
        }
        self.change_name(NameChange::RenameFolder { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.begin()?;
        if !self.names.contains_key(name) {
            return Err(DiskError::NotFound { name: name.to_owned() });
        }
        self.change_name(NameChange::Remove { name: name.to_owned() });
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, folder: &str) -> Result<(), DiskError> {
        self.begin()?;
        let (synced, others) = std::mem::take(&mut self.name_changes)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.folder() == folder);
        self.name_changes = others;
        let failed = self.sync_fails();
        for change in synced {
            if !failed || self.choices.once_in(2) {
                change.apply(&mut self.durable_names);
            }
        }
        self.drop_unnamed_files();
        if failed { Err(io_error(Operation::Sync, folder)) } else { Ok(()) }
    }

    pub(super) fn length(&self, id: u64) -> Result<u64, DiskError> {
        self.check_power()?;
        Ok(self.file(id).map_or(0, |file| file.cache.len() as u64))
    }

    pub(super) fn read(&self, id: u64, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.check_power()?;
        let end = offset.saturating_add(buffer.len() as u64);
        let cache = self.file(id).map_or(&[][..], |file| &file.cache);
        if end > cache.len() as u64 {
            return Err(DiskError::ShortRead { name: name.to_owned(), end });
        }
        buffer.copy_from_slice(&cache[offset as usize..end as usize]);
        Ok(())
    }

    pub(super) fn write(&mut self, id: u64, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.begin()?;
        self.writes += 1;
        let failed = self.faults.failing_writes.contains(&self.writes)
            || self.strikes(self.faults.write_failures_per_million);
        let full = self.faults.short_writes.contains(&self.writes) || !self.fits(id, offset, bytes.len());
        let kept = if failed || full { self.choices.below(bytes.len() as u64) as usize } else { bytes.len() };
        if kept > 0 && (!full || self.fits(id, offset, kept)) {
            self.put(id, offset as usize, &bytes[..kept]);
        }
        if failed {
            Err(io_error(Operation::Write, name))
        } else if full {
            Err(DiskError::NoSpace { operation: Operation::Write, name: name.to_owned() })
        } else {
            Ok(())
        }
    }

    pub(super) fn sync_data(&mut self, id: u64, name: &str) -> Result<(), DiskError> {
        self.begin()?;
        let failed = self.sync_fails();
        let Some(file) = self.files.get_mut(&id) else { return Ok(()) };
        for write in std::mem::take(&mut file.unsynced) {
            if failed {
                // Clean from now on, and on the disk only by luck.
                write.apply_torn(&mut file.durable, &mut self.choices);
            } else {
                write.apply(&mut file.durable);
            }
        }
        if failed { Err(io_error(Operation::Sync, name)) } else { Ok(()) }
    }

    pub(super) fn power_cut(&mut self, cut: PowerCut, choices: &mut Choices) {
        for change in std::mem::take(&mut self.name_changes) {
            if cut == PowerCut::KeepUnsynced || (cut == PowerCut::Tear && choices.once_in(2)) {
                change.apply(&mut self.durable_names);
            }
        }
        for file in self.files.values_mut() {
            let mut writes = std::mem::take(&mut file.unsynced);
            match cut {
                PowerCut::LoseUnsynced => {}
                PowerCut::KeepUnsynced => writes.iter().for_each(|write| write.apply(&mut file.durable)),
                PowerCut::Tear => {
                    choices.shuffle(&mut writes);
                    writes.iter().for_each(|write| write.apply_torn(&mut file.durable, choices));
                }
            }
            file.cache.clone_from(&file.durable);
        }
        self.names.clone_from(&self.durable_names);
        self.drop_unnamed_files();
        self.kill();
    }

    pub(super) fn kill(&mut self) {
        self.boot += 1;
        self.powered = true;
        self.faults.power_off_after = None;
    }

    pub(super) fn image(&self) -> Image {
        let files = self.durable_names.values().filter_map(|id| Some((*id, self.file(*id)?.durable.clone())));
        Image { files: files.collect(), names: self.durable_names.clone() }
    }

    pub(super) fn restore(&mut self, image: &Image) {
        let state = |bytes: &Vec<u8>| FileState {
            cache: bytes.clone(),
            durable: bytes.clone(),
            ..FileState::default()
        };
        self.files = image.files.iter().map(|(id, bytes)| (*id, state(bytes))).collect();
        self.names.clone_from(&image.names);
        self.durable_names.clone_from(&image.names);
        self.name_changes.clear();
        // An image may come from another machine, whose numbers went further.
        self.next_file = self.next_file.max(image.files.keys().next_back().map_or(0, |id| id + 1));
        self.kill();
    }

    fn file(&self, id: u64) -> Option<&FileState> {
        self.files.get(&id)
    }

    fn check_power(&self) -> Result<(), DiskError> {
        if self.powered { Ok(()) } else { Err(DiskError::PowerLost) }
    }

    /// Counts an operation that changes the disk. The one that reaches the crash point does not happen.
    fn begin(&mut self) -> Result<(), DiskError> {
        if self.faults.power_off_after.is_some_and(|last| self.operations >= last) {
            self.powered = false;
        }
        self.check_power()?;
        self.operations += 1;
        Ok(())
    }

    fn sync_fails(&mut self) -> bool {
        self.syncs += 1;
        self.faults.failing_syncs.contains(&self.syncs) || self.strikes(self.faults.sync_failures_per_million)
    }

    fn strikes(&mut self, per_million: u64) -> bool {
        // No draw for a fault that is off: turning one on must not change the others' choices.
        per_million > 0 && self.choices.below(1_000_000) < per_million
    }

    fn fits(&self, id: u64, offset: u64, length: usize) -> bool {
        let end = offset.saturating_add(length as u64);
        let Some(capacity) = self.faults.capacity_bytes else { return end <= FILE_LIMIT };
        let old = self.file(id).map_or(0, |file| file.cache.len() as u64);
        let used: u64 = self.files.values().map(|file| file.cache.len() as u64).sum();
        end <= FILE_LIMIT && (end <= old || used.saturating_add(end - old) <= capacity)
    }

    fn put(&mut self, id: u64, offset: usize, bytes: &[u8]) {
        // A file that was removed while open takes writes that nobody will see.
        let Some(file) = self.files.get_mut(&id) else { return };
        let write = Write { offset, bytes: bytes.to_vec() };
        write.apply(&mut file.cache);
        file.unsynced.push(write);
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn drop_unnamed_files(&mut self) {
        let pending: Vec<u64> = self.name_changes.iter().filter_map(NameChange::id).collect();
        let named = |id: &u64| {
            pending.contains(id)
                || self.names.values().any(|named| named == id)
                || self.durable_names.values().any(|named| named == id)
        };
        self.files.retain(|id, _| named(id));
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Create { name, id } => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename { from, to, id } => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            NameChange::Remove { name } => {
                names.remove(name);
            }
            // Where the new name is not free the folder stays: no file system moves one over another's files.
            NameChange::RenameFolder { from, to } => {
                if names.keys().any(|name| name.starts_with(to)) {
                    return;
                }
                for (name, id) in std::mem::take(names) {
                    let moved = name.strip_prefix(from).map(|inside| format!("{to}{inside}"));
                    names.insert(moved.unwrap_or(name), id);
                }
            }
        }
    }

    fn id(&self) -> Option<u64> {
        match self {
            NameChange::Create { id, .. } | NameChange::Rename { id, .. } => Some(*id),
            NameChange::Remove { .. } | NameChange::RenameFolder { .. } => None,
        }
    }

    fn folder(&self) -> &str {
        let name = match self {
            NameChange::Create { name, .. } | NameChange::Remove { name } => name,
            NameChange::Rename { to, .. } => to,
            NameChange::RenameFolder { to, .. } => to.trim_end_matches('/'),
        };
        name.rfind('/').map_or("", |slash| &name[..=slash])
    }
}

impl Write {
    fn apply(&self, image: &mut Vec<u8>) {
        self.apply_part(image, 0, self.bytes.len());
    }

    fn apply_torn(&self, image: &mut Vec<u8>, choices: &mut Choices) {
        let length = self.bytes.len();
        match choices.below(6) {
            0 => {}
            1 => self.apply(image),
            2 => self.apply_part(image, 0, choices.below(length as u64 + 1) as usize),
            3 => self.apply_part(image, choices.below(length as u64 + 1) as usize, length),
            _ => self.apply_sectors(image, choices),
        }
    }

    /// Keeps an arbitrary set of the sectors that the write touches, each more often than not.
    fn apply_sectors(&self, image: &mut Vec<u8>, choices: &mut Choices) {
        let mut start = 0;
        while start < self.bytes.len() {
            let end = (start + SECTOR - (self.offset + start) % SECTOR).min(self.bytes.len());
            if !choices.once_in(3) {
                self.apply_part(image, start, end);
            }
            start = end;
        }
    }

    fn apply_part(&self, image: &mut Vec<u8>, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let (from, to) = (self.offset + start, self.offset + end);
        if image.len() < to {
            image.resize(to, 0);
        }
        image[from..to].copy_from_slice(&self.bytes[start..end]);
    }
}

fn io_error(operation: Operation, name: &str) -> DiskError {
    DiskError::Failed { operation, name: name.to_owned(), source: io::Error::from_raw_os_error(EIO) }
}
