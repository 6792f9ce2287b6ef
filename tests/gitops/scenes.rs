//! Every row of the design's table of states, driven by the real operator, and the object as the API server gives it then.
//!
//! All are played once a process, on one control plane; what is hard to catch is held by the proxy.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::fault_proxy::{Fault, Matcher, Moment, Times};
use testbed::{FaultProxy, Operator, Reply, eventually};
use tokio::sync::OnceCell;

use crate::history::{History, said};
use crate::world::{SOON, World};

/// All subscriptions have it: it is in the test data.
const NAME: &str = "orders";

/// One row.
pub struct Scene {
    /// In the test data's file name.
    pub row: &'static str,
    /// The object.
    pub object: Value,
}

/// What was seen.
pub struct Play {
    /// The rows, in the order of the table.
    pub scenes: Vec<Scene>,
    /// Every version that any of the subscriptions ever had.
    pub versions: Vec<Value>,
}

impl Play {
    /// Played once for all tests of the process.
    pub async fn seen() -> &'static Self {
        static PLAY: OnceCell<Play> = OnceCell::const_new();
        PLAY.get_or_init(play).await
    }
}

struct Stage {
    world: World,
    proxy: FaultProxy,
    scenes: Vec<Scene>,
    histories: Vec<History>,
}

async fn play() -> Play {
    let world = World::private().await;
    let proxy = FaultProxy::start(world.plane()).await.expect("a proxy starts");
    let mut stage = Stage { world, proxy, scenes: Vec::new(), histories: Vec::new() };
    stage.begins().await;
    stage.lists().await;
    stage.lacks_something().await;
    stage.can_only_be_edited().await;
    stage.watches_and_delivers().await;
    stage.endpoint_fails().await;
    stage.endpoint_is_down().await;
    stage.ledger_fails().await;
    let versions = stage.histories.iter().flat_map(|history| history.unchecked(NAME)).collect();
    Play { scenes: stage.scenes, versions }
}

impl Stage {
    fn keep(&mut self, row: &'static str, object: Value) {
        self.scenes.push(Scene { row, object });
    }

    /// A namespace and a receiver for some scenes.
    async fn aside(&mut self) -> World {
        let aside = self.world.beside().await;
        self.histories.push(History::of(&aside).await);
        aside
    }

    /// Waits for this Ready, and for everything that one patch brings with it.
    async fn reaches(&mut self, row: &'static str, aside: &World, ready: &str) {
        let object = aside.until(NAME, &format!("Ready is not {ready}"), |o| said(o, "Ready") == ready).await;
        self.keep(row, object);
    }

    /// The operator is not there yet; then it is, and cannot read its ledger.
    async fn begins(&mut self) {
        self.histories.push(History::of(&self.world).await);
        self.world.secret().await;
        self.world.apply(&self.world.subscription(NAME, json!({})).to_string()).await;
        let object = self.world.get(NAME).await;
        self.keep("not_seen_yet", object);

        let ledger = Matcher::any().method("GET").containing("/deliveryledgers?");
        let held = self.proxy.stop_at(ledger, 1, Moment::Before);
        let mut options = self.world.operator_options();
        options.server_override = Some(self.proxy.url());
        let operator = Operator::start_unready(options).await.expect("the operator starts");
        self.world.operator = Some(Arc::new(operator));
        held.reached(SOON).await.expect("the ledger is read");
        // nothing is told before it is known what was told
        let object = self.world.get(NAME).await;
        self.keep("ledger_load", object);
        held.release();
        self.world.ready(NAME).await;

        let operator = Arc::clone(self.world.operator.as_ref().expect("it was just started"));
        operator.pause().await.expect("it stands still");
        self.world.patch(NAME, &json!({"spec": {"suspend": true}})).await;
        let object = self.world.get(NAME).await;
        self.keep("edited_not_seen_yet", object);
        operator.resume();
    }

    async fn lists(&mut self) {
        let aside = self.aside().await;
        aside.secret().await;
        // nobody has asked for this kind so far
        let services = Matcher::any().method("GET").containing("/services?");
        let held = self.proxy.stop_at(services, 1, Moment::Before);
        let kinds = json!({"resources": [{"apiVersion": "v1", "kind": "Service"}]});
        aside.apply(&aside.subscription(NAME, kinds).to_string()).await;
        held.reached(SOON).await.expect("the list is read");
        self.reaches("first_list", &aside, "False(Progressing)").await;
        held.release();
        aside.ready(NAME).await;
    }

    async fn lacks_something(&mut self) {
        let aside = self.aside().await;
        aside.apply(&aside.subscription(NAME, json!({})).to_string()).await;
        self.reaches("secret_missing", &aside, "False(SecretNotFound)").await;

        for (row, kind, ready) in [
            ("kind_missing", ("example.com/v1", "Widget"), "False(KindNotInstalled)"),
            ("not_authorized", ("v1", "PersistentVolumeClaim"), "False(NotAuthorized)"),
        ] {
            let aside = self.aside().await;
            aside.secret().await;
            let kinds = json!({"resources": [{"apiVersion": kind.0, "kind": kind.1}]});
            aside.apply(&aside.subscription(NAME, kinds).to_string()).await;
            self.reaches(row, &aside, ready).await;
        }
    }

    async fn can_only_be_edited(&mut self) {
        let aside = self.aside().await;
        aside.secret().await;
        let metadata = json!({"endpoint": {"url": "https://169.254.169.254/"}});
        aside.apply(&aside.subscription(NAME, metadata).to_string()).await;
        self.reaches("address_refused", &aside, "False(AddressRefused)").await;
    }

    async fn watches_and_delivers(&mut self) {
        let aside = self.aside().await;
        aside.subscribe(NAME, json!({})).await;
        self.reaches("watching", &aside, "True(Watching)").await;

        aside.config_map("a", json!({})).await;
        let delivered = |o: &Value| said(o, "EndpointHealthy") == "True(Delivering)";
        let object = aside.until(NAME, "not delivered", delivered).await;
        self.keep("delivering", object);

        aside.patch(NAME, &json!({"spec": {"suspend": true}})).await;
        self.reaches("suspended", &aside, "True(Suspended)").await;
    }

    async fn endpoint_fails(&mut self) {
        let aside = self.aside().await;
        aside.subscribe(NAME, json!({})).await;
        aside.receiver.set_default(Reply::Status(503));
        aside.config_map("a", json!({})).await;
        let retrying = |o: &Value| o["status"]["delivery"]["retrying"] == 1 && o["status"]["retries"][0].is_object();
        let object = aside.until(NAME, "nothing is retried", retrying).await;
        self.keep("retrying", object);

        let aside = self.aside().await;
        aside.subscribe(NAME, json!({})).await;
        aside.receiver.set_default(Reply::Status(404));
        aside.config_map("a", json!({})).await;
        let object = aside.until(NAME, "nothing is parked", |o| o["status"]["delivery"]["parked"] == 1).await;
        self.keep("parked", object);
    }

    async fn endpoint_is_down(&mut self) {
        let aside = self.aside().await;
        aside.subscribe(NAME, json!({})).await;
        aside.receiver.go_down().await.expect("it goes down");
        for name in ["a", "b", "c"] {
            aside.config_map(name, json!({})).await;
        }
        let object = aside.until(NAME, "not open", |o| o["status"]["endpoint"]["breaker"] == "Open").await;
        self.keep("breaker_open", object);

        aside.patch(NAME, &json!({"spec": {"suspend": true}})).await;
        self.reaches("suspended_endpoint_down", &aside, "True(Suspended)").await;
    }

    /// The API server takes no records for a while, and then has lost them.
    async fn ledger_fails(&mut self) {
        let aside = self.aside().await;
        aside.subscribe(NAME, json!({})).await;
        aside.config_map("a", json!({})).await;
        aside.requests(NAME, 1).await;
        aside.until(NAME, "not on record", |o| o["status"]["ledger"]["entries"] == 1).await;
        let writes = self.proxy.inject(Matcher::writes("deliveryledgers"), Fault::Status(503), Times::Always);
        aside.config_map("a", json!({"n": "1"})).await;
        let unknown = |o: &Value| said(o, "LedgerIntact") == "Unknown(LedgerUnavailable)";
        let object = aside.until(NAME, "the ledger can be written", unknown).await;
        self.keep("ledger_unavailable", object);
        writes.clear();
        aside.requests(NAME, 2).await;
        aside.until(NAME, "not intact", |o| said(o, "LedgerIntact") == "True(Intact)").await;

        let operator = self.world.operator();
        assert!(operator.stop().await.expect("it ends").success());
        let ledger = self.world.plane().ledger(&self.world.operator_options().namespace).await;
        ledger.expect("the ledger can be reached").clear().await.expect("it can be deleted");
        // what is told again is on its way for as long as this takes
        aside.receiver.set_default(Reply::Hang);
        let again = operator.again().await.expect("the operator gets ready again");
        self.world.operator = Some(Arc::new(again));
        let object = aside.until(NAME, "not lost", |o| said(o, "LedgerIntact") == "False(LedgerLost)").await;
        self.keep("ledger_lost", object);
        aside.receiver.set_default(Reply::Status(200));
        let stays = || async {
            let object = aside.get(NAME).await;
            if said(&object, "LedgerIntact") == "True(Intact)" { Ok(()) } else { Err(object["status"].to_string()) }
        };
        // the request that hangs has to run out first
        eventually(Duration::from_mins(1), stays).await.expect("what was lost is made up for");
    }
}
