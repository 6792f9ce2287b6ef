//! Being told to stop, by a person or by whoever runs us.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Context as _, Result};

/// What a shell reports for a command that Ctrl-C ended.
pub const EXIT_CODE: u8 = 130;

/// Ends on the first SIGINT, SIGTERM or SIGHUP. Listens from the call on, so that an early signal is not lost.
pub fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("failed to listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}
