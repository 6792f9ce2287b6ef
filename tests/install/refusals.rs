//! An install that could not work says so before it changes anything.

use serde_json::json;

use crate::site::{OWN, Site};

const REMEDY: &str = "helm upgrade --install changehook-crds charts/changehook-crds";

#[tokio::test]
async fn without_the_definitions_the_install_fails_with_the_remedy_and_leaves_nothing() {
    let site = Site::new().await;
    let said = site.helm_fails("install", &json!({})).await;
    let what = "the CustomResourceDefinition webhooksubscriptions.changehook.dev is not installed";
    assert!(said.contains(what) && said.contains(REMEDY) && said.contains("crds.check=false"), "{said}");
    let left = site.kubectl(&["get", "clusterroles,serviceaccounts,deployments", "-A", "--output=name"]).await;
    assert!(!left.contains("changehook"), "{left}");
    // what a server-side dry run shows is the same
    let chart = crate::site::chart("changehook");
    let args = ["install", "changehook", &chart, "--namespace", OWN, "--dry-run=server"];
    let output = site.plane.helm(&args, &json!({})).await.unwrap();
    assert!(!output.status.success() && output.stderr.contains(what), "{}", output.stderr);

    // as the message says: whoever brings them in the same release, or the CRDs' chart first
    site.helm_ok("install", &json!({"crds": {"check": false}})).await;
    site.install_crds().await;
    site.helm_ok("upgrade", &json!({})).await;
}

#[tokio::test]
async fn under_older_definitions_install_and_upgrade_fail_with_both_versions_and_the_remedy() {
    let site = Site::with_crds().await;
    site.helm_ok("install", &json!({})).await;
    for (name, annotation, version) in [
        ("webhooksubscriptions", "changehook.dev/version=0.0.9", "0.0.9"),
        ("deliveryledgers", "changehook.dev/version-", "0.0.0"),
    ] {
        let crd = format!("{name}.changehook.dev");
        site.kubectl(&["annotate", "--overwrite", "crd", &crd, annotation]).await;
        for verb in ["upgrade", "install"] {
            if verb == "install" {
                site.plane.helm_ok(&["uninstall", "changehook", "--namespace", OWN], &json!({})).await.unwrap();
            }
            let said = site.helm_fails(verb, &json!({})).await;
            let what =
                format!("{crd} is of version {version}, older than the operator's {}", env!("CARGO_PKG_VERSION"));
            assert!(said.contains(&what) && said.contains(REMEDY), "{said}");
        }
        let current = format!("changehook.dev/version={}", env!("CARGO_PKG_VERSION"));
        site.kubectl(&["annotate", "--overwrite", "crd", &crd, &current]).await;
        site.helm_ok("install", &json!({})).await;
    }
    // newer ones know all that this version needs
    site.kubectl(&["annotate", "--overwrite", "crd", "deliveryledgers.changehook.dev", "changehook.dev/version=9.0.0"])
        .await;
    site.helm_ok("upgrade", &json!({})).await;
}
