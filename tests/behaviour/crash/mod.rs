//! Crashes of everything, seen by the endpoint: what it was told it is not told again beyond the bound, what it was not
//! told it is, and it is never told what is not so.
//!
//! Here is what these tests share: an operator that dies and comes back, behind a proxy, and what was told in all its
//! lives.

mod budget;
mod claims;
mod commits;
mod damage;
mod down;
mod folds;
mod kills;
mod losses;
mod plane;
mod setback;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::fault_proxy::{Matcher, Seen};
use testbed::ledger::Ledger;
use testbed::tally::{ANSWER_AGE, Kill};
use testbed::unrest;
use testbed::{FaultProxy, Mirror, Operator, OperatorOptions, Tally, eventually};

use crate::world::{KEY, World};

/// The one subscription of a [`Life`], and the receiver's path.
const NAME: &str = "crash";
/// How long may take what has to wait for a claim, retries, or a whole API server.
const LATER: Duration = Duration::from_secs(90);
/// An answer that is older than this is durable, whatever the machine does beside.
const SETTLED: Duration = ANSWER_AGE.saturating_add(Duration::from_secs(1));

/// An operator and all that it goes through.
struct Life {
    world: World,
    proxy: FaultProxy,
    number: usize,
    kills: Vec<Kill>,
}

impl Life {
    /// A control plane of one's own, an operator that reaches it through a proxy, and no subscription yet.
    async fn begin() -> Self {
        let mut life = Self::of(World::private().await, 0).await;
        let operator = Operator::start(life.options()).await.expect("the operator gets ready");
        life.world.operator = Some(Arc::new(operator));
        life
    }

    /// A proxy in this world, and no operator yet: it will live in a namespace of this number.
    async fn of(world: World, number: usize) -> Self {
        let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
        Self { world, proxy, number, kills: Vec::new() }
    }

    /// The same with a subscription to all ConfigMaps, Ready.
    async fn subscribed(patch: Value) -> Self {
        let life = Self::begin().await;
        life.world.subscribe(NAME, patch).await;
        life
    }

    fn options(&self) -> OperatorOptions<'_> {
        let mut options = self.world.operator_options();
        options.server_override = Some(self.proxy.url());
        options.namespace = format!("changehook-{}", self.number);
        options.ready_within = LATER;
        options
    }

    fn operator(&self) -> &Operator {
        self.world.operator()
    }

    /// SIGKILL.
    async fn kill(&mut self) {
        let begun = Instant::now();
        self.operator().kill().await.expect("it ends");
        self.kills.push(Kill { begun, over: Instant::now() });
        self.free_lease().await;
    }

    /// What is looked for here is what one leader leaves to the next, not how long the next one waits. Where the API server
    /// is dead as well it has to wait after all.
    async fn free_lease(&self) {
        let freed = self.world.plane().free_lease(&self.options().namespace).await;
        if let Err(error) = freed {
            println!("the Lease has to run out: {error:?}");
        }
    }

    /// SIGTERM, to which it has to end well.
    async fn stop(&self) {
        let status = self.operator().stop().await.expect("it ends");
        assert!(status.success(), "{status}\n{}", self.operator().log());
    }

    /// The same operator once more, ready.
    async fn start(&mut self) {
        let again = self.operator().again().await.expect("the operator gets ready again");
        self.world.operator = Some(Arc::new(again));
    }

    /// The same, as soon as it runs.
    async fn start_unready(&mut self) {
        let again = self.operator().again_unready().await.expect("the operator starts again");
        self.world.operator = Some(Arc::new(again));
    }

    /// Does what Kubernetes does with a container that has ended. Such an end counts as a kill.
    async fn restart_if_it_ended(&mut self) -> bool {
        let Ok(status) = self.operator().wait(Duration::ZERO).await else { return false };
        assert!(!status.success(), "an operator that was not told to stop ends with an error");
        let now = Instant::now();
        self.kills.push(Kill { begun: now, over: now });
        self.free_lease().await;
        self.start_unready().await;
        true
    }

    /// Everything the endpoint was told, in all lives.
    fn tally(&self) -> Tally {
        let requests = self.world.receiver.requests(&format!("/{NAME}"));
        Tally::of(&requests, KEY.as_bytes()).expect("every request verifies")
    }

    /// The events so far, in order of their words: `new a`.
    fn told(&self) -> Vec<String> {
        words(&self.tally().told())
    }

    /// Waits until these events were told, and fails if others were.
    async fn told_exactly(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        let look = || async {
            let told = self.told();
            if told.len() >= expected.len() { Ok(told) } else { Err(format!("only {told:?}")) }
        };
        match eventually(LATER, look).await {
            Ok(told) => assert_eq!(told, expected),
            Err(error) => panic!("{error}, not {expected:?}\n{}", self.log_tail()),
        }
    }

    /// Waits until the endpoint knows of this namespace's ConfigMaps what is so; the operator may end meanwhile.
    async fn same_as_the_cluster(&mut self) {
        let client = self.world.plane().client().await.expect("a client");
        let deadline = Instant::now() + LATER;
        loop {
            let cluster =
                unrest::selected(&client, &self.world.namespace, "").await.expect("the cluster can be listed");
            let look = || async {
                let differences = self.differences(&cluster);
                if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
            };
            let Err(error) = eventually(Duration::from_secs(1), look).await else { return };
            self.restart_if_it_ended().await;
            assert!(Instant::now() < deadline, "{error}\n{}", self.log_tail());
        }
    }

    fn differences(&self, cluster: &[Value]) -> Vec<String> {
        let mut mirror = Mirror::new(KEY);
        for request in self.world.receiver.requests(&format!("/{NAME}")) {
            mirror.take(&request).expect("every request verifies");
        }
        mirror.differences(cluster)
    }

    /// Nothing was told that must never be, and nothing again that no kill explains.
    fn is_sound(&self) {
        let tally = self.tally();
        let mut wrong = tally.contradictions();
        wrong.extend(tally.told_twice(&self.kills));
        wrong.extend(tally.unexplained_repeats(&self.kills, SETTLED));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Waits until no answer is young: what a kill can make the operator forget.
    async fn settled(&self) {
        if let Err(error) = self.world.receiver.stays_quiet(SETTLED).await {
            panic!("nothing is to be sent: {error:?}, after {:?}\n{}", self.told(), self.log_tail());
        }
    }

    /// Has a new object told, after all that was owed before; what left together with it has come in, too.
    async fn marker(&self, name: &str) {
        self.world.config_map(name, json!({})).await;
        let told = format!("new {name}");
        let answered = || self.tally().0.iter().all(|telling| telling.finished.is_some());
        let look = || async { (self.told().contains(&told) && answered()).then_some(()) };
        if let Err(error) = eventually(LATER, look).await {
            panic!("{told}: {error}\n{}", self.log_tail());
        }
    }

    async fn ledger(&self) -> Ledger {
        self.world.plane().ledger(&self.options().namespace).await.expect("a client")
    }

    /// Writes to the ledger that came through the proxy.
    fn commits(&self) -> Vec<Seen> {
        self.proxy.seen(&commits())
    }

    fn log_tail(&self) -> String {
        let log = self.operator().log();
        let lines: Vec<&str> = log.lines().collect();
        format!("the operator's log ends:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

/// Everything that changes the ledger.
fn commits() -> Matcher {
    Matcher::writes("deliveryledgers")
}

/// Each as often as it was told.
fn words(told: &BTreeMap<String, usize>) -> Vec<String> {
    told.iter().flat_map(|(word, count)| std::iter::repeat_n(word.clone(), *count)).collect()
}
