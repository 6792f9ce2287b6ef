//! Everything that the documentation tells people to run is run, with the real programs, on a real API server: the
//! manifests in README.md, docs/ and examples/, and the blocks of commands in their pages, in order.
//!
//! How blocks are read is said in `blocks`, what is not run and why in `exceptions`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod blocks;
mod examples;
mod exceptions;
mod node;
mod pages;
mod stage;
