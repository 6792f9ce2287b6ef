//! The documentation says what is there: reasons, flags, fields, metrics, manifests, payloads, snippets and links are
//! compared with the code. Needs no cluster; tests/tour runs what the documentation tells people to run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod hostile;
mod manifests;
mod payloads;
mod settings;
mod texts;
mod ways;
mod words;
