//! The Lease of an operator that is known to be dead.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    ControlPlane,
    error::{Context, Result},
};

impl ControlPlane {
    /// Sets the Lease of the operators in `namespace` free, so that after a SIGKILL the next one need not wait until it
    /// runs out. Only for tests that are not about that wait, and only once the operator is gone.
    pub async fn free_lease(&self, namespace: &str) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client().await?, namespace);
        let free = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
        leases.patch("changehook", &PatchParams::default(), &free).await.context("failed to set the Lease free")?;
        Ok(())
    }
}
