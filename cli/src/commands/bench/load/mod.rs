//! Loads on a real network, from this process and over the shipped RPC.
//!
//! The rule of all figures here: a thing's time begins when it was meant to be sent, not when a busy client came to
//! sending it; it ends when a node told that its block is final; and what counts is what stands in the chain
//! afterwards, each thing once.
//!
//! - [`network`]: a network of the bench's own, or one that runs; what its processes cost.
//! - [`members`]: a committee that orders bytes and executes nothing.
//! - [`connection`], [`follower`]: calls over a kept connection, and what becomes final.
//! - [`lane`]: one connection that submits by the clock.
//! - [`step`]: one rate for a while, and what came of it.

pub(super) mod connection;
pub(super) mod follower;
pub(super) mod lane;
pub(super) mod members;
pub(super) mod network;
pub(super) mod step;
