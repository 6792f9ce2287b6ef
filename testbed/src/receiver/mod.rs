//! A scriptable HTTP/1.1 endpoint on a real loopback socket, written by hand so that it can misbehave.
//!
//! Every request is recorded with its time, headers and raw body. Waiting is by notification. Everything it holds is
//! what a test sent to it.

mod connection;
mod reply;
mod request;

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(test)]
pub(crate) use self::request::sign;
pub use self::{
    reply::Reply,
    request::{Request, max_in_flight, verify, verify_header},
};
use crate::error::{Context, Error, Result};

type Rule = Arc<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// The endpoint. Goes down on drop.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    // only go_down and come_up change it, one at a time
    socket: tokio::sync::Mutex<Socket>,
    // never listens, and is bound for as long as this lives: nobody else gets the port while nobody listens on it
    _reserved: TcpSocket,
}

enum Socket {
    Up { stop: CancellationToken, tasks: TaskTracker },
    // connections are refused
    Down,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

struct State {
    scripts: HashMap<String, Script>,
    rule: Option<Rule>,
    default: Reply,
    requests: Vec<Request>,
    connections: usize,
}

struct Script {
    replies: VecDeque<Reply>,
    last_repeats: bool,
}

impl Receiver {
    /// One that answers 200 to everything.
    pub async fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    /// The same at another address of this machine, such as a Service's.
    pub async fn start_at(address: impl Into<IpAddr>) -> Result<Self> {
        let state = State {
            scripts: HashMap::new(),
            rule: None,
            default: Reply::Status(200),
            requests: Vec::new(),
            connections: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(0) });
        let reserved = bind(SocketAddr::new(address.into(), 0))?;
        let address = reserved.local_addr().context("failed to get a free port")?;
        let receiver = Self { address, shared, socket: tokio::sync::Mutex::new(Socket::Down), _reserved: reserved };
        receiver.come_up().await?;
        Ok(receiver)
    }

    /// `http://ADDRESS:port` and the path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next answers on a path, one a request; afterwards the default again. Replaces what was scripted for it.
    pub fn script(&self, path: &str, replies: Vec<Reply>) {
        let script = Script { replies: replies.into(), last_repeats: false };
        self.shared.lock().scripts.insert(path.to_owned(), script);
    }

    /// The same, but the last answer repeats for ever.
    pub fn script_forever(&self, path: &str, replies: Vec<Reply>) {
        let script = Script { replies: replies.into(), last_repeats: true };
        self.shared.lock().scripts.insert(path.to_owned(), script);
    }

    /// Answers by what the request holds (a poisonous object, say). Asked first; `None` leaves it to the scripts.
    /// The request's `index` is not given yet.
    pub fn rule(&self, rule: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) {
        self.shared.lock().rule = Some(Arc::new(rule));
    }

    /// Ends [`Self::rule`].
    pub fn clear_rule(&self) {
        self.shared.lock().rule = None;
    }

    /// The answer where nothing is scripted.
    pub fn set_default(&self, reply: Reply) {
        self.shared.lock().default = reply;
    }

    /// Closes all connections and refuses new ones.
    pub async fn go_down(&self) -> Result<()> {
        let mut socket = self.socket.lock().await;
        if let Socket::Up { stop, tasks } = &*socket {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
            *socket = Socket::Down;
        }
        Ok(())
    }

    /// Listens again, on the same port.
    pub async fn come_up(&self) -> Result<()> {
        let mut socket = self.socket.lock().await;
        if matches!(&*socket, Socket::Up { .. }) {
            return Ok(());
        }
        let listener = bind(self.address)?.listen(1024).context("failed to listen")?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, Arc::clone(&self.shared), stop.clone(), tasks.clone()));
        *socket = Socket::Up { stop, tasks };
        Ok(())
    }

    /// All requests so far, in the order in which they were complete.
    pub fn all_requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The requests from this index on.
    pub fn since(&self, index: usize) -> Vec<Request> {
        self.shared.lock().requests.get(index..).unwrap_or_default().to_vec()
    }

    /// The requests on a path (without query) so far.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.shared.lock().requests.iter().filter(|request| request.path() == path).cloned().collect()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until a path had at least `count` requests, and gives them.
    pub async fn wait_for(&self, path: &str, count: usize, within: Duration) -> Result<Vec<Request>> {
        let enough = |all: &[Request]| all.iter().filter(|request| request.path() == path).count() >= count;
        let waited = self.wait_until(enough, within).await;
        waited.context(format!("failed to wait for {count} requests on {path}"))?;
        Ok(self.requests(path))
    }

    /// Waits until the requests so far satisfy a condition, which is looked at with every request and every answer.
    /// The condition must not ask the receiver itself.
    pub async fn wait_until(&self, condition: impl Fn(&[Request]) -> bool, within: Duration) -> Result<Vec<Request>> {
        let mut changed = self.shared.changed.subscribe();
        let satisfied = changed.wait_for(|_| condition(&self.shared.lock().requests));
        let result = tokio::time::timeout(within, satisfied).await.is_ok_and(|changed| changed.is_ok());
        let requests = self.all_requests();
        if result {
            return Ok(requests);
        }
        let last: Vec<_> = requests.iter().rev().take(20).rev().map(Request::summary).collect();
        let text = format!("not within {within:?}; {} requests, the last: {}", requests.len(), last.join(", "));
        Err(Error::new(text))
    }

    /// Waits this long and fails if a request came in meanwhile: for tests that nothing is sent.
    pub async fn stays_quiet(&self, during: Duration) -> Result<()> {
        let before = self.all_requests().len();
        match self.wait_until(|all| all.len() > before, during).await {
            Err(_) => Ok(()),
            Ok(all) => {
                let new: Vec<_> = all[before..].iter().map(Request::summary).collect();
                Err(Error::new(format!("not quiet: {}", new.join(", "))))
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Socket::Up { stop, .. } = self.socket.get_mut() {
            stop.cancel();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Records a request and decides how it is answered.
    fn record(&self, mut request: Request) -> (usize, Reply) {
        // asked without the lock: a rule is a test's code
        let rule = self.lock().rule.clone();
        let ruled = rule.and_then(|rule| rule(&request));
        let mut state = self.lock();
        let index = state.requests.len();
        request.index = index;
        let reply = ruled.or_else(|| state.scripted(request.path())).unwrap_or_else(|| state.default.clone());
        state.requests.push(request);
        drop(state);
        self.notify();
        (index, reply)
    }

    /// The status to answer with before the body is read, if that is what comes next on this path.
    fn early(&self, target: &str) -> Option<u16> {
        let path = target.split('?').next().unwrap_or_default();
        match self.lock().next_scripted(path)? {
            Reply::BeforeBody(status) => Some(*status),
            _ => None,
        }
    }

    fn answered(&self, index: usize, status: u16) {
        self.lock().requests[index].status = Some(status);
        self.finish(index);
    }

    /// Only the first end counts.
    fn finish(&self, index: usize) {
        self.lock().requests[index].finished.get_or_insert_with(Instant::now);
        self.notify();
    }
}

impl State {
    fn next_scripted(&self, path: &str) -> Option<&Reply> {
        match self.scripts.get(path).and_then(|script| script.replies.front()) {
            None if matches!(self.default, Reply::BeforeBody(_)) => Some(&self.default),
            reply => reply,
        }
    }

    fn scripted(&mut self, path: &str) -> Option<Reply> {
        let script = self.scripts.get_mut(path)?;
        if script.last_repeats && script.replies.len() == 1 {
            script.replies.front().cloned()
        } else {
            script.replies.pop_front()
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpSocket> {
    let made = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = made.context("failed to create a socket")?;
    // connections of an earlier life of this port may still be in TIME_WAIT
    socket.set_reuseaddr(true).context("failed to prepare a socket")?;
    // beside the one that keeps the port, and for a moment beside a closed one: until a process that is being started as
    // it closes has become another program, that process has it open too
    socket.set_reuseport(true).context("failed to prepare a socket")?;
    socket.bind(address).context(format!("failed to bind {address}"))?;
    Ok(socket)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // the client was gone before it was accepted
                Err(_) => continue,
            },
        };
        let number = {
            let mut state = shared.lock();
            state.connections += 1;
            state.connections - 1
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move { stop.run_until_cancelled(connection::serve(stream, number, &shared)).await });
    }
}
