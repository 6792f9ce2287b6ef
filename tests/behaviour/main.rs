//! Behaviours of the real operator against a real API server and real sockets, one file a theme, one sentence a test.

mod operation;
mod slice;
mod world;
