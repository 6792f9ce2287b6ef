//! The operator as its Deployment says: what a kubelet would start, without one.
//!
//! Reads the Deployment from the API server and starts the program with exactly its arguments, its environment and a
//! token of its ServiceAccount. Of what a kubelet adds, only the way to the API server is put in its place: a
//! kubeconfig, because the token's usual file is not ours to write.

use std::{collections::BTreeMap, path::Path, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, EnvVar},
};
use kube::Api;

use crate::{
    ControlPlane, Operator,
    error::{Context, Error, Result},
    operator::Launch,
};

/// An address that no test's endpoint has (TEST-NET-1).
const POD_IP: &str = "192.0.2.1";

impl Operator {
    /// Starts what the Deployment says and waits until it is ready.
    pub async fn of_deployment(
        binary: &Path,
        control_plane: &ControlPlane,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        Self::of_deployment_unready(binary, control_plane, namespace, name).await?.ready().await
    }

    /// The same, but waits only until its admin server listens.
    pub async fn of_deployment_unready(
        binary: &Path,
        control_plane: &ControlPlane,
        namespace: &str,
        name: &str,
    ) -> Result<Self> {
        let what = format!("failed to start the Deployment {namespace}/{name}");
        let api: Api<Deployment> = Api::namespaced(control_plane.client().await?, namespace);
        let template = api.get(name).await.context(what.clone())?.spec.template;
        let pod = template.spec.ok_or_else(|| Error::new(format!("{what}: its Pod has no spec")))?;
        let account = pod.service_account_name.unwrap_or_else(|| "default".to_owned());
        let token = control_plane.service_account_token(namespace, &account).await.context(what.clone())?;
        let kubeconfig = control_plane.kubeconfig_for_token(&token, None)?;
        let [container] = <[Container; 1]>::try_from(pod.containers)
            .map_err(|all| Error::new(format!("{what}: it has {} containers", all.len())))?;
        let fields = BTreeMap::from([
            ("metadata.namespace", namespace.to_owned()),
            ("metadata.name", format!("{name}-0")),
            ("status.podIP", POD_IP.to_owned()),
        ]);
        let mut env = vec![("CHANGEHOOK_KUBECONFIG".to_owned(), kubeconfig.display().to_string())];
        for variable in container.env.unwrap_or_default() {
            env.push(resolved(variable, &fields).context(what.clone())?);
        }
        let args = container.args.unwrap_or_default();
        let launch = Launch { binary: binary.to_owned(), args, env, ready_within: Duration::from_secs(30) };
        Self::spawn(launch).await
    }
}

fn resolved(variable: EnvVar, fields: &BTreeMap<&str, String>) -> Result<(String, String)> {
    let EnvVar { name, value, value_from } = variable;
    let Some(from) = value_from else { return Ok((name, value.unwrap_or_default())) };
    let path = from.field_ref.map(|field| field.field_path).unwrap_or_default();
    let value = fields.get(path.as_str()).ok_or_else(|| Error::new(format!("{name} is of an unknown source")))?;
    Ok((name, value.clone()))
}
