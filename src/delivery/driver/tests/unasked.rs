//! A kind that comes before anybody was asked about it.

use changehook_core::event::row;

use super::*;

const WALL: i64 = 1_767_609_000_000;

/// A driver that nobody runs: the test takes its turns.
struct Bench {
    driver: Driver<Memory, Sighting>,
    source: Arc<SourceId>,
    mono: u64,
    rechecks: mpsc::Receiver<SubscriptionId>,
}

impl Bench {
    async fn start(unasked: bool) -> Self {
        let policy = testing::loopback();
        let http = testing::http_client(policy.clone(), testing::ScriptedLookup::default());
        let kube = testing::kube_client(([127, 0, 0, 1], 9).into());
        let (http, secrets, services) = (
            Clients::new(http, testing::everybodys(&policy)),
            Secrets::new(kube.clone()),
            (Services::new(kube.clone()), Configs::new(kube)),
        );
        let courier = Courier::new(http, secrets, services, testing::everybodys(&policy), || 0, Arc::new(|| true));
        let (recheck, rechecks) = mpsc::channel(8);
        let inputs = Inputs {
            sightings: mpsc::channel(1).1,
            commands: mpsc::channel(1).1,
            told: mpsc::channel(1).0,
            recheck,
            recall: Box::new(|_| {}),
            now: Box::new(|| Now { mono: 1000, wall: WALL }),
            random: Box::new(|| 0),
            leads: Arc::new(|| true),
            heartbeat: Box::new(|| {}),
            watches_stop: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let driver = Driver::claim(Settings::default(), Arc::new(Memory::default()), courier, metrics, inputs);
        let source = Arc::new(assignment().1);
        let mut bench = Self { driver: driver.await.unwrap(), source, mono: 1000, rechecks };
        bench.assign(unasked);
        bench.sees(SourceEvent::KindAbsent);
        assert!(!bench.sends(), "there is nothing yet");
        bench
    }

    fn assign(&mut self, unasked: bool) {
        let (mut assignment, source) = assignment();
        assignment.unasked.extend(unasked.then_some(source));
        self.driver.obey(Command::Assign(Box::new(assignment)));
    }

    fn sees(&mut self, seen: SourceEvent) {
        self.driver.sighted(Next { source: Arc::clone(&self.source), seen: event(seen), reached: None });
    }

    /// The kind is installed, and has one object.
    fn sees_one(&mut self, rv: u64) {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","namespace":"team","uid":"u{rv}","resourceVersion":"{rv}"}}}}"#
        );
        self.sees(SourceEvent::ListStarted);
        let row = row(&Arc::new(self.source.gvk.clone()), &object).unwrap();
        self.sees(SourceEvent::Upsert(Arc::new(row)));
        self.sees(list_ended(rv));
    }

    /// Commits at once what is to be committed, for a while; whether a request begins.
    fn sends(&mut self) -> bool {
        for _ in 0..100 {
            self.mono += 50;
            let now = Now { mono: self.mono, wall: WALL };
            while let Some(action) = self.driver.engine.poll(now) {
                match action {
                    Action::Commit(batch) => self.driver.engine.committed(now, batch.number),
                    Action::Fold => {}
                    Action::Send(_) => return true,
                }
            }
        }
        false
    }
}

#[tokio::test]
async fn of_a_kind_that_nobody_was_asked_about_nothing_is_told_until_the_controller_has_looked() {
    let mut asked = Bench::start(false).await;
    asked.sees_one(7);
    assert!(asked.sends());

    let mut unasked = Bench::start(true).await;
    unasked.sees_one(7);
    assert!(!unasked.sends());
    assert!(unasked.rechecks.try_recv().is_ok(), "the controller is told to look");
    unasked.assign(true);
    assert!(!unasked.sends(), "it has not been asked about yet");
    unasked.assign(false);
    assert!(unasked.sends());
}

#[tokio::test]
async fn a_kind_that_goes_again_holds_nothing_up() {
    let mut bench = Bench::start(true).await;
    bench.sees_one(7);
    bench.sees(SourceEvent::KindAbsent);
    let plan = bench.driver.bounded(bench.driver.endpoints.values().next().unwrap());
    assert!(!plan.held);
    // and when it comes back it holds everything up once more
    bench.sees_one(9);
    assert!(!bench.sends());
}
