//! `kubectl changehook subscribe webhook`: check, create, wait until Ready, say what is next.
//!
//! Touches the API server and standard output and error. Invariants: nothing is written before everything is checked; a
//! subscription that exists with another spec is left alone unless --overwrite says otherwise; the wait is for the
//! generation that was written and ends at once where only an edit helps.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::cli::{Output, WebhookArgs};
use super::cluster::{Cluster, ClusterError};
use super::manifest::{self, Manifest};
use super::{Error, kinds, print};
use crate::api::conditions::{Reason, Type, get};
use crate::api::endpoint::Header;
use crate::api::{GROUP, SubscriptionStatus, VERSION, WebhookSubscription};

/// Between two looks at a subscription that is not Ready yet.
const PACE: Duration = Duration::from_millis(500);
const JSON: &str = "application/json";

/// Where a namespace's subscriptions are.
pub(super) fn collection(namespace: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/webhooksubscriptions")
}

/// Where those of the whole cluster are.
pub(super) fn cluster_collection() -> String {
    format!("/apis/{GROUP}/{VERSION}/clusterwebhooksubscriptions")
}

/// Runs the command.
pub async fn run(arguments: &WebhookArgs) -> Result<(), Error> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let kinds = named_kinds(&cluster, &arguments.resources).await?;
    let manifest = manifest::build(arguments, &cluster.namespace, &kinds)?;
    if arguments.dry_run {
        return print(&arguments.output.unwrap_or(Output::Yaml).write(&manifest.object));
    }
    let (verb, written) = write(&cluster, &manifest, arguments.overwrite).await?;
    match arguments.output {
        Some(form) => print(&form.write(&shown(written.clone())))?,
        None => print(&created(verb, &cluster.namespace, &manifest))?,
    }
    if arguments.wait {
        let generation = written["metadata"]["generation"].as_i64().unwrap_or_default();
        let ready = wait(&cluster, &manifest.name, generation, arguments.timeout).await?;
        if arguments.output.is_none() {
            print(&format!("Ready: {ready}\n"))?;
        }
    }
    if arguments.output.is_none() { print(&next(&cluster.namespace, &manifest)) } else { Ok(()) }
}

async fn named_kinds(cluster: &Cluster, wanted: &[String]) -> Result<Vec<kinds::Kind>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let what = "read which kinds the API server serves";
    let documents = [cluster.get(what, "/api", kinds::ACCEPT).await?, cluster.get(what, "/apis", kinds::ACCEPT).await?];
    let served = kinds::read(documents).ok_or_else(|| {
        Error::Input("--resource needs Kubernetes 1.26 or later; write the subscription by hand instead".to_owned())
    })?;
    wanted.iter().map(|name| kinds::resolve(name, &served).cloned().map_err(Error::Input)).collect()
}

/// Creates it, or leaves the same one, or replaces another one's spec.
async fn write(cluster: &Cluster, manifest: &Manifest, overwrite: bool) -> Result<(&'static str, Value), Error> {
    let (namespace, name) = (&cluster.namespace, &manifest.name);
    let all = collection(namespace);
    let one = format!("{all}/{name}");
    let what = format!("create WebhookSubscription {namespace}/{name}");
    match cluster.write(&what, true, &all, &manifest.object).await {
        Ok(created) => return Ok(("created", created)),
        Err(ClusterError::NotFound { message, .. }) if message.contains("namespaces") => {
            return Err(Error::NoPlace(format!("{message}; create the namespace, or name another with -n")));
        }
        Err(ClusterError::NotFound { .. }) => {
            return Err(Error::NoPlace(
                "the cluster lacks changehook's CustomResourceDefinitions; install changehook first: docs/install.md"
                    .to_owned(),
            ));
        }
        Err(ClusterError::Conflict { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let mut there = cluster.get(&format!("read WebhookSubscription {namespace}/{name}"), &one, JSON).await?;
    let fields = differences(&there, &manifest.subscription);
    if fields.is_empty() {
        return Ok(("unchanged", there));
    }
    if !overwrite {
        return Err(Error::Exists { namespace: namespace.clone(), name: name.clone(), fields: fields.join(", ") });
    }
    there["spec"] = manifest.object["spec"].clone();
    let what = format!("replace the spec of WebhookSubscription {namespace}/{name}");
    Ok(("replaced", cluster.write(&what, false, &one, &there).await?))
}

/// The fields of the spec, defaults filled in, in which an existing object is another.
fn differences(there: &Value, wanted: &WebhookSubscription) -> Vec<String> {
    let wanted = serde_json::to_value(&wanted.spec).unwrap_or_default();
    let read = serde_json::from_value::<WebhookSubscription>(there.clone());
    let there = read.ok().and_then(|read| serde_json::to_value(read.spec).ok()).unwrap_or_default();
    let names = |value: &Value| value.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    let (mut all, more): (Vec<String>, Vec<String>) = (names(&wanted), names(&there));
    all.extend(more);
    all.sort();
    all.dedup();
    all.into_iter().filter(|name| wanted.get(name) != there.get(name)).map(|name| format!("spec.{name}")).collect()
}

/// Waits until it is Ready; tells on standard error, once each, what it is waiting for.
async fn wait(cluster: &Cluster, name: &str, generation: i64, within: Duration) -> Result<String, Error> {
    let end = Instant::now() + within;
    let path = format!("{}/{name}", collection(&cluster.namespace));
    let what = format!("read WebhookSubscription {}/{name}", cluster.namespace);
    let mut told = String::new();
    loop {
        let look = timeout_at(end, cluster.get(&what, &path, JSON)).await;
        if let Ok(object) = look {
            let status = serde_json::from_value(object?["status"].take()).unwrap_or_default();
            match standing(&status, generation, &cluster.namespace) {
                Standing::Ready(message) => return Ok(message),
                Standing::Stalled(why) => {
                    return Err(Error::NotReady(format!("{name} is not Ready, and only an edit of it helps: {why}")));
                }
                Standing::Waiting(why) if why != told => {
                    eprintln!("waiting: {why}");
                    told = why;
                }
                Standing::Waiting(_) => {}
            }
        }
        if Instant::now() >= end {
            let why = if told.is_empty() { "the API server did not answer" } else { &told };
            return Err(Error::NotReady(format!(
                "{name} is not Ready after {} seconds: {why} (it stays, and goes on by itself once that is mended; see \
                 kubectl changehook status {name} -n {})",
                within.as_secs(),
                cluster.namespace
            )));
        }
        sleep(PACE.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Ready(String),
    Stalled(String),
    Waiting(String),
}

/// How a subscription of this generation stands.
fn standing(status: &SubscriptionStatus, generation: i64, namespace: &str) -> Standing {
    let unseen = || {
        "no operator has looked at it yet; is changehook running? kubectl get pods --all-namespaces -l \
         app.kubernetes.io/name=changehook"
            .to_owned()
    };
    if status.observed_generation.is_none_or(|seen| seen < generation) {
        return Standing::Waiting(unseen());
    }
    let Some(ready) = get(&status.conditions, Type::Ready) else { return Standing::Waiting(unseen()) };
    let mut why =
        if ready.message.is_empty() { ready.reason.clone() } else { format!("{}: {}", ready.reason, ready.message) };
    if ready.reason == Reason::SecretNotFound.as_str() {
        let _ = write!(why, "; create it: kubectl create secret generic NAME -n {namespace} --from-literal=KEY=VALUE");
    }
    let stalled = get(&status.conditions, Type::Stalled).is_some_and(|stalled| stalled.status == "True");
    match ready.status.as_str() {
        "True" => Standing::Ready(why),
        _ if stalled => Standing::Stalled(why),
        _ => Standing::Waiting(why),
    }
}

/// The object without what only field managers read.
fn shown(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

/// What was done. The URL is shown as far as its host: the rest may be a credential.
fn created(verb: &str, namespace: &str, manifest: &Manifest) -> String {
    let spec = &manifest.subscription.spec;
    let watches: Vec<String> =
        spec.resources.iter().map(|resource| format!("{} ({})", resource.kind, resource.api_version)).collect();
    let labels = if spec.resources.iter().any(|resource| resource.label_selector.is_some()) {
        ", as far as the selector fits"
    } else {
        ""
    };
    let url = spec.endpoint.url.as_deref().and_then(|text| url::Url::parse(text).ok());
    let host = url.map_or_else(String::new, |url| url[..url::Position::BeforePath].to_owned());
    let signing = match &spec.signing {
        Some(signing) => format!("Secret {}, key {}", signing.secret_ref.name, signing.secret_ref.key),
        None => "none: the endpoint cannot tell who sent a request".to_owned(),
    };
    format!(
        "webhooksubscription.changehook.dev/{name} {verb} in namespace {namespace}\n  watches   {}{labels}\n  sends to  \
         {host}\n  signing   {signing}\n",
        watches.join(", "),
        name = manifest.name,
    )
}

fn next(namespace: &str, manifest: &Manifest) -> String {
    let (name, spec) = (&manifest.name, &manifest.subscription.spec);
    let mut next = format!(
        "Objects that exist are taken as known; each change from now on is sent. Next:\n  see how it stands:  kubectl \
         changehook status {name} -n {namespace}\n  stop it:            kubectl delete whsub {name} -n {namespace}\n"
    );
    if spec.signing.is_none() {
        let _ = write!(
            next,
            "  sign requests:      kubectl create secret generic {name} -n {namespace} \
             --from-literal=secret=\"$(openssl rand -hex 32)\"\n                      kubectl patch whsub {name} -n \
             {namespace} --type merge --patch '{{\"spec\":{{\"signing\":{{\"secretRef\":{{\"name\":\"{name}\"}}}}}}}}'\n"
        );
    }
    let credential =
        |header: &Header| header.value.is_some() && header.name.to_ascii_lowercase().contains("authorization");
    if spec.endpoint.headers.iter().any(credential) {
        next += "Whoever may read the subscription can read its Authorization header; valueFrom.secretKeyRef keeps it in \
                 a Secret.\n";
    }
    next
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(generation: i64, conditions: &Value) -> SubscriptionStatus {
        serde_json::from_value(json!({"observedGeneration": generation, "conditions": conditions})).unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-05T10:30:00Z"})
    }

    #[test]
    fn only_the_generation_that_was_written_is_ready() {
        let ready = json!([condition("Ready", "True", "Watching")]);
        assert_eq!(standing(&status(2, &ready), 2, "shop"), Standing::Ready("Watching: m".to_owned()));
        let old = standing(&status(1, &ready), 2, "shop");
        assert!(matches!(&old, Standing::Waiting(why) if why.contains("is changehook running")), "{old:?}");
        assert!(matches!(standing(&status(-1, &json!([])), 1, "shop"), Standing::Waiting(_)));
    }

    #[test]
    fn what_only_an_edit_helps_is_not_waited_for() {
        let ready = condition("Ready", "False", "KindNotSupported");
        let stalled = json!([ready, condition("Stalled", "True", "KindNotSupported")]);
        assert_eq!(standing(&status(1, &stalled), 1, "shop"), Standing::Stalled("KindNotSupported: m".to_owned()));
        assert_eq!(
            standing(&status(1, &json!([ready])), 1, "shop"),
            Standing::Waiting("KindNotSupported: m".to_owned())
        );
    }

    #[test]
    fn defaults_written_out_are_no_difference() {
        let object = |spec: Value| {
            json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
                "metadata": {"name": "a"}, "spec": spec})
        };
        let spec =
            json!({"resources": [{"apiVersion": "v1", "kind": "Pod"}], "endpoint": {"url": "https://a.example"}});
        let wanted: WebhookSubscription = serde_json::from_value(object(spec.clone())).unwrap();
        let mut filled = spec;
        filled["suspend"] = json!(false);
        filled["endpoint"]["method"] = json!("POST");
        assert!(differences(&object(filled.clone()), &wanted).is_empty());
        filled["endpoint"]["method"] = json!("PUT");
        filled["suspend"] = json!(true);
        assert_eq!(differences(&object(filled), &wanted), ["spec.endpoint", "spec.suspend"]);
    }
}
