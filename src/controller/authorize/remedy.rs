//! The commands that grant what is missing.
//!
//! Touches nothing. Invariants: pasted into a shell, the commands work, also if earlier ones were pasted before: a role's
//! name tells what is in it; names come from the API server or were validated, so nothing needs quoting; a message is cut
//! between commands, never within one: the commands for one right fit, however long the names are that the API allows.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::question::{Account, Question, Within};
use crate::api::conditions::MAX_MESSAGE;

/// What is said of an account that lacks these.
pub(super) fn remedy(account: &Account, missing: &[&Question]) -> String {
    let texts = (1..=missing.len()).rev().map(|shown| text(account, missing, shown));
    texts.into_iter().find(|text| text.len() <= MAX_MESSAGE).unwrap_or_else(|| {
        // With names as long as they may be, a right cannot be told twice: in words, and in its command.
        let commands = commands(account, &missing[..missing.len().min(1)]);
        format!("its ServiceAccount lacks {} rights, told one at a time; to allow it: {commands}", missing.len())
    })
}

/// Tells the first few of them.
fn text(account: &Account, missing: &[&Question], shown: usize) -> String {
    let (told, others) = missing.split_at(shown);
    let lacking: BTreeSet<String> = told
        .iter()
        .filter_map(|question| match question {
            Question::Collection(verb, collection) => {
                let place = match collection.within {
                    Within::Namespace => "",
                    Within::Cluster => " in the whole cluster",
                };
                Some(format!("{} {}{place}", verb.as_str(), collection.qualified()))
            }
            Question::Secret(name) => Some(format!("get Secret {name}")),
            Question::ConfigMap(name) => Some(format!("get ConfigMap {name}")),
            Question::Exists => None,
        })
        .collect();
    let lacks = lacking.into_iter().collect::<Vec<_>>().join(", ");
    let rest = if others.is_empty() { String::new() } else { format!(", and lacks {} more", others.len()) };
    let Account { namespace, name } = account;
    let commands = commands(account, told);
    format!("ServiceAccount {namespace}/{name} may not {lacks}{rest}; to allow it: {commands}")
}

fn commands(account: &Account, missing: &[&Question]) -> String {
    let (mut resources, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let (mut secrets, mut config_maps) = (BTreeSet::new(), BTreeSet::new());
    for question in missing {
        match question {
            Question::Collection(_, collection) => {
                let of = match collection.within {
                    Within::Namespace => &mut resources,
                    Within::Cluster => &mut everywhere,
                };
                of.insert(collection.qualified());
            }
            Question::Secret(name) => drop(secrets.insert(name.as_str())),
            Question::ConfigMap(name) => drop(config_maps.insert(name.as_str())),
            Question::Exists => {}
        }
    }
    let mut commands = Vec::new();
    for (within, resources) in [(Within::Namespace, resources), (Within::Cluster, everywhere)] {
        if !resources.is_empty() {
            let list = resources.into_iter().collect::<Vec<_>>().join(",");
            commands.extend(grant(account, within, &format!("--verb=list,watch --resource={list}")));
        }
    }
    for (resource, named) in [("secrets", secrets), ("configmaps", config_maps)] {
        if !named.is_empty() {
            let names = named.into_iter().flat_map(|name| [" --resource-name=", name]).collect::<String>();
            commands.extend(grant(account, Within::Namespace, &format!("--verb=get --resource={resource}{names}")));
        }
    }
    commands.join(" && ")
}

fn grant(account: &Account, within: Within, flags: &str) -> [String; 2] {
    let Account { namespace, name } = account;
    let mut hasher = DefaultHasher::new();
    (account, flags).hash(&mut hasher);
    let role = format!("changehook-{:08x}", hasher.finish() >> 32);
    let (kind, place) = match within {
        Within::Namespace => ("role", format!(" -n {namespace}")),
        Within::Cluster => ("clusterrole", String::new()),
    };
    [
        format!("kubectl create {kind} {role}{place} {flags}"),
        format!("kubectl create {kind}binding {role}{place} --{kind}={role} --serviceaccount={namespace}:{name}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::question::{Collection, Verb};
    use super::*;

    fn account() -> Account {
        Account { namespace: "shop".to_owned(), name: "watcher".to_owned() }
    }

    fn on(verb: Verb, group: &str, plural: &str) -> Question {
        within(Within::Namespace, verb, group, plural)
    }

    fn within(within: Within, verb: Verb, group: &str, plural: &str) -> Question {
        Question::Collection(verb, Collection { group: group.to_owned(), plural: plural.to_owned(), within })
    }

    #[test]
    fn the_message_says_what_is_missing_and_how_to_grant_it() {
        let missing = [
            on(Verb::List, "", "configmaps"),
            on(Verb::Watch, "", "configmaps"),
            on(Verb::Watch, "apps", "deployments"),
            Question::Secret("signing".to_owned()),
            Question::Secret("partner".to_owned()),
        ];
        let text = remedy(&account(), &missing.iter().collect::<Vec<_>>());
        let (what, commands) = text.split_once("; to allow it: ").unwrap();
        assert_eq!(
            what,
            "ServiceAccount shop/watcher may not get Secret partner, get Secret signing, list configmaps, watch \
             configmaps, watch deployments.apps"
        );
        let commands: Vec<&str> = commands.split(" && ").collect();
        let role = commands[0].split(' ').nth(3).unwrap();
        assert_eq!(
            commands[..2],
            [
                format!("kubectl create role {role} -n shop --verb=list,watch --resource=configmaps,deployments.apps"),
                format!("kubectl create rolebinding {role} -n shop --role={role} --serviceaccount=shop:watcher"),
            ]
        );
        assert!(commands[2].ends_with("--verb=get --resource=secrets --resource-name=partner --resource-name=signing"));
        assert_eq!(commands.len(), 4);
        // what else may be missing later has a role of its own
        let later = remedy(&account(), &[&missing[3]]);
        assert!(!later.contains(role), "{later}");
    }

    #[test]
    fn what_is_missing_in_the_whole_cluster_is_granted_there() {
        let missing =
            [within(Within::Cluster, Verb::List, "", "nodes"), within(Within::Cluster, Verb::Watch, "", "nodes")];
        let text = remedy(&account(), &missing.iter().collect::<Vec<_>>());
        let (what, commands) = text.split_once("; to allow it: ").unwrap();
        let all = "list nodes in the whole cluster, watch nodes in the whole cluster";
        assert_eq!(what, format!("ServiceAccount shop/watcher may not {all}"));
        let role = commands.split(' ').nth(3).unwrap();
        let create = format!("kubectl create clusterrole {role} --verb=list,watch --resource=nodes");
        let bind =
            format!("kubectl create clusterrolebinding {role} --clusterrole={role} --serviceaccount=shop:watcher");
        assert_eq!(commands, format!("{create} && {bind}"));
    }

    #[test]
    fn a_message_that_would_be_too_long_has_whole_commands_for_some_and_says_how_many_more_there_are() {
        let missing: Vec<Question> = (0..40).map(|n| Question::Secret(format!("a-rather-long-name-{n}"))).collect();
        let text = remedy(&account(), &missing.iter().collect::<Vec<_>>());
        assert!(text.len() <= MAX_MESSAGE && text.ends_with("--serviceaccount=shop:watcher"), "{text}");
        let named = text.matches("get Secret").count();
        assert!(named > 5 && text.contains(&format!(", and lacks {} more;", 40 - named)), "{text}");
    }

    #[test]
    fn the_commands_are_whole_however_long_the_names_are() {
        // namespaces and plurals are labels, everything else may have 253 characters
        for (namespace, name, other) in [63, 1].into_iter().flat_map(|namespace| {
            let names = [1, 50, 100, 150, 200, 253];
            names.into_iter().flat_map(move |name| names.map(|other| (namespace, name, other)))
        }) {
            let account = Account { namespace: "n".repeat(namespace), name: "s".repeat(name) };
            let kind = |n: usize| (format!("{n}{}", "p".repeat(62)), "g".repeat(other.min(250)));
            let rights = |n| {
                let place = if n == 2 { Within::Cluster } else { Within::Namespace };
                let (plural, group) = kind(n);
                [Verb::List, Verb::Watch].map(|verb| within(place, verb, &group, &plural))
            };
            let secrets: Vec<Question> =
                (0..3).map(|n| Question::Secret(format!("{n}{}", "x".repeat(other - 1)))).collect();
            let kinds: Vec<Question> = (0..3).flat_map(rights).collect();
            let both = [kinds.clone(), secrets.clone()].concat();
            for missing in [&kinds[..], &kinds[..2], &kinds[..1], &kinds[4..], &secrets, &secrets[..1], &both] {
                let text = remedy(&account, &missing.iter().collect::<Vec<_>>());
                assert!(text.len() <= MAX_MESSAGE, "{} bytes: {text}", text.len());
                let (_, commands) = text.split_once("; to allow it: ").unwrap();
                let commands: Vec<&str> = commands.split(" && ").collect();
                for (n, command) in commands.iter().enumerate() {
                    let (start, end) = match n % 2 {
                        0 => ("role changehook-", None),
                        _ => ("rolebinding changehook-", Some(&account.name)),
                    };
                    assert!(command.starts_with("kubectl create ") && command.contains(start), "{text}");
                    assert!(end.is_none_or(|end| command.ends_with(&format!(":{end}"))), "{text}");
                }
                assert!(commands.len() >= 2 && commands.len().is_multiple_of(2), "{text}");
            }
        }
    }
}
