//! The design's table of states, judged.

use crate::history::said;
use crate::judge::{Verdict, judge};
use crate::scenes::Play;
use crate::world::root;

/// Row, Ready, kstatus, Argo CD, Argo CD strict, Flux strict.
pub const TABLE: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("not_seen_yet", "-", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("ledger_load", "-", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("edited_not_seen_yet", "True(Watching)", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("first_list", "False(Progressing)", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("secret_missing", "False(SecretNotFound)", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("kind_missing", "False(KindNotInstalled)", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("not_authorized", "False(NotAuthorized)", "InProgress", "Progressing", "Progressing", "InProgress"),
    ("address_refused", "False(AddressRefused)", "Failed", "Degraded", "Degraded", "Failed"),
    ("watching", "True(Watching)", "Current", "Healthy", "Healthy", "Current"),
    ("delivering", "True(Watching)", "Current", "Healthy", "Healthy", "Current"),
    ("suspended", "True(Suspended)", "Current", "Suspended", "Suspended", "Current"),
    ("retrying", "True(Watching)", "Current", "Healthy", "Degraded", "InProgress"),
    ("parked", "True(Watching)", "Current", "Healthy", "Degraded", "InProgress"),
    ("breaker_open", "True(Watching)", "Current", "Healthy", "Degraded", "InProgress"),
    ("suspended_endpoint_down", "True(Suspended)", "Current", "Suspended", "Suspended", "Current"),
    ("ledger_unavailable", "True(Watching)", "Current", "Healthy", "Healthy", "Current"),
    ("ledger_lost", "True(Watching)", "Current", "Healthy", "Healthy", "Current"),
];

#[tokio::test]
async fn every_row_of_the_table_of_states_is_judged_as_the_table_says() {
    let play = Play::seen().await;
    let objects: Vec<_> = play.scenes.iter().map(|scene| &scene.object).collect();
    let verdicts = judge(&objects).await;
    let mut judged = Vec::new();
    for (scene, verdict) in play.scenes.iter().zip(&verdicts) {
        let ready = said(&scene.object, "Ready");
        let argo = (verdict.argo().status.clone(), verdict.argo_strict().status.clone());
        judged.push((scene.row, ready, verdict.kstatus.status.clone(), argo.0, argo.1, verdict.flux_strict()));
    }
    let expected: Vec<_> = TABLE
        .iter()
        .map(|(row, ready, kstatus, argo, strict, flux)| {
            let owned = |text: &str| text.to_owned();
            (*row, owned(ready), owned(kstatus), owned(argo), owned(strict), *flux)
        })
        .collect();
    assert_eq!(judged, expected, "{verdicts:#?}");
}

#[test]
fn the_documentation_has_the_table_as_it_is_judged() {
    let text = std::fs::read_to_string(root().join("docs/gitops.md")).expect("it is there");
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let documented: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split('|').skip(1).map(str::trim).collect()).collect();
    let code = |row: &str| format!("`{row}`");
    let judged = TABLE.iter().map(|(row, _, kstatus, argo, strict, flux)| (*kstatus, *argo, *flux, *strict, code(row)));
    let documented = documented.iter().map(|cells| (cells[0], cells[1], cells[2], cells[3], cells[4].to_owned()));
    assert_eq!(documented.collect::<Vec<_>>(), judged.collect::<Vec<_>>());
}

#[tokio::test]
async fn what_keeps_a_rollout_waiting_says_what_would_help() {
    let play = Play::seen().await;
    let lacking = ["secret_missing", "kind_missing", "not_authorized", "address_refused"];
    let scenes: Vec<_> = play.scenes.iter().filter(|scene| lacking.contains(&scene.row)).collect();
    assert_eq!(scenes.len(), lacking.len());
    let verdicts = judge(&scenes.iter().map(|scene| &scene.object).collect::<Vec<_>>()).await;
    for (scene, verdict) in scenes.iter().zip(verdicts) {
        let messages = [&verdict.kstatus, &verdict.flux_kstatus, verdict.argo()].map(|health| &health.message);
        for message in messages {
            assert!(message.starts_with("spec.") && message.len() > 40, "{}: {message}", scene.row);
        }
    }
}

#[tokio::test]
async fn no_version_of_a_status_breaks_a_rule_of_kstatus_or_flux_and_no_two_tools_disagree() {
    let play = Play::seen().await;
    assert!(play.versions.len() > 2 * TABLE.len(), "{}", play.versions.len());
    let verdicts = judge(&play.versions.iter().collect::<Vec<_>>()).await;
    for (object, verdict) in play.versions.iter().zip(verdicts) {
        let Verdict { kstatus, flux_kstatus, flux_fails, flux_warns, .. } = &verdict;
        let argo: &[&str] = match kstatus.status.as_str() {
            "InProgress" => &["Progressing"],
            "Failed" => &["Degraded"],
            "Current" => &["Healthy", "Suspended"],
            other => panic!("{other}: {object:#}"),
        };
        assert!(argo.contains(&&*verdict.argo().status), "{verdict:#?}\n{object:#}");
        assert_eq!(kstatus.status, flux_kstatus.status, "{verdict:#?}\n{object:#}");
        // Flux's linter judges what a reconciliation leaves behind, not what it has not begun with.
        let fails: &[&str] = match object["status"]["observedGeneration"].as_i64() {
            Some(-1) => &["Ready condition must always be present"],
            observed if observed == object["metadata"]["generation"].as_i64() => &[],
            _ => continue,
        };
        assert_eq!(
            (&flux_fails[..], flux_warns.len()),
            (&fails.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..], 0),
            "{verdict:#?}\n{object:#}"
        );
    }
}
