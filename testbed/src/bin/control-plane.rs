//! A control plane for scripts and for trying things out: writes an admin kubeconfig, prints `ready`, stays until
//! SIGINT, SIGTERM or the end of standard input. etcd and the API server end with it, however it ends.

use std::{io::Read as _, path::PathBuf, process::ExitCode};

use clap::Parser;
use testbed::{ControlPlane, Error, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[derive(Parser)]
#[command(version, about = "Start etcd and kube-apiserver on loopback, and stay until told to stop")]
struct Args {
    /// Where to write the admin's kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("control-plane: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    // listening before anything is started, so that an early signal is not lost
    let told_to_stop = told_to_stop()?;
    tokio::pin!(told_to_stop);
    let control_plane = tokio::select! {
        started = ControlPlane::start() => started?,
        () = &mut told_to_stop => {
            return Err(Error::new("told to stop, by a signal or the end of standard input, before it was ready"));
        }
    };
    let written = std::fs::copy(control_plane.kubeconfig_path(), &args.kubeconfig);
    written.map_err(|error| Error::caused(format!("failed to write {}", args.kubeconfig.display()), error))?;
    println!("ready");
    told_to_stop.await;
    Ok(())
}

/// Ends on SIGINT, SIGTERM or the end of standard input.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let failed = |error| Error::caused("failed to listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (end, ended) = oneshot::channel();
    // a plain thread: it may be stuck in read when the process exits, which a runtime's own thread may not
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 1024];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        let _ = end.send(());
    });
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = ended => {}
        }
    })
}
