//! The operator's records, for tests that lose, damage, copy and bring back what is stored.
//!
//! Knows of them only what any user sees: names, roles, formats, and one opaque text each.

use k8s_openapi::ByteString;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    ControlPlane,
    error::{Context, Error, Result},
};

/// The DeliveryLedger objects of one operator's namespace, as the admin gets at them.
#[derive(Clone, Debug)]
pub struct Ledger(Api<DynamicObject>);

/// One of them, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Stored(DynamicObject);

impl ControlPlane {
    /// Those in this namespace.
    pub async fn ledger(&self, namespace: &str) -> Result<Ledger> {
        let kind = GroupVersionKind::gvk("changehook.dev", "v1alpha1", "DeliveryLedger");
        let kind = ApiResource::from_gvk_with_plural(&kind, "deliveryledgers");
        Ok(Ledger(Api::namespaced_with(self.client().await?, namespace, &kind)))
    }
}

impl Ledger {
    /// All of them: also the copy to [`Self::restore`] later.
    pub async fn list(&self) -> Result<Vec<Stored>> {
        let list = self.0.list(&ListParams::default()).await.context("failed to list the ledger")?;
        Ok(list.items.into_iter().map(Stored).collect())
    }

    /// The only one of a role.
    pub async fn the(&self, role: &str) -> Result<Stored> {
        let mut stored = self.list().await?;
        stored.retain(|one| one.role() == role);
        match stored.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(Error::new(format!("failed to find the {role}: there are {}", stored.len()))),
        }
    }

    /// Deletes one.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let deleted = self.0.delete(name, &DeleteParams::default()).await;
        deleted.map(|_| ()).context(format!("failed to delete DeliveryLedger {name}"))
    }

    /// Deletes all.
    pub async fn clear(&self) -> Result<()> {
        let deleted = self.0.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
        deleted.map(|_| ()).context("failed to delete the ledger")
    }

    /// Writes one as it is now in memory, whatever has become of it meanwhile.
    pub async fn put(&self, stored: &Stored) -> Result<()> {
        let what = format!("failed to write DeliveryLedger {}", stored.name());
        let mut object = stored.0.clone();
        let current = self.0.get_opt(stored.name()).await.context(what.clone())?;
        object.metadata.managed_fields = None;
        object.metadata.resource_version = current.as_ref().and_then(|one| one.metadata.resource_version.clone());
        let put = match current {
            Some(_) => {
                object.metadata.uid = None;
                self.0.replace(stored.name(), &PostParams::default(), &object).await
            }
            None => self.0.create(&PostParams::default(), &object).await,
        };
        put.map(|_| ()).context(what)
    }

    /// Everything becomes as it was: what has come since is deleted.
    pub async fn restore(&self, copy: &[Stored]) -> Result<()> {
        for one in self.list().await? {
            if copy.iter().all(|kept| kept.name() != one.name()) {
                self.delete(one.name()).await?;
            }
        }
        for one in copy {
            self.put(one).await?;
        }
        Ok(())
    }
}

impl Stored {
    /// metadata.name
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// Head, Segment, Index or Shard.
    pub fn role(&self) -> &str {
        self.0.data["spec"]["role"].as_str().unwrap_or_default()
    }

    /// metadata.resourceVersion
    pub fn version(&self) -> &str {
        self.0.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// The blob.
    pub fn data(&self) -> Result<Vec<u8>> {
        let text = self.0.data["spec"]["data"].clone();
        let bytes: ByteString = serde_json::from_value(text).context("failed to decode a blob")?;
        Ok(bytes.0)
    }

    /// The same object with another blob.
    pub fn with_data(mut self, data: Vec<u8>) -> Result<Self> {
        self.0.data["spec"]["data"] = serde_json::to_value(ByteString(data)).context("failed to encode a blob")?;
        Ok(self)
    }

    /// The same object with one bit of one byte turned, counted from the end if `at` is negative.
    pub fn with_bit_flipped(self, at: isize) -> Result<Self> {
        let mut data = self.data()?;
        let index = if at < 0 { data.len().checked_add_signed(at) } else { usize::try_from(at).ok() };
        let byte = index.and_then(|index| data.get_mut(index));
        *byte.ok_or_else(|| Error::new(format!("failed to turn a bit: the blob has no byte {at}")))? ^= 1;
        self.with_data(data)
    }

    /// The same object with only the first so many bytes.
    pub fn truncated(self, length: usize) -> Result<Self> {
        let mut data = self.data()?;
        data.truncate(length);
        self.with_data(data)
    }

    /// The same object, said to be of another format.
    #[must_use]
    pub fn with_format(mut self, format: u32) -> Self {
        self.0.data["spec"]["format"] = json!(format);
        self
    }

    /// The whole object.
    pub fn object(&self) -> Result<Value> {
        serde_json::to_value(&self.0).context("failed to read a ledger object")
    }
}
