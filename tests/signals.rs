//! How the built operator stops: one signal drains, the grace period bounds the drain, a second signal forces.
//!
//! There is no API server here: the operator waits for one, which is a state it has to leave on a signal as well.

#![allow(clippy::unwrap_used, reason = "clippy takes what tests share for code that ships")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

struct Operator {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    admin: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Operator {
    fn drop(&mut self) {
        // it has ended already unless the test failed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Operator {
    /// Starts it against an address where nobody listens, and waits for its admin server.
    fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a}}]\n\
                    clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\n";
        std::fs::write(&kubeconfig, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_changehook"))
            .args(["operator", "--admin-address=127.0.0.1:0", "--log-filter=changehook=info", "--kubeconfig"])
            .arg(kubeconfig)
            .args(arguments)
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut operator = Self { child, lines, seen: Vec::new(), admin: nowhere, _dir: dir };
        let line = operator.line("admin server listening");
        operator.admin = line.rsplit_once("address=").unwrap().1.trim().parse().unwrap();
        operator
    }

    /// The next log line with this text.
    fn line(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {text:?} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            // standard error closes when the process ends, so this waits without spinning
            let _ = self.lines.recv_timeout(Duration::from_millis(50)).map(|line| self.seen.push(line));
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.try_iter());
                return status;
            }
        }
        panic!("still running after {DEADLINE:?}: {:#?}", self.seen);
    }

    fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A client that asks again and again and reads no answer, until the operator cannot write any more: from then on
    /// the admin server has an answer under way that it cannot finish, and a drain has something to wait for.
    fn hold_up(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let requests = "GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n".repeat(1000);
        let until = Instant::now() + DEADLINE;
        while stream.write_all(requests.as_bytes()).is_ok() {
            assert!(Instant::now() < until, "the operator reads requests although it cannot answer them");
        }
        stream
    }
}

#[test]
fn without_an_api_server_the_operator_lives_and_says_what_it_waits_for() {
    let mut operator = Operator::start(&[]);
    operator.line("waiting for the API server");
    assert!(operator.ask("/livez").starts_with("HTTP/1.1 200"));
    let readyz = operator.ask("/readyz");
    assert!(readyz.starts_with("HTTP/1.1 503"), "{readyz}");
    let missing = "waiting for an answer of the API server\nwaiting for the custom resource definitions\n\
                   waiting for the Lease\nwaiting for the list of subscriptions\n";
    assert!(readyz.contains(missing), "{readyz}");
    assert!(operator.ask("/metrics").contains("changehook_build_info"));
}

#[test]
fn one_signal_of_either_kind_stops_the_operator_cleanly() {
    for name in ["TERM", "INT"] {
        let mut operator = Operator::start(&[]);
        operator.signal(name);
        let status = operator.ended();
        assert_eq!(status.code(), Some(0), "{:#?}", operator.seen);
        let seen = operator.seen.join("\n");
        assert!(seen.contains(&format!("stopping signal=SIG{name}")), "{seen}");
        assert!(operator.seen.last().unwrap().ends_with("stopped"), "{seen}");
    }
}

#[test]
fn the_grace_period_bounds_the_drain_and_names_what_had_not_stopped() {
    let mut operator = Operator::start(&["--shutdown-grace-seconds=1"]);
    let held = operator.hold_up();
    let start = Instant::now();
    operator.signal("TERM");
    let status = operator.ended();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:#?}", operator.seen);
    assert_eq!(status.code(), Some(1), "{:#?}", operator.seen);
    let last = operator.seen.last().unwrap();
    assert!(last.contains("failed to stop within 1 s; left behind: admin server"), "{last}");
    drop(held);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        // without the second signal the drain would go on, and end with another code
        let mut operator = Operator::start(&["--shutdown-grace-seconds=600"]);
        let held = operator.hold_up();
        operator.signal("TERM");
        operator.line("stopping");
        operator.signal(name);
        let status = operator.ended();
        assert_eq!(status.code(), Some(code), "{:#?}", operator.seen);
        let last = operator.seen.last().unwrap();
        assert!(last.contains(&format!("stopped at once by a second signal, SIG{name}")), "{last}");
        drop(held);
    }
}
