//! Fields and values that the schema has and this version refuses: one table for admission, the operator's own check,
//! the field docs and the tests. To support one, remove its entry (and give the field its default).
//!
//! Touches nothing. Invariant: what is in the schema and has no behaviour is in here; nothing is silently ignored.

use super::detection::DetectionScope;
use super::payload::{PayloadFormat, PayloadObject};
use super::signing::SignatureScheme;
use super::subscription::WebhookSubscriptionSpec;

/// One field of the spec that is refused, or refused unless it has one value.
pub struct Unsupported {
    /// The path within the spec.
    pub field: &'static str,
    /// The one value that is supported, as a CEL literal; `None` refuses the field whatever it says.
    pub supported: Option<&'static str>,
    /// A value that is refused, as JSON.
    pub refused: &'static str,
    /// Whether a spec uses it.
    pub used: fn(&WebhookSubscriptionSpec) -> bool,
}

impl Unsupported {
    /// The path of the object the field is in, and the field's name in it.
    pub fn parent_and_name(&self) -> (&'static str, &'static str) {
        self.field.rsplit_once('.').unwrap_or(("", self.field))
    }

    /// The CEL rule on that object.
    pub fn rule(&self) -> String {
        let (_, name) = self.parent_and_name();
        match self.supported {
            None => format!("!has(self.{name})"),
            Some(value) => format!("!has(self.{name}) || self.{name} == {value}"),
        }
    }

    /// What people are told.
    pub fn message(&self) -> String {
        match self.supported {
            None => format!("{} is not supported yet in this version; remove it", self.field),
            Some(value) => {
                let value = value.replace('\'', "");
                format!(
                    "{} is not supported yet in this version except {value}; set it to {value} or remove it",
                    self.field
                )
            }
        }
    }

    /// What the field's documentation says about it.
    pub fn note(&self) -> String {
        match self.supported {
            None => "Not supported yet in this version: refused.".to_owned(),
            Some(value) => format!("Only {} is supported in this version.", value.replace('\'', "")),
        }
    }
}

/// Everything the spec refuses in this version.
pub const UNSUPPORTED: &[Unsupported] = &[
    Unsupported {
        field: "filter",
        supported: None,
        refused: r#"{"expression": "object.spec.replicas > 0"}"#,
        used: |spec| spec.filter.is_some(),
    },
    Unsupported {
        field: "changeDetection.scope",
        supported: Some("'Full'"),
        refused: r#""Spec""#,
        used: |spec| {
            spec.change_detection
                .as_ref()
                .is_some_and(|detection| !matches!(detection.scope, None | Some(DetectionScope::Full)))
        },
    },
    Unsupported {
        field: "changeDetection.expression",
        supported: None,
        refused: r#""object.spec.image""#,
        used: |spec| spec.change_detection.as_ref().is_some_and(|detection| detection.expression.is_some()),
    },
    Unsupported {
        field: "changeDetection.ignoreFields",
        supported: None,
        refused: r#"["/status/conditions/*/lastHeartbeatTime"]"#,
        used: |spec| spec.change_detection.as_ref().is_some_and(|detection| detection.ignore_fields.is_some()),
    },
    Unsupported {
        field: "changeDetection.minIntervalSeconds",
        supported: Some("0"),
        refused: "5",
        used: |spec| {
            spec.change_detection
                .as_ref()
                .is_some_and(|detection| !matches!(detection.min_interval_seconds, None | Some(0)))
        },
    },
    Unsupported {
        field: "signing.schemes",
        supported: Some("['SHA256']"),
        refused: r#"["SHA256", "StandardWebhooks"]"#,
        used: |spec| {
            spec.signing
                .as_ref()
                .and_then(|signing| signing.schemes.as_ref())
                .is_some_and(|schemes| schemes != &[SignatureScheme::Sha256])
        },
    },
    Unsupported {
        field: "payload.format",
        supported: Some("'Native'"),
        refused: r#""CloudEventsStructured""#,
        used: |spec| !matches!(spec.payload.format, None | Some(PayloadFormat::Native)),
    },
    Unsupported {
        field: "payload.object",
        supported: Some("'Full'"),
        refused: r#""Metadata""#,
        used: |spec| !matches!(spec.payload.object, None | Some(PayloadObject::Full)),
    },
    Unsupported {
        field: "payload.server",
        supported: None,
        refused: r#"{"name": "object.metadata.name"}"#,
        used: |spec| spec.payload.server.is_some(),
    },
    Unsupported {
        field: "payload.fieldChanges",
        supported: Some("false"),
        refused: "true",
        used: |spec| spec.payload.field_changes == Some(true),
    },
    Unsupported {
        field: "payload.template",
        supported: None,
        refused: r#""text""#,
        used: |spec| spec.payload.template.is_some(),
    },
];
