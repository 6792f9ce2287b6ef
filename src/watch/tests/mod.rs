//! Sources against a small scripted API server.

mod absence;
mod api;
mod behind;
mod bench;
mod comparing;
mod listing;
mod second_look;
mod sharing;
mod watching;
