//! A driver without a task of its own.

use changehook_core::event::row;

use super::*;

const WALL: i64 = 1_767_609_000_000;
/// How many views may wait to be shown.
pub(super) const ROOM: usize = 80;

/// A driver that nobody runs: the test takes its turns.
pub(super) struct Bench {
    pub(super) driver: Driver<Memory, Sighting>,
    pub(super) source: Arc<SourceId>,
    mono: u64,
    pub(super) rechecks: mpsc::Receiver<SubscriptionId>,
    pub(super) told: mpsc::Receiver<Told>,
    /// Whoever would report and command.
    pub(super) inputs: (mpsc::Sender<Sighting>, mpsc::Sender<Command>),
}

impl Bench {
    /// With one subscription, to a kind that is not there.
    pub(super) async fn start(unasked: bool) -> Self {
        let mut bench = Self::empty().await;
        bench.assign(unasked);
        bench.sees(SourceEvent::KindAbsent);
        assert!(!bench.sends(), "there is nothing yet");
        bench
    }

    pub(super) async fn empty() -> Self {
        let (recheck, rechecks) = mpsc::channel(8);
        let start = Instant::now();
        let (sight, sightings) = mpsc::channel(1);
        let (command, commands) = mpsc::channel(1);
        let (tell, told) = mpsc::channel(ROOM);
        let inputs = Inputs {
            sightings,
            commands,
            told: tell,
            recheck,
            recall: Box::new(|_| {}),
            now: Box::new(move || Now { mono: 1000 + start.elapsed().as_millis() as u64, wall: WALL }),
            random: Box::new(|| 0),
            leads: Arc::new(|| true),
            heartbeat: Box::new(|| {}),
            watches_stop: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let driver = Driver::claim(Settings::default(), Arc::new(Memory::default()), courier(), metrics, inputs);
        let source = Arc::new(assignment().1);
        Self { driver: driver.await.unwrap(), source, mono: 1000, rechecks, told, inputs: (sight, command) }
    }

    pub(super) fn assign(&mut self, unasked: bool) {
        let (mut assignment, source) = assignment();
        assignment.unasked.extend(unasked.then_some(source));
        self.driver.obey(Command::Assign(Box::new(assignment)));
    }

    pub(super) fn sees(&mut self, seen: SourceEvent) {
        self.driver.take(Next::Report { source: Arc::clone(&self.source), seen: event(seen), reached: None });
    }

    pub(super) fn upsert(&self, rv: u64) -> SourceEvent {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a{rv}","namespace":"team","uid":"u{rv}","resourceVersion":"{rv}"}}}}"#
        );
        SourceEvent::Upsert(Arc::new(row(&Arc::new(self.source.gvk.clone()), &object).unwrap()))
    }

    /// There is something to do that nothing will wake it for.
    pub(super) fn is_busy(&self) -> bool {
        self.driver.may_tell() || self.driver.until_take_in().is_some()
    }

    /// The kind is installed, and has one object.
    pub(super) fn sees_one(&mut self, rv: u64) {
        self.sees(SourceEvent::ListStarted);
        self.sees(self.upsert(rv));
        self.sees(list_ended(rv));
    }

    /// Commits at once what is to be committed, for a while; whether a request begins.
    pub(super) fn sends(&mut self) -> bool {
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
