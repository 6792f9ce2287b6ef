//! Everything changehook decides, and nothing it touches: no network, clock, environment or randomness.
//!
//! One way round: a watched [`object::Row`] goes through [`select`] (who wants it), becomes an observation for the
//! [`engine`] (what does the endpoint still need), whose attempts are turned into bytes by [`event`]. What came of an
//! attempt is an [`outcome`]; where a request may go is decided in [`address`]; what must survive is a [`ledger`] record.
//!
//! | module | decides | may import |
//! | --- | --- | --- |
//! | [`object`] | the nouns: kinds, rows, source events | – |
//! | [`plan`] | what one valid subscription asks for | object, retry |
//! | [`select`] | Selected, Deselected or Unknown for each subscription and row | object, plan, proof, retry |
//! | [`outcome`] | failure classes of an attempt | – |
//! | [`retry`] | when the next attempt may go | outcome |
//! | [`address`] | which addresses may be dialled | – |
//! | [`proof`] | nothing: rules that tests can break, marks that they count | – |
//! | [`lease`] | who may act, and until when | proof |
//! | [`ledger`] | durable records and their order, what is stored of them and when | object, outcome, plan, proof |
//! | [`engine`] | slots, want(), scheduling, breaker, fairness | event, ledger, object, outcome, plan, proof, retry, select |
//! | [`event`] | normalised rows, canonical JSON, fingerprints, ids, signatures, the envelope | object, plan |
//!
//! Time is an argument everywhere: [`Now`].

pub mod address;
pub mod engine;
pub mod event;
pub mod lease;
pub mod ledger;
pub mod object;
pub mod outcome;
pub mod plan;
pub mod proof;
pub mod retry;
pub mod select;

/// The caller's clocks, read once per step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds on a monotonic clock that starts anywhere; deadlines are measured with it.
    pub mono: u64,
    /// Milliseconds since the Unix epoch; shown and sent. Only [`lease`] compares how far both clocks went.
    pub wall: i64,
}

impl Now {
    /// The wall-clock time, in milliseconds, at which the monotonic clock will show `mono`.
    pub fn wall_at(&self, mono: u64) -> i64 {
        self.wall + (mono as i64 - self.mono as i64)
    }
}
