//! Kill -9, again and again, under load: what must be true of the endpoint after each time.
//!
//! A round is unrest, one to three kills at moments of a seeded generator (in the middle of recovery as well), and then
//! calm, in which the endpoint has to become what the cluster is. At the end all that was told is looked at: [`Tally`].
//! The same code is a test of a few minutes and, by the hour, `cargo soak`.

use std::{
    fmt,
    ops::AddAssign,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    ControlPlane, Mirror, Operator, OperatorOptions, Receiver, Reply, Tally,
    error::{Error, Result},
    eventually, operator,
    tally::{ANSWER_AGE, Kill},
    unrest::{LABEL, Unrest},
};

const KEY: &str = crate::planted!("-rounds-signing-key");
const HOOK: &str = "/rounds";
/// What a machine that is busy with other things needs, beside [`ANSWER_AGE`], until a commit is done.
const SLACK: Duration = Duration::from_secs(1);
const CALM_WITHIN: Duration = Duration::from_mins(1);

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The operator's program.
    pub binary: PathBuf,
    /// More settings of the operator, by the names of their flags without dashes.
    pub settings: Vec<(&'static str, String)>,
    /// Where all chance comes from.
    pub seed: u64,
    /// How many kills, at least.
    pub kills: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// How often the operator was killed.
    pub kills: usize,
    /// How often the endpoint was compared with the cluster.
    pub rounds: usize,
    /// Writes to the cluster.
    pub writes: u64,
    /// Requests to the endpoint.
    pub requests: usize,
    /// Events they told of.
    pub events: usize,
    /// Requests that told of an event again.
    pub repeats: usize,
    /// How many there may be: requests in flight at each kill, and those answered shortly before.
    pub bound: usize,
    /// Objects that the endpoint knew otherwise than they were. The first ends the run.
    pub losses: usize,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, rounds, writes, requests, events, repeats, bound, losses, took } = self;
        write!(
            f,
            "{kills} kills in {rounds} rounds and {:.0} s: {writes} writes, {requests} requests for {events} events, \
             {repeats} repeats ({bound} allowed), {losses} losses",
            took.as_secs_f32()
        )
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        let Self { kills, rounds, writes, requests, events, repeats, bound, losses, took } = other;
        self.kills += kills;
        self.rounds += rounds;
        self.writes += writes;
        self.requests += requests;
        self.events += events;
        self.repeats += repeats;
        self.bound += bound;
        self.losses += losses;
        self.took += took;
    }
}

/// Everything that runs.
struct Rounds {
    operator: Operator,
    receiver: Receiver,
    unrest: Unrest,
    mirror: Mirror,
    seen: usize,
    kills: Vec<Kill>,
    random: fastrand::Rng,
    // last: the operator goes before it
    control_plane: ControlPlane,
}

/// Carries out a plan on a control plane of its own; `say` is told how far it is after every round. The first thing that
/// must not be is an error, with the seed and the end of the operator's log.
pub async fn run(plan: &Plan, say: impl Fn(&Report)) -> Result<Report> {
    let start = Instant::now();
    let mut rounds = Rounds::start(plan).await?;
    let mut report = Report::default();
    while rounds.kills.len() < plan.kills {
        let done = rounds.round().await;
        report.writes += done.map_err(|error| rounds.failed(plan, error))?;
        report.rounds += 1;
        (report.kills, report.requests, report.took) = (rounds.kills.len(), rounds.seen, start.elapsed());
        say(&report);
    }
    let tally = Tally::of(&rounds.receiver.requests(HOOK), KEY.as_bytes())?;
    let age = ANSWER_AGE + SLACK;
    let mut wrong = tally.contradictions();
    wrong.extend(tally.told_twice(&rounds.kills));
    wrong.extend(tally.unexplained_repeats(&rounds.kills, age));
    (report.events, report.repeats) = (tally.events(), tally.repeats());
    report.bound = rounds.kills.iter().map(|kill| tally.unsettled(kill, age)).sum();
    match wrong.first() {
        Some(first) => {
            let error = Error::new(format!("{} things must not be, the first: {first}; {report}", wrong.len()));
            Err(rounds.failed(plan, error))
        }
        None => Ok(report),
    }
}

impl Rounds {
    async fn start(plan: &Plan) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let control_plane = ControlPlane::start().await?;
        control_plane.apply_crds(&crate::program::checkout().join("crds")).await?;
        let namespace = control_plane.namespace("rounds").await?;
        let receiver = Receiver::start().await?;
        let chance = Mutex::new(random.fork());
        // late enough that something is under way at every kill, and now and then an answer gets lost
        receiver.rule(move |_| {
            let mut random = chance.lock().unwrap_or_else(PoisonError::into_inner);
            let reply = if random.u16(..300) == 0 { Reply::Reset } else { Reply::Status(200) };
            Some(reply.after(Duration::from_millis(random.u64(..30))))
        });
        let mut options = OperatorOptions::new(&plan.binary, &control_plane);
        options.settings.extend(plan.settings.iter().cloned());
        let operator = Operator::start(options).await?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing"},
            "stringData": {"secret": KEY}});
        let subscription = json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "WebhookSubscription",
        "metadata": {"name": "rounds"}, "spec": {
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap",
                "labelSelector": {"matchLabels": {LABEL.0: LABEL.1}}}],
            "endpoint": {"url": receiver.url(HOOK)},
            "signing": {"secretRef": {"name": "signing"}},
            "retryPolicy": {"initialDelaySeconds": 1},
        }});
        control_plane.apply_yaml(&format!("{secret}\n---\n{subscription}"), &namespace).await?;
        let wait = ["wait", "-n", &namespace, "--for=condition=Ready", "--timeout=60s", "whsub", "rounds"];
        control_plane.kubectl_ok(&wait).await?;
        let unrest = Unrest::new(control_plane.client().await?, &namespace, 40);
        let (mirror, seen, kills) = (Mirror::new(KEY), 0, Vec::new());
        Ok(Self { operator, receiver, unrest, mirror, seen, kills, random, control_plane })
    }

    /// Gives how many writes there were.
    async fn round(&mut self) -> Result<u64> {
        let busy = self.unrest.begin(self.random.u64(..), 2, Duration::from_millis(15));
        for _ in 0..self.random.usize(1..=3) {
            self.chance_to_work().await;
            self.kill().await?;
            // ready or not: the next kill may come while it is still finding out
            self.operator = self.operator.again_unready().await?;
        }
        self.chance_to_work().await;
        let writes = busy.end().await;
        self.calm().await?;
        Ok(writes)
    }

    /// A moment that nobody chose: between two steps of the operator, or within one. Now and then a life is long enough
    /// that its first answers must not be forgotten.
    async fn chance_to_work(&mut self) {
        let longest = if self.random.u8(..16) == 0 { 5_000 } else { 700 };
        tokio::time::sleep(Duration::from_millis(self.random.u64(..longest))).await;
    }

    async fn kill(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.operator.kill().await?;
        self.kills.push(Kill { begun, over: Instant::now() });
        // what is looked for is what one leader leaves to the next, not how long the next one waits
        self.control_plane.free_lease(operator::NAMESPACE).await?;
        Ok(())
    }

    /// Waits until the endpoint knows what is.
    async fn calm(&mut self) -> Result<()> {
        let cluster = self.unrest.cluster().await?;
        let deadline = Instant::now() + CALM_WITHIN;
        loop {
            let new = self.receiver.since(self.seen);
            self.seen += new.len();
            for request in &new {
                self.mirror.take(request)?;
            }
            let differences = self.mirror.differences(&cluster);
            let Some(first) = differences.first() else { return Ok(()) };
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = self.seen;
            let more = eventually(left, || async { (!self.receiver.since(seen).is_empty()).then_some(()) }).await;
            if more.is_err() {
                let lost = format!("{} losses, the first: {first}; not within {CALM_WITHIN:?}", differences.len());
                return Err(Error::new(lost));
            }
        }
    }

    fn failed(&self, plan: &Plan, error: Error) -> Error {
        let log = self.operator.log();
        let (seed, kills) = (plan.seed, self.kills.len());
        let what = format!("failed with the seed {seed} after {kills} kills; the operator's log ends:\n");
        Error::caused(what + &crate::process::tail(&log), error)
    }
}
