//! Supervised, named tasks that stop in order.
//!
//! Touches nothing but the tasks. Invariants: a task ends only after its stage was told to stop; any other end, a
//! panic too, is reported with the task's name. A drain stops the stages one after another, so that what takes work in
//! stops before what does it, and what reports on it stops last.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::telemetry;

/// When a task is told to stop, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Takes work in: controllers, watches.
    Intake,
    /// Does the work: what is under way finishes.
    Work,
    /// Writes down what came of the work.
    Report,
    /// Holds the right to do all that; gives it up when nothing is done any more.
    Lead,
    /// Shows all of it while it stops.
    Serve,
}

impl Stage {
    /// In the order they stop.
    pub const ALL: [Self; 5] = [Self::Intake, Self::Work, Self::Report, Self::Lead, Self::Serve];
}

/// How a task ended that should not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task {name} {how}")]
pub struct TaskEnd {
    /// Which task.
    pub name: &'static str,
    /// How.
    pub how: How,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum How {
    /// It returned although nobody told it to stop.
    #[error("ended although nobody told it to stop")]
    Returned,
    /// It gave up; the text is its chain of errors.
    #[error("failed: {0}")]
    Failed(String),
    /// It panicked, with this text.
    #[error("panicked: {0}")]
    Panicked(String),
}

/// What a task may return.
pub trait TaskOutput {
    /// The error, if there was one.
    fn into_failure(self) -> Option<String>;
}

impl TaskOutput for () {
    fn into_failure(self) -> Option<String> {
        None
    }
}

impl<E: Error + 'static> TaskOutput for Result<(), E> {
    fn into_failure(self) -> Option<String> {
        self.err().map(|error| telemetry::chain(&error))
    }
}

/// What a drain left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that had not stopped when the grace period was over; they were dropped where they stood.
    pub left: Vec<&'static str>,
    /// Tasks that failed or panicked while they stopped.
    pub failed: Vec<TaskEnd>,
}

/// The tasks of one process. Dropping it drops every task where it stands.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Option<String>>,
    running: HashMap<Id, (Stage, &'static str)>,
    stops: [CancellationToken; Stage::ALL.len()],
}

impl Tasks {
    /// Starts a task; it gets the token that tells it to stop.
    pub fn spawn<F>(&mut self, stage: Stage, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        let future = task(self.stop_of(stage));
        let handle = self.set.spawn(async move { future.await.into_failure() });
        self.running.insert(handle.id(), (stage, name));
    }

    /// Cancelled when the stage is told to stop. That of [`Stage::Intake`] says that a drain has begun.
    pub fn stop_of(&self, stage: Stage) -> CancellationToken {
        self.stops[stage as usize].clone()
    }

    /// Waits for the first task that ends on its own; for ever if there is none. Cancel safe.
    pub async fn first_end(&mut self) -> TaskEnd {
        match self.set.join_next_with_id().await {
            Some(joined) => {
                let (_, end) = self.ended(joined);
                end
            }
            None => std::future::pending().await,
        }
    }

    /// Stops all stages in order; what has not stopped after `grace` is dropped.
    pub async fn drain(&mut self, grace: Duration) -> Drained {
        let deadline = Instant::now() + grace;
        let mut failed = Vec::new();
        let mut in_time = true;
        for stage in Stage::ALL {
            self.stop_of(stage).cancel();
            while in_time && self.running.values().any(|(of, _)| *of == stage) {
                match timeout_at(deadline, self.set.join_next_with_id()).await {
                    Ok(Some(joined)) => {
                        let (of, end) = self.ended(joined);
                        // a later stage's task must not return before it is told to
                        if of > stage || end.how != How::Returned {
                            failed.push(end);
                        }
                    }
                    Ok(None) => self.running.clear(),
                    Err(_) => in_time = false,
                }
            }
        }
        let mut left: Vec<_> = self.running.drain().map(|(_, left)| left).collect();
        left.sort_unstable();
        self.set.abort_all();
        Drained { left: left.into_iter().map(|(_, name)| name).collect(), failed }
    }

    fn ended(&mut self, joined: Result<(Id, Option<String>), JoinError>) -> (Stage, TaskEnd) {
        let (id, how) = match joined {
            Ok((id, None)) => (id, How::Returned),
            Ok((id, Some(failure))) => (id, How::Failed(failure)),
            Err(error) => (error.id(), panicked(error)),
        };
        let (stage, name) = self.running.remove(&id).expect("every task of the set is in the table until it ends");
        (stage, TaskEnd { name, how })
    }
}

fn panicked(error: JoinError) -> How {
    match error.try_into_panic() {
        Ok(payload) => How::Panicked(telemetry::panic_text(payload.as_ref()).to_owned()),
        Err(aborted) => How::Failed(aborted.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    use super::*;

    const GRACE: Duration = Duration::from_secs(25);

    #[derive(Debug, thiserror::Error)]
    #[error("failed to breathe")]
    struct NoAir(#[source] std::fmt::Error);

    #[tokio::test]
    async fn a_task_that_ends_on_its_own_is_reported_by_name() {
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "steady", CancellationToken::cancelled_owned);
        tasks.spawn(Stage::Work, "driver", |_| async {});
        assert_eq!(tasks.first_end().await, TaskEnd { name: "driver", how: How::Returned });
        tasks.spawn(Stage::Work, "watch", |_| async { Err::<(), _>(NoAir(std::fmt::Error)) });
        let end = tasks.first_end().await;
        assert!(end.to_string().starts_with("task watch failed: failed to breathe: an error"), "{end}");
    }

    #[tokio::test]
    async fn a_panic_is_reported_with_its_text_and_the_name_of_its_task() {
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "driver", |_| async { assert!(Stage::ALL.is_empty(), "slot {} is gone", 7) });
        assert_eq!(tasks.first_end().await.to_string(), "task driver panicked: slot 7 is gone");
    }

    #[tokio::test]
    async fn a_drain_stops_the_stages_in_order_and_each_waits_for_the_one_before() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Tasks::default();
        for (stage, name) in [
            (Stage::Serve, "admin server"),
            (Stage::Report, "status writer"),
            (Stage::Work, "driver"),
            (Stage::Intake, "controller"),
        ] {
            let order = Arc::clone(&order);
            tasks.spawn(stage, name, |stop| async move {
                stop.cancelled().await;
                // takes a while, so that a later stage would overtake if it were told too early
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                order.lock().unwrap().push(name);
            });
        }
        assert_eq!(tasks.drain(GRACE).await, Drained::default());
        assert_eq!(*order.lock().unwrap(), ["controller", "driver", "status writer", "admin server"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_bounds_the_drain_and_what_was_left_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "driver", |_| pending::<()>());
        tasks.spawn(Stage::Serve, "admin server", CancellationToken::cancelled_owned);
        let start = Instant::now();
        let drained = tasks.drain(GRACE).await;
        assert_eq!(start.elapsed(), GRACE);
        assert_eq!(drained.left, ["driver", "admin server"]);
        assert_eq!(drained.failed, []);
    }

    #[tokio::test]
    async fn a_failure_while_stopping_is_reported() {
        let mut tasks = Tasks::default();
        tasks.spawn(Stage::Work, "driver", |stop| async move {
            stop.cancelled().await;
            Err::<(), _>(NoAir(std::fmt::Error))
        });
        tasks.spawn(Stage::Intake, "controller", CancellationToken::cancelled_owned);
        let drained = tasks.drain(GRACE).await;
        assert_eq!(drained.failed.len(), 1);
        assert_eq!(drained.failed[0].name, "driver");
    }

    #[tokio::test]
    async fn a_drain_without_tasks_is_over_at_once() {
        assert_eq!(Tasks::default().drain(GRACE).await, Drained::default());
    }
}
