//! kubectl with the plugin in its PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testbed::process::{self, Output};

use crate::world::World;

/// The plugin's program.
pub fn plugin() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_kubectl-changehook"))
}

/// `kubectl changehook …` as the user of a kubeconfig, without a namespace of its own.
pub async fn kubectl_as(world: &World, kubeconfig: &Path, arguments: &[&str]) -> Output {
    let folder = plugin().parent().unwrap().display().to_string();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(world.plane().kubectl_program());
    command
        .env_clear()
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()))
        .env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig)
        .arg("changehook")
        .args(arguments);
    process::run(command, Vec::new()).await.unwrap()
}

/// The same as admin, in the world's namespace.
pub async fn changehook(world: &World, arguments: &[&str]) -> Output {
    let all = [arguments, &["-n", world.namespace.as_str()]].concat();
    kubectl_as(world, world.plane().kubeconfig_path(), &all).await
}

/// The same, which has to succeed; its standard output.
pub async fn done(world: &World, arguments: &[&str]) -> String {
    let output = changehook(world, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}\n{}", output.stdout, output.stderr);
    output.stdout
}

/// A kubeconfig for a ServiceAccount of this name, which may do this in the world's namespace and nothing else.
pub async fn user(world: &World, name: &str, rules: serde_json::Value) -> PathBuf {
    let namespace = &world.namespace;
    let role = "rbac.authorization.k8s.io";
    let manifests = [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
        json!({"apiVersion": format!("{role}/v1"), "kind": "Role", "metadata": {"name": name}, "rules": rules}),
        json!({"apiVersion": format!("{role}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": role, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}),
    ];
    for manifest in manifests {
        world.apply(&manifest.to_string()).await;
    }
    let token = world.plane().service_account_token(namespace, name).await.unwrap();
    world.plane().kubeconfig_for_token(&token, None).unwrap()
}
