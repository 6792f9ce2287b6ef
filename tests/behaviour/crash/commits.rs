//! What the API server can do to a commit: refuse it, answer late, wrongly or not at all.

use std::time::Duration;

use serde_json::json;
use testbed::fault_proxy::{Fault, Matcher, Moment, Times};
use testbed::{Reply, eventually};

use super::{LATER, Life, NAME, commits};
use crate::world::condition;

/// Long enough to see that nothing is sent, as an answer to a change takes a few milliseconds.
const A_MOMENT: Duration = Duration::from_millis(1500);

async fn intact(life: &Life, status: &str, reason: &str) {
    let look = || async {
        let object = life.world.get(NAME).await;
        let intact = condition(&object, "LedgerIntact").cloned().unwrap_or_default();
        if intact["status"] == status && intact["reason"] == reason { Ok(()) } else { Err(intact.to_string()) }
    };
    if let Err(error) = eventually(LATER, look).await {
        panic!("LedgerIntact is not {status} ({reason}): {error}\n{}", life.log_tail());
    }
}

#[tokio::test]
async fn nothing_is_sent_before_its_declaration_is_known_to_be_durable() {
    let life = Life::subscribed(json!({})).await;
    life.marker("first").await;
    let quiet = async || life.world.receiver.stays_quiet(A_MOMENT).await.expect("nothing is declared yet");
    for (moment, n) in [(Moment::Before, "1"), (Moment::After, "2")] {
        life.settled().await;
        let held = life.proxy.stop_at(commits(), 1, moment);
        life.world.config_map("thing", json!({"n": n})).await;
        held.reached(LATER).await.expect("it is declared");
        quiet().await;
        held.release();
        let told = || async { (life.tally().0.len() == 1 + n.parse::<usize>().unwrap_or(0)).then_some(()) };
        eventually(LATER, told).await.expect("it is told");
    }
    life.told_exactly(&["new first", "new thing", "updated thing"]).await;
    life.is_sound();
}

#[tokio::test]
async fn commits_that_are_refused_or_answered_wrongly_are_settled_and_nothing_is_lost() {
    let mut life = Life::subscribed(json!({})).await;
    let pid = life.operator().pid();
    let faults = [
        Fault::Status(409),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(504),
        Fault::Close,
        Fault::DoneThenStatus(409),
        Fault::DoneThenStatus(500),
        Fault::DoneThenStatus(504),
        Fault::DoneThenClose,
        // its writer gives up waiting and looks
        Fault::DoneThenHang,
    ];
    let mut expected = Vec::new();
    for (n, fault) in faults.into_iter().enumerate() {
        let handle = life.proxy.inject(commits(), fault.clone(), Times::Count(2));
        life.marker(&format!("thing-{n}")).await;
        expected.push(format!("new thing-{n}"));
        // the acknowledgement goes through the same
        let hit = || async { (handle.hits() == 2).then_some(()) };
        eventually(LATER, hit).await.unwrap_or_else(|error| panic!("{fault:?}: {error}\n{}", life.log_tail()));
    }
    assert_eq!((life.told(), life.tally().repeats()), (expected, 0));
    life.settled().await;
    assert_eq!(life.operator().pid(), pid);
    assert!(life.operator().wait(Duration::ZERO).await.is_err(), "none of it is a reason to end");
    life.kill().await;
    life.start().await;
    life.marker("marker").await;
    assert_eq!(life.tally().repeats(), 0);
    life.is_sound();
}

#[tokio::test]
async fn while_commits_fail_nothing_is_sent_it_is_said_so_and_afterwards_everything_is_told() {
    let mut life = Life::subscribed(json!({})).await;
    for name in ["edited", "deleted"] {
        life.marker(name).await;
    }
    let mut n = 1;
    for fault in [Fault::Status(500), Fault::Hang] {
        life.settled().await;
        let before = life.tally().0.len();
        let failing = life.proxy.inject(commits(), fault, Times::Always);
        n += 1;
        life.world.config_map("edited", json!({"n": n.to_string()})).await;
        intact(&life, "Unknown", "LedgerUnavailable").await;
        life.world.config_map("meanwhile", json!({"n": n.to_string()})).await;
        life.world.receiver.stays_quiet(A_MOMENT).await.expect("nothing is sent");
        assert_eq!(life.tally().0.len(), before);
        failing.clear();
        life.same_as_the_cluster().await;
        intact(&life, "True", "Intact").await;
        assert_eq!(life.tally().repeats(), 0);
    }
    life.is_sound();
}

#[tokio::test]
async fn a_kill_while_commits_fail_repeats_no_more_than_was_answered_since_the_last_one() {
    let mut life = Life::subscribed(json!({})).await;
    life.marker("settled").await;
    life.settled().await;
    let (path, late) = (format!("/{NAME}"), Reply::Status(200).after(Duration::from_secs(1)));
    life.world.receiver.script(&path, vec![late]);
    // declared and under way; its answer finds a ledger that takes nothing
    life.world.config_map("answered", json!({})).await;
    life.world.requests(NAME, 2).await;
    let failing = life.proxy.inject(commits(), Fault::Status(500), Times::Always);
    intact(&life, "Unknown", "LedgerUnavailable").await;
    life.kill().await;
    life.world.config_map("meanwhile", json!({})).await;
    life.start_unready().await;
    life.world.receiver.stays_quiet(A_MOMENT).await.expect("nothing is sent without a claim");
    failing.clear();
    life.told_exactly(&["new answered", "new meanwhile", "new settled"]).await;
    let tally = life.tally();
    let of = |name: &str| tally.0.iter().filter(|telling| telling.name == name).count();
    assert_eq!((of("settled"), of("answered"), of("meanwhile")), (1, 2, 1));
    assert!(tally.contradictions().is_empty() && tally.told_twice(&life.kills).is_empty(), "{tally:?}");
}

#[tokio::test]
async fn a_commit_that_is_refused_for_good_ends_it_with_a_reason_and_is_made_once_it_can_be() {
    let mut life = Life::subscribed(json!({})).await;
    life.marker("first").await;
    let namespace = life.options().namespace;
    for code in [413, 422] {
        life.settled().await;
        let before = life.tally().events();
        let refusing = life.proxy.inject(commits(), Fault::Status(code), Times::Always);
        // its last status is what it stays up for
        let late = life.proxy.inject(
            Matcher::writes("webhooksubscriptions"),
            Fault::Delay(Duration::from_secs(2)),
            Times::Always,
        );
        life.world.config_map("thing", json!({"n": code.to_string()})).await;
        let why = format!("failed to write head for good: update: the API server answered {code}");
        let says = || async {
            let (status, text) = life.operator().readyz().await.map_err(|error| format!("{error:?}"))?;
            if status == 503 && text.contains(&why) { Ok(()) } else { Err(format!("{status}: {text}")) }
        };
        eventually(LATER, says).await.unwrap_or_else(|error| panic!("{error}\n{}", life.log_tail()));
        let ended = life.operator().wait(LATER).await.expect("it ends");
        assert!(!ended.success() && life.operator().log().contains(&why), "{}", life.operator().log());
        late.clear();
        intact(&life, "Unknown", "LedgerRefused").await;
        let told = life.world.get(NAME).await;
        let message = condition(&told, "LedgerIntact").expect("it is there")["message"].to_string();
        assert!(message.contains(&why) && message.contains("docs/operations.md"), "{message}");
        // and again, without a claim this time, and without keeping anybody from trying
        life.start_unready().await;
        let ended = life.operator().wait(LATER).await.expect("it ends");
        assert!(!ended.success() && life.operator().log().contains(&why), "{}", life.operator().log());
        let lease = ["get", "lease", "changehook", "-o", "jsonpath={.spec.holderIdentity}"];
        let holder = life.world.plane().kubectl_ok(&[&["--namespace", &*namespace], &lease[..]].concat()).await;
        assert_eq!(holder.expect("there is a Lease"), "", "the Lease is free");
        assert_eq!(life.tally().events(), before, "nothing is sent that is not on record");
        refusing.clear();
        life.start().await;
        life.same_as_the_cluster().await;
        intact(&life, "True", "Intact").await;
        assert_eq!((life.tally().events(), life.tally().repeats()), (before + 1, 0));
    }
    life.is_sound();
}
