//! Behaviours of the real operator against a real API server and real sockets, one file a theme, one sentence a test.

mod coalescing;
mod conditions;
mod edits;
mod history;
mod slice;
mod status;
mod suspend;
mod world;
