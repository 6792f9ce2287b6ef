//! How the engine behaves, through its public interface alone: a fake clock, a fake ledger, scripted endpoints.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod baselines;
mod budget;
mod commits;
mod edits;
mod fairness;
mod memory;
mod namesakes;
mod outages;
mod refusals;
mod rig;
mod schedule;
mod sweep;
mod takeovers;
mod unsent;
mod views;
