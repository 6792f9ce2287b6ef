//! The load: many writes at once, each noted with when the API server took it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use testbed::{ControlPlane, Error, Result};
use tokio::time::MissedTickBehavior;

/// About the size of a small manifest.
const FILLER: usize = 600;
/// Paced writes under way at once.
const AT_ONCE: usize = 64;

/// One write that was taken.
#[derive(Clone, Debug)]
pub struct Write {
    /// Of which object.
    pub name: String,
    /// Its `data.n` from then on; grows with every write of the object.
    pub n: u64,
    /// When the API server's answer was there.
    pub taken: Instant,
}

/// What is done to the objects `object-0`, `object-1`, ….
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Each write creates one more.
    Create,
    /// The writes go round over so many of them.
    Update {
        /// How many objects there are.
        objects: usize,
        /// The value of the first round.
        first: u64,
    },
}

/// Does `count` writes at an even pace of so many a second, or as many as the API server takes.
pub async fn write_evenly(
    control_plane: &ControlPlane,
    namespace: &str,
    kind: Kind,
    count: usize,
    a_second: u32,
) -> Result<Vec<Write>> {
    let api: Api<ConfigMap> = Api::namespaced(control_plane.client().await?, namespace);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / a_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = tokio::task::JoinSet::new();
    let mut all = Vec::with_capacity(count);
    for number in 0..count {
        pace.tick().await;
        while tasks.len() >= AT_ONCE {
            all.extend(joined(tasks.join_next().await)?);
        }
        let api = api.clone();
        tasks.spawn(async move { one(&api, kind, number).await.map(|write| vec![write]) });
    }
    while !tasks.is_empty() {
        all.extend(joined(tasks.join_next().await)?);
    }
    Ok(all)
}

type Joined = Result<Result<Vec<Write>, kube::Error>, tokio::task::JoinError>;

fn joined(joined: Option<Joined>) -> Result<Vec<Write>> {
    let Some(joined) = joined else { return Ok(Vec::new()) };
    let done = joined.map_err(|error| Error::caused("failed to write", error))?;
    done.map_err(|error| Error::caused("failed to write", error))
}

/// Does `count` writes, so many at once, and gives them in no particular order.
pub async fn write(
    control_plane: &ControlPlane,
    namespace: &str,
    kind: Kind,
    count: usize,
    writers: usize,
) -> Result<Vec<Write>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        // a connection each, as different programs would have
        let api: Api<ConfigMap> = Api::namespaced(control_plane.client().await?, namespace);
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(done);
                }
                done.push(one(&api, kind, number).await?);
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        all.extend(joined(Some(done))?);
    }
    Ok(all)
}

async fn one(api: &Api<ConfigMap>, kind: Kind, number: usize) -> Result<Write, kube::Error> {
    let (name, n) = match kind {
        Kind::Create => {
            let name = format!("object-{number}");
            let text = json!({"metadata": {"name": name}, "data": {"n": "0", "filler": "x".repeat(FILLER)}});
            let object: ConfigMap = serde_json::from_value(text).map_err(kube::Error::SerdeError)?;
            api.create(&PostParams::default(), &object).await?;
            (name, 0)
        }
        Kind::Update { objects, first } => {
            let (name, n) = (format!("object-{}", number % objects), first + (number / objects) as u64);
            let patch = Patch::Merge(json!({"data": {"n": n.to_string()}}));
            api.patch(&name, &PatchParams::default(), &patch).await?;
            (name, n)
        }
    };
    Ok(Write { name, n, taken: Instant::now() })
}
