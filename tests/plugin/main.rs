//! `kubectl changehook`, called through the real kubectl, against a real API server, the real operator and a receiver.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

#[path = "../behaviour/world.rs"]
#[allow(dead_code, reason = "the behaviours need more of it")]
mod world;

mod docs;
mod kubectl;
mod status;
mod subscribe;
