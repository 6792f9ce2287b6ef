//! Behaviours of the real operator against a real API server and real sockets, one file a theme, one sentence a test.

mod addresses;
mod again;
mod bad_input;
mod bad_secrets;
mod bad_spec;
mod bytes;
mod coalescing;
mod conditions;
mod crash;
mod delivery;
mod edits;
mod history;
mod leader;
mod namesakes;
mod operation;
mod outage;
mod payload;
mod retries;
mod secrets;
mod slice;
mod status;
mod suspend;
mod throng;
mod url_from;
mod watching;
mod world;
