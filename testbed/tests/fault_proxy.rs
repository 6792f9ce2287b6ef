//! Faults of the proxy, seen through kube's client and a real API server.

use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
    runtime::watcher,
};
use testbed::{
    ControlPlane, FaultProxy,
    fault_proxy::{Fault, Matcher, Moment, Times},
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

struct Setting {
    namespace: String,
    direct: Api<ConfigMap>,
    client: Client,
    proxied: Api<ConfigMap>,
    proxy: FaultProxy,
}

impl Setting {
    async fn new() -> Self {
        let control_plane = ControlPlane::shared().await;
        let namespace = control_plane.namespace("proxy").await.unwrap();
        let proxy = FaultProxy::start(control_plane).await.unwrap();
        let path = proxy.kubeconfig(control_plane, control_plane.admin_token()).unwrap();
        let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let direct = Api::namespaced(control_plane.client().await.unwrap(), &namespace);
        let proxied = Api::namespaced(client.clone(), &namespace);
        Self { namespace, direct, client, proxied, proxy }
    }

    async fn create(&self, name: &str) {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, ..ConfigMap::default() };
        self.direct.create(&PostParams::default(), &map).await.unwrap();
    }

    /// The code of a failed list.
    async fn refusal(&self) -> u16 {
        match self.proxied.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) => status.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// A raw watch through the proxy, from now on.
    async fn watch(&self) -> Watch {
        let version = self.direct.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let path = format!("/api/v1/namespaces/{}/configmaps?watch=true&resourceVersion={version}", self.namespace);
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        Watch(Box::pin(self.client.request_stream(request).await.unwrap().lines()))
    }
}

struct Watch(std::pin::Pin<Box<dyn futures::Stream<Item = std::io::Result<String>> + Send>>);

impl Watch {
    /// The type of the next event and the name (or code) in it; `end` and `broken` for the end.
    async fn next(&mut self) -> (String, String) {
        match timeout(SOON, self.0.next()).await.unwrap() {
            None => ("end".to_owned(), String::new()),
            Some(Err(_)) => ("broken".to_owned(), String::new()),
            Some(Ok(line)) => {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| line.as_str().into());
                let object = &event["object"];
                let what =
                    object["metadata"]["name"].as_str().map_or_else(|| object["code"].to_string(), str::to_owned);
                (event["type"].as_str().unwrap_or(&line).to_owned(), what)
            }
        }
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn lists_are_refused_stale_or_edited_as_told_and_counted() {
    let setting = Setting::new().await;
    let lists = || Matcher::lists("configmaps");
    setting.create("one").await;
    let names = async || -> Vec<_> {
        let list = setting.proxied.list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|map| map.metadata.name.unwrap()).collect()
    };
    assert_eq!(names().await, ["one"]);

    for code in [403, 404, 410, 429, 503] {
        let handle = setting.proxy.inject(lists(), Fault::Status(code), Times::Once);
        assert_eq!((setting.refusal().await, handle.hits()), (code, 1));
    }
    setting.proxy.inject(lists(), Fault::PlainStatus(404, "404 page not found\n".to_owned()), Times::Once);
    assert_eq!(setting.refusal().await, 404);
    setting.proxy.inject(lists(), Fault::Close, Times::Once);
    setting.proxied.list(&ListParams::default()).await.unwrap_err();

    let stale = setting.proxy.inject(lists(), Fault::Stale, Times::Always);
    setting.create("two").await;
    assert_eq!(names().await, ["one"]);
    stale.clear();
    assert_eq!(names().await, ["one", "two"]);
    setting.proxy.inject(lists(), Fault::replace_text(r#""name":"two""#, r#""name":2"#), Times::Once);
    setting.proxied.list(&ListParams::default()).await.unwrap_err();

    let seen = setting.proxy.wait_for(&lists(), 9, SOON).await.unwrap();
    assert_eq!(seen.iter().filter(|seen| seen.status == Some(200)).count(), 4, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.method == "GET" && !seen.is_watch()));
}

#[tokio::test]
async fn watch_lines_get_lost_replaced_injected_and_streams_end_or_break_as_told() {
    let setting = Setting::new().await;
    let watches = || Matcher::watches("configmaps");
    let proxy = &setting.proxy;
    let mut watch = setting.watch().await;
    setting.create("a").await;
    assert_eq!(watch.next().await, pair("ADDED", "a"));

    // in a stream that is open already, and exactly once
    let lost = proxy.inject(watches(), Fault::drop_line(r#""name":"b""#), Times::Once);
    setting.create("b").await;
    setting.create("c").await;
    assert_eq!(watch.next().await, pair("ADDED", "c"));
    setting.direct.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!((watch.next().await, lost.hits()), (pair("DELETED", "b"), 1));

    proxy.inject(watches(), Fault::replace_line(r#""name":"d""#, "garbage"), Times::Once);
    setting.create("d").await;
    assert_eq!(watch.next().await.0, "garbage");

    assert_eq!(proxy.open_watches(&watches()), 1);
    assert_eq!(proxy.send_line(&watches(), r#"{"type":"BOOKMARK","object":{"metadata":{"name":"x"}}}"#), 1);
    assert_eq!(watch.next().await, pair("BOOKMARK", "x"));
    assert_eq!(proxy.error_in_open_watches(&watches(), 410), 1);
    assert_eq!(watch.next().await, pair("ERROR", "410"));
    assert_eq!(watch.next().await.0, "end");

    let mut watch = setting.watch().await;
    assert_eq!(proxy.cut_open_watches(&watches()), 1);
    assert_eq!(watch.next().await.0, "broken");

    for (fault, end) in [(Fault::CutAfterLines(1), "broken"), (Fault::EndAfterLines(1), "end")] {
        proxy.inject(watches(), fault, Times::Once);
        let mut watch = setting.watch().await;
        let name = format!("before-{end}");
        setting.create(&name).await;
        assert_eq!(watch.next().await, pair("ADDED", &name));
        assert_eq!(watch.next().await.0, end);
    }

    proxy.inject(watches(), Fault::WatchError(410), Times::Once);
    let mut watch = setting.watch().await;
    assert_eq!(watch.next().await, pair("ERROR", "410"));
    assert_eq!(watch.next().await.0, "end");
}

#[tokio::test]
async fn kubes_own_watcher_works_through_it_and_lists_again_after_410() {
    let setting = Setting::new().await;
    setting.create("one").await;
    let mut events = watcher(setting.proxied.clone(), watcher::Config::default()).boxed();
    let mut next = async || timeout(SOON, events.try_next()).await.unwrap();
    let began = [next().await, next().await, next().await].map(Result::unwrap).map(Option::unwrap);
    assert!(matches!(began, [watcher::Event::Init, watcher::Event::InitApply(_), watcher::Event::InitDone]));
    // the watch begins only when the next event is asked for
    let (seen, told) = tokio::join!(next(), async {
        setting.proxy.wait_for(&Matcher::watches("configmaps"), 1, SOON).await.unwrap();
        setting.proxy.error_in_open_watches(&Matcher::watches("configmaps"), 410)
    });
    assert_eq!(told, 1);
    assert!(matches!(seen, Err(watcher::Error::WatchError(status)) if status.code == 410));
    assert!(matches!(next().await.unwrap().unwrap(), watcher::Event::Init));
}

#[tokio::test]
async fn a_write_is_done_or_not_whatever_its_client_is_told() {
    let setting = Setting::new().await;
    let proxy = &setting.proxy;
    let write = async |name: &str| -> Result<(), kube::Error> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, ..ConfigMap::default() };
        setting.proxied.create(&PostParams::default(), &map).await.map(|_| ())
    };
    let exists = async |name: &str| setting.direct.get_opt(name).await.unwrap().is_some();
    let writes = || Matcher::writes("configmaps");

    proxy.inject(writes(), Fault::DoneThenStatus(504), Times::Once);
    assert!(matches!(write("timeout").await, Err(kube::Error::Api(status)) if status.code == 504));
    proxy.inject(writes(), Fault::DoneThenClose, Times::Once);
    write("closed").await.unwrap_err();
    proxy.inject(writes(), Fault::Status(409), Times::Once);
    assert!(matches!(write("refused").await, Err(kube::Error::Api(status)) if status.code == 409));
    let silent = proxy.inject(writes(), Fault::DoneThenHang, Times::Once);
    assert!(timeout(Duration::from_secs(1), write("silent")).await.is_err() && silent.hits() == 1);
    for (name, done) in [("timeout", true), ("closed", true), ("refused", false), ("silent", true)] {
        assert_eq!(exists(name).await, done, "{name}");
    }
    let bodies: Vec<u64> = proxy.seen(&writes()).iter().map(|seen| seen.bytes).collect();
    assert!(bodies.len() == 4 && bodies.iter().all(|bytes| (20..500).contains(bytes)), "{bodies:?}");
}

#[tokio::test]
async fn the_nth_write_is_held_before_or_after_it_is_done_until_it_is_released_or_given_up() {
    let setting = Setting::new().await;
    let write = |name: &str| {
        let (api, name) = (setting.proxied.clone(), name.to_owned());
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, ..ConfigMap::default() };
        tokio::spawn(async move { api.create(&PostParams::default(), &map).await.map(|_| ()) })
    };
    let exists = async |name: &str| setting.direct.get_opt(name).await.unwrap().is_some();
    let stop = |nth, moment| setting.proxy.stop_at(Matcher::writes("configmaps"), nth, moment);

    let held = stop(2, Moment::Before);
    write("first").await.unwrap().unwrap();
    let second = write("second");
    assert_eq!(held.reached(SOON).await.unwrap().method, "POST");
    assert!(!exists("second").await && !second.is_finished());
    held.release();
    second.await.unwrap().unwrap();

    let held = stop(1, Moment::After);
    let after = write("after");
    held.reached(SOON).await.unwrap();
    assert!(exists("after").await && !after.is_finished());
    drop(held);
    after.await.unwrap().unwrap_err();

    let held = stop(1, Moment::Before);
    let never = write("never");
    held.reached(SOON).await.unwrap();
    drop(held);
    never.await.unwrap().unwrap_err();
    assert!(!exists("never").await);

    // the client dies, and its write arrives late
    let held = stop(1, Moment::Before);
    let late = write("late");
    held.reached(SOON).await.unwrap();
    late.abort();
    late.await.unwrap_err();
    assert!(!exists("late").await);
    held.release();
    testbed::eventually(SOON, async || exists("late").await.then_some(())).await.unwrap();

    assert!(stop(1, Moment::Before).reached(Duration::from_millis(50)).await.is_err());
}

#[tokio::test]
async fn exactly_one_event_of_one_object_gets_lost() {
    let setting = Setting::new().await;
    let mut watch = setting.watch().await;
    let lost = setting.proxy.inject(Matcher::watches("configmaps"), Fault::drop_event("DELETED", "a"), Times::Once);
    for name in ["a", "b"] {
        setting.create(name).await;
        assert_eq!(watch.next().await, pair("ADDED", name));
    }
    for name in ["b", "a"] {
        setting.direct.delete(name, &DeleteParams::default()).await.unwrap();
    }
    setting.create("a").await;
    assert_eq!([watch.next().await, watch.next().await], [pair("DELETED", "b"), pair("ADDED", "a")]);
    setting.direct.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!((watch.next().await, lost.hits()), (pair("DELETED", "a"), 1));
}
