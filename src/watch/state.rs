//! What one source is doing, and who is told when that changes.
//!
//! Invariants: no change of state is lost, however slowly notices are read, and what waits to be told is one entry a
//! source; a state's message is for people and says the same as long as the situation is the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use changehook_core::object::SourceId;
use tokio::sync::{Notify, mpsc};

/// What a source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The first list is not complete yet.
    Starting,
    /// Listed and watched.
    Watching {
        /// Whether the kind has namespaces.
        namespaced: bool,
        /// The version that the watch has reached.
        rv: u64,
    },
    /// The API server does not serve the kind, or not in this version.
    NotInstalled {
        /// For people.
        message: String,
    },
    /// The kind cannot be listed and watched.
    NotWatchable {
        /// For people; names the missing verbs.
        message: String,
    },
    /// The operator may not list or watch the kind.
    Forbidden {
        /// For people; names the verb, the resource and the rule that would allow it.
        message: String,
    },
    /// The API server shows a state older than what was seen before; it is not believed.
    Stale {
        /// For people.
        message: String,
    },
    /// The kind's resourceVersions are no decimal numbers.
    Unsupported {
        /// For people.
        message: String,
    },
    /// Listing or watching fails; retried.
    Failing {
        /// For people.
        message: String,
    },
}

impl SourceState {
    /// Whether somebody who knew `self` learns anything by `other`. Versions move all the time and are no news.
    fn says_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Watching { namespaced: a, .. }, Self::Watching { namespaced: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// Sources whose state changed and whose notice has not gone out yet.
#[derive(Default)]
pub(super) struct Notices {
    pending: Mutex<BTreeSet<SourceId>>,
    wake: Notify,
}

impl Notices {
    pub(super) fn add(&self, id: &SourceId) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.wake.notify_one();
    }

    /// Passes notices on until nobody wants them.
    pub(super) async fn pass_on(&self, notices: mpsc::Sender<SourceId>) {
        loop {
            // the permit of `notify_one` is kept, so an `add` between the two lines is not missed
            let next = self.pending.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            match next {
                Some(id) => {
                    if notices.send(id).await.is_err() {
                        return;
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }
}

/// One source's state, as it is shown outside.
#[derive(Clone)]
pub(super) struct StateCell {
    id: Arc<SourceId>,
    state: Arc<Mutex<SourceState>>,
    notices: Arc<Notices>,
}

impl StateCell {
    pub(super) fn new(id: Arc<SourceId>, notices: Arc<Notices>) -> Self {
        Self { id, state: Arc::new(Mutex::new(SourceState::Starting)), notices }
    }

    pub(super) fn get(&self) -> SourceState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether that is news.
    pub(super) fn set(&self, next: SourceState) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = state.says_the_same_as(&next);
        *state = next;
        drop(state);
        if !told {
            self.notices.add(&self.id);
        }
        !told
    }

    /// The watch has reached `version`.
    pub(super) fn moved(&self, version: u64) {
        if let SourceState::Watching { rv, .. } = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            *rv = version;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changehook_core::object::Gvk;

    fn id(kind: &str) -> SourceId {
        SourceId { gvk: Gvk::new("v1", kind), namespace: None }
    }

    #[tokio::test]
    async fn no_notice_is_lost_when_nobody_reads_for_a_while() {
        let notices = Arc::new(Notices::default());
        let (tx, mut rx) = mpsc::channel(1);
        for n in 0..50 {
            notices.add(&id(&format!("Kind{n}")));
            notices.add(&id("Again"));
        }
        let passing = tokio::spawn({
            let notices = notices.clone();
            async move { notices.pass_on(tx).await }
        });
        let mut seen = BTreeSet::new();
        while seen.len() < 51 {
            seen.insert(rx.recv().await.unwrap());
        }
        notices.add(&id("Later"));
        while rx.recv().await.unwrap() != id("Later") {}
        passing.abort();
    }

    #[test]
    fn a_moved_version_is_no_news_and_another_message_is() {
        let notices = Arc::new(Notices::default());
        let cell = StateCell::new(Arc::new(id("Pod")), notices.clone());
        let news = || notices.pending.lock().unwrap().pop_first().is_some();
        cell.set(SourceState::Watching { namespaced: true, rv: 1 });
        assert!(news());
        cell.set(SourceState::Watching { namespaced: true, rv: 2 });
        cell.moved(3);
        assert!(!news());
        assert_eq!(cell.get(), SourceState::Watching { namespaced: true, rv: 3 });
        cell.set(SourceState::Failing { message: "a".into() });
        assert!(news());
        cell.set(SourceState::Failing { message: "a".into() });
        assert!(!news());
        cell.set(SourceState::Failing { message: "b".into() });
        assert!(news());
        cell.moved(4);
        assert_eq!(cell.get(), SourceState::Failing { message: "b".into() });
    }
}
