//! What the API server checks with CEL, beyond bounds and enums. The operator repeats every rule in code: this is for
//! early feedback, that is for truth.
//!
//! Touches nothing. Invariants: a message names the field and what to do; no rule has a cost that the API server
//! refuses (every string and list it walks is bounded).

/// Header names that changehook or the connection itself sets; `proxy-*` besides.
pub const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "user-agent",
    "x-signature",
    "x-signature-256",
    "x-signature-256-previous",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// One CEL rule.
pub struct Rule {
    /// Where it applies: paths within the spec, `[]` for a list's items.
    pub at: &'static [&'static str],
    /// The field it speaks about, when that is a member of the place.
    pub field: Option<&'static str>,
    /// The expression.
    pub cel: String,
    /// What people are told.
    pub message: &'static str,
}

fn rule(at: &'static [&'static str], field: Option<&'static str>, cel: &str, message: &'static str) -> Rule {
    Rule { at, field, cel: cel.to_owned(), message }
}

const URL: &[&str] = &["endpoint.url"];
const RESOURCE: &[&str] = &["resources[]"];
const HEADER: &[&str] = &["endpoint.headers[]"];
const HEADER_NAME: &[&str] = &["endpoint.headers[].name"];
const SECRET_NAMES: &[&str] = &[
    "signing.secretRef.name",
    "signing.previousSecretRef.name",
    "endpoint.urlFrom.secretKeyRef.name",
    "endpoint.headers[].valueFrom.secretKeyRef.name",
    "endpoint.tls.clientCertificateSecretRef.name",
];
const SECRET_KEYS: &[&str] = &[
    "signing.secretRef.key",
    "signing.previousSecretRef.key",
    "endpoint.urlFrom.secretKeyRef.key",
    "endpoint.headers[].valueFrom.secretKeyRef.key",
];

/// A label selector's requirement has as many values as its operator needs.
fn values(at: &'static [&'static str]) -> Rule {
    rule(
        at,
        Some("values"),
        "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        "values must have at least one value for In and NotIn, and must be left out for Exists and DoesNotExist",
    )
}

/// What the cluster kind has besides.
pub fn namespace_rules() -> Vec<Rule> {
    vec![values(&["namespaceSelector.matchExpressions[]"])]
}

/// Every rule on the spec that both kinds have.
pub fn rules() -> Vec<Rule> {
    let reserved = RESERVED_HEADERS.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    vec![
        // resources
        rule(
            &["resources[].apiVersion"],
            None,
            r"self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "apiVersion must be VERSION for the core group or GROUP/VERSION, such as v1 or apps/v1",
        ),
        rule(
            &["resources[].kind"],
            None,
            r"self.matches('^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$')",
            "kind must be a kind's name as in its manifests, such as Deployment",
        ),
        rule(
            &["resources"],
            None,
            "self.all(a, self.exists_one(b, b.kind == a.kind && (b.apiVersion.contains('/') ? \
             b.apiVersion.split('/')[0] : '') == (a.apiVersion.contains('/') ? a.apiVersion.split('/')[0] : '')))",
            "resources must name each kind once, whatever its version; merge the entries of the same group and kind",
        ),
        rule(
            RESOURCE,
            Some("apiVersion"),
            "!self.apiVersion.startsWith('changehook.dev/')",
            "apiVersion must not be of changehook.dev: every delivery would cause the next one (feedback loop); \
             remove the entry",
        ),
        rule(
            RESOURCE,
            Some("kind"),
            "!(self.kind == 'Lease' && self.apiVersion.startsWith('coordination.k8s.io/'))",
            "kind must not be Lease: the operator's own Lease changes every few seconds (feedback loop); remove the \
             entry",
        ),
        rule(
            &["resources[].names[]"],
            None,
            "!self.contains('/') && !self.contains('%') && self != '.' && self != '..'",
            "names must be names of objects; they hold neither / nor %",
        ),
        values(&["resources[].labelSelector.matchExpressions[]"]),
        // endpoint
        rule(
            &["endpoint"],
            None,
            "[has(self.url), has(self.urlFrom), has(self.service)].filter(set, set).size() == 1",
            "endpoint must have exactly one of url, urlFrom and service",
        ),
        rule(
            URL,
            None,
            "self.matches('^[hH][tT][tT][pP][sS]?://[^/?#:@]')",
            "url must start with https:// (or http://, where the operator allows it) and name a host",
        ),
        rule(
            URL,
            None,
            "!self.matches('^[^/]*//[^/?#]*@')",
            "url must not have user information before the host; put credentials into endpoint.headers with valueFrom",
        ),
        rule(URL, None, "!self.contains('#')", "url must not have a fragment; remove # and what follows"),
        rule(
            URL,
            None,
            r"self.matches('^[\\x21-\\x5b\\x5d-\\x7e]*$')",
            "url must be printable ASCII without whitespace, line breaks or backslashes; percent-encode them, and \
             write the host in punycode",
        ),
        rule(
            &["endpoint.service.name"],
            None,
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "name must be the name of a Service in the same namespace: lower case letters, digits and -",
        ),
        rule(
            &["endpoint.service.path"],
            None,
            r"self.matches('^/[\\x21\\x22\\x24-\\x5b\\x5d-\\x7e]*$')",
            "path must start with / and be printable ASCII without whitespace, backslashes and #; percent-encode them",
        ),
        rule(
            &["endpoint"],
            Some("tls"),
            "!has(self.tls) || !(has(self.url) && self.url.lowerAscii().startsWith('http:') || has(self.service) && \
             self.service.scheme == 'HTTP')",
            "tls must be left out unless the url is https, or the service's scheme HTTPS: it would have no effect",
        ),
        rule(
            &["endpoint.tls"],
            None,
            "has(self.caRef) || has(self.clientCertificateSecretRef) || has(self.serverName)",
            "tls must have at least one of caRef, clientCertificateSecretRef and serverName",
        ),
        rule(
            &["endpoint.tls.serverName"],
            None,
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') && !self.matches('(^|\\.)[0-9]+$')",
            "serverName must be a host name in lower case, as the certificate has it, not an address",
        ),
        rule(
            &["endpoint.tls.caRef.name"],
            None,
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "name must be the name of a ConfigMap or Secret in the same namespace: lower case letters, digits, - and .",
        ),
        rule(
            &["endpoint.tls.caRef.key"],
            None,
            r"self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'",
            "key must be a key of the ConfigMap or Secret: letters, digits, -, _ and .",
        ),
        // headers
        rule(
            &["endpoint.headers"],
            None,
            "self.all(a, self.exists_one(b, b.name.lowerAscii() == a.name.lowerAscii()))",
            "headers must have each name once, upper and lower case being the same; remove the duplicate",
        ),
        rule(
            HEADER_NAME,
            None,
            r#"self.matches("^[-!#$%&'*+.^_`|~0-9A-Za-z]*$")"#,
            "name must be a header name: letters, digits, - and the like; no spaces, colons or line breaks",
        ),
        Rule {
            at: HEADER_NAME,
            field: None,
            cel: format!("!(self.lowerAscii() in [{reserved}]) && !self.lowerAscii().startsWith('proxy-')"),
            message: "name is reserved: changehook or the connection sets this header itself; remove it",
        },
        rule(
            HEADER,
            None,
            "has(self.value) != has(self.valueFrom)",
            "headers must have exactly one of value and valueFrom each",
        ),
        rule(
            &["endpoint.headers[].value"],
            None,
            r"self.matches('^([\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?)?$')",
            "value must be printable ASCII without line breaks or control characters, and without spaces at its ends",
        ),
        // references
        rule(
            &["serviceAccountName"],
            None,
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "serviceAccountName must be the name of a ServiceAccount in the same namespace: lower case letters, digits, - \
             and .",
        ),
        rule(
            SECRET_NAMES,
            None,
            r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
            "name must be the name of a Secret in the same namespace: lower case letters, digits, - and .",
        ),
        rule(
            SECRET_KEYS,
            None,
            r"self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'",
            "key must be a key of the Secret: letters, digits, -, _ and .",
        ),
        rule(
            &["signing"],
            Some("previousSecretRef"),
            "!has(self.previousSecretRef) || self.previousSecretRef.name != self.secretRef.name || \
             self.previousSecretRef.key != self.secretRef.key",
            "previousSecretRef must not be the key of secretRef; name the key that was used before, or remove it",
        ),
        // retries
        rule(
            &["retryPolicy"],
            Some("initialDelaySeconds"),
            "!has(self.initialDelaySeconds) || !has(self.maxDelaySeconds) || self.initialDelaySeconds <= \
             self.maxDelaySeconds",
            "initialDelaySeconds must not be more than maxDelaySeconds; lower it or raise maxDelaySeconds",
        ),
    ]
}
