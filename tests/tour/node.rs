//! What controllers and nodes do, as far as the documentation needs it: the test bed has neither, nor containers, so each
//! container of a Deployment is a process on this machine. ClusterRoles with an aggregation rule are added up.
//!
//! It runs the command that the manifest says, with the environment and the ConfigMaps that the manifest says, under a token
//! of the manifest's ServiceAccount, and writes the Deployment's status once the process answers. What is changed, because
//! there is no network of pods and no file system of a container's own: servers listen on loopback, on the port that the
//! stage has for their Deployment, and the operator has a kubeconfig in place of the files that pods find their token in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PodSpec, Secret};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testbed::ControlPlane;
use testbed::process::{Child, Signal};
use tokio::net::TcpStream;
use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The operator drains before it ends.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// A pod's address, which no endpoint here has (TEST-NET-1).
const POD_IP: &str = "192.0.2.1";

/// Works until it is dropped; what it runs ends with it.
pub struct Node {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// Takes care of the Deployments that are named in `ports`, each with the port that its program listens on; `folder` has
    /// their logs, `NAME.log`.
    pub async fn start(plane: Arc<ControlPlane>, folder: PathBuf, ports: BTreeMap<String, u16>) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let client = plane.client().await.unwrap();
        let work = async move {
            let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
            loop {
                let listed = Api::<Deployment>::all(client.clone()).list(&ListParams::default()).await.unwrap().items;
                for (name, port) in &ports {
                    let wanted = listed.iter().find(|deployment| deployment.name_any() == *name);
                    let pod = pods.remove(name);
                    let ground = Ground { plane: &plane, client: &client, folder: &folder, port: *port };
                    if let Some(pod) = ground.settle(wanted, pod).await {
                        pods.insert(name.clone(), pod);
                    }
                }
                aggregate(&client).await;
                sleep(LOOK_EVERY).await;
            }
        };
        Self { task: tokio::spawn(work) }
    }

    /// False once something did not come up; a panic said why.
    pub fn works(&self) -> bool {
        !self.task.is_finished()
    }
}

/// What kube-controller-manager does with ClusterRoles that add up others.
async fn aggregate(client: &Client) {
    let api = Api::<ClusterRole>::all(client.clone());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    for role in &all {
        let Some(rule) = &role.aggregation_rule else { continue };
        let wanted = |other: &ClusterRole| {
            rule.cluster_role_selectors
                .iter()
                .flatten()
                .filter_map(|selector| selector.match_labels.as_ref())
                .any(|all| all.iter().all(|(name, value)| other.labels().get(name) == Some(value)))
        };
        let rules: Vec<_> =
            all.iter().filter(|other| wanted(other)).filter_map(|other| other.rules.clone()).flatten().collect();
        if role.rules.clone().unwrap_or_default() != rules {
            let patch = Patch::Merge(json!({"rules": rules}));
            api.patch(&role.name_any(), &PatchParams::default(), &patch).await.unwrap();
        }
    }
}

/// A running container.
struct Pod {
    child: Child,
    /// What it was made from.
    spec: PodSpec,
    ready: bool,
    /// The generation that the status tells of, and whether as available.
    told: Option<(i64, bool)>,
}

struct Ground<'a> {
    plane: &'a ControlPlane,
    client: &'a Client,
    folder: &'a Path,
    port: u16,
}

impl Ground<'_> {
    /// One look at a Deployment and at what runs for it: starts, stops, replaces, tells.
    async fn settle(&self, wanted: Option<&Deployment>, pod: Option<Pod>) -> Option<Pod> {
        let spec = wanted.and_then(|deployment| {
            let spec = &deployment.spec;
            if spec.replicas == Some(0) { None } else { spec.template.spec.clone() }
        });
        let mut pod = match (pod, &spec) {
            (Some(pod), Some(spec)) if pod.spec == *spec => {
                assert!(pod.child.ended().is_none(), "{}", pod.child.error("ended"));
                Some(pod)
            }
            (Some(pod), _) => {
                pod.child.signal(Signal::Terminate);
                pod.child.wait(ENDS_WITHIN).await.unwrap();
                None
            }
            (None, _) => None,
        };
        let deployment = wanted?;
        if pod.is_none()
            && let Some(spec) = spec
        {
            pod = self.start(deployment, spec).await;
        }
        let generation = deployment.metadata.generation.unwrap_or_default();
        match &mut pod {
            None => {
                let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
                if observed != Some(generation) {
                    self.tell(deployment, generation, 0).await;
                }
            }
            Some(pod) => {
                pod.ready = pod.ready || self.answers().await;
                if pod.told != Some((generation, pod.ready)) {
                    self.tell(deployment, generation, i32::from(pod.ready)).await;
                    pod.told = Some((generation, pod.ready));
                }
            }
        }
        pod
    }

    /// Starts what the spec says, unless a ConfigMap is not there yet.
    async fn start(&self, deployment: &Deployment, spec: PodSpec) -> Option<Pod> {
        let (name, namespace) = (deployment.name_any(), deployment.namespace().unwrap());
        let container = &spec.containers[0];
        let words =
            [container.command.clone().unwrap_or_default(), container.args.clone().unwrap_or_default()].concat();
        // the image's own program
        let mut words: Vec<String> = if container.command.is_none() {
            [vec![env!("CARGO_BIN_EXE_changehook").to_owned()], words].concat()
        } else {
            words
        };
        for (place, folder) in self.volumes(&namespace, &spec, container).await? {
            for word in &mut words {
                *word = word.replace(&place, &folder.display().to_string());
            }
        }
        for word in &mut words {
            if word.starts_with("--admin-address=") {
                *word = format!("--admin-address=127.0.0.1:{}", self.port);
            }
        }
        let mut command = Command::new(&words[0]);
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH")).args(&words[1..]);
        for variable in container.env.iter().flatten() {
            command.env(&variable.name, self.value(&namespace, &name, variable).await);
        }
        command.env("HOST", "127.0.0.1").env("PORT", self.port.to_string());
        if let Some(account) = &spec.service_account_name {
            let token = self.plane.service_account_token(&namespace, account).await.unwrap();
            command.env("CHANGEHOOK_KUBECONFIG", self.plane.kubeconfig_for_token(&token, None).unwrap());
        }
        let log = self.folder.join(format!("{name}.log"));
        // a pod's log is its own
        let _ = std::fs::remove_file(&log);
        let child = Child::spawn(&name, command, &log).unwrap();
        Some(Pod { child, spec, ready: false, told: None })
    }

    /// Where each ConfigMap is mounted, and the folder that stands for it.
    async fn volumes(&self, namespace: &str, spec: &PodSpec, container: &Container) -> Option<Vec<(String, PathBuf)>> {
        let mut all = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name).unwrap();
            let source = volume.config_map.as_ref().unwrap_or_else(|| panic!("not a ConfigMap: {}", volume.name));
            let maps = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
            let map = maps.get_opt(&source.name).await.unwrap()?;
            let folder = self.folder.join(&source.name);
            std::fs::create_dir_all(&folder).unwrap();
            for (file, text) in map.data.unwrap_or_default() {
                std::fs::write(folder.join(file), text).unwrap();
            }
            all.push((mount.mount_path.clone(), folder));
        }
        Some(all)
    }

    async fn value(&self, namespace: &str, pod: &str, variable: &EnvVar) -> String {
        let Some(from) = &variable.value_from else { return variable.value.clone().unwrap_or_default() };
        if let Some(key) = &from.secret_key_ref {
            let secret: Secret = Api::namespaced(self.client.clone(), namespace).get(&key.name).await.unwrap();
            return String::from_utf8(secret.data.unwrap()[&key.key].0.clone()).unwrap();
        }
        match from.field_ref.as_ref().map(|field| field.field_path.as_str()) {
            Some("metadata.namespace") => namespace.to_owned(),
            Some("metadata.name") => format!("{pod}-0"),
            Some("status.podIP") => POD_IP.to_owned(),
            other => panic!("{} comes from {other:?}, which is not known here", variable.name),
        }
    }

    /// Its readiness probe: whether it takes connections, which a server does that is up. (That an operator which is not
    /// ready yet takes them too does no harm: what the reader waits for is a condition that it sets.)
    async fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
    }

    /// The Deployment's status, as its controller would write it.
    async fn tell(&self, deployment: &Deployment, generation: i64, available: i32) {
        let condition = |type_: &str, status: bool, reason: &str| json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": reason, "message": ""});
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let status = json!({"status": {
            "observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": available, "availableReplicas": available, "unavailableReplicas": wanted - available,
            "conditions": [
                condition("Available", available == wanted, "MinimumReplicasAvailable"),
                condition("Progressing", true, "NewReplicaSetAvailable"),
            ],
        }});
        let api = Api::<Deployment>::namespaced(self.client.clone(), &deployment.namespace().unwrap());
        let patch = Patch::Merge(&status);
        // it may be gone by now
        let _ = api.patch_status(&deployment.name_any(), &PatchParams::default(), &patch).await;
    }
}
