//! The story: what is done, in which order, and what has to come of it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use testbed::{
    ControlPlane, Error, Operator, OperatorOptions, Result, eventually,
    program::{self, Profile},
};

use super::{
    endpoint::{Endpoint, KEY},
    screen::Screen,
};

const NAME: &str = "story";
/// All kinds that the subscription selects.
const KINDS: &str = "configmaps,deployments";
const SOON: Duration = Duration::from_mins(1);

/// Everything that runs.
pub struct Stage {
    // first: it ends before what it works with
    operator: Operator,
    scene: Scene,
}

/// What the story plays with. The operator is watched meanwhile: nothing arrives any more if it ends.
struct Scene {
    endpoint: Endpoint,
    control_plane: ControlPlane,
}

/// Tells the story, and fails if it does not come out as told.
pub async fn tell(screen: &mut Screen) -> Result<Stage> {
    let mut stage = build(screen).await?;
    let told = tokio::select! {
        told = stage.scene.play(screen) => told,
        ended = ended(&stage.operator) => ended,
    };
    if told.is_err() {
        screen.say("the end of the operator's log:");
        let log = stage.operator.log();
        let lines: Vec<&str> = log.lines().collect();
        screen.output(&lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    told.map(|()| stage)
}

/// Waits for the operator's end, which is a failure whatever caused it.
async fn ended(operator: &Operator) -> Result<()> {
    let status = operator.wait(Duration::MAX).await?;
    Err(Error::new(format!("the operator ended with {status}")))
}

async fn build(screen: &mut Screen) -> Result<Stage> {
    screen.chapter("A cluster, an endpoint, the operator");
    screen.say("building the operator, if need be");
    let binary = program::build(Profile::Dev).await?;
    screen.say("looking for etcd, kube-apiserver and kubectl; built once if they are not there");
    let start = Instant::now();
    let control_plane = ControlPlane::start().await?;
    let took = start.elapsed().as_secs_f32();
    screen.good(&format!("a real API server at {}, ready after {took:.1} s", control_plane.url()));
    control_plane.apply_crds(&program::checkout().join("crds")).await?;
    control_plane.tenant("default").await?;
    screen.good("the CRDs of changehook.dev are applied");
    let endpoint = Endpoint::start().await?;
    screen.good(&format!("an endpoint at {}, which checks every signature", endpoint.receiver.url("/hook")));
    let options = OperatorOptions::new(binary, &control_plane);
    let account = format!("{}/{}", options.namespace, testbed::operator::SERVICE_ACCOUNT);
    let operator = Operator::start(options).await?;
    screen.good(&format!("the operator is ready; it acts as the ServiceAccount {account}, with least rights"));
    Ok(Stage { operator, scene: Scene { endpoint, control_plane } })
}

impl Stage {
    /// Says how to go on by hand, and shows what arrives, for as long as it is polled.
    pub async fn keep(&mut self, screen: &mut Screen) -> Result<()> {
        screen.chapter("Everything is left running until Ctrl-C; in another terminal:");
        screen.command(&format!("export KUBECONFIG={}", self.scene.control_plane.kubeconfig_path().display()));
        let kubectl = self.scene.control_plane.kubectl_program();
        if let Some(folder) = kubectl.parent().filter(|folder| !is_on_path(folder)) {
            screen.command(&format!("export PATH=\"$PATH:{}\"", folder.display()));
        }
        for command in [
            "kubectl create configmap another --from-literal=text=hi",
            "kubectl scale deployment web --replicas=7",
            "kubectl get whsub -o wide",
            "kubectl describe whsub story",
            "kubectl get events",
        ] {
            screen.command(command);
        }
        screen.command(&format!("curl http://{}/metrics", self.operator.admin_address()));
        tokio::select! {
            shown = self.scene.endpoint.show_all(screen) => shown,
            // somebody may stop the operator to see what happens
            ended = ended(&self.operator) => ended,
        }
    }
}

impl Scene {
    /// The story from the first change to the check at its end.
    async fn play(&mut self, screen: &mut Screen) -> Result<()> {
        screen.chapter("A Secret to sign with, and a subscription");
        self.kubectl(screen, &["create", "secret", "generic", "signing", &format!("--from-literal=secret={KEY}")])
            .await?;
        self.apply(screen, &subscription(&self.endpoint.receiver.url("/hook"))).await?;
        self.kubectl(screen, &["wait", "--for=condition=Ready", "--timeout=60s", "whsub", NAME]).await?;

        screen.chapter("Objects change; every delivery is verified as it arrives");
        for change in [
            &["create", "configmap", "greeting", "--from-literal=text=hello"][..],
            &["create", "deployment", "web", "--image=nginx:1.27"],
            &["create", "configmap", "settings", "--from-literal=colour=blue"],
            &["patch", "configmap", "greeting", "--patch", r#"{"data":{"text":"hello again"}}"#],
            &["scale", "deployment", "web", "--replicas=3"],
            &["delete", "configmap", "settings"],
        ] {
            self.kubectl(screen, change).await?;
            self.endpoint.show(screen, 1).await?;
        }

        screen.chapter("The endpoint goes down, and the cluster goes on");
        self.endpoint.receiver.go_down().await?;
        screen.bad("the endpoint refuses connections");
        for change in [
            &["scale", "deployment", "web", "--replicas=4"][..],
            &["scale", "deployment", "web", "--replicas=5"],
            &["delete", "configmap", "greeting"],
            &["create", "configmap", "farewell", "--from-literal=text=bye"],
        ] {
            self.kubectl(screen, change).await?;
        }
        self.until_it_retries().await?;
        screen.say("nothing is lost, and the subscription says what it waits for:");
        self.kubectl(screen, &["get", "whsub"]).await?;
        let yaml = ["get", "whsub", NAME, "-o", "yaml"];
        screen.command(&format!("kubectl {}    # from its status:", yaml.join(" ")));
        let yaml = self.control_plane.kubectl_ok(&yaml).await?;
        screen.output(&parts(&yaml, &["delivery", "endpoint", "retries"]));

        screen.chapter("The endpoint comes back");
        self.endpoint.receiver.come_up().await?;
        screen.good(
            "the endpoint answers again; what waits is sent with its newest state, merged to one change per object",
        );
        let cluster = self.cluster().await?;
        self.endpoint.show_until_equal(screen, &cluster).await?;
        self.until_nothing_waits().await?;
        self.kubectl(screen, &["get", "whsub"]).await?;

        screen.chapter("Did everything arrive?");
        let cluster = self.cluster().await?;
        let differences = self.endpoint.differences(&cluster);
        for difference in &differences {
            screen.bad(difference);
        }
        if !differences.is_empty() {
            return Err(Error::new(format!("failed to deliver everything: {} differences", differences.len())));
        }
        let (verified, objects) = (self.endpoint.verified(), cluster.len());
        screen.good(&format!(
            "{verified} requests, every signature verified; the endpoint knows all {objects} objects as the cluster has them, \
             and that the others are gone"
        ));
        Ok(())
    }

    async fn kubectl(&self, screen: &Screen, args: &[&str]) -> Result<()> {
        let quoted: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        screen.command(&format!("kubectl {}", quoted.join(" ")));
        screen.output(&self.control_plane.kubectl_ok(args).await?);
        Ok(())
    }

    async fn apply(&self, screen: &Screen, manifest: &str) -> Result<()> {
        screen.command("kubectl apply -f - <<END");
        screen.output(manifest);
        let output = self.control_plane.kubectl_apply(manifest).await?;
        if !output.status.success() {
            return Err(Error::new(format!("failed to kubectl apply: {}", output.stderr.trim())));
        }
        screen.output(&output.stdout);
        Ok(())
    }

    /// The subscribed objects, as the API server has them.
    async fn cluster(&self) -> Result<Vec<Value>> {
        let list = self.json(&["get", KINDS, "-o", "json"]).await?;
        list["items"].as_array().cloned().ok_or_else(|| Error::new("failed to read kubectl's list: it has no items"))
    }

    async fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.control_plane.kubectl_ok(args).await?;
        serde_json::from_str(&text).map_err(|error| Error::caused("failed to read kubectl's JSON", error))
    }

    /// Waits until the status tells of a second attempt, and of none under way.
    async fn until_it_retries(&self) -> Result<()> {
        self.until("no second attempt yet", |status| {
            let retries = status["retries"].as_array().map(Vec::as_slice).unwrap_or_default();
            let second = retries.iter().any(|retry| retry["attempt"].as_u64() >= Some(2));
            second && status["delivery"]["inFlight"] == 0
        })
        .await
    }

    /// Waits until the status shows what the endpoint knows by now: counters may lag by seconds.
    async fn until_nothing_waits(&self) -> Result<()> {
        self.until("something still waits", |status| {
            let delivery = &status["delivery"];
            let waiting = ["pending", "retrying", "parked"].iter().map(|name| delivery[*name].as_u64().unwrap_or(1));
            waiting.sum::<u64>() == 0 && status["endpoint"]["breaker"] == "Closed"
        })
        .await
    }

    async fn until(&self, otherwise: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        eventually(SOON, || async {
            let object = self.json(&["get", "whsub", NAME, "-o", "json"]).await?;
            if wanted(&object["status"]) {
                Ok(())
            } else {
                Err(Error::new(format!("{otherwise}: {}", object["status"])))
            }
        })
        .await
    }
}

fn subscription(url: &str) -> String {
    format!(
        "apiVersion: changehook.dev/v1alpha1
kind: WebhookSubscription
metadata:
  name: {NAME}
spec:
  resources:
  - apiVersion: v1
    kind: ConfigMap
  - apiVersion: apps/v1
    kind: Deployment
  endpoint:
    url: {url}
  signing:
    secretRef:
      name: signing
"
    )
}

/// For a shell to read as one word.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=:.,/".contains(letter);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn is_on_path(folder: &Path) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|entry| entry == folder))
}

/// Of an object's YAML the named parts of its status.
fn parts(yaml: &str, names: &[&str]) -> String {
    let mut shown = String::new();
    let mut within = false;
    for line in yaml.lines().skip_while(|line| *line != "status:").skip(1) {
        if let Some(key) = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '-'])) {
            within = names.contains(&key.split(':').next().unwrap_or_default());
        }
        if within {
            shown.extend([line, "\n"]);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_parts_of_a_status_are_shown_with_all_their_lines() {
        let yaml = "metadata:\n  endpoint: no\nstatus:\n  a: 1\n  endpoint:\n    host: x\n  retries:\n  - attempt: 2\n    \
                    x: y\n  z: 3\n";
        assert_eq!(
            parts(yaml, &["endpoint", "retries"]),
            "  endpoint:\n    host: x\n  retries:\n  - attempt: 2\n    x: y\n"
        );
    }
}
