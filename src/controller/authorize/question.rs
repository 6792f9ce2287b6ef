//! What has to be asked for a spec.
//!
//! Touches nothing. Invariants: every kind is asked about by list and watch, where the subscription sees it, every
//! reference by its name, in the account's own namespace; nothing is asked twice.

use std::collections::BTreeSet;

use crate::controller::validate::Valid;

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::controller) struct Account {
    pub namespace: String,
    pub name: String,
}

impl Account {
    /// Its name as a user.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// The groups that the API server puts it in. Without them a right that a group has would be overlooked.
    pub fn groups(&self) -> [String; 3] {
        let own = format!("system:serviceaccounts:{}", self.namespace);
        ["system:serviceaccounts".to_owned(), own, "system:authenticated".to_owned()]
    }
}

/// Where a kind's objects are, as discovery names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Collection {
    /// Empty for the core group.
    pub group: String,
    pub plural: String,
    pub within: Within,
}

/// What a subscription can see, as far as rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Extent {
    /// What is in the account's own namespace.
    Namespace,
    /// What is in the whole cluster.
    Cluster {
        /// The labels of namespaces decide what of it.
        by_labels: bool,
    },
}

/// Where objects of a kind are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Within {
    /// In the account's own namespace.
    Namespace,
    Cluster,
}

impl Collection {
    /// `configmaps`, `deployments.apps`: as kubectl takes it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// How a collection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verb {
    List,
    Watch,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// One thing to be asked about an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Question {
    /// Is there such an account? The rights of one that was deleted may be bound still.
    Exists,
    /// May it read the objects of a kind?
    Collection(Verb, Collection),
    /// May it read the Secret of this name?
    Secret(String),
    /// May it read the ConfigMap of this name?
    ConfigMap(String),
}

/// All that has to be allowed.
pub(super) fn questions(collections: &[Collection], valid: &Valid) -> Vec<Question> {
    let verbs = [Verb::List, Verb::Watch];
    let collections: BTreeSet<&Collection> = collections.iter().collect();
    let collections =
        collections.into_iter().flat_map(|collection| verbs.map(|verb| Question::Collection(verb, collection.clone())));
    let secrets = valid.secret_names().into_iter().map(Question::Secret);
    let config_map = valid.config_map().map(|name| Question::ConfigMap(name.to_owned()));
    std::iter::once(Question::Exists).chain(collections).chain(secrets).chain(config_map).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::validate::validate;

    #[test]
    fn each_kind_is_asked_about_by_list_and_watch_and_each_secret_once_by_its_name() {
        let reference = |key: &str| json!({"secretKeyRef": {"name": "partner", "key": key}});
        let object = json!({
            "apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
            "metadata": {"name": "a", "namespace": "shop"},
            "spec": {
                "serviceAccountName": "watcher",
                "resources": [{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "apps/v1", "kind": "Deployment"}],
                "endpoint": {"url": "https://a.example/", "tls": {
                    "caRef": {"kind": "ConfigMap", "name": "authorities"},
                    "clientCertificateSecretRef": {"name": "client"},
                }, "headers": [
                    {"name": "a", "valueFrom": reference("a")}, {"name": "b", "valueFrom": reference("b")},
                    {"name": "c", "value": "literal"},
                ]},
                "signing": {"secretRef": {"name": "signing"}, "previousSecretRef": {"name": "before"}},
            },
        });
        let subscription = serde_json::from_value(object).unwrap();
        let valid = validate(&subscription, |url| url.parse().map_err(|_| String::new())).unwrap();
        assert_eq!(valid.service_account, "watcher");
        let within = Within::Namespace;
        let core = Collection { group: String::new(), plural: "configmaps".to_owned(), within };
        let apps = Collection { group: "apps".to_owned(), plural: "deployments".to_owned(), within };
        assert_eq!(
            questions(&[core.clone(), apps.clone()], &valid),
            [
                Question::Exists,
                Question::Collection(Verb::List, core.clone()),
                Question::Collection(Verb::Watch, core),
                Question::Collection(Verb::List, apps.clone()),
                Question::Collection(Verb::Watch, apps),
                Question::Secret("before".to_owned()),
                Question::Secret("client".to_owned()),
                Question::Secret("partner".to_owned()),
                Question::Secret("signing".to_owned()),
                Question::ConfigMap("authorities".to_owned()),
            ]
        );
    }

    #[test]
    fn an_account_is_asked_about_with_the_groups_that_the_api_server_puts_it_in() {
        let account = Account { namespace: "shop".to_owned(), name: "watcher".to_owned() };
        assert_eq!(account.user(), "system:serviceaccount:shop:watcher");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
        assert_eq!(account.groups(), groups);
    }
}
