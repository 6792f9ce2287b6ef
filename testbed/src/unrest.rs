//! ConfigMaps that change all the time: made, edited, relabelled, deleted, made again.
//!
//! Every write gives `data.n` a value that was never there before, so that no object is ever in the same state twice, and
//! a state that is told as two events is a mistake. What comes of one write is not looked at unless a test asks: where
//! API servers die, nobody knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Context, Result};

/// The label and its value that say that an object is subscribed to; without it the object is only there.
pub const LABEL: (&str, &str) = ("watched", "yes");

/// Where it goes on.
#[derive(Clone)]
pub struct Unrest {
    client: Client,
    namespace: String,
    objects: usize,
    n: Arc<AtomicU64>,
}

/// Writers at work. Dropping it stops them.
pub struct Writers {
    stop: CancellationToken,
    tasks: JoinSet<u64>,
}

impl Unrest {
    /// Among so many names in a namespace.
    pub fn new(client: Client, namespace: &str, objects: usize) -> Self {
        Self { client, namespace: namespace.to_owned(), objects, n: Arc::default() }
    }

    /// Starts so many writers, each of which pauses up to `pause` between two writes; chance comes from the seed.
    pub fn begin(&self, seed: u64, writers: usize, pause: Duration) -> Writers {
        let mut random = fastrand::Rng::with_seed(seed);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let (unrest, mut random, stop) = (self.clone(), random.fork(), stop.clone());
            tasks.spawn(async move {
                let mut taken = 0;
                while !stop.is_cancelled() {
                    taken += unrest.write(&mut random).await.unwrap_or_default();
                    tokio::time::sleep(pause.mul_f64(random.f64())).await;
                }
                taken
            });
        }
        Writers { stop, tasks }
    }

    /// One or a few writes to one object; gives how many were taken.
    async fn write(&self, random: &mut fastrand::Rng) -> Result<u64, kube::Error> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("object-{}", random.usize(..self.objects));
        match random.u8(..100) {
            0..60 => self.edit(&maps, &name, json!({})).await,
            60..65 => {
                for _ in 0..5 {
                    self.edit(&maps, &name, json!({})).await?;
                }
                Ok(5)
            }
            65..75 => {
                let value = random.bool().then_some(LABEL.1);
                self.edit(&maps, &name, json!({"labels": {LABEL.0: value}})).await
            }
            75..90 => maps.delete(&name, &DeleteParams::default()).await.map(|_| 1),
            _ => {
                maps.delete(&name, &DeleteParams::default()).await?;
                self.edit(&maps, &name, json!({})).await.map(|taken| taken + 1)
            }
        }
    }

    /// Makes it if it is not there.
    async fn edit(&self, maps: &Api<ConfigMap>, name: &str, metadata: Value) -> Result<u64, kube::Error> {
        let data = json!({"n": self.n.fetch_add(1, Ordering::Relaxed).to_string()});
        let patch = Patch::Merge(json!({"metadata": metadata, "data": data}));
        match maps.patch(name, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let object = json!({"metadata": {"name": name, "labels": {LABEL.0: LABEL.1}}, "data": data});
                let object: ConfigMap = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
                maps.create(&PostParams::default(), &object).await?;
            }
            patched => {
                patched?;
            }
        }
        Ok(1)
    }

    /// What is subscribed to, as the API server has it now.
    pub async fn cluster(&self) -> Result<Vec<Value>> {
        selected(&self.client, &self.namespace, &format!("{}={}", LABEL.0, LABEL.1)).await
    }
}

impl Writers {
    /// Lets each finish what it does, and gives how many writes were taken.
    pub async fn end(mut self) -> u64 {
        self.stop.cancel();
        let mut taken = 0;
        while let Some(done) = self.tasks.join_next().await {
            taken += done.unwrap_or_default();
        }
        taken
    }
}

/// The ConfigMaps of a namespace that have these labels, as JSON that says what it is.
pub async fn selected(client: &Client, namespace: &str, labels: &str) -> Result<Vec<Value>> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let list = api.list(&ListParams::default().labels(labels)).await.context("failed to list the objects")?;
    let value = |object| {
        let mut value = serde_json::to_value(object)?;
        // the items of a list do not say what they are
        value["apiVersion"] = json!("v1");
        value["kind"] = json!("ConfigMap");
        Ok(value)
    };
    let values: Result<Vec<Value>, serde_json::Error> = list.items.iter().map(value).collect();
    values.context("failed to read the objects")
}
