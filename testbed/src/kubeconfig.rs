//! Kubeconfig files for one user of the control plane.

use k8s_openapi::ByteString;
use serde_json::json;

/// A kubeconfig (JSON, which is YAML) for `server` with a bearer token. `ca_pem` is embedded, so that the file can be
/// copied anywhere; `None` for a server that speaks plain HTTP.
pub fn render(server: &str, ca_pem: Option<&str>, token: &str) -> String {
    let mut cluster = json!({ "server": server });
    if let Some(pem) = ca_pem {
        // ByteString is written as base64, as this field wants it
        cluster["certificate-authority-data"] = json!(ByteString(pem.as_bytes().to_vec()));
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testbed",
        "clusters": [{ "name": "testbed", "cluster": cluster }],
        "users": [{ "name": "testbed", "user": { "token": token } }],
        "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": "testbed", "namespace": "default" } }],
    });
    format!("{config:#}\n")
}
