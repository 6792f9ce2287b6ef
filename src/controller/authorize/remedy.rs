//! The commands that grant what is missing.
//!
//! Touches nothing. Invariants: pasted into a shell, the commands work, also if earlier ones were pasted before: a role's
//! name tells what is in it; names come from the API server or were validated, so nothing needs quoting; a message is cut
//! between commands, never within one, as long as one fits.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::question::{Account, Question, Within};
use crate::api::conditions::MAX_MESSAGE;

/// What is said of an account that lacks these.
pub(super) fn remedy(account: &Account, missing: &[&Question]) -> String {
    let mut shown = missing.len();
    loop {
        let text = text(account, &missing[..shown], missing.len() - shown);
        if text.len() <= MAX_MESSAGE || shown <= 1 {
            return text;
        }
        shown -= 1;
    }
}

fn text(account: &Account, missing: &[&Question], others: usize) -> String {
    let mut lacking = BTreeSet::new();
    let (mut resources, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let (mut secrets, mut config_maps) = (BTreeSet::new(), BTreeSet::new());
    for question in missing {
        match question {
            Question::Collection(verb, collection) => {
                let (place, of) = match collection.within {
                    Within::Namespace => ("", &mut resources),
                    Within::Cluster => (" in the whole cluster", &mut everywhere),
                };
                lacking.insert(format!("{} {}{place}", verb.as_str(), collection.qualified()));
                of.insert(collection.qualified());
            }
            Question::Secret(name) => {
                lacking.insert(format!("get Secret {name}"));
                secrets.insert(name.as_str());
            }
            Question::ConfigMap(name) => {
                lacking.insert(format!("get ConfigMap {name}"));
                config_maps.insert(name.as_str());
            }
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
    let lacks = lacking.into_iter().collect::<Vec<_>>().join(", ");
    let rest = if others == 0 { String::new() } else { format!(", and lacks {others} more") };
    let Account { namespace, name } = account;
    format!("ServiceAccount {namespace}/{name} may not {lacks}{rest}; to allow it: {}", commands.join(" && "))
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
}
