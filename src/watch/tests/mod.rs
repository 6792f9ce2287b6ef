//! Sources against a small scripted API server.

mod absence;
mod api;
mod bench;
mod listing;
mod sharing;
mod watching;
