//! The control plane and its command, against the real programs.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use kube::{
    Api,
    api::{ListParams, ObjectMeta, PostParams, WatchParams},
};
use testbed::{ControlPlane, eventually, process};

const SOON: Duration = Duration::from_secs(20);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

#[tokio::test]
async fn it_serves_objects_kubectl_and_rbac_and_keeps_an_audit_log() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("serves").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    maps.create(&PostParams::default(), &config_map("one")).await.unwrap();

    let names = control_plane.kubectl_ok(&["get", "configmaps", "-n", &namespace, "-o", "name"]).await.unwrap();
    assert_eq!(names, "configmap/one\n");

    // users and ServiceAccounts are who they are, and may nothing that RBAC does not give them
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    let metadata = ObjectMeta { name: Some("robot".to_owned()), ..ObjectMeta::default() };
    accounts.create(&PostParams::default(), &ServiceAccount { metadata, ..ServiceAccount::default() }).await.unwrap();
    let robot = control_plane.service_account_token(&namespace, "robot").await.unwrap();
    for token in [control_plane.user_token("alice").unwrap(), &robot] {
        let client = control_plane.client_for_token(token).await.unwrap();
        let refused = Api::<ConfigMap>::namespaced(client, &namespace).list(&ListParams::default()).await.unwrap_err();
        assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
    }
    let kubeconfig = control_plane.kubeconfig_for_token(&robot, None).unwrap();
    let whoami = control_plane.kubectl_as(&kubeconfig, &["auth", "whoami"], "").await.unwrap();
    assert!(whoami.stdout.contains(&format!("system:serviceaccount:{namespace}:robot")), "{whoami:?}");

    let log = control_plane.audit_log().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    assert!(log.iter().any(|entry| entry.verb == "create" && entry.request_uri.starts_with(&path)));
    let refusals = log.iter().filter(|entry| entry.verb == "list" && entry.user.username == "alice");
    let codes: Vec<_> = refusals.map(|entry| entry.response_status.as_ref().unwrap().code).collect();
    assert_eq!(codes, [403]);

    // a watch is in the log as soon as its stream has begun, and once
    let watched: Api<Service> = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
    let _stream = watched.watch(&WatchParams::default(), "0").await.unwrap();
    eventually(SOON, || async {
        let log = control_plane.audit_log()?;
        let begun = log.iter().filter(|entry| entry.begins_watch("admin", "services")).count();
        if begun == 1 { Ok(()) } else { Err(testbed::Error::new(format!("{begun} watches"))) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_crd_is_usable_as_soon_as_it_is_applied() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("crd").await.unwrap();
    let crd = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gizmos.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gizmos, singular: gizmo, kind: Gizmo}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
    control_plane.apply_crd_yaml(crd).await.unwrap();
    let gizmo = "---\n# a comment\n---\napiVersion: example.com/v1\nkind: Gizmo\nmetadata: {name: one}\n";
    let applied = control_plane.apply_yaml(gizmo, &namespace).await.unwrap();
    assert_eq!(applied[0].metadata.namespace.as_deref(), Some(namespace.as_str()));
}

#[tokio::test]
async fn a_restarted_api_server_has_the_old_data_on_the_old_port() {
    let control_plane = ControlPlane::start().await.unwrap();
    let client = control_plane.client().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    control_plane.stop_api_server().await.unwrap();
    maps.get("kept").await.unwrap_err();
    control_plane.stop_etcd().await.unwrap();
    control_plane.start_etcd().await.unwrap();
    control_plane.start_api_server().await.unwrap();
    maps.get("kept").await.unwrap();

    let pids = control_plane.pids();
    drop(control_plane);
    assert!(pids.len() == 2 && !pids.into_iter().any(process::is_running));
}

/// Starts the command and waits until it is ready; gives it and its children.
fn control_plane_command(kubeconfig: &std::path::Path) -> (std::process::Child, Vec<u32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(command.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", command.id())).unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        children.extend(text.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    assert_eq!(children.len(), 2, "etcd and kube-apiserver");
    (command, children)
}

async fn all_gone(children: &[u32]) {
    eventually(SOON, || async { (!children.iter().any(|pid| process::is_running(*pid))).then_some(()) }).await.unwrap();
}

#[tokio::test]
async fn a_killed_parent_takes_its_children_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut command, children) = control_plane_command(&dir.path().join("kubeconfig"));
    command.kill().unwrap();
    command.wait().unwrap();
    all_gone(&children).await;
}

#[tokio::test]
async fn the_command_writes_a_kubeconfig_and_ends_with_its_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let (mut command, children) = control_plane_command(&kubeconfig);
    let written = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(written, &kube::config::KubeConfigOptions::default()).await;
    testbed::init();
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    client.apiserver_version().await.unwrap();
    drop(command.stdin.take());
    assert!(command.wait().unwrap().success());
    all_gone(&children).await;
}
