//! Who may have a subscription read on a ServiceAccount's behalf: who may act as that account.

use serde_json::{Value, json};
use testbed::eventually;
use testbed::process::Output;

use crate::site::{SOON, Site};

/// Who may write subscriptions in `shop`, but act as no account there.
const WRITER: &str = "--as=alice";

fn subscription(account: Option<&str>, url: &str) -> Value {
    let mut spec = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "endpoint": {"url": url}});
    if let Some(account) = account {
        spec["serviceAccountName"] = json!(account);
    }
    json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": "hook", "namespace": "shop"}, "spec": spec})
}

impl Site {
    async fn as_user(&self, args: &[&str], input: &Value) -> Output {
        let kubeconfig = self.plane.kubeconfig_path();
        self.plane.kubectl_as(kubeconfig, args, &input.to_string()).await.expect("kubectl runs")
    }

    async fn applied(&self, user: &str, subscription: &Value) -> Output {
        self.as_user(&["apply", user, "-f", "-"], subscription).await
    }
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", output.stderr);
}

/// A site whose policy is in force, and on which alice may write subscriptions.
async fn guarded() -> Site {
    let site = Site::with_crds().await;
    site.helm_ok("install", &json!({})).await;
    site.kubectl(&["create", "rolebinding", "alice", "--clusterrole=changehook-edit", "--user=alice", "-n=shop"]).await;
    let view = ["create", "rolebinding", "alice-view", "--clusterrole=changehook-view", "--user=alice", "-n=shop"];
    site.kubectl(&view).await;
    let probe = subscription(None, "https://a.example/");
    let in_force = || async {
        let tried = site.as_user(&["create", WRITER, "--dry-run=server", "-f", "-"], &probe).await;
        // her role, and the policy, come into force within moments
        if tried.stderr.contains("may not act as ServiceAccount") { Ok(()) } else { Err(tried.stderr) }
    };
    eventually(SOON, in_force).await.expect("the policy comes into force");
    site
}

#[tokio::test]
async fn who_may_not_act_as_an_account_may_not_have_a_subscription_read_as_it() {
    let site = guarded().await;
    let (here, there) = ("https://a.example/", "https://b.example/");
    for (account, name) in [(None, "default"), (Some("watcher"), "watcher")] {
        let refused = site.applied(WRITER, &subscription(account, here)).await;
        assert!(!refused.status.success(), "{account:?} was accepted");
        let text = &refused.stderr;
        assert!(text.contains("spec.serviceAccountName: alice may not act as ServiceAccount shop/"), "{text}");
        assert!(text.contains(&format!("--resource-name={name} ")), "{text}");
    }

    // the commands of the message
    let refused = site.applied(WRITER, &subscription(Some("watcher"), here)).await.stderr;
    let (_, commands) = refused.trim().split_once("to allow it: ").expect("there are commands");
    for command in commands.split(" && ") {
        site.kubectl(&command.split_whitespace().skip(1).collect::<Vec<_>>()).await;
    }
    let accepted = || async { site.applied(WRITER, &subscription(Some("watcher"), here)).await.status.success() };
    eventually(SOON, || async { accepted().await.then_some(()) }).await.expect("now it is accepted");

    // another account, and the omitted one, which is another
    for account in [Some("admin"), None] {
        let refused = site.applied(WRITER, &subscription(account, here)).await;
        assert!(refused.stderr.contains("alice may not act as"), "{account:?}: {}", refused.stderr);
    }
    succeeds(&site.applied(WRITER, &subscription(Some("watcher"), there)).await);
}

#[tokio::test]
async fn what_leaves_the_spec_as_it_is_needs_no_right_and_what_sends_elsewhere_does() {
    let site = guarded().await;
    let (here, there) = (subscription(None, "https://a.example/"), subscription(None, "https://b.example/"));
    succeeds(&site.as_user(&["apply", "-f", "-"], &here).await);
    // a GitOps tool that applies the same once more, a label, and the annotation that asks for everything again
    succeeds(&site.applied(WRITER, &here).await);
    succeeds(&site.as_user(&["label", WRITER, "-n=shop", "whsub", "hook", "team=a"], &json!({})).await);
    // where it goes is what the account's rights are used for
    let refused = site.applied(WRITER, &there).await;
    assert!(refused.stderr.contains("alice may not act as ServiceAccount shop/default"), "{}", refused.stderr);
    // who writes the status acts as nobody
    let rule = ["--verb=get,patch", "--resource=webhooksubscriptions.changehook.dev/status"];
    site.kubectl(&[&["create", "role", "status", "-n=shop"], &rule[..]].concat()).await;
    site.kubectl(&["create", "rolebinding", "status", "-n=shop", "--role=status", "--user=bob"]).await;
    let status = json!({"status": {"observedGeneration": 1}}).to_string();
    let patch = ["--subresource=status", "--type=merge", "--patch", &status];
    let args = [&["patch", "--as=bob", "-n=shop", "whsub", "hook"], &patch[..]].concat();
    let written = || async {
        let output = site.as_user(&args, &json!({})).await;
        if output.status.success() { Ok(()) } else { Err(output.stderr) }
    };
    eventually(SOON, written).await.expect("the status can be written");
    succeeds(&site.as_user(&["delete", WRITER, "-n=shop", "whsub", "hook"], &json!({})).await);
}

#[tokio::test]
async fn an_account_for_the_whole_cluster_is_one_of_the_operators_namespace() {
    let site = guarded().await;
    let cluster = "--resource=clusterwebhooksubscriptions.changehook.dev";
    site.kubectl(&["create", "clusterrole", "cluster-writer", "--verb=get,create,update,patch", cluster]).await;
    site.kubectl(&["create", "clusterrolebinding", "carol", "--clusterrole=cluster-writer", "--user=carol"]).await;
    // an account of this name in a namespace of hers is another one
    let act = ["--verb=impersonate", "--resource=serviceaccounts", "--resource-name=watcher"];
    site.kubectl(&[&["create", "role", "carol", "-n=shop"], &act[..]].concat()).await;
    site.kubectl(&["create", "rolebinding", "carol", "-n=shop", "--role=carol", "--user=carol"]).await;
    let mut wide = subscription(Some("watcher"), "https://a.example/");
    wide["kind"] = "ClusterWebhookSubscription".into();
    wide["metadata"] = json!({"name": "wide"});
    let refused = || async {
        let text = site.applied("--as=carol", &wide).await.stderr;
        if text.contains("carol may not act as ServiceAccount changehook-system/watcher") {
            Ok(text)
        } else {
            Err(text)
        }
    };
    let refused = eventually(SOON, refused).await.expect("the policy refuses it");
    let (_, commands) = refused.trim().split_once("to allow it: ").expect("there are commands");
    for command in commands.split(" && ") {
        site.kubectl(&command.split_whitespace().skip(1).collect::<Vec<_>>()).await;
    }
    let accepted = || async { site.applied("--as=carol", &wide).await.status.success().then_some(()) };
    eventually(SOON, accepted).await.expect("now it is accepted");
}
