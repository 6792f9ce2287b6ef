//! Child processes that end with their parent, however it ends.
//!
//! On Linux the kernel kills a child when the *thread* that spawned it ends (`PR_SET_PDEATHSIG`), so one thread, which
//! lives as long as the process, spawns them all; this holds under `kill -9` too. Elsewhere children are killed at a
//! normal exit and on drop only, and outlive a parent that is killed with SIGKILL.
//!
//! What a child prints goes into a log file; errors quote its tail. Uses `unsafe` for `prctl`, `kill`, `waitid` and
//! `atexit`, each with the reason why it is sound.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError, mpsc},
    time::Duration,
};

use tokio::sync::watch;

use crate::error::{Context, Error, Result};

/// Children of this process that are not reaped yet, for the exit handler.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// What is to be done at exit, after the children are gone.
static AT_EXIT: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// A signal that tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please stop.
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGKILL: a crash.
    Kill,
    /// SIGSTOP: hangs without dying.
    Stop,
    /// SIGCONT: goes on after [`Signal::Stop`].
    Continue,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Interrupt => libc::SIGINT,
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
        }
    }
}

/// A running, or ended, child. Killed on drop.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: u32,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
    // the same for callers without an async runtime
    blocking: Arc<(Mutex<Option<ExitStatus>>, Condvar)>,
}

impl Child {
    /// Starts `command`; what it prints is appended to the file `log`. Standard input is empty unless the command says
    /// otherwise.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let stdout = open().context(format!("failed to open the log {}", log.display()))?;
        let stderr = open().context(format!("failed to open the log {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn_from_the_lasting_thread(command).context(format!("failed to start {name}"))?;
        let pid = child.id();
        running().insert(pid);
        let (tell, ended) = watch::channel(None);
        let blocking = Arc::new((Mutex::new(None), Condvar::new()));
        let signal = Arc::clone(&blocking);
        std::thread::Builder::new()
            .name(format!("wait-{name}"))
            .spawn(move || {
                let status = reap(child);
                tell.send_replace(status);
                *signal.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
                signal.1.notify_all();
            })
            .context("failed to start a thread")?;
        Ok(Self { name: name.to_owned(), pid, log: log.to_owned(), ended, blocking })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let mut ended = self.ended.clone();
        let status = match tokio::time::timeout(within, ended.wait_for(Option::is_some)).await {
            Ok(Ok(status)) => *status,
            Ok(Err(_)) => None,
            Err(_) => return Err(self.error(&format!("did not end within {within:?}"))),
        };
        status.ok_or_else(|| self.error("was lost: the thread that waits for it is gone"))
    }

    /// Waits for its end without an async runtime; `None` if it still runs after `within`.
    pub fn wait_blocking(&self, within: Duration) -> Option<ExitStatus> {
        let (state, changed) = &*self.blocking;
        let ended = state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(ended, within, |ended| ended.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let running = running();
        if running.contains(&self.pid) {
            // SAFETY: kill touches no memory. The pid is still ours: it is reaped only after it left RUNNING, under the
            // lock held here.
            unsafe { libc::kill(self.pid as libc::pid_t, signal.number()) };
        }
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&self) -> Result<ExitStatus> {
        self.signal(Signal::Kill);
        self.wait(Duration::from_secs(10)).await
    }

    /// All that it printed so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// An error about this child, with the end of its log.
    pub fn error(&self, what: &str) -> Error {
        let state = match self.ended() {
            Some(status) => format!("ended with {status}"),
            None => "running".to_owned(),
        };
        Error::new(format!("{} {what} (pid {}, {state}); its log ends:\n{}", self.name, self.pid, tail(&self.log())))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
    }
}

/// What a short-lived program said.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program to its end with `input` as its standard input. It too ends with this process.
pub async fn run(mut command: Command, input: Vec<u8>) -> Result<Output> {
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    run_to_end(command, input, |_| ()).await
}

/// The same without input, for what starts programs of its own: after `within` all of them are killed, so that the output is
/// what they said until then, and the status tells of a signal.
pub async fn run_within(mut command: Command, within: Duration) -> Result<Output> {
    use std::os::unix::process::CommandExt as _;

    command.process_group(0).stdin(Stdio::null()).stderr(Stdio::piped());
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut run = std::pin::pin!(run_to_end(command, Vec::new(), |pid| {
        let _ = tell.send(pid);
    }));
    if let Ok(output) = tokio::time::timeout(within, &mut run).await {
        return output;
    }
    if let Ok(leader) = told.await {
        // SAFETY: kill touches no memory. The group is the one that was made for this command, and somebody of it still
        // holds the output open, or the run would have ended.
        unsafe { libc::kill(-(leader as libc::pid_t), libc::SIGKILL) };
    }
    run.await
}

/// The same without input, and what it says on standard error is seen as it says it.
pub async fn run_shown(mut command: Command) -> Result<Output> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    run_to_end(command, Vec::new(), |_| ()).await
}

async fn run_to_end(
    mut command: Command,
    input: Vec<u8>,
    started: impl FnOnce(u32) + Send + 'static,
) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped());
    let run = move || -> std::io::Result<std::process::Output> {
        let mut child = spawn_from_the_lasting_thread(command)?;
        started(child.id());
        let stdin = child.stdin.take();
        // written by a thread of its own: a program that answers before it has read everything must not block us
        let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let output = child.wait_with_output();
        // a program may close its input early; what it says then is in its output
        let _ = writer.join();
        output
    };
    let output = tokio::task::spawn_blocking(run)
        .await
        .context(format!("failed to wait for {name}"))?
        .context(format!("failed to run {name}"))?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Whether a process with this id is there and not merely waiting to be reaped (Linux: a zombie counts as gone).
pub fn is_running(pid: u32) -> bool {
    if let Some(state) = state(pid) {
        return !matches!(state, 'Z' | 'X');
    }
    // SAFETY: signal 0 sends nothing, it only asks.
    !cfg!(target_os = "linux") && unsafe { libc::kill(pid as libc::pid_t, 0) } == 0
}

/// Whether a signal has stopped this process (Linux).
pub fn is_stopped(pid: u32) -> bool {
    state(pid) == Some('T')
}

/// The kernel's letter for what a process does (Linux).
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name in parentheses may contain anything; the state is the first letter after the last one
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Does `what` when the process exits normally, after its children have been killed.
pub(crate) fn at_exit(what: fn()) {
    AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    install_exit_handler();
}

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install_exit_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is a plain function that lives as long as the process and does not unwind.
        unsafe { libc::atexit(on_exit) };
    });
}

/// Statics are not dropped when a process exits, so the children and folders that they hold end here.
extern "C" fn on_exit() {
    // never waits for a lock: a thread may have been stopped while it held one, and then the kernel does the killing
    if let Ok(running) = RUNNING.try_lock() {
        for pid in running.iter() {
            // SAFETY: as in Child::signal.
            unsafe { libc::kill(*pid as libc::pid_t, libc::SIGKILL) };
        }
        for pid in running.iter() {
            wait_without_reaping(*pid);
        }
    }
    if let Ok(hooks) = AT_EXIT.try_lock() {
        for hook in hooks.iter() {
            hook();
        }
    }
}

fn reap(mut child: std::process::Child) -> Option<ExitStatus> {
    wait_without_reaping(child.id());
    // from here on nobody signals this pid, so that it may be given to another process
    let mut running = running();
    running.remove(&child.id());
    child.wait().ok()
}

fn wait_without_reaping(pid: u32) {
    loop {
        // SAFETY: siginfo_t is plain data for which all zeroes is a value; waitid writes only into it.
        let result = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if result == 0 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return;
        }
    }
}

struct Order {
    command: Command,
    answer: mpsc::Sender<std::io::Result<std::process::Child>>,
}

fn spawn_from_the_lasting_thread(command: Command) -> std::io::Result<std::process::Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        install_exit_handler();
        let (orders, incoming) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("testbed-spawn".to_owned())
            .spawn(move || {
                // ends never: ORDERS is a static, so the channel stays open
                for Order { mut command, answer } in incoming {
                    end_with_parent(&mut command);
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started before the first child");
        orders
    });
    let (answer, result) = mpsc::channel();
    let lost = || std::io::Error::other("the thread that spawns children is gone");
    orders.send(Order { command, answer }).map_err(|_| lost())?;
    result.recv().map_err(|_| lost())?
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    let parent = std::process::id();
    let ask_kernel = move || {
        // SAFETY: both calls are async-signal-safe, which is what counts between fork and exec.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // the parent may have died before the request was in place
            if libc::getppid() as u32 != parent {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask_kernel) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_childs_end_is_told_with_the_tail_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo last words; exit 3"]);
        let child = Child::spawn("sh", command, &dir.path().join("log")).unwrap();
        assert_eq!(child.wait(Duration::from_secs(5)).await.unwrap().code(), Some(3));
        let text = child.error("failed").to_string();
        assert!(text.contains("last words") && text.contains("exit status: 3"), "{text}");
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_gives_its_output() {
        let output = run(Command::new("cat"), b"hello".to_vec()).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.status.success()), ("hello", true));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_that_it_started_and_its_output_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 600 & sleep 600"]);
        let output = run_within(command, Duration::from_millis(500)).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.status.code()), ("begun\n", None));
    }

    #[tokio::test]
    async fn a_dropped_child_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let child = Child::spawn("sleep", command, &dir.path().join("log")).unwrap();
        let pid = child.pid();
        assert!(is_running(pid));
        drop(child);
        crate::eventually(Duration::from_secs(5), || async { (!is_running(pid)).then_some(()) }).await.unwrap();
    }
}
