//! The Lease's rules: each case by name, all cases together, and many replicas on one Lease.

mod rivals;

use super::*;

const DURATIONS: Durations = Durations {
    lease: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry: Duration::from_secs(2),
};

fn held_by(holder: &str, renewed: i64) -> Record {
    Record {
        holder: holder.to_owned(),
        duration: Some(Duration::from_secs(15)),
        renewed: Some(renewed),
        transitions: 3,
    }
}

fn look(observed: Option<Record>, last: Option<Seen>, mono: u64) -> (Decision, Option<Seen>) {
    evaluate(observed, last, "me", Stance::Candidate, mono, &DURATIONS)
}

#[test]
fn a_lease_that_is_absent_or_free_is_taken_at_once() {
    assert_eq!(look(None, None, 7).0, Decision::Take);
    assert_eq!(look(Some(held_by("", 1)), None, 7).0, Decision::Take);
    // given up: the silence of who held it does not matter any more
    let (_, seen) = look(Some(held_by("other", 1)), None, 1000);
    assert_eq!(look(Some(held_by("", 2)), seen, 1500).0, Decision::Take);
}

#[test]
fn anothers_lease_is_taken_once_its_record_has_not_changed_for_its_duration_by_our_clock() {
    let (decision, seen) = look(Some(held_by("other", 1)), None, 1000);
    assert_eq!(decision, Decision::Wait { until: 16_000 });
    let (decision, seen) = look(Some(held_by("other", 1)), seen, 15_999);
    assert_eq!(decision, Decision::Wait { until: 16_000 });
    assert_eq!(look(Some(held_by("other", 1)), seen.clone(), 16_000).0, Decision::Take);
    // it lives after all: however old its wall clock says the renewal is
    let (decision, _) = look(Some(held_by("other", -1_000_000)), seen, 16_000);
    assert_eq!(decision, Decision::Wait { until: 31_000 });
}

#[test]
fn the_holder_says_how_long_it_is_waited_for() {
    let until = |duration: Option<Duration>| match look(Some(Record { duration, ..held_by("other", 1) }), None, 0).0 {
        Decision::Wait { until } => until,
        decision => panic!("{decision:?}"),
    };
    assert_eq!(until(Some(Duration::from_mins(1))), 60_000);
    assert_eq!(until(None), 15_000);
    assert_eq!(until(Some(Duration::ZERO)), 15_000);
    assert_eq!(until(Some(Duration::MAX)), 3_600_000, "nobody is kept out for ever");
}

#[test]
fn a_lease_that_was_deleted_under_its_holder_is_not_free_yet() {
    let (_, seen) = look(Some(held_by("other", 1)), None, 1000);
    let (decision, seen) = look(None, seen, 3000);
    assert_eq!(decision, Decision::Wait { until: 16_000 });
    assert_eq!(look(None, seen, 16_000).0, Decision::Take);
}

#[test]
fn a_leader_renews_what_is_its_own_and_has_lost_everything_else() {
    let lead = |observed| evaluate(observed, None, "me", Stance::Leader, 0, &DURATIONS).0;
    assert_eq!(lead(Some(held_by("me", 1))), Decision::Renew);
    assert_eq!(lead(Some(held_by("other", 1))), Decision::Lost);
    assert_eq!(lead(Some(held_by("", 1))), Decision::Lost, "somebody may have held it meanwhile");
    assert_eq!(lead(None), Decision::Lost);
    let (_, seen) = evaluate(Some(held_by("me", 1)), None, "me", Stance::Leader, 0, &DURATIONS);
    assert_eq!(evaluate(None, seen, "me", Stance::Leader, 0, &DURATIONS).0, Decision::Lost);
}

#[test]
fn a_candidate_whose_own_write_was_never_answered_finds_it() {
    let (decision, seen) = look(Some(held_by("me", 1)), None, 0);
    assert_eq!(decision, Decision::Renew);
    assert_eq!(look(None, seen, 1).0, Decision::Take);
}

#[test]
fn over_all_cases_a_live_rivals_lease_is_never_taken_and_a_candidate_never_loses() {
    let records = || [None, Some(held_by("", 1)), Some(held_by("me", 1)), Some(held_by("a", 1)), Some(held_by("a", 2))];
    for before in records() {
        for observed in records() {
            for (mono, stance) in
                [14_999, 15_000].into_iter().flat_map(|mono| [(mono, Stance::Candidate), (mono, Stance::Leader)])
            {
                let (_, last) = evaluate(before.clone(), None, "me", stance, 0, &DURATIONS);
                let (decision, _) = evaluate(observed.clone(), last, "me", stance, mono, &DURATIONS);
                let case = format!("{before:?} {observed:?} {stance:?} {mono}");
                let mine = observed.as_ref().is_some_and(|record| record.holder == "me");
                assert_eq!(decision == Decision::Renew, mine, "{case}");
                assert_eq!(decision == Decision::Lost, !mine && stance == Stance::Leader, "{case}");
                let known = observed.as_ref().or(before.as_ref());
                let rival = known.is_some_and(|record| record.holder == "a");
                let silent = mono == 15_000 && (observed == before || observed.is_none());
                let waits = matches!(decision, Decision::Wait { .. });
                assert_eq!(waits, rival && !silent && stance == Stance::Candidate, "{case}");
            }
        }
    }
}

fn at(mono: u64, wall: i64) -> Now {
    Now { mono, wall }
}

#[test]
fn a_right_counts_from_the_start_of_the_renewal_to_the_deadline() {
    let seconds = |now| left(at(1000, 500), now, &DURATIONS).as_millis();
    assert_eq!(seconds(at(1000, 500)), 10_000);
    assert_eq!(seconds(at(10_999, 10_499)), 1);
    assert_eq!(seconds(at(11_000, 10_500)), 0);
    assert_eq!(seconds(at(900_000, 10_500)), 0);
}

#[test]
fn a_machine_that_stood_still_is_noticed_by_its_wall_clock() {
    let ms = |now| left(at(0, 0), now, &DURATIONS).as_millis();
    assert_eq!(ms(at(1000, 3000)), 9000, "within what a clock is set right by");
    assert_eq!(ms(at(1000, 3001)), 6999);
    assert_eq!(ms(at(1000, 60_000)), 0);
    assert_eq!(ms(at(1000, -3_600_000)), 9000, "a clock that was set back gives no time");
    assert_eq!(ms(at(1000, i64::MIN)), 9000);
    assert_eq!(ms(at(1000, i64::MAX)), 0);
}

#[test]
fn durations_that_do_not_fit_each_other_are_refused() {
    let new = |lease, renew, retry| {
        Durations::new(Duration::from_secs(lease), Duration::from_secs(renew), Duration::from_secs(retry))
    };
    assert_eq!(new(15, 10, 2), Ok(DURATIONS));
    assert_eq!(new(3, 2, 1).map(|durations| durations.look()), Ok(Duration::from_millis(250)));
    assert_eq!(new(10, 10, 2), Err(DurationsError::RenewDeadline));
    assert_eq!(new(15, 10, 10), Err(DurationsError::Retry));
}
