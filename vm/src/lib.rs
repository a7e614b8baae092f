//! The crate page.
