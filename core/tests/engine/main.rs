//! How the engine behaves, through its public interface alone: a fake clock, a fake ledger, scripted endpoints.

mod baselines;
mod commits;
mod edits;
mod fairness;
mod memory;
mod namesakes;
mod outages;
mod refusals;
mod rig;
mod schedule;
mod takeovers;
mod unsent;
mod views;
