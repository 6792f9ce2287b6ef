//! From flags to the manifest of a subscription, checked by the operator's own rules.
//!
//! Touches nothing. Invariants: the manifest has what was asked for and no default; what the operator would refuse for
//! the spec's sake is refused here, before anything is created. Which addresses may be dialled is the operator's to say.

use serde_json::{Value, json};
use url::Url;

use super::Error;
use super::cli::WebhookArgs;
use super::kinds::Kind;
use super::selector;
use crate::api::WebhookSubscription;
use crate::api::endpoint::Method;
use crate::api::{GROUP, VERSION};
use crate::controller::validate::validate;

/// What is watched without --resource: the kinds of the quick start. Every cluster has them, and neither holds
/// credentials.
const DEFAULT: [(&str, &str); 2] = [("apps/v1", "Deployment"), ("v1", "ConfigMap")];

/// A subscription to be created.
pub struct Manifest {
    /// What is printed and sent.
    pub object: Value,
    /// The same, read.
    pub subscription: WebhookSubscription,
    /// Its name.
    pub name: String,
}

/// Builds and checks it. `kinds` are those of --resource, in order.
pub fn build(arguments: &WebhookArgs, namespace: &str, kinds: &[Kind]) -> Result<Manifest, Error> {
    let name = object_name(&arguments.name).map_err(Error::Input)?;
    let mut resources: Vec<Value> = if kinds.is_empty() {
        DEFAULT.iter().map(|(version, kind)| json!({"apiVersion": version, "kind": kind})).collect()
    } else {
        kinds.iter().map(|kind| json!({"apiVersion": kind.api_version(), "kind": kind.kind})).collect()
    };
    if let Some(text) = &arguments.selector {
        let selector = selector::parse(text).map_err(Error::Input)?;
        for resource in &mut resources {
            resource["labelSelector"] = selector.clone();
        }
    }
    let mut endpoint = json!({"url": arguments.url});
    let method = Method::from(arguments.method);
    if method != Method::default() {
        endpoint["method"] = json!(method);
    }
    if !arguments.headers.is_empty() {
        endpoint["headers"] = arguments.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
    }
    let mut spec = json!({"resources": resources, "endpoint": endpoint});
    if let Some(secret) = &arguments.secret {
        let (name, key) = secret.split_once(':').unwrap_or((secret, "secret"));
        spec["signing"] = json!({"secretRef": {"name": name, "key": key}});
    }
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "WebhookSubscription",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    let subscription: WebhookSubscription = serde_json::from_value(object.clone())
        .map_err(|error| Error::Input(format!("the subscription cannot be written: {error}")))?;
    check(&subscription)?;
    Ok(Manifest { object, subscription, name })
}

fn check(subscription: &WebhookSubscription) -> Result<(), Error> {
    let readable = |text: &str| Url::parse(text).map_err(|_| "must be a URL".to_owned());
    validate(subscription, readable).map(drop).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(|problem| flagged(&problem.to_string())).collect();
        Error::Input(told.join("; "))
    })
}

/// A problem with the flag instead of the field, where one stands for the other.
fn flagged(problem: &str) -> String {
    for (field, flag) in [
        ("spec.endpoint.url: ", "--url"),
        ("spec.signing.secretRef.name: ", "--secret"),
        ("spec.signing.secretRef.key: ", "--secret"),
    ] {
        if let Some(rest) = problem.strip_prefix(field) {
            return format!("{flag} {rest}");
        }
    }
    problem.to_owned()
}

/// Its value is not repeated in an error: it may be a credential.
fn header(text: &str) -> Result<Value, Error> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({"name": name, "value": value})),
        Some(_) | None => Err(Error::Input("--header must be written NAME=VALUE".to_owned())),
    }
}

/// The name of an object for what a person calls it: lower case, a dash for whatever else is not allowed.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    let mut name = String::new();
    for letter in text.trim().chars() {
        match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9' | '.') => name.push(letter),
            ' ' | '-' | '_' if !name.ends_with('-') => name.push('-'),
            ' ' | '-' | '_' => {}
            other => {
                return Err(format!(
                    "--name {text}: {other:?} cannot be part of a name; use letters, digits, spaces and -"
                ));
            }
        }
    }
    let starts_well = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if name.len() > 253 || !name.split('.').all(starts_well) {
        return Err(format!(
            "--name {text}: must begin and end with a letter or digit, and have at most 253 characters"
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::cli::{Cli, Command, SubscribeCommand};
    use super::*;

    fn manifest(more: &[&str]) -> Result<Value, String> {
        let usual = ["x", "subscribe", "webhook", "--url", "https://a.example/s3cret", "--name", "My Integration"];
        let cli = Cli::try_parse_from([&usual, more].concat()).map_err(|error| error.to_string())?;
        let Command::Subscribe(SubscribeCommand::Webhook(arguments)) = cli.command else { panic!("it subscribes") };
        build(&arguments, "shop", &[]).map(|manifest| manifest.object).map_err(|error| error.to_string())
    }

    #[test]
    fn the_contracts_quick_set_up_is_the_quick_start_without_a_key() {
        let resources =
            [json!({"apiVersion": "apps/v1", "kind": "Deployment"}), json!({"apiVersion": "v1", "kind": "ConfigMap"})];
        assert_eq!(
            manifest(&[]).unwrap(),
            json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
                "metadata": {"name": "my-integration", "namespace": "shop"},
                "spec": {"resources": resources, "endpoint": {"url": "https://a.example/s3cret"}}})
        );
    }

    #[test]
    fn every_flag_has_its_place() {
        let flags = ["--selector", "a=b", "--secret", "k:v", "--method", "put", "--header", "X-A=b=c"];
        let spec = manifest(&flags).unwrap()["spec"].clone();
        assert_eq!(spec["resources"][1]["labelSelector"], json!({"matchLabels": {"a": "b"}}));
        assert_eq!(spec["signing"], json!({"secretRef": {"name": "k", "key": "v"}}));
        assert_eq!(spec["endpoint"]["method"], "PUT");
        assert_eq!(spec["endpoint"]["headers"], json!([{"name": "X-A", "value": "b=c"}]));
        assert_eq!(manifest(&["--secret", "k"]).unwrap()["spec"]["signing"]["secretRef"]["key"], "secret");
    }

    #[test]
    fn what_the_operator_would_refuse_is_refused_with_the_flag_and_without_values() {
        for (more, start) in [
            (["--secret", "Not_A_Name"], "--secret must be the name of a Secret"),
            (["--header", "Host=s3cret"], "spec.endpoint.headers[0].name: "),
            (["--header", "s3cret"], "--header must be written NAME=VALUE"),
            (["--selector", "a b=c"], "spec.resources[0].labelSelector"),
        ] {
            let error = manifest(&more).unwrap_err();
            assert!(error.starts_with(start), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for (name, wanted) in
            [("Grüße", "cannot be part of a name"), ("-", "must begin and end"), ("", "must begin and end")]
        {
            let error = object_name(name).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
