//! Twenty-four words that a person writes on paper, and the account keys that follow from them
//! (BIP-39, then SLIP-0010).

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use super::slip10;
use crate::suggest;

/// A mnemonic, wiped when dropped.
#[derive(Debug, Clone)]
pub(crate) struct Words(Zeroizing<String>);

/// Why words are no mnemonic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// Another number of words.
    #[error("{0} word{s} given; a mnemonic has 12, 15, 18, 21 or 24", s = if *.0 == 1 { "" } else { "s" })]
    Count(usize),
    /// A word that is not on the list of BIP-39. The word itself is not repeated: it may be a slip in a
    /// secret that ends up in a log.
    #[error("word {number} is not on the BIP-39 list{}", .nearest.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default())]
    Unknown {
        /// Counted from 1.
        number: usize,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// All words are known, but not in this order.
    #[error("the words' checksum is wrong: one of them is another word, or two changed places")]
    Checksum,
}

impl Words {
    /// The 24 words of 256 random bits.
    pub(crate) fn from_entropy(entropy: &[u8; 32]) -> Self {
        let mnemonic = Mnemonic::from_entropy(entropy).expect("256 bits are 24 words");
        Self(Zeroizing::new(mnemonic.to_string()))
    }

    /// Reads words as people type them: any case, any spaces.
    ///
    /// # Errors
    /// [`WordsError`].
    pub(crate) fn parse(text: &str) -> Result<Self, WordsError> {
        let lower = Zeroizing::new(text.to_lowercase());
        let words: Vec<&str> = lower.split_whitespace().collect();
        if !matches!(words.len(), 12 | 15 | 18 | 21 | 24) {
            return Err(WordsError::Count(words.len()));
        }
        let list = Language::English.word_list();
        if let Some(index) = words.iter().position(|word| !list.contains(word)) {
            let nearest = suggest::nearest(words[index], list.iter().copied());
            return Err(WordsError::Unknown { number: index + 1, nearest });
        }
        let joined = Zeroizing::new(words.join(" "));
        Mnemonic::parse_in_normalized(Language::English, &joined).map_err(|_| WordsError::Checksum)?;
        Ok(Self(joined))
    }

    /// The words, separated by single spaces.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The secret seed of account number `index`.
    pub(crate) fn account_seed(&self, index: u32) -> Zeroizing<[u8; 32]> {
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &self.0).expect("checked when made");
        let seed = Zeroizing::new(mnemonic.to_seed_normalized(""));
        slip10::derive(seed.as_slice(), &slip10::account_path(index))
    }

    /// The words in numbered columns, as one copies them to paper.
    pub(crate) fn columns(&self) -> String {
        let words: Vec<&str> = self.0.split(' ').collect();
        let rows = words.len().div_ceil(4);
        let cell = |row: usize, column: usize| {
            let index = column * rows + row;
            words.get(index).map(|word| format!("{:>4}. {word:<9}", index + 1)).unwrap_or_default()
        };
        let line = |row| (0..4).map(|column| cell(row, column)).collect::<String>().trim_end().to_owned();
        (0..rows).map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    /// The reference implementation's vectors: entropy, words, and the seed under the passphrase "TREZOR".
    #[test]
    fn the_official_vectors() {
        let Some(text) = crate::wallet::vectors("bip39_trezor_vectors.json") else { return };
        let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cases = vectors["english"].as_array().unwrap();
        for case in cases {
            let field = |index: usize| case[index].as_str().unwrap();
            let words = Words::parse(field(1)).unwrap();
            let mnemonic = Mnemonic::parse_in_normalized(Language::English, words.as_str()).unwrap();
            assert_eq!(hex::encode(mnemonic.to_entropy()), field(0));
            assert_eq!(hex::encode(mnemonic.to_seed_normalized("TREZOR")), field(2));
            if let Ok(entropy) = <[u8; 32]>::try_from(mnemonic.to_entropy()) {
                assert_eq!(Words::from_entropy(&entropy).as_str(), field(1));
            }
        }
        assert_eq!(cases.len(), 24);
    }

    #[test]
    fn the_word_list_is_the_published_one() {
        let Some(text) = crate::wallet::vectors("bip39_english.txt") else { return };
        assert!(text.lines().eq(Language::English.word_list().iter().copied()));
    }

    #[test]
    fn slips_are_told_apart_and_never_echoed() {
        let words = Words::from_entropy(&[7; 32]);
        assert_eq!(words.as_str().split(' ').count(), 24);
        let shouted = format!("  {}\n", words.as_str().to_uppercase().replace(' ', "   "));
        assert_eq!(Words::parse(&shouted).unwrap().as_str(), words.as_str());
        assert_eq!(Words::parse("abandon").unwrap_err(), WordsError::Count(1));
        let misspelt = "abandno ".to_owned() + &"abandon ".repeat(11);
        let error = Words::parse(&misspelt).unwrap_err();
        assert_eq!(error, WordsError::Unknown { number: 1, nearest: Some("abandon") });
        assert!(!error.to_string().contains("abandno"));
        assert_eq!(Words::parse(&"abandon ".repeat(12)).unwrap_err(), WordsError::Checksum);
    }

    #[test]
    fn one_mnemonic_has_many_accounts() {
        let words = Words::from_entropy(&[7; 32]);
        assert_ne!(words.account_seed(0), words.account_seed(1));
        assert_eq!(words.account_seed(1), Words::parse(words.as_str()).unwrap().account_seed(1));
        assert_eq!(words.columns().lines().count(), 6);
    }
}
