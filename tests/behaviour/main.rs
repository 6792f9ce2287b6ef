//! Behaviours of the real operator against a real API server and real sockets, one file a theme, one sentence a test.

mod addresses;
mod bytes;
mod delivery;
mod operation;
mod outage;
mod payload;
mod retries;
mod secrets;
mod slice;
mod throng;
mod watching;
mod world;
