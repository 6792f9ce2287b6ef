//! What the contract's `server` shows of an object: where description, repository and version are looked for.
//!
//! Touches nothing. A fact that is not there, empty or of the wrong type is passed over for the next place to look.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::canonical;
use super::text::{self, Members};

/// The version: `spec.version_detail.version`, `spec.version`, else the label `app.kubernetes.io/version`.
pub(crate) fn version(object: &Members<'_>, labels: &BTreeMap<Box<str>, Box<str>>) -> Option<String> {
    let spec = object.object("spec").unwrap_or_default();
    let detail = spec.object("version_detail").unwrap_or_default();
    version_in(&detail)
        .or_else(|| version_in(&spec))
        .or_else(|| labels.get("app.kubernetes.io/version").map(ToString::to_string).filter(|text| !text.is_empty()))
}

/// A version is a string, or a number that somebody forgot to quote.
fn version_in(members: &Members<'_>) -> Option<String> {
    members.string("version").map(Cow::into_owned).or_else(|| {
        let number = members.get("version")?.get();
        number.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(())?;
        let number = canonical::to_vec(&text::parse(number).ok()?);
        String::from_utf8(number).ok()
    })
}

/// `spec.description`, else the annotation `kubernetes.io/description`.
pub(crate) fn description<'a>(object: &Members<'a>) -> Option<Cow<'a, str>> {
    object
        .object("spec")
        .and_then(|spec| spec.string("description"))
        .or_else(|| annotation(object, "kubernetes.io/description"))
}

/// `spec.repository.url`, else the annotation `org.opencontainers.image.source`.
pub(crate) fn repository<'a>(object: &Members<'a>) -> Option<Cow<'a, str>> {
    object
        .object("spec")
        .and_then(|spec| spec.object("repository"))
        .and_then(|repository| repository.string("url"))
        .or_else(|| annotation(object, "org.opencontainers.image.source"))
}

fn annotation<'a>(object: &Members<'a>, key: &str) -> Option<Cow<'a, str>> {
    object.object("metadata")?.object("annotations")?.string(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(spec: &str, label: Option<&str>) -> Option<String> {
        let text = format!(r#"{{"spec":{spec}}}"#);
        let labels = label.map(|label| ("app.kubernetes.io/version".into(), label.into()));
        version(&Members::read(&text).0, &labels.into_iter().collect())
    }

    #[test]
    fn the_version_is_looked_for_in_three_places() {
        let all = r#"{"version_detail":{"version":"1"},"version":"2"}"#;
        assert_eq!(version_of(all, Some("3")).as_deref(), Some("1"));
        assert_eq!(version_of(r#"{"version_detail":{},"version":"2"}"#, Some("3")).as_deref(), Some("2"));
        assert_eq!(version_of("{}", Some("3")).as_deref(), Some("3"));
        assert_eq!(version_of("{}", None), None);
    }

    #[test]
    fn a_version_of_the_wrong_type_or_empty_is_passed_over_and_a_number_is_shown() {
        for wrong in ["null", "true", "{}", "[\"1\"]", "\"\"", "\"\\ud800\"", "1e400"] {
            let spec = format!(r#"{{"version_detail":{{"version":{wrong}}},"version":"2"}}"#);
            assert_eq!(version_of(&spec, None).as_deref(), Some("2"), "{wrong}");
        }
        assert_eq!(version_of(r#"{"version":1.10}"#, None).as_deref(), Some("1.1"));
        assert_eq!(version_of(r#"{"version":-3}"#, None).as_deref(), Some("-3"));
        assert_eq!(version_of(r#"{"version_detail":"1.0","version":4}"#, None).as_deref(), Some("4"));
        assert_eq!(version_of("{}", Some("")), None);
        assert_eq!(version_of("[]", Some("3")).as_deref(), Some("3"));
    }

    #[test]
    fn description_and_repository_come_from_the_spec_else_from_annotations() {
        let annotations = r#""metadata":{"annotations":{"kubernetes.io/description":"noted","org.opencontainers.image.source":"https://noted.example"}}"#;
        let shown = |spec: &str| {
            let text = format!(r#"{{{annotations},"spec":{spec}}}"#);
            let object = Members::read(&text).0;
            (description(&object).unwrap().into_owned(), repository(&object).unwrap().into_owned())
        };
        let noted = ("noted".to_owned(), "https://noted.example".to_owned());
        assert_eq!(
            shown(r#"{"description":"said","repository":{"url":"https://said.example"}}"#),
            ("said".to_owned(), "https://said.example".to_owned())
        );
        assert_eq!(shown(r#"{"description":3,"repository":"https://said.example"}"#), noted);
        assert_eq!(shown(r#"{"description":"","repository":{"url":null}}"#), noted);
        assert_eq!(shown("null"), noted);
        let bare = Members::read("{}").0;
        assert_eq!((description(&bare), repository(&bare)), (None, None));
    }
}
