//! What came of the load at the endpoint: every request verified, and how long each write took to get there.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use testbed::{Error, Mirror, Receiver, Result, eventually};

use super::writes::Write;

/// The endpoint and what it knows.
pub struct Endpoint {
    pub receiver: Receiver,
    pub mirror: Mirror,
    seen: usize,
    // per object name: the values of data.n that arrived, with their times, both growing
    arrived: HashMap<String, Vec<(u64, Instant)>>,
    last: Option<Instant>,
}

impl Endpoint {
    pub async fn start(key: &str) -> Result<Self> {
        let (mirror, arrived) = (Mirror::new(key), HashMap::new());
        Ok(Self { receiver: Receiver::start().await?, mirror, seen: 0, arrived, last: None })
    }

    /// How many requests came in.
    pub fn requests(&self) -> usize {
        self.seen
    }

    /// When the last one did.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Waits until each of the writes, or a later one of its object, has arrived.
    pub async fn all_of(&mut self, writes: &[Write], within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            self.take_in()?;
            let missing = writes.iter().filter(|write| self.arrival(write).is_none()).count();
            if missing == 0 {
                return Ok(());
            }
            let seen = self.seen;
            let left = deadline.saturating_duration_since(Instant::now());
            eventually(left, || async { (!self.receiver.since(seen).is_empty()).then_some(()) }).await.map_err(
                |error| Error::caused(format!("failed to wait for {missing} changes at the endpoint"), error),
            )?;
        }
    }

    /// How long each write took from the API server's answer to the request that told of it, in ascending order.
    pub fn latencies(&self, writes: &[Write]) -> Vec<Duration> {
        let latency = |write| self.arrival(write).map(|at: Instant| at.saturating_duration_since(write.taken));
        let mut latencies: Vec<_> = writes.iter().filter_map(latency).collect();
        latencies.sort_unstable();
        latencies
    }

    /// When a request told of the write, or of a later one of its object.
    pub fn arrival(&self, write: &Write) -> Option<Instant> {
        let arrived = self.arrived.get(&write.name)?;
        arrived.iter().find(|(n, _)| *n >= write.n).map(|(_, at)| *at)
    }

    fn take_in(&mut self) -> Result<()> {
        for request in self.receiver.since(self.seen) {
            self.mirror.take(&request)?;
            let body = request.json()?;
            let object = &body["change"]["object"];
            let n = object["data"]["n"].as_str().and_then(|n| n.parse().ok());
            let (Some(name), Some(n)) = (object["metadata"]["name"].as_str(), n) else {
                return Err(unexpected(&body));
            };
            self.arrived.entry(name.to_owned()).or_default().push((n, request.arrived));
            self.last = self.last.max(Some(request.arrived));
            self.seen += 1;
        }
        Ok(())
    }
}

fn unexpected(body: &Value) -> Error {
    Error::new(format!("failed to make sense of a request: {body}"))
}
