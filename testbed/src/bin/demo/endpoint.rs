//! The endpoint of the story: a receiver, and what it was told.

use std::time::Duration;

use serde_json::Value;
use testbed::{Error, Mirror, Receiver, Result};

use super::screen::Screen;

/// The signing key; the demo's own, and of no use elsewhere.
pub const KEY: &str = "demo-signing-key";
/// How long anything may take that should take a moment.
const SOON: Duration = Duration::from_mins(1);

/// See the module's head.
pub struct Endpoint {
    pub receiver: Receiver,
    mirror: Mirror,
    seen: usize,
}

impl Endpoint {
    pub async fn start() -> Result<Self> {
        Ok(Self { receiver: Receiver::start().await?, mirror: Mirror::new(KEY), seen: 0 })
    }

    /// Shows what arrives until at least `count` more requests have.
    pub async fn show(&mut self, screen: &Screen, count: usize) -> Result<()> {
        let enough = self.seen + count;
        while self.seen < enough {
            self.show_next(screen, SOON).await?;
        }
        Ok(())
    }

    /// Shows what arrives until the endpoint knows the cluster as `cluster` gives it.
    pub async fn show_until_equal(&mut self, screen: &Screen, cluster: &[Value]) -> Result<()> {
        while !self.mirror.differences(cluster).is_empty() {
            self.show_next(screen, SOON).await?;
        }
        Ok(())
    }

    /// Shows what arrives, for as long as it is polled.
    pub async fn show_all(&mut self, screen: &Screen) -> Result<()> {
        loop {
            self.show_next(screen, Duration::MAX).await?;
        }
    }

    /// What is known otherwise than it is in the cluster.
    pub fn differences(&self, cluster: &[Value]) -> Vec<String> {
        self.mirror.differences(cluster)
    }

    /// How many requests arrived, all of them verified.
    pub fn verified(&self) -> usize {
        self.seen
    }

    async fn show_next(&mut self, screen: &Screen, within: Duration) -> Result<()> {
        let seen = self.seen;
        let waited = self.receiver.wait_until(move |all| all.len() > seen, within).await;
        waited.map_err(|error| Error::caused("failed to wait for a delivery", error))?;
        for request in self.receiver.since(seen) {
            let taken = self.mirror.take(&request);
            let told = taken.map_err(|error| Error::caused("failed to verify a delivery", error))?;
            screen.delivery(&told);
            self.seen += 1;
        }
        Ok(())
    }
}
