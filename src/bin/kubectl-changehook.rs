//! The kubectl plugin `kubectl changehook`: parses, runs, answers with an exit code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // before anything can open a TLS connection: the one provider that is linked
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: failed to install the TLS provider: there is one already");
        return ExitCode::FAILURE;
    }
    changehook::plugin::run()
}
