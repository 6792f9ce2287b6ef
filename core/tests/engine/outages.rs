use changehook_core::engine::BreakerState;

use crate::rig::{Rig, S, no_connection, ok, status};

fn is_open(rig: &Rig) -> bool {
    matches!(rig.view().endpoint.breaker, BreakerState::Open { .. })
}

/// Three objects fail: the breaker is open, two wait for their retries or are parked, one is probed in turn.
fn outage(rig: &mut Rig) {
    rig.script(|_| Some(no_connection()));
    for uid in ["a", "b", "c"] {
        rig.show(uid, 1);
    }
    assert!(is_open(rig));
}

#[test]
fn an_object_that_exhausts_its_attempts_alone_opens_the_breaker() {
    let mut rig = Rig::new();
    rig.script(|_| Some(no_connection()));
    rig.show("a", 1);
    rig.run_for(13_999);
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
    rig.run_for(1);
    assert!(is_open(&rig));
    assert_eq!(rig.view().parked, 1);
}

#[test]
fn once_everything_that_waited_has_arrived_the_breaker_is_closed_whatever_the_slow_start_had_left() {
    let mut rig = Rig::new();
    outage(&mut rig);
    rig.script(|_| Some(ok()));
    rig.run_for(60_000);
    assert_eq!(rig.view().pending, 0);
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn a_poison_object_is_parked_and_the_breaker_stays_closed() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.uid == "poison" { status(500) } else { ok() }));
    rig.show("poison", 1);
    rig.run_for(1_000);
    rig.show("good", 1);
    rig.run_for(60_000);
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
    assert_eq!((rig.times("poison", 0).len(), rig.view().parked), (4, 1));
    // Nothing but a change of its own releases it.
    rig.show("good", 2);
    rig.run_for(60_000);
    assert_eq!(rig.times("poison", 0).len(), 4);
    rig.script(|_| Some(ok()));
    rig.show("poison", 2);
    assert_eq!((rig.times("poison", 0).len(), rig.view().parked), (5, 0));
}

#[test]
fn a_refusal_is_no_success_that_would_make_another_object_poison() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.uid == "refused" { status(422) } else { no_connection() }));
    rig.show("a", 1);
    rig.run_for(1_000);
    rig.show("refused", 1);
    rig.run_for(14_000);
    assert!(is_open(&rig));
    rig.script(|_| Some(ok()));
    rig.run_for(20_000);
    assert_eq!(rig.view().parked, 1, "only what was refused is still parked");
}

#[test]
fn what_exhausts_during_an_outage_waits_for_its_end_even_if_others_succeeded_before_it_began() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.answer("a", no_connection());
    rig.run_for(100);
    rig.show("good", 1);
    rig.answer("good", ok());
    rig.script(|_| Some(no_connection()));
    for uid in ["b", "c", "d"] {
        rig.show(uid, 1);
    }
    rig.run_for(300_000);
    assert!(rig.view().parked >= 1);
    rig.script(|_| Some(ok()));
    rig.run_for(60_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn an_outage_is_probed_one_at_a_time_after_2_4_8_seconds_and_then_a_tenth_of_its_age() {
    let mut rig = Rig::new();
    let since = rig.now.mono;
    outage(&mut rig);
    for n in 0..20 {
        rig.show(&format!("new{n}"), 1);
    }
    rig.run_for(3_600_000);
    let times: Vec<u64> = rig.sent[3..].iter().map(|sent| sent.at - since).collect();
    assert_eq!(times[..5], [2_000, 6_000, 14_000, 22_000, 30_000]);
    for pair in times.windows(2) {
        let wait = pair[1] - pair[0];
        assert!(wait <= 8_000.max(pair[0] / 10 + 1).min(300_000), "{pair:?}");
    }
    assert!(times.len() < 100);
}

#[test]
fn the_first_good_answer_releases_what_was_parked_and_the_limit_doubles() {
    let mut rig = Rig::new();
    outage(&mut rig);
    for n in 0..40 {
        rig.show(&format!("o{n}"), 1);
    }
    rig.run_for(2_000_000);
    assert!(rig.view().parked > 0);
    rig.script(|_| None);
    rig.run_for(300_000);
    let mut limits = Vec::new();
    while !rig.requests.is_empty() {
        limits.push(rig.requests.len());
        rig.answer_all(&ok());
    }
    assert_eq!(limits[..3], [1, 1, 2]);
    assert!(limits.windows(2).all(|pair| pair[1] <= 4 * pair[0]), "{limits:?}");
    rig.run_for(1_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
    assert_eq!(rig.view().endpoint.breaker, BreakerState::Closed);
}

#[test]
fn objects_that_the_endpoint_never_takes_do_not_keep_others_from_being_tried() {
    let mut rig = Rig::new();
    rig.script(|sent| Some(if sent.uid.starts_with("poison") { status(500) } else { ok() }));
    for n in 0..3 {
        rig.show(&format!("poison{n}"), 1);
    }
    rig.run_for(120_000);
    let since = rig.now.mono;
    rig.show("good", 1);
    rig.run_for(60_000);
    assert_eq!(rig.times("good", since).len(), 1);
}

#[test]
fn probes_go_round_those_that_the_outage_parked() {
    let mut rig = Rig::new();
    outage(&mut rig);
    rig.run_for(300_000);
    assert_eq!(rig.view().parked, 3);
    rig.script(|sent| Some(if sent.uid == "a" { no_connection() } else { ok() }));
    rig.run_for(600_000);
    assert_eq!(rig.view().totals.delivered, 2);
}

#[test]
fn a_probe_under_way_when_the_outage_ends_is_not_forgotten() {
    let mut rig = Rig::new();
    rig.script(|_| None);
    for uid in ["slow", "a", "b", "c"] {
        rig.show(uid, 1);
    }
    for uid in ["a", "b", "c"] {
        rig.answer(uid, no_connection());
    }
    rig.script(|sent| (sent.at < 1_120_000).then(no_connection));
    rig.run_for(100_000);
    assert_eq!(rig.view().parked, 3);
    rig.run_for(60_000);
    let probe = rig.under_way().into_iter().find(|uid| uid != "slow").unwrap();
    // Its neighbour from before the outage succeeds, and everything parked is released; the probe fails after that.
    rig.script(|_| Some(ok()));
    rig.answer("slow", ok());
    rig.answer(&probe, no_connection());
    rig.run_for(60_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn an_old_probe_that_is_answered_late_does_not_let_a_second_one_out() {
    let mut rig = Rig::new();
    for uid in ["slow1", "slow2", "a", "b", "c"] {
        rig.show(uid, 1);
    }
    for uid in ["a", "b", "c"] {
        rig.answer(uid, no_connection());
    }
    rig.run_for(10_000);
    let first = rig.under_way().into_iter().find(|uid| !uid.starts_with("slow")).unwrap();
    rig.script(|_| Some(no_connection()));
    rig.answer("slow1", ok());
    rig.answer("slow2", ok());
    // It goes down again, with the first outage's probe still under way.
    for n in 0..5 {
        rig.show(&format!("x{n}"), 1);
        rig.run_for(1_000);
    }
    assert!(is_open(&rig));
    rig.script(|_| None);
    rig.run_for(60_000);
    assert_eq!(rig.requests.len(), 2);
    rig.answer(&first, no_connection());
    rig.run_for(1_000);
    assert_eq!(rig.requests.len(), 1, "{:?}", rig.under_way());
}

#[test]
fn a_new_configuration_ends_the_outage_and_releases_everything() {
    let mut rig = Rig::new();
    outage(&mut rig);
    rig.show("refused", 1);
    rig.run_for(100_000);
    rig.script(|_| Some(ok()));
    rig.edit(S, |plan| plan.config_hash = 7);
    rig.run_for(10_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
    assert_eq!(rig.view().endpoint.last_error, None);
}

#[test]
fn what_fails_under_a_former_configuration_is_not_given_up_for_it() {
    let mut rig = Rig::new();
    rig.show("a", 1);
    rig.show("b", 1);
    rig.edit(S, |plan| plan.config_hash = 7);
    rig.script(|_| Some(ok()));
    rig.answer("a", status(401));
    rig.answer("b", status(422));
    rig.run_for(1_000);
    assert_eq!((rig.view().parked, rig.view().pending), (0, 0));
}

#[test]
fn a_dead_endpoint_of_one_subscription_costs_another_nothing() {
    let mut rig = Rig::new();
    let mut other = crate::rig::plan("other");
    other.host = "elsewhere".into();
    rig.subscribe(other);
    rig.script(|sent| Some(if sent.subscription == S { no_connection() } else { ok() }));
    for n in 0..100 {
        rig.show(&format!("o{n}"), 1);
        let since = rig.now.mono;
        rig.show_to("other", &format!("o{n}"), 1);
        assert_eq!(rig.sent.last().map(|sent| (sent.subscription.as_str(), sent.at)), Some(("other", since)));
    }
    assert_eq!(rig.view_of("other").totals.delivered, 100);
    assert_eq!(rig.view_of("other").endpoint.breaker, BreakerState::Closed);
    assert!(is_open(&rig));
}
