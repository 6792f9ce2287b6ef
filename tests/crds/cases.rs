//! Specs and what becomes of them, at the API server and in the operator's own check.
//!
//! A case is a change (a JSON merge patch) of one good spec.

use changehook::api::unsupported::UNSUPPORTED;
use serde_json::{Value, json};

/// A spec that is refused.
pub struct Case {
    /// The change of the good spec.
    pub patch: Value,
    /// The field that the answer names.
    pub field: String,
    /// What it says about it.
    pub says: String,
    /// The types cannot hold it, so the operator's own check never sees it.
    pub untyped: bool,
}

/// The good spec.
pub fn good() -> Value {
    json!({
        "resources": [{"apiVersion": "apps/v1", "kind": "Deployment"}],
        "endpoint": {"url": "https://hooks.example/in?channel=1"},
    })
}

/// The good spec with a change.
pub fn patched(patch: &Value) -> Value {
    let mut spec = good();
    merge(&mut spec, patch);
    spec
}

fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(target), Value::Object(patch)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(json!({})), value);
        }
    }
}

fn url(url: &str) -> Value {
    json!({"endpoint": {"url": url}})
}

fn header(name: &str) -> Value {
    json!({"endpoint": {"headers": [{"name": name, "value": "v"}]}})
}

fn header_value(value: &str) -> Value {
    json!({"endpoint": {"headers": [{"name": "x-token", "value": value}]}})
}

fn resource(resource: &Value) -> Value {
    json!({"resources": [resource]})
}

fn labels(expression: &Value) -> Value {
    json!({"resources": [{"apiVersion": "v1", "kind": "Pod", "labelSelector": {"matchExpressions": [expression]}}]})
}

fn retry(policy: &Value) -> Value {
    json!({"retryPolicy": policy})
}

/// What is refused, by bounds and rules.
pub fn refused() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |field: &str, says: &str, patch: Value| {
        cases.push(Case { patch, field: field.to_owned(), says: says.to_owned(), untyped: false });
    };
    // the endpoint
    case("spec.endpoint", "exactly one of url, urlFrom and service", json!({"endpoint": {"url": null}}));
    case(
        "spec.endpoint",
        "exactly one of url, urlFrom and service",
        json!({"endpoint": {"service": {"name": "a", "port": 80}}}),
    );
    for (says, bad) in [
        ("must start with https://", "ftp://hooks.example/"),
        ("must start with https://", "hooks.example/in"),
        ("must start with https://", "https:hooks.example"),
        ("must start with https://", "https:///in"),
        ("must start with https://", "https://:443/"),
        ("must start with https://", "javascript:alert(1)"),
        ("must not have user information", "https://user:password@hooks.example/"),
        ("must not have user information", "https://token@hooks.example/"),
        ("must not have a fragment", "https://hooks.example/in#part"),
        ("printable ASCII", "https://hooks.example/a b"),
        ("printable ASCII", "https://hooks.example/\r\nX-Evil: 1"),
        ("printable ASCII", "https://hooks.example/a\tb"),
        ("printable ASCII", "https://hooks.example\\@evil.example/"),
        ("printable ASCII", "https://bücher.example/"),
    ] {
        case("spec.endpoint.url", says, url(bad));
    }
    case("spec.endpoint.url", "2048", url(&format!("https://hooks.example/{}", "a".repeat(2048))));
    let service = |patch: Value| {
        let mut service = json!({"name": "receiver", "port": 80});
        for (name, value) in patch.as_object().into_iter().flatten() {
            service[name] = value.clone();
        }
        json!({"endpoint": {"url": null, "service": service}})
    };
    for name in ["", "Receiver", "receiver.shop", "-a"] {
        case("spec.endpoint.service.name", "", service(json!({"name": name})));
    }
    for port in [json!(0), json!(65536), json!(""), json!("Web"), json!("-web"), json!("a".repeat(64))] {
        case("spec.endpoint.service.port", "", service(json!({"port": port})));
    }
    for path in ["hook", "/a b", "/a#b", "/a\\b", "/a\r\nb", "/é"] {
        case("spec.endpoint.service.path", "must start with /", service(json!({"path": path})));
    }
    case("spec.endpoint.service.path", "1024", service(json!({"path": format!("/{}", "a".repeat(1024))})));
    let tls = |tls: Value| json!({"endpoint": {"tls": tls}});
    case("spec.endpoint.tls", "at least one of caRef", tls(json!({})));
    let plain = "must be left out unless the url is https, or the service's scheme HTTPS";
    let trusted = json!({"caRef": {"kind": "ConfigMap", "name": "ca"}});
    case("spec.endpoint.tls", plain, json!({"endpoint": {"url": "http://a.example/", "tls": trusted}}));
    let receiver = json!({"name": "receiver", "port": 80});
    case("spec.endpoint.tls", plain, json!({"endpoint": {"url": null, "service": receiver, "tls": trusted}}));
    for name in ["", "CA", "a/b", "-a"] {
        case("spec.endpoint.tls.caRef.name", "", tls(json!({"caRef": {"kind": "Secret", "name": name}})));
        case(
            "spec.endpoint.tls.clientCertificateSecretRef.name",
            "",
            tls(json!({"clientCertificateSecretRef": {"name": name}})),
        );
    }
    case("spec.endpoint.tls.caRef.key", "", tls(json!({"caRef": {"kind": "Secret", "name": "ca", "key": "a/b"}})));
    for name in ["", "Hooks.example", "10.0.0.1", "[::1]", "https://a.example", "a.example:443", "*.example"] {
        case("spec.endpoint.tls.serverName", "", tls(json!({"serverName": name})));
    }
    case("spec.endpoint.timeoutSeconds", "1", json!({"endpoint": {"timeoutSeconds": 0}}));
    case("spec.endpoint.timeoutSeconds", "30", json!({"endpoint": {"timeoutSeconds": 31}}));
    case("spec.endpoint.maxInFlight", "1", json!({"endpoint": {"maxInFlight": 0}}));
    case("spec.endpoint.maxInFlight", "64", json!({"endpoint": {"maxInFlight": 65}}));
    // headers
    for reserved in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "keep-alive",
        "TE",
        "trailer",
        "Upgrade",
        "proxy-authorization",
        "Proxy-Connection",
        "Content-Type",
        "content-encoding",
        "User-Agent",
        "X-Signature-256",
        "x-signature",
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
    ] {
        case("spec.endpoint.headers[0].name", "reserved", header(reserved));
    }
    for odd in ["x token", "x-token:", "x\r\ny", "(x)", "x-tökèn"] {
        case("spec.endpoint.headers[0].name", "must be a header name", header(odd));
    }
    case(
        "spec.endpoint.headers",
        "remove the duplicate",
        json!({"endpoint": {"headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]}}),
    );
    for odd in ["a\r\nX-Evil: 1", "a\nb", "a\u{0}b", "a\u{7f}", "a\tb", "é", " a", "a "] {
        case("spec.endpoint.headers[0].value", "printable ASCII", header_value(odd));
    }
    case("spec.endpoint.headers[0].value", "4096", header_value(&"a".repeat(4097)));
    case(
        "spec.endpoint.headers[0]",
        "exactly one of value and valueFrom",
        json!({"endpoint": {"headers": [{"name": "x-a"}]}}),
    );
    case(
        "spec.endpoint.headers[0]",
        "exactly one of value and valueFrom",
        json!({"endpoint": {"headers": [
            {"name": "x-a", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}}),
    );
    case(
        "spec.endpoint.headers[0].valueFrom.secretKeyRef.name",
        "must be the name of a Secret",
        json!({"endpoint": {"headers": [
            {"name": "x-a", "valueFrom": {"secretKeyRef": {"name": "../s", "key": "k"}}}]}}),
    );
    case(
        "spec.endpoint.headers[0].valueFrom.secretKeyRef.key",
        "must be a key of the Secret",
        json!({"endpoint": {"headers": [{"name": "x-a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]}}),
    );
    let many: Vec<_> = (0..33).map(|n| json!({"name": format!("x-{n}"), "value": ""})).collect();
    case("spec.endpoint.headers", "32", json!({"endpoint": {"headers": many}}));
    // resources
    case("spec.resources", "1", json!({"resources": []}));
    let many: Vec<_> = (0..9).map(|n| json!({"apiVersion": "v1", "kind": format!("K{n}")})).collect();
    case("spec.resources", "8", json!({"resources": many}));
    for twice in ["apps/v1", "apps/v1beta1"] {
        case(
            "spec.resources",
            if twice == "apps/v1" { "" } else { "merge the entries" },
            json!({"resources": [{"apiVersion": "apps/v1", "kind": "Deployment"}, {"apiVersion": twice, "kind": "Deployment"}]}),
        );
    }
    for odd in ["apps/v1/x", "/v1", "Apps/v1", "apps/", "v1 "] {
        case("spec.resources[0].apiVersion", "GROUP/VERSION", resource(&json!({"apiVersion": odd, "kind": "Pod"})));
    }
    for odd in ["Pod/status", "Po d", "-Pod"] {
        case("spec.resources[0].kind", "a kind's name", resource(&json!({"apiVersion": "v1", "kind": odd})));
    }
    for own in ["WebhookSubscription", "DeliveryLedger", "FutureKind"] {
        let own = json!({"apiVersion": "changehook.dev/v1alpha1", "kind": own});
        case("spec.resources[0].apiVersion", "feedback loop", resource(&own));
    }
    case(
        "spec.resources[0].kind",
        "feedback loop",
        resource(&json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"})),
    );
    case(
        "spec.resources[0].names",
        "names of objects",
        resource(&json!({"apiVersion": "v1", "kind": "Pod", "names": ["a/b"]})),
    );
    case("spec.resources[0].names", "", resource(&json!({"apiVersion": "v1", "kind": "Pod", "names": [""]})));
    case("spec.resources[0].names", "", resource(&json!({"apiVersion": "v1", "kind": "Pod", "names": ["a", "a"]})));
    let many: Vec<_> = (0..65).map(|n| format!("pod-{n}")).collect();
    case("spec.resources[0].names", "64", resource(&json!({"apiVersion": "v1", "kind": "Pod", "names": many})));
    let values = "spec.resources[0].labelSelector.matchExpressions[0].values";
    case(values, "at least one value", labels(&json!({"key": "a", "operator": "In"})));
    case(values, "at least one value", labels(&json!({"key": "a", "operator": "NotIn", "values": []})));
    case(values, "left out for Exists", labels(&json!({"key": "a", "operator": "Exists", "values": ["b"]})));
    case(values, "left out for Exists", labels(&json!({"key": "a", "operator": "DoesNotExist", "values": ["b"]})));
    // accounts
    for name in ["Watcher", "a/b", "a:b", ""] {
        case("spec.serviceAccountName", "", json!({"serviceAccountName": name}));
    }
    case("spec.serviceAccountName", "must be the name of a ServiceAccount", json!({"serviceAccountName": "a_b"}));
    // changes and signing
    case("spec.changeTypes", "1", json!({"changeTypes": []}));
    case("spec.changeTypes", "", json!({"changeTypes": ["New", "New"]}));
    case(
        "spec.signing.secretRef.name",
        "must be the name of a Secret",
        json!({"signing": {"secretRef": {"name": "A_b"}}}),
    );
    case("spec.signing.secretRef.name", "", json!({"signing": {"secretRef": {"name": ""}}}));
    case(
        "spec.signing.secretRef.key",
        "must be a key of the Secret",
        json!({"signing": {"secretRef": {"name": "a", "key": ".."}}}),
    );
    let previous = |previous: &Value| json!({"signing": {"secretRef": {"name": "a"}, "previousSecretRef": previous}});
    case("spec.signing.previousSecretRef.name", "must be the name of a Secret", previous(&json!({"name": "A_b"})));
    case(
        "spec.signing.previousSecretRef.key",
        "must be a key of the Secret",
        previous(&json!({"name": "b", "key": "a/b"})),
    );
    case("spec.signing.previousSecretRef", "must not be the key of secretRef", previous(&json!({"name": "a"})));
    // retries and payload
    case("spec.retryPolicy.maxRetries", "0", retry(&json!({"maxRetries": -1})));
    case("spec.retryPolicy.maxRetries", "20", retry(&json!({"maxRetries": 21})));
    case("spec.retryPolicy.initialDelaySeconds", "1", retry(&json!({"initialDelaySeconds": 0})));
    case("spec.retryPolicy.maxDelaySeconds", "3600", retry(&json!({"maxDelaySeconds": 3601})));
    case(
        "spec.retryPolicy.initialDelaySeconds",
        "must not be more than maxDelaySeconds",
        retry(&json!({"initialDelaySeconds": 61})),
    );
    case("spec.retryPolicy.jitterPercent", "100", retry(&json!({"jitterPercent": 101})));
    case("spec.retryPolicy.outageMaxDelaySeconds", "1", retry(&json!({"outageMaxDelaySeconds": 0})));
    case("spec.retryPolicy.retryStatusCodes", "400", retry(&json!({"retryStatusCodes": [302]})));
    case("spec.retryPolicy.retryStatusCodes", "599", retry(&json!({"retryStatusCodes": [600]})));
    case("spec.retryPolicy.retryStatusCodes", "", retry(&json!({"retryStatusCodes": [429, 429]})));
    case("spec.payload.maxBytes", "4096", json!({"payload": {"maxBytes": 4095}}));
    case("spec.resync.requestID", "1", json!({"resync": {"requestID": ""}}));
    case("spec.resync.requestID", "128", json!({"resync": {"requestID": "é".repeat(129)}}));
    case("spec.payload.maxBytes", "2097152", json!({"payload": {"maxBytes": 2_097_153}}));
    // what the types cannot hold
    let mut case = |field: &str, says: &str, patch: Value| {
        cases.push(Case { patch, field: field.to_owned(), says: says.to_owned(), untyped: true });
    };
    case("spec.endpoint.method", "POST", json!({"endpoint": {"method": "GET"}}));
    case(
        "spec.endpoint.tls.caRef.kind",
        "ConfigMap",
        json!({"endpoint": {"tls": {"caRef": {"kind": "Pod", "name": "ca"}}}}),
    );
    case("spec.changeTypes[0]", "New", json!({"changeTypes": ["new"]}));
    case("spec.resources", "Required", json!({"resources": null}));
    case("spec.endpoint", "Required", json!({"endpoint": null}));
    case("spec.signing.secretRef", "Required", json!({"signing": {}}));
    case("spec.initialSync", "Adopt", json!({"initialSync": "Replay"}));
    let service = json!({"name": "receiver", "port": 80, "scheme": "h2c"});
    case("spec.endpoint.service.scheme", "HTTPS", json!({"endpoint": {"url": null, "service": service}}));
    case("spec.selectionChange", "Notify", json!({"selectionChange": "Replay"}));
    case("spec.onLedgerLoss", "Replay", json!({"onLedgerLoss": "Notify"}));
    case("spec.retryPolicy.onExhausted", "Discard", retry(&json!({"onExhausted": "Drop"})));
    case("spec.resync.scope", "Parked", json!({"resync": {"requestID": "1", "scope": "Some"}}));
    case("spec.resync.requestID", "Required", json!({"resync": {"scope": "All"}}));
    case(
        "spec.resources[0].labelSelector.matchExpressions[0].operator",
        "In",
        labels(&json!({"key": "a", "operator": "Gt", "values": ["1"]})),
    );
    case("spec.suspend", "boolean", json!({"suspend": "yes"}));
    cases
}

/// What is refused because this version has no behaviour for it.
pub fn unsupported() -> Vec<Case> {
    UNSUPPORTED
        .iter()
        .map(|entry| {
            let value: Value = serde_json::from_str(entry.refused).expect("the table's examples are JSON");
            let mut patch = entry.field.rsplit('.').fold(value, |inner, name| json!({ name: inner }));
            if entry.field.starts_with("signing.") {
                patch["signing"]["secretRef"] = json!({"name": "hook"});
            }
            Case { patch, field: format!("spec.{}", entry.field), says: entry.message(), untyped: false }
        })
        .collect()
}

/// Changes of the good spec that leave it good.
pub fn accepted() -> Vec<Value> {
    vec![
        json!({}),
        url("http://hooks.example"),
        url("HTTPS://[2001:db8::1]:8443/in?a=b@c"),
        json!({"suspend": true, "serviceAccountName": "default", "initialSync": "Adopt", "changeTypes": ["Removed"]}),
        json!({"endpoint": {"method": "PUT", "timeoutSeconds": 30, "maxInFlight": 1}}),
        json!({"endpoint": {"headers": [
            {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "hook.v2", "key": "api_token.txt"}}},
            {"name": "X-Custom-Header", "value": "value, with = signs"},
            {"name": "x-empty", "value": ""},
        ]}}),
        json!({"endpoint": {"url": null, "urlFrom": {"secretKeyRef": {"name": "hook.v2", "key": "url"}}}}),
        json!({"endpoint": {"url": null, "service": {"name": "receiver", "port": "http", "path": "/a?b=c", "scheme": "HTTPS"}}}),
        json!({"endpoint": {"url": null, "service": {"name": "receiver", "port": 8080}}}),
        json!({"endpoint": {"tls": {"caRef": {"kind": "ConfigMap", "name": "ca.v2", "key": "bundle_1.pem"},
            "clientCertificateSecretRef": {"name": "client"}, "serverName": "hooks.example"}}}),
        json!({"endpoint": {"url": null, "urlFrom": {"secretKeyRef": {"name": "hook", "key": "url"}},
            "tls": {"serverName": "a"}}}),
        json!({"endpoint": {"url": null, "service": {"name": "receiver", "port": 443, "scheme": "HTTPS"},
            "tls": {"caRef": {"kind": "Secret", "name": "ca"}}}}),
        json!({"signing": {"secretRef": {"name": "hook"}, "schemes": ["SHA256"]}}),
        json!({"payload": {"format": "Native", "object": "Full", "fieldChanges": false, "maxBytes": 4096}}),
        json!({"changeDetection": {"scope": "Full", "minIntervalSeconds": 0}}),
        json!({"initialSync": "Notify", "selectionChange": "Notify", "onLedgerLoss": "Adopt",
            "retryPolicy": {"onExhausted": "Discard"}}),
        json!({"resync": {"requestID": "2026-01-05, please", "scope": "All"}}),
        json!({"resync": {"requestID": "é".repeat(128)}}),
        retry(&json!({"maxRetries": 0, "initialDelaySeconds": 60, "retryStatusCodes": [429, 408, 503]})),
        json!({"resources": [
            {"apiVersion": "v1", "kind": "ConfigMap", "names": ["kube-root-ca.crt", "system:a"]},
            {"apiVersion": "events.k8s.io/v1", "kind": "Event"},
            {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer", "labelSelector": {
                "matchLabels": {"app.kubernetes.io/name": "db", "empty": ""},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["a", ""]},
                    {"key": "example.com/x", "operator": "DoesNotExist"},
                ]}},
        ]}),
    ]
}
