//! The deep part of the executed chain, as bare headers: about 110 bytes a block, so that a node can keep
//! every header of a chain of millions. Blocks come back out of it when a reorganisation goes that deep.

use std::collections::BTreeMap;

use synod_types::{BlockHash, Header};

use super::compact::Work;
use super::header::{HashedHeader, MEDIAN_SPAN, work_of};

/// How many blocks apart the cumulative work is kept; between, it is summed again.
const WORK_STRIDE: usize = 256;

/// Headers of the executed chain from the genesis block up.
#[derive(Debug, Default)]
pub(super) struct Trunk {
    headers: Vec<Header>,
    /// Cumulative work up to and with the block at every [`WORK_STRIDE`]th height.
    work: Vec<Work>,
    /// Heights by the middle eight bytes of the hash. Of two blocks that agree in them the later one is
    /// found; the other merely looks unknown.
    heights: BTreeMap<u64, u32>,
    top: Option<HashedHeader>,
    top_work: Work,
}

impl Trunk {
    /// How many blocks it holds; their heights are all below this number.
    pub(super) fn len(&self) -> u64 {
        self.headers.len() as u64
    }

    /// Adds the next block of the executed chain.
    pub(super) fn push(&mut self, header: &HashedHeader) {
        let height = u32::try_from(self.headers.len()).expect("a chain takes centuries to reach 2^32 blocks");
        // The genesis block counts no work: all chains share it.
        let work = if height == 0 { Work::default() } else { self.top_work.plus(work_of(header.header())) };
        if self.headers.len().is_multiple_of(WORK_STRIDE) {
            self.work.push(work);
        }
        self.headers.push(*header.header());
        self.heights.insert(key(header.hash()), height);
        self.top = Some(*header);
        self.top_work = work;
    }

    /// Takes the highest block back out.
    pub(super) fn pop(&mut self) -> Option<HashedHeader> {
        let popped = self.top?;
        self.headers.pop();
        self.heights.remove(&key(popped.hash()));
        self.work.truncate(self.headers.len().div_ceil(WORK_STRIDE));
        self.top = self.headers.last().map(|header| HashedHeader::new(*header));
        self.top_work =
            self.headers.len().checked_sub(1).map_or(Work::default(), |top| self.work_at(top as u64));
        Some(popped)
    }

    /// The header at `height`.
    pub(super) fn header(&self, height: u64) -> Option<&Header> {
        self.headers.get(usize::try_from(height).ok()?)
    }

    /// The hash of the block at `height`: its child's header has it.
    pub(super) fn hash(&self, height: u64) -> Option<BlockHash> {
        match self.header(height + 1) {
            Some(child) => Some(child.parent),
            None if height + 1 == self.len() => self.top.map(|top| top.hash()),
            None => None,
        }
    }

    /// The height of a block that is in here.
    pub(super) fn height_of(&self, hash: BlockHash) -> Option<u64> {
        let height = u64::from(*self.heights.get(&key(hash))?);
        (self.hash(height) == Some(hash)).then_some(height)
    }

    /// Cumulative work up to and with the block at `height`.
    pub(super) fn work_at(&self, height: u64) -> Work {
        let height = height as usize;
        let start = height / WORK_STRIDE;
        let above = &self.headers[start * WORK_STRIDE + 1..=height];
        above.iter().fold(self.work[start], |sum, header| sum.plus(work_of(header)))
    }

    /// The times of the block at `height` and its ancestors, newest first.
    pub(super) fn times_at(&self, height: u64) -> [u32; MEDIAN_SPAN] {
        let mut times = [0; MEDIAN_SPAN];
        for (slot, at) in times.iter_mut().zip((0..=height as usize).rev()) {
            *slot = self.headers[at].time;
        }
        times
    }
}

fn key(hash: BlockHash) -> u64 {
    u64::from_le_bytes(hash.0.0[8..16].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, U256};

    #[test]
    fn blocks_go_in_and_come_back_with_the_same_figures() {
        let mut trunk = Trunk::default();
        let mut parent = BlockHash::default();
        let headers: Vec<HashedHeader> = (0..600_u32)
            .map(|height| {
                let bits = if height % 2 == 0 { 0x207f_ffff } else { 0x2000_ffff };
                let header =
                    Header { version: 1, parent, commitment: B256::ZERO, time: height, bits, nonce: 0 };
                parent = header.hash();
                HashedHeader::new(header)
            })
            .collect();
        let mut sums = vec![U256::ZERO];
        for header in &headers[1..] {
            sums.push(sums[sums.len() - 1] + work_of(header.header()).0);
        }
        headers.iter().for_each(|header| trunk.push(header));
        for (height, header) in headers.iter().enumerate() {
            assert_eq!(trunk.hash(height as u64), Some(header.hash()));
            assert_eq!(trunk.height_of(header.hash()), Some(height as u64));
            assert_eq!(trunk.work_at(height as u64).0, sums[height]);
        }
        assert_eq!(trunk.times_at(20)[..3], [20, 19, 18]);
        for header in headers[500..].iter().rev() {
            assert_eq!(trunk.pop().as_ref(), Some(header));
            assert_eq!(trunk.height_of(header.hash()), None);
        }
        assert_eq!(trunk.top_work.0, sums[499]);
        trunk.push(&headers[500]);
        assert_eq!(trunk.top_work.0, sums[500]);
    }
}
