//! The pool's tests: stories, a naive model that it must agree with, and line fairness.

#![allow(clippy::unwrap_used)]

pub(crate) mod fixture;
mod hostile;
mod model;
mod properties;
mod stories;
