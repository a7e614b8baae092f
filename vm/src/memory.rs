//! Memory: one buffer for all frames of a transaction, each with a window at its end.
//!
//! A callee's window begins where its caller's ends, so a call allocates nothing and call data can be
//! read in place from the caller's window, which cannot change while the callee runs. Gas is charged
//! before anything is allocated (EVM-1).

use crate::gas;
use crate::halt::Halt;
use alloy_primitives::U256;

/// Memory beyond this is out of gas whatever is left: 4 GiB cost 2⁴⁵ gas, far above any block's limit.
const LIMIT_BYTES: usize = 0xffff_ffe0;

/// After a transaction the buffer keeps at most this much.
const KEPT_BYTES: usize = 1 << 20;

/// The memory of the frame that runs, above those of its callers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    buffer: Vec<u8>,
    base: usize,
}

impl Memory {
    /// Forgets everything, before a transaction.
    pub(crate) fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        self.base = 0;
    }

    /// Opens an empty window for a callee and returns the caller's base, for [`Self::leave`].
    pub(crate) fn enter(&mut self) -> usize {
        std::mem::replace(&mut self.base, self.buffer.len())
    }

    /// Drops the window of the frame that ended and goes back to its caller's.
    pub(crate) fn leave(&mut self, caller_base: usize) {
        self.buffer.truncate(self.base);
        self.base = caller_base;
    }

    /// Bytes in the window, always whole words.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.base
    }

    /// Bytes of all frames' windows.
    pub(crate) fn total(&self) -> usize {
        self.buffer.len()
    }

    /// The whole window.
    pub(crate) fn window(&self) -> &[u8] {
        &self.buffer[self.base..]
    }

    /// Where the window begins in the buffer: call data is handed down as a range of the buffer.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// A range of the whole buffer.
    #[inline(always)]
    pub(crate) fn absolute(&self, start: usize, len: usize) -> &[u8] {
        &self.buffer[start..start + len]
    }

    /// Makes `len` bytes at `offset` usable and pays for growth out of `gas`; returns what is left.
    #[inline(always)]
    pub(crate) fn expand(&mut self, gas: u64, offset: usize, len: usize) -> Result<u64, Halt> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(gas),
            _ => self.grow(gas, offset, len),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, gas: u64, offset: usize, len: usize) -> Result<u64, Halt> {
        let end = offset.saturating_add(len);
        if end > LIMIT_BYTES {
            return Err(Halt::OutOfGas);
        }
        let old_words = gas::words(self.len());
        let new_words = gas::words(end);
        let left = gas::charge(gas, gas::memory(new_words) - gas::memory(old_words))?;
        self.buffer.resize(self.base + new_words as usize * 32, 0);
        Ok(left)
    }

    /// Reads a word; the range has been expanded.
    #[inline(always)]
    pub(crate) fn word(&self, offset: usize) -> U256 {
        let start = self.base + offset;
        let bytes: &[u8; 32] = self.buffer[start..].first_chunk().expect("the word was paid for by expand");
        U256::from_be_bytes(*bytes)
    }

    /// Writes a word; the range has been expanded.
    #[inline(always)]
    pub(crate) fn set_word(&mut self, offset: usize, value: &U256) {
        let start = self.base + offset;
        let bytes: &mut [u8; 32] =
            self.buffer[start..].first_chunk_mut().expect("the word was paid for by expand");
        *bytes = value.to_be_bytes();
    }

    /// Writes a byte; the range has been expanded.
    #[inline(always)]
    pub(crate) fn set_byte(&mut self, offset: usize, value: u8) {
        let at = self.base + offset;
        self.buffer[at] = value;
    }

    /// A range of the window that has been expanded.
    #[inline(always)]
    pub(crate) fn slice(&self, offset: usize, len: usize) -> &[u8] {
        // A range of no bytes may stand anywhere, even beyond the window.
        if len == 0 {
            return &[];
        }
        self.absolute(self.base + offset, len)
    }

    /// Copies `source[from..]` to `len` bytes at `offset`, filling with zeros past its end (EVM-8).
    pub(crate) fn copy_padded(&mut self, offset: usize, len: usize, source: &[u8], from: usize) {
        if len == 0 {
            return;
        }
        let start = self.base + offset;
        copy_padded(&mut self.buffer[start..start + len], source, from);
    }

    /// Copies from a (start, length) in callers' windows, zero-filled: an inner call's call data.
    pub(crate) fn copy_from_callers(
        &mut self,
        offset: usize,
        len: usize,
        source: (usize, usize),
        from: usize,
    ) {
        if len == 0 {
            return;
        }
        let (start, source_len) = source;
        let (callers, window) = self.buffer.split_at_mut(self.base);
        copy_padded(&mut window[offset..offset + len], &callers[start..start + source_len], from);
    }

    /// `MCOPY`: both ranges have been expanded and may overlap (EVM-11).
    pub(crate) fn copy_within(&mut self, to: usize, from: usize, len: usize) {
        if len == 0 {
            return;
        }
        let source = self.base + from;
        self.buffer.copy_within(source..source + len, self.base + to);
    }
}

/// Fills `target` from `source[from..]`, with zeros past its end.
fn copy_padded(target: &mut [u8], source: &[u8], from: usize) {
    let source = source.get(from..).unwrap_or_default();
    let copied = source.len().min(target.len());
    target[..copied].copy_from_slice(&source[..copied]);
    target[copied..].fill(0);
}

/// A stack item as an offset or length; `None` is more than any memory can hold.
#[inline(always)]
pub(crate) fn small(value: &U256) -> Option<usize> {
    match value.as_limbs() {
        [low, 0, 0, 0] => usize::try_from(*low).ok(),
        _ => None,
    }
}

/// A stack item as an offset, where all beyond the largest number act alike.
#[inline(always)]
pub(crate) fn saturated(value: &U256) -> usize {
    small(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// EVM-1: growth is charged once, whole words at a time, and never again below the high mark.
    #[test]
    fn evm_1_only_growth_is_charged() {
        let mut memory = Memory::default();
        assert_eq!(memory.expand(100, 0, 1), Ok(97));
        assert_eq!(memory.len(), 32);
        assert_eq!(memory.expand(97, 31, 1), Ok(97));
        assert_eq!(memory.expand(97, 31, 2), Ok(94));
        assert_eq!(memory.expand(94, 0, 64), Ok(94));
    }

    /// EVM-1: an offset that nobody could pay for is out of gas before a byte is allocated.
    #[test]
    fn evm_1_a_huge_offset_is_out_of_gas_before_allocation() {
        let mut memory = Memory::default();
        for (offset, len) in [(usize::MAX, 1), (usize::MAX - 31, 32), (1 << 40, 32), (1 << 30, 1)] {
            assert_eq!(memory.expand(1_000_000, offset, len), Err(Halt::OutOfGas));
        }
        assert_eq!(memory.buffer.capacity(), 0);
    }

    /// A callee sees zeros in its window and cannot disturb its caller's.
    #[test]
    fn windows_are_apart() {
        let mut memory = Memory::default();
        memory.expand(1000, 0, 32).unwrap();
        memory.set_byte(5, 7);
        let caller = memory.enter();
        memory.expand(1000, 0, 64).unwrap();
        assert_eq!(memory.slice(0, 64), [0; 64]);
        memory.set_byte(5, 9);
        memory.leave(caller);
        assert_eq!((memory.len(), memory.slice(5, 1)), (32, &[7][..]));
    }
}
