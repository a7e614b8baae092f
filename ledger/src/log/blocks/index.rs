//! Where each block stands, in memory: 33 to 39 bytes a block, whatever the block's size.
//!
//! Every block that the log holds can be found by hash, the current chain also by height. An entry has 8 bytes
//! of the hash, mixed, and the block's frame and place in it (24 bytes with the padding); a table of entry
//! numbers finds it by those 8 bytes (4 bytes, at most three quarters full), the chain is a list of entry
//! numbers (4 bytes). 10 million blocks take about 370 MB, a chain of a million 37 MB; the vectors' spare room
//! comes on top while they grow.
//!
//! Why all in memory, and not the recent part with a file of places beside the log: the log is read whole at
//! boot anyway, since that is what proves it undamaged, so a file would save no time and add something that
//! can disagree with the log. Whoever keeps so many blocks that this matters trims them below a snapshot.
//!
//! The full hash stands in the log; the reader compares it, so that two hashes with equal 8 bytes are told
//! apart on the disk.

use synod_types::BlockHash;

use crate::log::FrameNumber;

/// Where a block's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockPlace {
    pub(super) frame: FrameNumber,
    /// The record's first byte in the payload.
    pub(super) at: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    fingerprint: u64,
    place: BlockPlace,
}

/// The index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BlockIndex {
    /// In the order of the log.
    entries: Vec<Entry>,
    /// Entry number + 1, 0 for free; open addressing, a power of two.
    slots: Vec<u32>,
    /// The current chain from `first_height` on.
    chain: Vec<u32>,
    first_height: u64,
}

impl BlockIndex {
    /// The height of the first block of the current chain that the log holds.
    pub(super) fn first_height(&self) -> u64 {
        self.first_height
    }

    /// One past the height of the last block of the current chain.
    pub(super) fn next_height(&self) -> u64 {
        self.first_height + self.chain.len() as u64
    }

    /// How many blocks the log holds, those that left the chain included.
    pub(super) fn blocks(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory that the index holds.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + (self.slots.capacity() + self.chain.capacity()) * size_of::<u32>()
    }

    /// Adds a block on top of the chain.
    pub(super) fn append(&mut self, hash: BlockHash, place: BlockPlace) {
        // 2^32 blocks would fill 300 GB of memory first.
        let number = self.entries.len() as u32;
        self.entries.push(Entry { fingerprint: fingerprint(hash), place });
        if self.entries.len() * 4 > self.slots.len() * 3 {
            self.rebuild_slots();
        } else {
            self.insert_slot(number);
        }
        self.chain.push(number);
    }

    /// Takes everything from this height on off the chain. Below the first height nothing is left, and the
    /// chain goes on from there.
    pub(super) fn rewind_to(&mut self, next_height: u64) {
        match next_height.checked_sub(self.first_height) {
            Some(kept) if kept <= self.chain.len() as u64 => self.chain.truncate(kept as usize),
            _ => {
                self.chain.clear();
                self.first_height = next_height;
            }
        }
    }

    /// The place of the chain's block at a height.
    pub(super) fn at_height(&self, height: u64) -> Option<BlockPlace> {
        self.on_chain(height).map(|entry| entry.place)
    }

    /// Whether the chain's block at a height has this hash, as far as 8 bytes tell.
    pub(super) fn is_on_chain(&self, height: u64, hash: BlockHash) -> bool {
        self.on_chain(height).is_some_and(|entry| entry.fingerprint == fingerprint(hash))
    }

    /// The places of all blocks that may have this hash.
    pub(super) fn with_hash(&self, hash: BlockHash) -> impl Iterator<Item = BlockPlace> + '_ {
        let fingerprint = fingerprint(hash);
        let start = self.first_slot(fingerprint);
        (0..self.slots.len())
            .map(move |step| self.slots[(start + step) & (self.slots.len() - 1)])
            .take_while(|slot| *slot != 0)
            .map(|slot| self.entries[slot as usize - 1])
            .filter(move |entry| entry.fingerprint == fingerprint)
            .map(|entry| entry.place)
    }

    /// The places of the blocks that left the chain, in the order of the log. (The chain's entry numbers
    /// ascend: every delivery is an entry of its own.)
    pub(super) fn off_chain(&self) -> impl Iterator<Item = BlockPlace> + '_ {
        let is_off = |number: &usize| self.chain.binary_search(&(*number as u32)).is_err();
        (0..self.entries.len()).filter(is_off).map(|number| self.entries[number].place)
    }

    /// Forgets every block in frames below this one.
    pub(super) fn trim_below(&mut self, frame: FrameNumber) {
        let dropped = self.entries.partition_point(|entry| entry.place.frame < frame);
        self.entries.drain(..dropped);
        let off_chain = self.chain.partition_point(|number| (*number as usize) < dropped);
        self.chain.drain(..off_chain);
        self.first_height += off_chain as u64;
        self.chain.iter_mut().for_each(|number| *number -= dropped as u32);
        self.rebuild_slots();
    }

    fn on_chain(&self, height: u64) -> Option<&Entry> {
        let number = self.chain.get(usize::try_from(height.checked_sub(self.first_height)?).ok()?)?;
        self.entries.get(*number as usize)
    }

    fn rebuild_slots(&mut self) {
        let wanted = (self.entries.len() * 2).next_power_of_two().max(16);
        self.slots.clear();
        self.slots.resize(wanted, 0);
        (0..self.entries.len() as u32).for_each(|number| self.insert_slot(number));
    }

    fn insert_slot(&mut self, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = self.first_slot(self.entries[number as usize].fingerprint);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = number + 1;
    }

    fn first_slot(&self, fingerprint: u64) -> usize {
        fingerprint as usize & self.slots.len().saturating_sub(1)
    }
}

/// 8 bytes of a hash, mixed over all of it: a proof-of-work hash has zeros at one end.
fn fingerprint(hash: BlockHash) -> u64 {
    let (words, _) = hash.0.as_slice().as_chunks::<8>();
    words.iter().fold(0, |mixed: u64, word| {
        (mixed.rotate_left(23) ^ u64::from_be_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_types::B256;

    fn hash(number: u64) -> BlockHash {
        BlockHash(B256::left_padding_from(&number.to_be_bytes()))
    }

    fn place(number: u64) -> BlockPlace {
        BlockPlace { frame: FrameNumber(number), at: 0 }
    }

    #[test]
    fn blocks_are_found_by_hash_on_and_off_the_chain_until_trimmed() {
        let mut index = BlockIndex::default();
        index.rewind_to(5);
        (1..=1000).for_each(|number| index.append(hash(number), place(number)));
        index.rewind_to(905);
        (2000..2100).for_each(|number| index.append(hash(number), place(number)));
        assert_eq!((index.first_height(), index.next_height(), index.blocks()), (5, 1005, 1100));
        assert_eq!(index.at_height(904), Some(place(900)));
        assert_eq!(index.at_height(905), Some(place(2000)));
        assert!(index.is_on_chain(904, hash(900)) && !index.is_on_chain(905, hash(901)));
        for number in (1..=1000).chain(2000..2100) {
            assert_eq!(index.with_hash(hash(number)).collect::<Vec<_>>(), [place(number)]);
        }
        assert_eq!(index.with_hash(hash(1500)).count(), 0);
        index.trim_below(FrameNumber(800));
        assert_eq!((index.first_height(), index.next_height(), index.blocks()), (804, 1005, 301));
        assert_eq!((index.at_height(803), index.at_height(804)), (None, Some(place(800))));
        assert_eq!(index.with_hash(hash(799)).count() + index.with_hash(hash(950)).count(), 1);
    }

    #[test]
    fn a7_a_block_takes_at_most_48_bytes_of_memory() {
        let mut index = BlockIndex::default();
        (0..100_000).for_each(|number| index.append(hash(number), place(number)));
        let exact = index.entries.len() * 24 + index.slots.len() * 4 + index.chain.len() * 4;
        assert!(exact <= 100_000 * 48 && index.memory() <= 100_000 * 72, "{exact} {}", index.memory());
    }
}
