//! From an object as the API server has it to a subscription, or to the one field that keeps it from being one.
//!
//! Touches nothing. Invariants: an object whose spec cannot be read is still somebody (uid, name, generation), so that its
//! status can say what is wrong; a status that cannot be read is no status; what is said of a field never repeats its
//! value, which may be a credential.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::{DynamicObject, ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::validate::requested_at;
use crate::api::resources::LabelSelector;
use crate::api::{SubscriptionKind, SubscriptionStatus, WebhookSubscription, WebhookSubscriptionSpec};

/// What the API server shows of a subscription.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// It has the shape of one.
    Readable(Box<Readable>),
    /// An older or looser CRD let it in.
    Unreadable(Box<Unreadable>),
}

/// A subscription of either kind.
#[derive(Clone, Debug)]
pub(super) struct Readable {
    pub kind: SubscriptionKind,
    /// What both kinds have.
    pub subscription: WebhookSubscription,
    /// What the cluster kind has besides.
    pub namespace_selector: Option<LabelSelector>,
}

/// An object that is no subscription yet.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    pub kind: SubscriptionKind,
    pub metadata: ObjectMeta,
    pub status: SubscriptionStatus,
    /// The field, and what it has to be.
    pub message: String,
}

impl Shown {
    pub fn kind(&self) -> SubscriptionKind {
        match self {
            Self::Readable(readable) => readable.kind,
            Self::Unreadable(unreadable) => unreadable.kind,
        }
    }

    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Readable(readable) => &readable.subscription.metadata,
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    /// Whether which namespaces there are, and how they are labelled, is anything to it.
    pub fn chooses_namespaces(&self) -> bool {
        match self {
            Self::Readable(readable) => readable.namespace_selector.is_some(),
            Self::Unreadable(_) => false,
        }
    }

    pub fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or_default()
    }

    /// A new text asks for something, although the generation stays.
    fn requested_at(&self) -> Option<Arc<str>> {
        requested_at(self.metadata().annotations.as_ref())
    }

    /// Whether a look at `other` would find what a look at `self` found: status and labels are nothing to us.
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let same_shape = match (self, other) {
            (Self::Readable(_), Self::Readable(_)) => true,
            (Self::Unreadable(a), Self::Unreadable(b)) => a.message == b.message,
            (Self::Readable(_), Self::Unreadable(_)) | (Self::Unreadable(_), Self::Readable(_)) => false,
        };
        same_shape && self.generation() == other.generation() && self.requested_at() == other.requested_at()
    }
}

/// Reads an object of this kind.
pub(super) fn read(kind: SubscriptionKind, mut object: DynamicObject) -> Shown {
    object.managed_fields_mut().clear();
    let DynamicObject { types: _, metadata, mut data } = object;
    let mut take = |field: &str| data.get_mut(field).map_or(Value::Null, Value::take);
    let status: SubscriptionStatus = serde_json::from_value(take("status")).unwrap_or_default();
    let mut spec = take("spec");
    // Apart from the rest, for what is flattened is read without knowing where.
    let namespace_selector = match kind {
        SubscriptionKind::Namespaced => Ok(None),
        SubscriptionKind::Cluster => {
            let selector = spec.get_mut("namespaceSelector").map_or(Value::Null, Value::take);
            part("spec.namespaceSelector", selector)
        }
    };
    let parts = namespace_selector.and_then(|selector| Ok((selector, part::<WebhookSubscriptionSpec>("spec", spec)?)));
    match parts {
        Ok((namespace_selector, spec)) => {
            let subscription = WebhookSubscription { metadata, spec, status: Some(status) };
            Shown::Readable(Box::new(Readable { kind, subscription, namespace_selector }))
        }
        Err(message) => Shown::Unreadable(Box::new(Unreadable { kind, metadata, status, message })),
    }
}

fn part<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => field.to_owned(),
            path => format!("{field}.{path}"),
        };
        format!(
            "{field}: {}; the CRD that is installed let this in, install this version's CRDs, which say so at once",
            wanted(&error.inner().to_string())
        )
    })
}

/// What a field has to be, of what serde says about it: the part before that repeats the value.
fn wanted(error: &str) -> String {
    if error.starts_with("missing field `") {
        return error.to_owned();
    }
    match error.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", for_people(expected)),
        None => "cannot be read".to_owned(),
    }
}

/// The names of Rust's types say nothing to people.
fn for_people(expected: &str) -> &str {
    match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "i32" | "i64" | "u32" => "a whole number within its bounds",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(spec: &Value, status: &Value) -> Shown {
        let object = json!({
            "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
            "metadata": {"name": "a", "namespace": "b", "uid": "u", "generation": 3},
            "spec": spec, "status": status,
        });
        read(SubscriptionKind::Namespaced, serde_json::from_value(object).unwrap())
    }

    fn good() -> Value {
        json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "endpoint": {"url": "https://a.example/"}})
    }

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut spec = good();
        change(&mut spec);
        match of(&spec, &Value::Null) {
            Shown::Unreadable(unreadable) => unreadable.message,
            Shown::Readable(_) => panic!("it can be read"),
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named_with_what_it_has_to_be_and_without_its_value() {
        let cases = [
            (complaint(|spec| spec["endpoint"]["method"] = "s3cret".into()), "spec.endpoint.method: must be one of"),
            (
                complaint(|spec| spec["endpoint"] = "https://a.example/?k=s3cret, expected s3cret".into()),
                "spec.endpoint: must be an object",
            ),
            (complaint(|spec| spec["resources"] = json!({"s3cret": 1})), "spec.resources: must be a list"),
            (complaint(|spec| spec["suspend"] = "s3cret".into()), "spec.suspend: must be true or false"),
            (
                complaint(|spec| spec["endpoint"]["timeoutSeconds"] = 99_999_999_999_i64.into()),
                "spec.endpoint.timeoutSeconds: must be a whole number within its bounds",
            ),
            (complaint(|spec| spec["endpoint"]["url"] = 7.into()), "spec.endpoint.url: must be a string"),
            (
                complaint(|spec| spec["resources"][0]["names"] = json!(["a", {"s3cret": 1}])),
                "spec.resources[0].names[1]: must be a string",
            ),
            (
                complaint(|spec| drop(spec.as_object_mut().unwrap().remove("endpoint"))),
                "spec: missing field `endpoint`",
            ),
            (complaint(|spec| *spec = Value::Null), "spec: must be an object"),
        ];
        for (message, start) in cases {
            assert!(message.starts_with(start), "{message} does not start with {start}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_status_that_cannot_be_read_is_no_status_and_spoils_nothing() {
        let status = json!({"observedGeneration": 3, "lastDelivery": {}});
        let Shown::Readable(readable) = of(&good(), &status) else { panic!("it can be read") };
        assert_eq!(readable.subscription.status, Some(SubscriptionStatus::default()));
        let Shown::Readable(readable) = of(&good(), &json!({"observedGeneration": 2})) else { panic!("as above") };
        assert_eq!(readable.subscription.status.unwrap().observed_generation, Some(2));
    }

    #[test]
    fn a_new_text_in_the_annotation_asks_for_a_look_although_the_generation_stays() {
        let annotated = |text: Option<&str>| {
            let mut shown = of(&good(), &Value::Null);
            if let (Shown::Readable(readable), Some(text)) = (&mut shown, text) {
                let annotations = [(crate::api::RESYNC_ANNOTATION, text), ("other", text)];
                readable.subscription.metadata.annotations =
                    Some(annotations.map(|(key, text)| (key.to_owned(), text.to_owned())).into());
            }
            shown
        };
        assert!(annotated(Some("1")).asks_the_same_as(&annotated(Some("1"))));
        assert!(!annotated(Some("1")).asks_the_same_as(&annotated(Some("2"))));
        assert!(!annotated(None).asks_the_same_as(&annotated(Some("1"))));
    }

    #[test]
    fn an_object_that_becomes_readable_asks_for_a_look_even_if_its_generation_stays() {
        let bad = of(&json!({}), &Value::Null);
        assert!(bad.asks_the_same_as(&bad) && !bad.asks_the_same_as(&of(&good(), &Value::Null)));
        assert!(of(&good(), &Value::Null).asks_the_same_as(&of(&good(), &json!({"observedGeneration": 3}))));
        assert!(!bad.asks_the_same_as(&of(&json!({"endpoint": 1}), &Value::Null)));
    }

    #[test]
    fn the_cluster_kind_has_a_namespace_selector_besides_and_it_is_named_where_it_cannot_be_read() {
        let of = |selector: Value| {
            let mut spec = good();
            spec["namespaceSelector"] = selector;
            let object = json!({
                "apiVersion": "changehook.dev/v1alpha1", "kind": "ClusterWebhookSubscription",
                "metadata": {"name": "a", "uid": "u", "generation": 3}, "spec": spec,
            });
            read(SubscriptionKind::Cluster, serde_json::from_value(object).unwrap())
        };
        assert!(of(json!({"matchLabels": {"team": "shop"}})).chooses_namespaces());
        assert!(of(json!({})).chooses_namespaces(), "of all that have any labels or none");
        assert!(!of(Value::Null).chooses_namespaces());
        let Shown::Unreadable(unreadable) = of(json!({"matchLabels": {"team": 7}})) else { panic!("7 is no string") };
        let start = "spec.namespaceSelector.matchLabels.team: must be a string";
        assert!(unreadable.message.starts_with(start), "{}", unreadable.message);
        assert_eq!(unreadable.kind, SubscriptionKind::Cluster);
    }
}
