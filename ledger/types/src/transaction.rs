//! Transactions: what an account asks the ledger to do, signed.
//!
//! The native transaction is signed with ed25519 over
//! `"synod/transaction/v1" ‖ genesis hash ‖ canonical bytes`, and its id is the SHA-256 of exactly those
//! bytes: the signature is a witness, so that nobody can change an id by changing a signature (CRY-3,
//! CRY-4). Neither the epoch nor a member is in them: a change of committee must not void the pools.
//!
//! [`Transaction`] is an enum whose variants are appended, never reordered: Ethereum envelopes and system
//! transactions come beside the native kind without a change of format.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use crate::address::address_of;
use crate::codec::{self, DecodeError, TRANSACTION_LIMIT, fixed};
use crate::hash::sha256;
use crate::keys::{PublicKey, SecretKey};
use crate::number::{Gas, Height};
use crate::signature::{self, Claim, Signature};

/// The domain tag of what a native transaction's signature covers.
pub const TRANSACTION_TAG: &[u8] = b"synod/transaction/v1";

/// A transaction's id, printed as `0x` hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(#[serde(with = "fixed")] pub B256);

impl fmt::Display for TransactionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&alloy_primitives::hex::encode_prefixed(self.0))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for TransactionId {
    type Err = alloy_primitives::hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An address and the storage slots of it that a transaction says it will touch (EIP-2930).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessListItem {
    /// The account.
    #[serde(with = "fixed")]
    pub address: Address,
    /// Its slots.
    #[serde(with = "fixed::list")]
    pub slots: Vec<B256>,
}

/// A native transaction without its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeTransaction {
    /// The chain that this is for, beside the genesis hash that the signature binds.
    pub chain_id: u64,
    /// The key that pays and signs.
    pub sender: PublicKey,
    /// How many transactions of the sender came before.
    pub nonce: u64,
    /// The most that the sender pays for a unit of gas, in wei, tip included.
    pub max_fee: u128,
    /// The most that the fee recipient gets for a unit of gas, in wei.
    pub max_tip: u128,
    /// The most gas that this may use.
    pub gas_limit: Gas,
    /// Who receives; `None` creates a contract.
    #[serde(with = "fixed::option")]
    pub to: Option<Address>,
    /// How much, in wei.
    #[serde(with = "fixed")]
    pub value: U256,
    /// The call's input, or a creation's code.
    pub data: Bytes,
    /// Declared accesses.
    pub access_list: Vec<AccessListItem>,
    /// The last height at which this may be included; `None` never ends.
    pub valid_until: Option<Height>,
}

impl NativeTransaction {
    /// The bytes that are signed and whose SHA-256 is the id.
    pub fn signed_bytes(&self, genesis: B256) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(320 + self.data.len());
        bytes.extend_from_slice(TRANSACTION_TAG);
        bytes.extend_from_slice(genesis.as_slice());
        codec::encode_into(&mut bytes, self);
        bytes
    }

    /// Signs for the chain of `genesis`. `key` must be the sender's.
    pub fn sign(self, genesis: B256, key: &SecretKey) -> SignedNative {
        let signature = key.sign(&self.signed_bytes(genesis));
        SignedNative { transaction: self, signature }
    }

    /// The sender's account.
    pub fn sender_address(&self) -> Address {
        address_of(&self.sender)
    }
}

/// A native transaction and the signature that goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedNative {
    /// What is signed.
    pub transaction: NativeTransaction,
    /// By the sender, over [`NativeTransaction::signed_bytes`].
    pub signature: Signature,
}

/// Everything that a block can contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Transaction {
    /// Our own kind, signed with ed25519.
    Native(SignedNative),
}

/// Why a transaction's bytes or signature are refused before any look at an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The bytes are no transaction.
    #[error("not a transaction: {0}")]
    Decode(#[from] DecodeError),
    /// Signed for another chain.
    #[error("signed for chain {theirs}, this is chain {ours}")]
    WrongChain {
        /// The transaction's chain id.
        theirs: u64,
        /// This chain's id.
        ours: u64,
    },
    /// The signature does not verify: another key, another genesis, or changed bytes.
    #[error("the signature is not the sender's over this transaction on this chain")]
    BadSignature,
    /// The key cannot own an account (CRY-2).
    #[error("the sender's public key is of small order or not canonical")]
    WeakKey,
    /// The tip is above the fee it is part of.
    #[error("the tip {tip} is above the fee {fee} it is part of")]
    TipAboveFee {
        /// The tip for each gas, in wei.
        tip: u128,
        /// The whole fee for each gas, in wei.
        fee: u128,
    },
}

impl Transaction {
    /// The native body. (Every kind that exists is native.)
    pub fn native(&self) -> &NativeTransaction {
        let Self::Native(signed) = self;
        &signed.transaction
    }

    /// The canonical bytes, as blocks, pools and wires carry them.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes, at most [`TRANSACTION_LIMIT`] of them.
    ///
    /// # Errors
    /// [`TransactionError::Decode`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TransactionError> {
        Ok(codec::decode::<Self, TRANSACTION_LIMIT>(bytes)?)
    }

    /// Checks everything that does not depend on state: the chain, the key, the fees' form, the signature.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub fn verify(self, chain_id: u64, genesis: B256) -> Result<VerifiedTransaction, TransactionError> {
        let checked = self.check_form(chain_id, genesis)?;
        let claim = checked.claim();
        if !signature::verify(&claim.key, claim.message, &claim.signature) {
            return Err(TransactionError::BadSignature);
        }
        Ok(checked.into_verified())
    }

    /// Takes everything for checked. Only for transactions of blocks that this node itself accepted before,
    /// read back from its own checksummed log.
    pub fn accepted_before(self, genesis: B256) -> VerifiedTransaction {
        let Self::Native(signed) = &self;
        let signed_bytes = signed.transaction.signed_bytes(genesis);
        UnverifiedTransaction { transaction: self, signed_bytes }.into_verified()
    }

    /// The checks that need no cryptography on the signature, and the bytes that the signature covers.
    ///
    /// # Errors
    /// [`TransactionError`], but never [`TransactionError::BadSignature`].
    pub fn check_form(self, chain_id: u64, genesis: B256) -> Result<UnverifiedTransaction, TransactionError> {
        let Self::Native(signed) = &self;
        let native = &signed.transaction;
        if native.chain_id != chain_id {
            return Err(TransactionError::WrongChain { theirs: native.chain_id, ours: chain_id });
        }
        if native.max_tip > native.max_fee {
            return Err(TransactionError::TipAboveFee { tip: native.max_tip, fee: native.max_fee });
        }
        if !native.sender.is_encoded_as_an_owner() {
            return Err(TransactionError::WeakKey);
        }
        let signed_bytes = native.signed_bytes(genesis);
        Ok(UnverifiedTransaction { transaction: self, signed_bytes })
    }
}

/// Verifies many transactions by batches (CRY-1): one verdict each, in order, equal to [`Transaction::verify`]'s.
pub fn verify_transactions<R: rand_core::CryptoRng>(
    transactions: Vec<Transaction>,
    chain_id: u64,
    genesis: B256,
    randomness: &mut R,
) -> Vec<Result<VerifiedTransaction, TransactionError>> {
    let checked: Vec<_> = transactions.into_iter().map(|one| one.check_form(chain_id, genesis)).collect();
    let claims: Vec<Claim<'_>> =
        checked.iter().filter_map(|one| one.as_ref().ok()).map(UnverifiedTransaction::claim).collect();
    let mut verdicts = signature::verify_batch(&claims, randomness).into_iter();
    checked
        .into_iter()
        .map(|one| {
            let unverified = one?;
            let holds = verdicts.next().expect("one verdict for each claim");
            if holds { Ok(unverified.into_verified()) } else { Err(TransactionError::BadSignature) }
        })
        .collect()
}

/// A transaction whose form is checked and whose signature is not.
#[derive(Debug, Clone)]
pub struct UnverifiedTransaction {
    transaction: Transaction,
    signed_bytes: Vec<u8>,
}

impl UnverifiedTransaction {
    /// What remains to be checked.
    pub fn claim(&self) -> Claim<'_> {
        let Transaction::Native(signed) = &self.transaction;
        Claim { key: signed.transaction.sender, message: &self.signed_bytes, signature: signed.signature }
    }

    fn into_verified(self) -> VerifiedTransaction {
        let Transaction::Native(signed) = &self.transaction;
        let sender = signed.transaction.sender_address();
        let id = TransactionId(sha256(&[&self.signed_bytes]));
        VerifiedTransaction(Arc::new(Checked { transaction: self.transaction, id, sender }))
    }
}

/// A transaction whose signature was checked: the only kind that the pool and the ledger accept, so that
/// each is checked once, at the door. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTransaction(Arc<Checked>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    transaction: Transaction,
    id: TransactionId,
    sender: Address,
}

impl VerifiedTransaction {
    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.0.transaction
    }

    /// The native body. (Every kind that exists is native.)
    pub fn native(&self) -> &NativeTransaction {
        let Transaction::Native(signed) = &self.0.transaction;
        &signed.transaction
    }

    /// Its id.
    pub fn id(&self) -> TransactionId {
        self.0.id
    }

    /// Who pays.
    pub fn sender(&self) -> Address {
        self.0.sender
    }

    /// The transaction, giving up the proof that it was checked.
    pub fn into_transaction(self) -> Transaction {
        Arc::unwrap_or_clone(self.0).transaction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENESIS: B256 = B256::repeat_byte(0xaa);

    fn key() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    fn sample() -> NativeTransaction {
        NativeTransaction {
            chain_id: 7,
            sender: key().public(),
            nonce: 3,
            max_fee: 2_000_000_000,
            max_tip: 1_000_000_000,
            gas_limit: Gas(21_000),
            to: Some(Address::repeat_byte(0x22)),
            value: U256::from(12_500),
            data: Bytes::new(),
            access_list: Vec::new(),
            valid_until: None,
        }
    }

    fn signed() -> Transaction {
        Transaction::Native(sample().sign(GENESIS, &key()))
    }

    #[test]
    fn golden_bytes_of_a_transfer() {
        let bytes = signed().to_bytes();
        let digest = sha256(&[&bytes]);
        assert_eq!(
            (bytes.len(), digest.to_string().as_str()),
            (226, "0xd31697377e7039b44f1706c8fe2a7d70588d093c798d81e105827cdfc46fe632")
        );
        let id = signed().verify(7, GENESIS).expect("valid").id();
        assert_eq!(id.to_string(), "0xd5405721e9dba7f3b51da6ea30155cdf8bcdb611e3b72702da7bba4d4ce114a8");
    }

    #[test]
    fn cry_4_every_changed_byte_is_refused() {
        let bytes = signed().to_bytes();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let verdict = Transaction::from_bytes(&changed).and_then(|one| one.verify(7, GENESIS));
            assert!(verdict.is_err(), "byte {index}");
        }
    }

    #[test]
    fn cry_4_another_genesis_or_chain_is_refused() {
        assert_eq!(signed().verify(7, B256::ZERO), Err(TransactionError::BadSignature));
        assert_eq!(signed().verify(8, GENESIS), Err(TransactionError::WrongChain { theirs: 7, ours: 8 }));
    }

    #[test]
    fn cry_3_the_signature_is_no_part_of_the_id() {
        let unverified = signed().check_form(7, GENESIS).expect("form");
        let Transaction::Native(mut other) = signed();
        other.signature.0[0] ^= 1;
        let other = Transaction::Native(other).check_form(7, GENESIS).expect("form");
        assert_eq!(unverified.into_verified().id(), other.into_verified().id());
    }

    #[test]
    fn cry_2_a_small_order_key_owns_no_account() {
        let mut transaction = sample();
        transaction.sender = PublicKey({
            let mut one = [0; 32];
            one[0] = 1;
            one
        });
        let signed = Transaction::Native(SignedNative { transaction, signature: Signature([0; 64]) });
        assert_eq!(signed.verify(7, GENESIS), Err(TransactionError::WeakKey));
    }
}
