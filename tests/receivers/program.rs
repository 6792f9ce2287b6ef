//! The example receivers as child processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testbed::eventually;
use testbed::process::{self, Child};
use testbed::scratch::Scratch;

/// What they verify with.
pub const SECRET: &str = "s3cr3t key, with spaces, ünd Ümläuts";
const WITHIN: Duration = Duration::from_secs(20);
/// The first build of Go's standard library takes its time.
const BUILT_WITHIN: Duration = Duration::from_mins(5);

/// What a receiver is written in.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    Node,
    Python,
    Go,
}

pub const ALL: [Language; 3] = [Language::Node, Language::Python, Language::Go];

/// One that runs.
pub struct Receiver {
    pub language: Language,
    pub child: Child,
    pub url: String,
    pub http: reqwest::Client,
    // last: the log and the built program go after the child
    _scratch: Scratch,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/receivers").join(name)
}

fn program(name: &str, what: &str) -> Command {
    let there = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(there, "the tests of the example receivers need {what}: install it, so that `{name}` is found in PATH");
    Command::new(name)
}

impl Language {
    pub async fn command(self, scratch: &Path) -> Command {
        match self {
            Self::Node => {
                let mut command = program("node", "Node.js");
                command.arg(folder("node").join("server.js"));
                command
            }
            Self::Python => {
                let mut command = program("python3", "Python");
                command.arg("-B").arg(folder("python").join("server.py"));
                command
            }
            Self::Go => {
                // not `go run`: what that starts would outlive it
                let binary = scratch.join("receiver");
                let mut compile = program("go", "the Go toolchain");
                compile
                    .current_dir(folder("go"))
                    .args([OsStr::new("build"), OsStr::new("-o"), binary.as_os_str()])
                    .arg(".");
                let built = tokio::time::timeout(BUILT_WITHIN, process::run(compile, Vec::new())).await;
                let built = built.expect("go build takes too long").unwrap();
                assert!(built.status.success(), "go build failed: {}", built.stderr);
                Command::new(binary)
            }
        }
    }
}

impl Receiver {
    pub async fn start(language: Language) -> Self {
        testbed::init();
        let scratch = Scratch::new().unwrap();
        let mut command = language.command(scratch.path()).await;
        command.env("PORT", "0").env("WEBHOOK_SECRET", SECRET);
        let child = Child::spawn(&format!("{language:?} receiver"), command, &scratch.path().join("log")).unwrap();
        let url = eventually(WITHIN, || async {
            child.log().lines().find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()))
        })
        .await;
        let url = url.unwrap_or_else(|_| panic!("{}", child.error("did not say where it listens")));
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/webhook"), "{url}");
        let http = reqwest::Client::builder().no_proxy().timeout(WITHIN).build().unwrap();
        Self { language, child, url, http, _scratch: scratch }
    }

    /// Posts a body with these signature headers and gives the answer's status.
    pub async fn post(&self, body: &[u8], signatures: &[&[u8]]) -> u16 {
        let mut request = self.http.post(&self.url).header("Content-Type", "application/json").body(body.to_vec());
        for signature in signatures {
            request = request.header("X-Signature-256", http::HeaderValue::from_bytes(signature).unwrap());
        }
        match request.send().await {
            Ok(answer) => answer.status().as_u16(),
            Err(error) => panic!("{}", self.child.error(&format!("did not answer: {error}"))),
        }
    }

    /// Waits for a line of its output.
    pub async fn says(&self, line: &str) {
        self.puts(line, |said| said == line).await;
    }

    /// Waits for a line of its output that begins so.
    pub async fn prints(&self, start: &str) {
        self.puts(start, |said| said.starts_with(start)).await;
    }

    async fn puts(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let said = eventually(WITHIN, || async { self.child.log().lines().any(&wanted).then_some(()) }).await;
        assert!(said.is_ok(), "{}", self.child.error(&format!("did not say {what:?}")));
    }
}
