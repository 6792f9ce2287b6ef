//! Behaviours of the real operator against a real API server and real sockets, one file a theme, one sentence a test.

mod bad_input;
mod bad_secrets;
mod bad_spec;
mod coalescing;
mod conditions;
mod edits;
mod history;
mod namesakes;
mod slice;
mod status;
mod suspend;
mod world;
