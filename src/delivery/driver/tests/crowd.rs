//! One change that many subscriptions see.

use super::super::taking::PART;
use super::bench::{Bench, ROOM};
use super::*;

const SUBSCRIPTIONS: usize = 100;

/// More subscriptions than see a change in one turn, in the order of their numbers.
async fn crowd() -> Bench {
    let mut bench = Bench::empty().await;
    for number in 0..SUBSCRIPTIONS {
        assign(&mut bench, number, Selector::default());
    }
    bench.sees(SourceEvent::KindAbsent);
    assert!(!bench.sends());
    bench
}

fn id(number: usize) -> SubscriptionId {
    SubscriptionId { uid: format!("s{number:03}").into() }
}

fn assign(bench: &mut Bench, number: usize, selector: Selector) {
    let (mut assignment, _) = assignment();
    assignment.plan.id = id(number);
    assignment.plan.interests[0].selector = selector;
    bench.driver.obey(Command::Assign(Box::new(assignment)));
}

/// How many subscriptions have something to tell.
fn behind(bench: &Bench) -> usize {
    let now = (bench.driver.inputs.now)();
    let pending = |number| bench.driver.engine.view(now, &id(number)).unwrap().pending;
    (0..SUBSCRIPTIONS).filter(|number| pending(*number) > 0).count()
}

#[tokio::test]
async fn what_came_of_a_change_before_an_edit_is_seen_before_the_edit() {
    let mut bench = crowd().await;
    let one = bench.upsert(7);
    bench.driver.backlog.push(&bench.source, event(one));
    let next = bench.driver.backlog.pop(true).unwrap();
    bench.driver.take(next);
    assert_eq!((behind(&bench), bench.is_busy()), (PART, true));
    // it does not want the object any more, and was never told of it
    let others = Selector { names: ["other".to_owned()].into(), ..Selector::default() };
    assign(&mut bench, SUBSCRIPTIONS - 1, others);
    assert_eq!(behind(&bench), PART, "others need not be shown it for that");
    let before = bench.driver.throttle;
    bench.driver.take_in();
    assert_ne!(bench.driver.throttle, before, "the time that it took is counted");
    assert_eq!((behind(&bench), bench.is_busy()), (SUBSCRIPTIONS - 1, false));
}

#[tokio::test]
async fn numbers_are_shown_while_nobody_takes_views_and_nobody_is_busy_with_views_that_nobody_can_take() {
    let mut bench = crowd().await;
    let mut now = (bench.driver.inputs.now)();
    while bench.driver.untold == 0 || bench.driver.may_tell() {
        bench.driver.tell(now);
    }
    let one = bench.upsert(7);
    bench.driver.backlog.push(&bench.source, event(one));
    bench.driver.take_in();
    now.mono += 100;
    bench.driver.tell(now);
    assert_eq!(bench.driver.told_at, now.mono);
    assert!(bench.driver.untold > 0 && !bench.is_busy());
    bench.told.close();
    while bench.told.try_recv().is_ok() {}
    assert!(!bench.is_busy(), "room in a queue that is closed is none");
}

#[tokio::test(start_paused = true)]
async fn while_many_have_been_shown_so_much_that_it_is_others_turn_they_alone_have_to_wait() {
    let mut bench = crowd().await;
    bench.driver.throttle.used(Instant::now(), Duration::from_millis(5));
    for rv in [7, 8] {
        let seen = event(bench.upsert(rv));
        bench.driver.backlog.push(&bench.source, seen);
    }
    bench.driver.take_in();
    assert_eq!(
        (behind(&bench), bench.driver.backlog.len()),
        (PART, 1),
        "their next object waits until all are shown this"
    );
    let SourceEvent::Upsert(row) = bench.upsert(9) else { unreachable!() };
    let row = Row { namespace: Some("quiet".into()), ..(*row).clone() };
    bench.driver.backlog.push(&bench.source, event(SourceEvent::Upsert(Arc::new(row))));
    bench.driver.take_in();
    assert_eq!((behind(&bench), bench.driver.backlog.len()), (PART, 1));
    let wait = bench.driver.until_take_in().unwrap();
    assert!(wait > Duration::from_millis(5) && bench.driver.sleep((bench.driver.inputs.now)()) <= wait);
    tokio::time::advance(wait).await;
    bench.driver.take_in();
    assert_eq!((behind(&bench), bench.is_busy()), (SUBSCRIPTIONS, false));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_taken_in_without_a_pause() {
    const ROWS: u64 = 400;
    let mut bench = crowd().await;
    for rv in 1..=ROWS {
        let row = bench.upsert(rv);
        bench.driver.backlog.push(&bench.source, event(row));
    }
    let Bench { driver, mut told, inputs, .. } = bench;
    let start = Instant::now();
    let running = tokio::spawn(driver.run());
    let mut behind = BTreeSet::new();
    while behind.len() < SUBSCRIPTIONS {
        let Told { subscription, view } = told.recv().await.unwrap();
        if view.pending == ROWS {
            behind.insert(subscription);
        }
    }
    // 40,000 pairs of an object and a subscription: 157 turns
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    running.abort();
    drop(inputs);
}

#[tokio::test]
async fn an_end_that_came_before_an_edit_is_seen_before_the_edit() {
    let mut bench = crowd().await;
    let deleted = SourceEvent::Deleted { namespace: Some("team".into()), uid: "u7".into(), rv: 8 };
    let created = bench.upsert(7);
    bench.driver.backlog.push(&bench.source, event(created));
    bench.driver.take_in();
    assert_eq!(behind(&bench), SUBSCRIPTIONS);
    bench.driver.backlog.push(&bench.source, event(deleted));
    let next = bench.driver.backlog.pop(true).unwrap();
    bench.driver.take(next);
    // nobody was told of it, so nobody is told of its end
    assert_eq!(behind(&bench), SUBSCRIPTIONS - PART);
    assign(&mut bench, SUBSCRIPTIONS - 1, Selector::default());
    assert_eq!(behind(&bench), SUBSCRIPTIONS - PART - 1);
}

#[tokio::test]
async fn an_end_of_another_namespace_that_a_change_proves_is_seen_with_it() {
    let mut bench = crowd().await;
    bench.sees(SourceEvent::ListStarted);
    bench.sees(list_ended(5));
    // it watched its namespace by itself, where there was an object that the common watch has yet to show
    let (mut moving, common) = assignment();
    (moving.plan.id, moving.plan.interests[0].namespace) = (id(SUBSCRIPTIONS), Some("elsewhere".into()));
    let own = SourceId { namespace: Some("elsewhere".to_owned()), ..common.clone() };
    moving.sources = vec![own.clone()];
    bench.driver.obey(Command::Assign(Box::new(moving.clone())));
    let SourceEvent::Upsert(row) = bench.upsert(6) else { unreachable!() };
    let row = Row { namespace: Some("elsewhere".into()), ..(*row).clone() };
    for seen in [SourceEvent::KindAbsent, SourceEvent::Upsert(Arc::new(row))] {
        bench.driver.take(Next::Report { source: Arc::new(own.clone()), seen: event(seen), reached: None });
    }
    moving.sources = vec![common];
    bench.driver.obey(Command::Assign(Box::new(moving)));
    let now = (bench.driver.inputs.now)();
    let pending = |bench: &Bench| bench.driver.engine.view(now, &id(SUBSCRIPTIONS)).unwrap().pending;
    assert_eq!(pending(&bench), 1);
    let seen = event(bench.upsert(9));
    bench.driver.backlog.push(&bench.source, seen);
    let next = bench.driver.backlog.pop(true).unwrap();
    bench.driver.take(next);
    assert_eq!(pending(&bench), 0, "it was never told of, so its end need not be");
}

#[tokio::test]
async fn many_views_are_told_in_parts_and_what_does_not_fit_is_told_later() {
    let mut bench = crowd().await;
    let now = (bench.driver.inputs.now)();
    bench.driver.tell(now);
    assert_eq!((bench.told.len(), bench.is_busy()), (64, true));
    bench.driver.tell(now);
    assert_eq!((bench.told.len(), bench.is_busy()), (ROOM, false));
    let mut told = BTreeSet::new();
    while let Ok(Told { subscription, .. }) = bench.told.try_recv() {
        told.insert(subscription);
    }
    assert!(bench.is_busy(), "there is room again");
    bench.driver.tell(now);
    while let Ok(Told { subscription, .. }) = bench.told.try_recv() {
        told.insert(subscription);
    }
    assert_eq!((told.len(), bench.is_busy()), (SUBSCRIPTIONS, false));
}

#[tokio::test]
async fn of_very_many_views_some_are_told_the_next_time_so_that_there_is_time_for_something_else() {
    let mut bench = Bench::empty().await;
    for number in 0..1_100 {
        assign(&mut bench, number, Selector::default());
    }
    let mut now = (bench.driver.inputs.now)();
    let mut told = BTreeSet::new();
    let mut in_time = Vec::new();
    for _ in 0..2 {
        let before = told.len();
        bench.driver.tell(now);
        while !bench.told.is_empty() {
            told.extend(std::iter::from_fn(|| bench.told.try_recv().ok()).map(|told| told.subscription));
            bench.driver.tell(now);
        }
        in_time.push(told.len() - before);
        now.mono += 100;
    }
    assert_eq!(in_time, [1_000, 100]);
}
