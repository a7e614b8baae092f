//! Contract code, analysed once: the bytes, their hash, and where jumps may land.
//!
//! A jump may land on a `JUMPDEST` that is no push data (EVM-12). The analysis is one pass, linear in the
//! code; [`CodeCache`] keeps the results by code hash, within a bound.

use crate::opcode;
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, keccak256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Code that is ready to run.
#[derive(Debug, Default)]
pub struct Code {
    /// The code and [`PADDING_BYTES`] zeros.
    padded: Bytes,
    /// The code alone, in the same memory.
    bytes: Bytes,
    jump_destinations: Box<[u64]>,
}

/// Zeros after the code: running off its end is a `STOP`, and push data cut off by it reads as zeros.
const PADDING_BYTES: usize = 33;

impl Code {
    /// Analyses `bytes`, which may be any bytes at all.
    pub fn new(bytes: &[u8]) -> Self {
        let jump_destinations = analyse(bytes);
        let mut padded = Vec::with_capacity(bytes.len() + PADDING_BYTES);
        padded.extend_from_slice(bytes);
        padded.resize(bytes.len() + PADDING_BYTES, 0);
        let padded = Bytes::from(padded);
        Self { bytes: padded.slice(..bytes.len()), padded, jump_destinations }
    }

    /// The code as deployed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The code with zeros behind it, as the interpreter reads it; of no code at all, nothing.
    #[inline(always)]
    pub(crate) fn padded(&self) -> &[u8] {
        &self.padded
    }

    /// Whether a jump may land on `offset`.
    #[inline(always)]
    pub fn is_jump_destination(&self, offset: usize) -> bool {
        self.jump_destinations.get(offset / 64).is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }
}

/// One bit for each byte of code: set where a `JUMPDEST` stands that is not push data.
fn analyse(code: &[u8]) -> Box<[u64]> {
    let mut bits = vec![0u64; code.len().div_ceil(64)];
    let mut at = 0;
    let skips = !synod_types::mutant!("evm-jump-into-push-data");
    while let Some(&byte) = code.get(at) {
        if byte == opcode::JUMPDEST {
            bits[at / 64] |= 1 << (at % 64);
        }
        at += 1 + if skips { opcode::immediate_length(byte) as usize } else { 0 };
    }
    bits.into()
}

/// Analysed code by hash. Two generations stand for age: when the young one is full it becomes the old
/// one, and what was not asked for since is dropped.
#[derive(Debug, Default)]
pub struct CodeCache {
    young: BTreeMap<B256, Arc<Code>>,
    young_bytes: usize,
    old: BTreeMap<B256, Arc<Code>>,
}

impl CodeCache {
    /// Bytes of code in one generation.
    const GENERATION_BYTES: usize = 16 << 20;

    /// The code with this hash, from the cache or from `load`.
    pub fn code(&mut self, hash: &B256, load: impl FnOnce() -> Bytes) -> Arc<Code> {
        if let Some(code) = self.young.get(hash) {
            return code.clone();
        }
        let code = match self.old.remove(hash) {
            Some(code) => code,
            None => Arc::new(Code::new(&load())),
        };
        self.insert(*hash, code.clone());
        code
    }

    fn insert(&mut self, hash: B256, code: Arc<Code>) {
        self.young_bytes += code.bytes.len();
        if self.young_bytes > Self::GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = code.bytes.len();
        }
        self.young.insert(hash, code);
    }
}

/// The hash under which an account refers to `code`.
pub fn code_hash(code: &[u8]) -> B256 {
    if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(code: &[u8]) -> Vec<usize> {
        let code = Code::new(code);
        (0..code.bytes.len() + 70).filter(|&at| code.is_jump_destination(at)).collect()
    }

    /// EVM-12: a JUMPDEST byte inside push data is data; a push cut off by the end hides nothing more.
    #[test]
    fn evm_12_push_data_is_no_jump_destination() {
        assert_eq!(destinations(&[0x5b, 0x60, 0x5b, 0x5b]), [0, 3]);
        assert_eq!(destinations(&[0x62, 0x5b, 0x5b, 0x5b, 0x5b]), [4]);
        assert_eq!(destinations(&[0x5b, 0x7f, 0x5b]), [0]);
        assert!(destinations(&[]).is_empty());
        let mut long = vec![0x01; 200];
        long[63] = 0x5b;
        long[64] = 0x5b;
        long[199] = 0x5b;
        assert_eq!(destinations(&long), [63, 64, 199]);
    }

    /// The cache stays within two generations, and keeps what is used.
    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut cache = CodeCache::default();
        let used = B256::with_last_byte(1);
        for n in 0..200u64 {
            cache.code(&used, || Bytes::from(vec![1; 1 << 20]));
            let mut hash = B256::with_last_byte(2);
            hash.0[..8].copy_from_slice(&n.to_be_bytes());
            cache.code(&hash, || Bytes::from(vec![0; 1 << 20]));
            assert!(cache.young_bytes <= CodeCache::GENERATION_BYTES);
            assert!(cache.young.len() + cache.old.len() <= 32);
        }
        cache.code(&used, || unreachable!("what is used stays in the cache"));
    }
}
