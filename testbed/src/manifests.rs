//! Server-side apply of YAML manifests with the admin client: CRDs, RBAC, examples.

use std::{path::Path, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery,
};

use crate::{
    ControlPlane,
    error::{Context, Error, Result},
    eventually,
};

impl ControlPlane {
    /// Applies all documents of a YAML text, in order; namespaced ones without a namespace go to `namespace`.
    pub async fn apply_yaml(&self, yaml: &str, namespace: &str) -> Result<Vec<DynamicObject>> {
        let client = self.client().await?;
        let mut applied = Vec::new();
        for object in parse(yaml)? {
            applied.push(apply(&client, &object, namespace).await?);
        }
        Ok(applied)
    }

    /// Applies every CRD in the folder's `*.yaml` files and waits until all are established and discovery has them.
    pub async fn apply_crds(&self, dir: &Path) -> Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).context(format!("failed to read the folder {}", dir.display()))? {
            let path = entry.context(format!("failed to read the folder {}", dir.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(Error::new(format!("failed to find a CRD in {}", dir.display())));
        }
        for path in files {
            let yaml = std::fs::read_to_string(&path).context(format!("failed to read {}", path.display()))?;
            self.apply_crd_yaml(&yaml).await.context(format!("failed to apply {}", path.display()))?;
        }
        Ok(())
    }

    /// The same for a text with one or more CRDs.
    pub async fn apply_crd_yaml(&self, yaml: &str) -> Result<()> {
        let client = self.client().await?;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for applied in self.apply_yaml(yaml, "").await? {
            let name = applied.name_any();
            let crd = eventually(Duration::from_secs(20), || async {
                let crd = crds.get(&name).await.map_err(|error| error.to_string())?;
                if is_established(&crd) { Ok(crd) } else { Err(format!("{name} is not established")) }
            })
            .await?;
            for version in crd.spec.versions.iter().filter(|version| version.served) {
                let gvk = GroupVersionKind::gvk(&crd.spec.group, &version.name, &crd.spec.names.kind);
                eventually(Duration::from_secs(20), || discovery::pinned_kind(&client, &gvk)).await?;
            }
        }
        Ok(())
    }
}

/// The documents of a YAML text; empty ones (comments only) are left out.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Option<serde_json::Value>> =
        serde_saphyr::from_multiple(yaml).context("failed to read a manifest as YAML")?;
    let objects = documents.into_iter().flatten();
    objects.map(|value| serde_json::from_value(value).context("failed to read a manifest as an object")).collect()
}

async fn apply(client: &Client, object: &DynamicObject, namespace: &str) -> Result<DynamicObject> {
    let types =
        object.types.clone().ok_or_else(|| Error::new("failed to apply a manifest without apiVersion and kind"))?;
    let what = format!("failed to apply {} {}", types.kind, object.name_any());
    let gvk = GroupVersionKind::try_from(&types).context(what.clone())?;
    let (resource, capabilities) = discovery::pinned_kind(client, &gvk).await.context(what.clone())?;
    let namespace = object.namespace().unwrap_or_else(|| namespace.to_owned());
    let api = Api::<DynamicObject>::dynamic(client.clone(), &resource, &capabilities.scope).constrain(&namespace);
    let params = PatchParams::apply("testbed").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object)).await.context(what)
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Established" && one.status == "True"))
}
