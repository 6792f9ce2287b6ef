//! The operator's rights, and its process as far as it can be had without the operator: a stand-in prints the log line
//! and a receiver plays its admin server.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use testbed::{ControlPlane, Operator, OperatorOptions, Receiver, Reply, eventually, process};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn its_account_may_watch_the_named_kinds_and_read_single_secrets_and_nothing_else() {
    let control_plane = ControlPlane::shared().await;
    let options = OperatorOptions { namespace: "rights".to_owned(), ..OperatorOptions::new("", control_plane) };
    let kubeconfig = options.prepare().await.unwrap();
    let whoami = control_plane.kubectl_as(&kubeconfig, &["auth", "whoami"], "").await.unwrap().stdout;
    assert!(whoami.contains("system:serviceaccount:rights:changehook"), "{whoami}");

    let reviews: Api<SubjectAccessReview> = Api::all(control_plane.client().await.unwrap());
    let may = async |verb: &str, namespace: &str, group: &str, resource: &str, name: &str| {
        // of a resource's parts only the status is asked for, by its whole name
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = ResourceAttributes {
            verb: Some(verb.to_owned()),
            namespace: Some(namespace.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some("system:serviceaccount:rights:changehook".to_owned()),
            resource_attributes: Some(asked),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    for (verb, namespace, group, resource, name, expected) in [
        ("watch", "", "", "configmaps", "", true),
        ("list", "", "apps", "deployments", "", true),
        ("watch", "", "example.com", "widgets", "", true),
        ("get", "", "", "secrets", "", true),
        ("patch", "", "changehook.dev", "webhooksubscriptions/status", "", true),
        ("patch", "", "changehook.dev", "webhooksubscriptions", "", false),
        ("list", "", "", "secrets", "", false),
        ("watch", "", "", "secrets", "", false),
        ("delete", "", "", "configmaps", "", false),
        ("watch", "", "apps", "daemonsets", "", false),
        ("get", "", "", "namespaces", "kube-system", true),
        ("get", "", "", "namespaces", "default", false),
        ("list", "rights", "changehook.dev", "deliveryledgers", "", true),
        ("update", "rights", "changehook.dev", "deliveryledgers", "any", true),
        ("delete", "rights", "changehook.dev", "deliveryledgers", "any", true),
        ("watch", "rights", "changehook.dev", "deliveryledgers", "", false),
        ("list", "default", "changehook.dev", "deliveryledgers", "", false),
        ("list", "", "changehook.dev", "deliveryledgers", "", false),
    ] {
        let allowed = may(verb, namespace, group, resource, name).await;
        assert_eq!(allowed, expected, "{verb} {group}/{resource} {name} in {namespace:?}");
    }
}

#[tokio::test]
async fn it_is_started_found_ready_asked_and_stopped() {
    let control_plane = ControlPlane::shared().await;
    let admin = Receiver::start().await.unwrap();
    admin.script("/readyz", vec![Reply::Status(503), Reply::Body(200, b"ok".to_vec())]);
    admin.script_forever("/metrics", vec![Reply::Body(200, b"# TYPE x counter\nx_total{a=\"b\"} 7\n".to_vec())]);
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("changehook");
    let script = format!(
        "#!/bin/sh\necho \"args: $*\"\necho \"env: $EXTRA $HOME\"\necho 'INFO admin server listening address={}'\n\
         trap 'echo draining; exit 0' TERM\nwhile :; do sleep 0.05; done\n",
        admin.address()
    );
    std::fs::write(&binary, script).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut options = OperatorOptions::new(&binary, control_plane);
    options.args = vec!["--log-filter".to_owned(), "debug".to_owned()];
    options.env = vec![("EXTRA".to_owned(), "extra".to_owned())];
    let operator = Operator::start(options).await.unwrap();
    assert_eq!(admin.requests("/readyz").len(), 2);
    assert_eq!(operator.metric(r#"x_total{a="b"}"#).await.unwrap(), Some(7.0));
    assert!(operator.rss_kib().unwrap() > 0);
    let log = operator.log();
    for part in ["args: operator ", " --kubeconfig ", " --log-filter debug"] {
        assert!(log.contains(part), "{part:?} is missing in {log}");
    }
    assert!(log.contains("env: extra \n"), "nothing of the test's environment is passed on: {log}");

    operator.pause().await.unwrap();
    assert!(process::is_stopped(operator.pid()));
    operator.resume();
    eventually(SOON, || async { (!process::is_stopped(operator.pid())).then_some(()) }).await.unwrap();
    let args = |operator: &Operator| operator.log().lines().next().map(str::to_owned);
    let replica = operator.again().await.unwrap();
    assert!(process::is_running(operator.pid()) && args(&replica) == args(&operator));
    replica.kill().await.unwrap();
    let restarted = replica.again().await.unwrap();
    assert!(args(&restarted) == args(&operator) && !process::is_running(replica.pid()));

    assert!(operator.stop().await.unwrap().success());
    assert!(operator.log().ends_with("draining\n") && !process::is_running(operator.pid()));

    std::fs::write(&binary, "#!/bin/sh\necho no such flag >&2; exit 2\n").unwrap();
    let options = OperatorOptions { ready_within: SOON, ..OperatorOptions::new(&binary, control_plane) };
    let error = Operator::start(options).await.unwrap_err().to_string();
    assert!(error.contains("no such flag") && error.contains("exit status: 2"), "{error}");
}
