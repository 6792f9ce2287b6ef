use changehook_core::engine::Caps;

use crate::rig::{Rig, S, no_connection, ok, plan, status};

fn rig_of(caps: Caps, ids: &[&str]) -> Rig {
    let mut rig = Rig::with_caps(caps);
    for id in ids {
        rig.subscribe(plan(id));
    }
    rig
}

#[test]
fn a_host_gets_no_more_than_its_share_over_all_subscriptions_and_all_but_the_newcomers_quarter_always() {
    let mut rig = rig_of(Caps { global: 100, per_host: 5 }, &["a", "b", "c"]);
    for n in 0..10 {
        for id in ["a", "b", "c"] {
            rig.show_to(id, &format!("o{n}"), 1);
        }
    }
    for _ in 0..30 {
        let left = 30 - rig.sent.len() + rig.requests.len();
        assert!((4.min(left)..=5.min(left)).contains(&rig.requests.len()), "{} of {left}", rig.requests.len());
        let attempt = rig.requests.remove(0);
        rig.engine.answered(rig.now, &attempt, ok(), 0);
        rig.poll();
    }
    assert_eq!(rig.sent.len(), 30);
}

#[test]
fn all_together_get_no_more_than_the_global_cap() {
    let mut rig = Rig::with_caps(Caps { global: 7, per_host: 5 });
    for id in ["a", "b", "c"] {
        let mut plan = plan(id);
        plan.host = format!("host-{id}").into();
        rig.subscribe(plan);
    }
    for n in 0..10 {
        for id in ["a", "b", "c"] {
            rig.show_to(id, &format!("o{n}"), 1);
        }
    }
    assert_eq!(rig.requests.len(), 7);
    rig.script(|_| Some(ok()));
    rig.answer_all(&ok());
    assert_eq!(rig.sent.len(), 30);
}

#[test]
fn namespaces_take_turns_however_many_subscriptions_one_has() {
    let mut rig = Rig::with_caps(Caps { global: 1, per_host: 1 });
    for n in 0..5 {
        let mut plan = plan(&format!("crowded{n}"));
        plan.namespace = "crowded".into();
        rig.subscribe(plan);
    }
    let mut quiet = plan("quiet");
    quiet.namespace = "quiet".into();
    rig.subscribe(quiet);
    for n in 0..10 {
        for id in 0..5 {
            rig.show_to(&format!("crowded{id}"), &format!("o{n}"), 1);
        }
        rig.show_to("quiet", &format!("o{n}"), 1);
    }
    for _ in 0..20 {
        rig.answer_all(&ok());
    }
    let quiet = rig.sent[..20].iter().filter(|sent| sent.subscription == "quiet").count();
    assert!((9..=10).contains(&quiet), "{quiet} of 20");
}

#[test]
fn retries_never_take_the_room_of_first_attempts() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.retry.max_retries = 20);
    // Every object fails now and then, with successes in between, so the breaker stays closed.
    for n in 0..40 {
        rig.show(&format!("slow{n}"), 1);
        rig.show(&format!("good{n}"), 1);
        rig.answer(&format!("slow{n}"), status(503));
        rig.answer(&format!("good{n}"), ok());
    }
    rig.run_for(10_000);
    assert_eq!(rig.requests.len(), 4, "a quarter of 16 is for retries");
    for n in 0..12 {
        rig.show(&format!("new{n}"), 1);
        assert_eq!(rig.requests.len(), 5 + n);
    }
}

#[test]
fn first_attempts_never_starve_retries() {
    let mut rig = Rig::new();
    for max_in_flight in [1, 2, 16] {
        let id = format!("sub{max_in_flight}");
        let mut plan = plan(&id);
        plan.max_in_flight = max_in_flight;
        rig.subscribe(plan);
        rig.show_to(&id, "retry", 1);
        rig.answer_to(&id, "retry", no_connection());
        for n in 0..200 {
            rig.show_to(&id, &format!("o{n}"), 1);
        }
        rig.run_for(2_000);
        let before = rig.sent.len();
        while !rig.sent[before..].iter().any(|sent| sent.uid == "retry") {
            let attempt = rig.requests.remove(0);
            rig.engine.answered(rig.now, &attempt, ok(), 0);
            rig.poll();
            assert!(rig.sent.len() - before < 5, "with {max_in_flight} in flight");
        }
        rig.answer_all(&ok());
        rig.script(|_| Some(ok()));
        rig.run_for(1_000);
        rig.script(|_| None);
    }
}

#[test]
fn probes_of_many_dead_endpoints_leave_room_for_the_living() {
    let mut rig = Rig::with_caps(Caps { global: 8, per_host: 32 });
    rig.script(|sent| (sent.number == 1).then(no_connection));
    for n in 0..30 {
        let id = format!("dead{n}");
        let mut plan = plan(&id);
        plan.host = format!("host{n}").into();
        rig.subscribe(plan);
        for uid in ["a", "b", "c"] {
            rig.show_to(&id, uid, 1);
        }
    }
    // The probes hang.
    rig.run_for(10_000);
    assert_eq!(rig.requests.len(), 2);
    rig.subscribe(plan("living"));
    rig.script(|sent| (sent.subscription == "living").then(ok));
    rig.show_to("living", "x", 1);
    assert_eq!(rig.view_of("living").totals.delivered, 1);
    // And they all get their turn.
    rig.script(|_| Some(ok()));
    rig.answer_all(&ok());
    rig.run_for(60_000);
    assert_eq!(rig.engine.gauges().pending, 0);
}

#[test]
fn a_removed_subscription_gives_its_permits_back() {
    let mut rig = rig_of(Caps { global: 4, per_host: 8 }, &["a", "b"]);
    for n in 0..4 {
        rig.show_to("a", &format!("o{n}"), 1);
    }
    rig.show_to("b", "x", 1);
    assert_eq!(rig.requests.len(), 4);
    let id = rig.plans["a"].id.clone();
    rig.engine.remove(rig.now, &id);
    rig.poll();
    assert_eq!(rig.requests.len(), 4, "what is under way holds its permit until it is answered");
    rig.answer_to("a", "o2", ok());
    assert_eq!(rig.under_way(), ["o0", "o1", "o3", "x"]);
    rig.answer_all(&no_connection());
    assert_eq!(rig.engine.gauges().in_flight, 0);
    rig.run_for(2_000);
    assert!(rig.durable.books.keys().all(|id| *id.uid == *"b"));
}

#[test]
fn a_removed_subscription_gives_back_what_it_was_about_to_use() {
    let mut rig = rig_of(Caps { global: 1, per_host: 1 }, &["a", "b"]);
    rig.commits_at_once = false;
    rig.show_to("a", "o", 1);
    rig.show_to("b", "x", 1);
    let id = rig.plans["a"].id.clone();
    rig.engine.remove(rig.now, &id);
    rig.poll();
    rig.commits_at_once = true;
    rig.commit();
    rig.poll();
    assert_eq!(rig.under_way(), ["x"]);
}

#[test]
fn a_subscription_that_comes_back_waits_for_what_its_former_self_has_under_way() {
    let mut rig = rig_of(Caps { global: 10, per_host: 2 }, &["a"]);
    rig.show_to("a", "o", 1);
    let former = rig.plans["a"].clone();
    rig.engine.remove(rig.now, &former.id);
    rig.subscribe(former);
    rig.show_to("a", "o", 2);
    assert_eq!(rig.requests.len(), 1, "one request per object");
    rig.answer_to("a", "o", ok());
    assert_eq!(rig.requests.len(), 1);
    assert_eq!(rig.sent.last().map(|sent| sent.content), Some(Some(2)));
    // Its answer was not taken for the new one's, and no permit is lost.
    assert_eq!(rig.view_of("a").totals.delivered, 0);
    rig.answer_to("a", "o", ok());
    for n in 0..5 {
        rig.show_to("a", &format!("p{n}"), 1);
    }
    assert_eq!(rig.requests.len(), 2);
}

#[test]
fn permits_follow_the_host_they_were_taken_for() {
    let mut rig = rig_of(Caps { global: 10, per_host: 2 }, &["a", "b"]);
    for n in 0..3 {
        rig.show_to("a", &format!("o{n}"), 1);
        rig.show_to("b", &format!("p{n}"), 1);
    }
    assert_eq!(rig.requests.len(), 2);
    // Both waited for the old host; one moves away, and the other still gets its turn.
    rig.edit("a", |plan| plan.host = "elsewhere".into());
    assert_eq!(rig.requests.len(), 4);
    rig.script(|_| Some(ok()));
    rig.answer_all(&ok());
    assert_eq!(rig.sent.len(), 6);
}
