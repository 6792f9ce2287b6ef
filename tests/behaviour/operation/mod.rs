//! Running it: getting ready, being configured, watched, stopped, killed and started again.
//!
//! That the death of a task ends the process with a reason has no honest way in from outside: it is a unit test of
//! `runtime::tasks` and `runtime::operator`.

mod metrics;
mod proxy;
mod ready;
mod restart;
mod stop;
