//! A small API server on a real socket: one kind, an event log, and answers that a test puts in the way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;

pub(super) const COLLECTION: &str = "/apis/example.com/v1/widgets";

/// One request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) accept: String,
    pub(super) encoding: String,
}

impl Asked {
    pub(super) fn get(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    pub(super) fn is_watch(&self) -> bool {
        self.get("watch") == "true" && !self.is_streaming()
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.get("sendInitialEvents") == "true"
    }

    pub(super) fn is_list(&self) -> bool {
        self.path.ends_with("/widgets") && self.get("watch").is_empty()
    }

    pub(super) fn is_page(&self) -> bool {
        self.is_list() && self.get("limit") != "1" && !self.is_comparison()
    }

    /// A list of names only.
    pub(super) fn is_comparison(&self) -> bool {
        self.is_list() && self.accept.contains("PartialObjectMetadataList")
    }
}

pub(super) enum Answer {
    /// Status and text.
    Plain(u16, String),
    /// 200 with these bytes, then the connection breaks.
    Broken(String),
    /// 200 with these bytes, then an orderly end.
    Stream(String),
    /// 200 with these bytes, then silence.
    Silent(String),
}

type Feed = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;
type Trick = (Box<dyn Fn(&Asked) -> bool + Send>, Answer);

#[derive(Default)]
struct Inner {
    asked: Vec<Asked>,
    tricks: VecDeque<Trick>,
    served: Vec<&'static str>,
    verbs: Vec<&'static str>,
    streaming: bool,
    rv: u64,
    objects: BTreeMap<String, String>,
    log: Vec<(u64, String)>,
    feeds: Vec<Feed>,
}

#[derive(Clone)]
pub(super) struct Api {
    inner: Arc<Mutex<Inner>>,
    pub(super) uri: String,
}

pub(super) fn object(name: &str, rv: u64) -> String {
    format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"namespace":"ns","name":"{name}","uid":"{name}","resourceVersion":"{rv}"}},"spec":{{}}}}"#
    )
}

pub(super) fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

pub(super) fn bookmark(rv: u64, ends_list: bool) -> String {
    let annotations = if ends_list { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
    event("BOOKMARK", &format!(r#"{{"metadata":{{"resourceVersion":"{rv}"{annotations}}}}}"#))
}

pub(super) fn error(code: u16) -> String {
    event("ERROR", &format!(r#"{{"kind":"Status","code":{code},"reason":"Whatever","message":"m"}}"#))
}

pub(super) fn list(rv: &str, next: &str, items: &[String]) -> String {
    format!(r#"{{"metadata":{{"resourceVersion":"{rv}","continue":"{next}"}},"items":[{}]}}"#, items.join(","))
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            uri: format!("http://{}", listener.local_addr().unwrap()),
            inner: Arc::new(Mutex::new(Inner {
                served: vec!["v1"],
                verbs: vec!["get", "list", "watch"],
                streaming: true,
                rv: 100,
                ..Inner::default()
            })),
        };
        let answering = api.clone();
        let app = axum::Router::new().fallback(move |request: Request<Body>| {
            let answering = answering.clone();
            async move { answering.answer(&request) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        api
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    pub(super) fn count(&self, of: impl Fn(&Asked) -> bool) -> usize {
        self.inner().asked.iter().filter(|asked| of(asked)).count()
    }

    /// The next request like this is answered so; tricks are used in order.
    pub(super) fn trick(&self, on: impl Fn(&Asked) -> bool + Send + 'static, answer: Answer) {
        self.inner().tricks.push_back((Box::new(on), answer));
    }

    pub(super) fn streaming(&self, served: bool) {
        self.inner().streaming = served;
    }

    pub(super) fn serve(&self, versions: &[&'static str], verbs: &[&'static str]) {
        let mut inner = self.inner();
        inner.served = versions.to_vec();
        inner.verbs = verbs.to_vec();
        inner.feeds.clear();
    }

    pub(super) fn set(&self, name: &str) -> u64 {
        let mut inner = self.inner();
        inner.rv += 1;
        let rv = inner.rv;
        let new = object(name, rv);
        let kind = if inner.objects.insert(name.to_owned(), new.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        inner.tell(rv, event(kind, &new));
        rv
    }

    pub(super) fn delete(&self, name: &str) -> u64 {
        let mut inner = self.inner();
        inner.rv += 1;
        let rv = inner.rv;
        inner.objects.remove(name);
        inner.tell(rv, event("DELETED", &object(name, rv)));
        rv
    }

    /// The object is deleted, and no watch says so.
    pub(super) fn lose(&self, name: &str) {
        let mut inner = self.inner();
        inner.rv += 1;
        inner.objects.remove(name);
    }

    /// The storage is set back: there are only these objects, and all watches break.
    pub(super) fn restore(&self, rv: u64, objects: &[(&str, u64)]) {
        let mut inner = self.inner();
        inner.rv = rv;
        inner.objects = objects.iter().map(|(name, rv)| ((*name).to_owned(), object(name, *rv))).collect();
        inner.log.clear();
        inner.feeds.clear();
    }

    /// An object that is listed and watched as this text.
    pub(super) fn set_raw(&self, name: &str, text: &str) {
        let mut inner = self.inner();
        inner.rv += 1;
        let rv = inner.rv;
        inner.objects.insert(name.to_owned(), text.to_owned());
        inner.tell(rv, event("ADDED", text));
    }

    /// Other kinds changed meanwhile.
    pub(super) fn rv(&self, rv: u64) {
        self.inner().rv = rv;
    }

    /// To all open watches, outside the log.
    pub(super) fn push(&self, line: &str) {
        self.inner().feeds.retain(|feed| feed.send(Ok(Bytes::from(line.to_owned()))).is_ok());
    }

    pub(super) fn watches(&self) -> usize {
        let mut inner = self.inner();
        inner.feeds.retain(|feed| !feed.is_closed());
        inner.feeds.len()
    }

    /// All open watches end in order.
    pub(super) fn end(&self) {
        self.inner().feeds.clear();
    }

    /// All open watches break.
    pub(super) fn cut(&self) {
        for feed in self.inner().feeds.drain(..) {
            let _ = feed.send(Err(std::io::Error::other("cut")));
        }
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let header = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let asked = Asked {
            path: request.uri().path().to_owned(),
            query: url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()).into_owned().collect(),
            accept: header("accept"),
            encoding: header("accept-encoding"),
        };
        let mut inner = self.inner();
        inner.asked.push(asked.clone());
        let trick = inner.tricks.iter().position(|(on, _)| on(&asked));
        if let Some((_, answer)) = trick.and_then(|at| inner.tricks.remove(at)) {
            return match answer {
                Answer::Plain(code, text) => plain(code, text),
                Answer::Broken(text) => {
                    // the first part has to be on its way before the connection breaks
                    let broken = futures::stream::once(async {
                        tokio::task::yield_now().await;
                        Err(std::io::Error::other("broken"))
                    });
                    streamed(futures::stream::iter([Ok(Bytes::from(text))]).chain(broken))
                }
                Answer::Stream(text) => streamed(futures::stream::iter([Ok(Bytes::from(text))])),
                Answer::Silent(text) => {
                    streamed(futures::stream::iter([Ok(Bytes::from(text))]).chain(futures::stream::pending()))
                }
            };
        }
        inner.honest(&asked)
    }
}

fn plain(code: u16, text: String) -> Response<Body> {
    Response::builder().status(code).body(Body::from(text)).unwrap()
}

fn streamed(chunks: impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Response<Body> {
    Response::new(Body::from_stream(chunks))
}

impl Inner {
    fn tell(&mut self, rv: u64, line: String) {
        self.feeds.retain(|feed| feed.send(Ok(Bytes::from(line.clone()))).is_ok());
        self.log.push((rv, line));
    }

    fn honest(&mut self, asked: &Asked) -> Response<Body> {
        let absent = || plain(404, "404 page not found\n".to_owned());
        if asked.path == "/apis" {
            let versions: Vec<String> = self
                .served
                .iter()
                .map(|v| format!(r#"{{"groupVersion":"example.com/{v}","version":"{v}"}}"#))
                .collect();
            let group = format!(r#"{{"name":"example.com","versions":[{}]}}"#, versions.join(","));
            let groups = if versions.is_empty() { String::new() } else { group };
            return plain(200, format!(r#"{{"kind":"APIGroupList","groups":[{groups}]}}"#));
        }
        if let Some(version) = asked.path.strip_prefix("/apis/example.com/").filter(|rest| !rest.contains('/')) {
            if !self.served.contains(&version) {
                return absent();
            }
            let verbs = self.verbs.iter().map(|verb| format!("\"{verb}\"")).collect::<Vec<_>>().join(",");
            return plain(
                200,
                format!(
                    r#"{{"resources":[{{"name":"widgets/status","kind":"Widget","namespaced":true,"verbs":["get"]}},
                    {{"name":"widgets","kind":"Widget","namespaced":true,"verbs":[{verbs}]}}]}}"#
                ),
            );
        }
        if asked.path == "/api/v1" {
            let secrets = r#"{"name":"secrets","kind":"Secret","namespaced":true,"verbs":["list","watch"]}"#;
            let nodes = r#"{"name":"nodes","kind":"Node","namespaced":false,"verbs":["list","watch"]}"#;
            return plain(200, format!(r#"{{"resources":[{secrets},{nodes}]}}"#));
        }
        let served = self.served.iter().any(|v| asked.path == format!("/apis/example.com/{v}/widgets"));
        if !served && asked.path != "/apis/example.com/v1/namespaces/ns/widgets" && asked.path != "/api/v1/secrets" {
            return absent();
        }
        if asked.is_streaming() {
            if !self.streaming {
                return plain(422, r#"{"kind":"Status","code":422,"reason":"Invalid"}"#.to_owned());
            }
            let mut text: String = self.objects.values().map(|object| event("ADDED", object)).collect();
            text.push_str(&bookmark(self.rv, true));
            return self.feed(text);
        }
        if asked.is_watch() {
            let from: u64 = asked.get("resourceVersion").parse().unwrap();
            let missed: String = self.log.iter().filter(|(rv, _)| *rv > from).map(|(_, line)| line.as_str()).collect();
            return self.feed(missed);
        }
        let limit: usize = asked.get("limit").parse().unwrap();
        let offset: usize = asked.get("continue").parse().unwrap_or(0);
        let items: Vec<String> = self.objects.values().skip(offset).take(limit).cloned().collect();
        let next = offset + items.len();
        let token = if next < self.objects.len() { next.to_string() } else { String::new() };
        plain(200, list(&self.rv.to_string(), &token, &items))
    }

    fn feed(&mut self, text: String) -> Response<Body> {
        let (feed, lines) = mpsc::unbounded_channel();
        if !text.is_empty() {
            feed.send(Ok(Bytes::from(text))).unwrap();
        }
        self.feeds.push(feed);
        let lines =
            futures::stream::unfold(lines, |mut lines| async move { lines.recv().await.map(|next| (next, lines)) });
        streamed(lines)
    }
}
