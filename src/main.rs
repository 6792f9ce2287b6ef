//! The `changehook` command: parses, runs, answers with an exit code. Everything else is in the library.

use std::process::ExitCode;

use changehook::runtime::config::{Cli, Command};
use changehook::runtime::{crds, operator, telemetry};

fn main() -> ExitCode {
    // before anything can open a TLS connection: the one provider that is linked
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: failed to install the TLS provider: there is one already");
        return ExitCode::FAILURE;
    }
    match Cli::read().command {
        Command::Operator(config) => operator::run(&config),
        Command::Crds(config) => match crds::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", telemetry::chain(&error));
                ExitCode::FAILURE
            }
        },
    }
}
