//! `kubectl changehook`: what a user does with a subscription from the command line, with the user's own rights.
//!
//! Touches standard output and error, the kubeconfig, and the API server. Invariants: nothing is created before all of
//! it is checked as the operator would check it; every wait is bounded; no Secret's value is ever shown.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`cli`] | the flags |
//! | [`cluster`] | the API server, as the user |
//! | [`kinds`] | what a user calls a kind, found in discovery |
//! | [`selector`] | a label selector as kubectl writes it |
//! | [`manifest`] | from flags to a checked manifest |
//! | [`subscribe`] | create, wait, say what is next |
//! | [`references`] | what a subscription refers to, looked up |
//! | [`status`] | how a subscription stands |

pub mod cli;
pub mod cluster;
pub mod kinds;
pub mod manifest;
pub mod references;
pub mod selector;
pub mod status;
pub mod subscribe;

use std::process::ExitCode;

use clap::Parser;

use crate::chain::chain;
use cli::{Cli, Command, SubscribeCommand};

/// Why a command ended without what was asked for. Its text has the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line cannot be carried out as it is.
    #[error("{0}")]
    Input(String),
    /// The namespace or the definitions are missing.
    #[error("failed to create the subscription: {0}")]
    NoPlace(String),
    /// The subscription is there and not Ready.
    #[error("{0}")]
    NotReady(String),
    /// The API server, or the way to it.
    #[error(transparent)]
    Cluster(#[from] cluster::ClusterError),
    /// Another subscription has the name.
    #[error(
        "WebhookSubscription {namespace}/{name} exists with another spec ({fields}); choose another --name, or replace \
         its spec with --overwrite"
    )]
    Exists {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The fields of the spec that differ.
        fields: String,
    },
    /// Standard output is closed or full.
    #[error("failed to print")]
    Print(#[source] std::io::Error),
    /// The runtime.
    #[error("failed to start")]
    Runtime(#[source] std::io::Error),
}

/// Runs the command of this process: 0 if it is done, 1 if it failed, 2 if the command line has to be changed.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime);
    let done = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match cli.command {
                Command::Subscribe(SubscribeCommand::Webhook(arguments)) => subscribe::run(&arguments).await,
                Command::Status(arguments) => status::run(&arguments).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // whoever reads has seen enough
        Err(Error::Print(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            match error {
                Error::Input(_) => ExitCode::from(2),
                Error::NoPlace(_)
                | Error::NotReady(_)
                | Error::Cluster(_)
                | Error::Exists { .. }
                | Error::Print(_)
                | Error::Runtime(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints to standard output.
fn print(text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Print)
}
