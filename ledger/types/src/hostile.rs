//! Hostile inputs for tests: valid samples, changed in the ways that break decoders.
//!
//! The changes know that formats have lengths, counts, tags and nesting: besides flipped, cut and moved bytes
//! they write extreme numbers where a length may stand, splice one sample into another, and put a format's own
//! tokens where they do not belong. One sample in sixteen is left as it is, so that what is valid keeps being
//! tried, too. Equal seeds give equal inputs: a failure names its seed and its number.

/// The number that a length-field attack writes, beside those near the sample's own length.
const EXTREMES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, u64::MAX >> 1, u64::MAX];

/// What breaks readers of text.
const TOKENS: [&str; 24] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "1.5",
    "18446744073709551616",
    "99999999999999999999999999999999999",
    "\"\"",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "0x",
    ":",
    ",",
    "\u{0}",
    "\u{202e}",
    "\u{1f680}",
    "\n",
];

/// No input is longer than its sample by more than this.
const GROWTH: usize = 4096;

/// A source of hostile inputs.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// One that gives the inputs of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.roll() % bound as u64) as usize }
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes of no meaning, up to so many.
    pub fn noise(&mut self, up_to: usize) -> Vec<u8> {
        (0..self.below(up_to + 1)).map(|_| self.roll() as u8).collect()
    }

    /// A hostile input made from the samples.
    pub fn bytes(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(samples).clone();
        match self.below(16) {
            0 => return bytes,
            1 => return self.noise(300),
            _ => {}
        }
        let longest = bytes.len() + GROWTH;
        for _ in 0..=self.below(3) {
            self.change(&mut bytes, samples);
        }
        bytes.truncate(longest);
        bytes
    }

    /// The same for texts: what is changed stays UTF-8.
    pub fn text(&mut self, samples: &[Vec<u8>]) -> String {
        let mut bytes = self.bytes(samples);
        if self.below(3) == 0 {
            let token = *self.pick(&TOKENS);
            let (from, to) = self.range(bytes.len(), 12);
            bytes.splice(from..to, token.bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn change(&mut self, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        match self.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.roll() as u8,
            2 => bytes.truncate(at),
            3 => self.write_length(bytes),
            4 => {
                let more = self.noise(64);
                bytes.splice(at..at, more);
            }
            5 => {
                let (from, to) = self.range(bytes.len(), 128);
                let copy = bytes[from..to].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let (from, to) = self.range(bytes.len(), 64);
                bytes.drain(from..to);
            }
            7 => {
                let other = self.pick(samples).clone();
                let (from, to) = self.range(other.len(), 512);
                let (start, end) = self.range(bytes.len(), 512);
                bytes.splice(start..end, other[from..to].iter().copied());
            }
            _ => bytes.push(self.roll() as u8),
        }
    }

    /// Writes a number where a length may stand: two, four or eight bytes, in either order.
    fn write_length(&mut self, bytes: &mut [u8]) {
        let width = *self.pick(&[2_usize, 4, 8]);
        if bytes.len() < width {
            return;
        }
        let at = self.below(bytes.len() - width + 1);
        let near = (bytes.len() as u64).wrapping_add(self.roll() % 5).wrapping_sub(2);
        let number = if self.below(4) == 0 { near } else { *self.pick(&EXTREMES) };
        let mut written = number.to_be_bytes()[8 - width..].to_vec();
        if self.below(2) == 0 {
            written.reverse();
        }
        bytes[at..at + width].copy_from_slice(&written);
    }

    fn range(&mut self, length: usize, most: usize) -> (usize, usize) {
        let from = self.below(length);
        (from, (from + self.below(most + 1)).min(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_inputs_and_all_kinds_of_them() {
        let samples = [b"a sample of some bytes".to_vec(), vec![7; 100]];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..2_000).map(|_| mutator.bytes(&samples)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        let made = inputs(2);
        assert!(made.iter().any(|input| samples.contains(input)), "some are left as they are");
        assert!(made.iter().any(Vec::is_empty) && made.iter().any(|input| input.len() > 150));
        assert!(made.iter().any(|input| input.windows(8).any(|eight| eight == u64::MAX.to_be_bytes())));
        assert!(made.iter().all(|input| input.len() <= 100 + GROWTH));
        assert_eq!(Mutator::new(3).bytes(&[Vec::new()]).len() & !0x1ff, 0, "an empty sample is no trouble");
    }
}
