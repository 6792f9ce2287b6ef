//! Does a row match.
//!
//! Touches nothing. Invariant: label selectors mean exactly what they mean in Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::object::Row;

/// Which objects of a kind an interest covers; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// By their labels.
    pub labels: LabelSelector,
    /// By their names; empty for any name.
    pub names: BTreeSet<String>,
    /// By their namespaces; `None` for any. Objects without one are not concerned.
    pub namespaces: Option<Namespaces>,
}

/// Namespaces that were chosen by their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// How. Another choice is an edit of the subscription; that the same one now chooses others is not.
    pub chosen_by: LabelSelector,
    /// Which ones.
    pub names: Arc<BTreeSet<String>>,
}

/// A Kubernetes label selector: all of its conditions must hold; without any, everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Labels that must be there with just these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub expressions: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must be true of it.
    pub operator: Operator,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

/// What a requirement demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label is there, with one of the values.
    In,
    /// The label is not there, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether the row is wanted.
    pub fn matches(&self, row: &Row) -> bool {
        let Self { labels, names, namespaces } = self;
        let within =
            |namespace: &Arc<str>| namespaces.as_ref().is_none_or(|chosen| chosen.names.contains(&**namespace));
        (names.is_empty() || names.contains(&*row.name))
            && row.namespace.as_ref().is_none_or(within)
            && labels.matches(&row.labels)
    }

    /// Whether a subscription that has the one instead of the other was edited.
    pub fn chooses_as(&self, other: &Self) -> bool {
        let Self { labels, names, namespaces } = self;
        let how = |namespaces: &Option<Namespaces>| namespaces.as_ref().map(|chosen| chosen.chosen_by.clone());
        *labels == other.labels && *names == other.names && how(namespaces) == how(&other.namespaces)
    }
}

impl LabelSelector {
    /// Whether something with these labels is wanted.
    pub fn matches(&self, labels: &BTreeMap<Box<str>, Box<str>>) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key.as_str()).is_some_and(|has| **has == **value);
        self.match_labels.iter().all(equal) && self.expressions.iter().all(|expression| expression.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<Box<str>, Box<str>>) -> bool {
        let has = labels.get(self.key.as_str());
        let listed = |has: &str| self.values.iter().any(|value| value == has);
        match self.operator {
            Operator::In => has.is_some_and(|has| listed(has)),
            Operator::NotIn => !has.is_some_and(|has| listed(has)),
            Operator::Exists => has.is_some(),
            Operator::DoesNotExist => has.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::object::{Body, Digest, Gvk};

    fn row(name: &str, labels: &[(&str, &str)]) -> Row {
        Row {
            gvk: Arc::new(Gvk::new("v1", "ConfigMap")),
            uid: "u".into(),
            namespace: Some("a".into()),
            name: name.into(),
            labels: labels.iter().map(|(key, value)| (Box::from(*key), Box::from(*value))).collect(),
            rv: 1,
            digest: Digest([0; 16]),
            version: None,
            body: Body::Missing("not needed"),
        }
    }

    fn labels(expression: (&str, Operator, &[&str])) -> Selector {
        let (key, operator, values) = expression;
        let values = values.iter().map(ToString::to_string).collect();
        let requirement = Requirement { key: key.to_owned(), operator, values };
        Selector {
            labels: LabelSelector { expressions: vec![requirement], ..LabelSelector::default() },
            ..Selector::default()
        }
    }

    #[test]
    fn the_default_selects_everything() {
        assert!(Selector::default().matches(&row("x", &[])));
        assert!(Selector::default().matches(&row("x", &[("app", "web")])));
    }

    #[test]
    fn each_operator_means_what_it_means_in_kubernetes() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        // label absent, "web", "db", ""
        let cases: [((&str, Operator, &[&str]), [bool; 4]); 9] = [
            (("app", In, &["web", "api"]), [false, true, false, false]),
            (("app", In, &[""]), [false, false, false, true]),
            (("app", In, &[]), [false, false, false, false]),
            (("app", NotIn, &["web", "api"]), [true, false, true, true]),
            (("app", NotIn, &[""]), [true, true, true, false]),
            (("app", NotIn, &[]), [true, true, true, true]),
            (("app", Exists, &[]), [false, true, true, true]),
            (("app", DoesNotExist, &[]), [true, false, false, false]),
            (("App", Exists, &[]), [false, false, false, false]),
        ];
        for (expression, expected) in cases {
            let selector = labels(expression);
            let rows: [&[(&str, &str)]; 4] = [&[("tier", "web")], &[("app", "web")], &[("app", "db")], &[("app", "")]];
            let matched = rows.map(|labels| selector.matches(&row("x", labels)));
            assert_eq!(matched, expected, "{expression:?}");
        }
    }

    #[test]
    fn chosen_namespaces_bound_what_is_in_a_namespace_and_nothing_else() {
        let chosen = |names: &[&str]| {
            let names = Arc::new(names.iter().map(ToString::to_string).collect());
            let namespaces = Some(Namespaces { chosen_by: LabelSelector::default(), names });
            Selector { namespaces, ..Selector::default() }
        };
        let of_the_cluster = Row { namespace: None, ..row("x", &[]) };
        for (names, inside) in [(["a", "b"].as_slice(), true), (&["b"], false), (&[], false)] {
            assert_eq!(chosen(names).matches(&row("x", &[])), inside, "{names:?}");
            assert!(chosen(names).matches(&of_the_cluster), "{names:?}");
        }
        assert!(chosen(&["a"]).chooses_as(&chosen(&[])) && !chosen(&["a"]).chooses_as(&Selector::default()));
    }

    #[test]
    fn all_conditions_must_hold() {
        let mut selector = labels(("tier", Operator::Exists, &[]));
        selector.labels.match_labels.insert("app".to_owned(), "web".to_owned());
        selector.names.extend(["x".to_owned(), "y".to_owned()]);
        let all = [("app", "web"), ("tier", "1")];
        assert!(selector.matches(&row("x", &all)));
        assert!(selector.matches(&row("y", &all)));
        assert!(!selector.matches(&row("z", &all)));
        assert!(!selector.matches(&row("x", &all[..1])));
        assert!(!selector.matches(&row("x", &all[1..])));
        assert!(!selector.matches(&row("x", &[("app", "db"), ("tier", "1")])));
    }
}
