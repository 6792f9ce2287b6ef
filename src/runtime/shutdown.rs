//! The signals that stop the operator.
//!
//! Touches the process's signal handlers. Invariant: from [`Signals::listen`] on SIGTERM and SIGINT never kill the
//! process by themselves; whoever owns the [`Signals`] decides what the first and the second one mean.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that asks the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

impl StopSignal {
    /// What a shell reports for a process that the signal killed: 128 + its number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Both signals, in the order they arrive.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Hears signals that nobody sends. A handler stays for good: with the real ones installed, a test run could no
    /// longer be interrupted.
    #[cfg(test)]
    pub(super) fn deaf() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::user_defined1())?, interrupt: signal(SignalKind::user_defined2())? })
    }

    /// The next signal. Cancel safe: a signal that arrives while nobody asks is kept.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            Some(()) = self.terminate.recv() => StopSignal::Terminate,
            Some(()) = self.interrupt.recv() => StopSignal::Interrupt,
            // both streams end only with the tokio runtime that polls this
            else => std::future::pending().await,
        }
    }
}
