//! How the engine behaves, through its public interface alone: a fake clock, a fake ledger, scripted endpoints.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod baselines;
mod budget;
mod capacity;
mod commits;
mod discards;
mod edits;
mod fairness;
mod losses;
mod memory;
mod namesakes;
mod notify;
mod outages;
mod recipes;
mod refusals;
mod resyncs;
mod rewinds;
mod rig;
mod schedule;
mod sweep;
mod takeovers;
mod unsent;
mod views;
