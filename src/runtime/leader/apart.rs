//! A thread and a runtime of its own for the candidate.
//!
//! Touches one thread. Invariant: nothing that keeps the other threads busy, a large body that is rendered or a ledger
//! that is loaded, delays a renewal.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Why the work did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApartError {
    /// No thread, or no runtime.
    #[error("failed to start the thread for the Lease")]
    Start(#[source] io::Error),
    /// It panicked; the log has its text.
    #[error("failed to go on: the thread for the Lease died")]
    Died,
}

/// Does the work on a thread of its own and waits for its end. What the work starts, connections for instance, lives
/// there as well. Dropping this does not end the work; the end of the process does.
pub async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, ApartError>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let runtime = Builder::new_current_thread().enable_all().build().map_err(ApartError::Start)?;
    let (done, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("changehook-lease".to_owned());
    let begun = thread.spawn(move || {
        // nobody waits for it any more if the process is about to end
        let _ends = done.send(runtime.block_on(work()));
    });
    let _detached = begun.map_err(ApartError::Start)?;
    ended.await.map_err(|_| ApartError::Died)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_apart_goes_on_while_this_thread_is_busy() {
        let (sender, heard) = std::sync::mpsc::channel();
        let work = tokio::spawn(apart(move || async move {
            tokio::task::yield_now().await;
            sender.send(thread::current().name().map(str::to_owned)).unwrap();
            7
        }));
        // it is begun, and this runtime's only thread waits without yielding
        tokio::task::yield_now().await;
        let name = heard.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(name.as_deref(), Some("changehook-lease"));
        assert_eq!(work.await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn the_death_of_the_thread_is_an_error() {
        let died = apart(|| async { assert!(thread::current().name().is_none(), "this has to panic") }).await;
        assert!(matches!(died, Err(ApartError::Died)), "{died:?}");
    }
}
