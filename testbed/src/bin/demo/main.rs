//! `cargo demo`: control plane, receiver and operator, and what they do, told in the terminal. Ends with a check that
//! fails the command if anything was not delivered. Every process it starts ends with it, however it ends.

mod endpoint;
mod screen;
mod story;

use std::process::ExitCode;

use clap::Parser;
use testbed::{Result, interrupt};

use self::screen::Screen;

#[derive(Parser)]
#[command(
    name = "cargo demo",
    version,
    about = "See changehook work, on a control plane of its own",
    long_about = "See changehook work: starts etcd and kube-apiserver, a receiver and the operator on loopback, changes \
                  objects, takes the endpoint down and up again, and checks that everything arrived.\n\n\
                  Takes under a minute; the first run builds the operator and, unless KUBEBUILDER_ASSETS or PATH have \
                  them, the control plane's programs with Go, which takes minutes once."
)]
struct Args {
    /// Leave everything running at the end, and show deliveries, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(&args));
    // a build that is under way does not hold up the end: its process ends with this one
    runtime.shutdown_background();
    code
}

async fn run(args: &Args) -> ExitCode {
    match show(args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn show(args: &Args) -> Result<ExitCode> {
    let mut screen = Screen::new();
    let told_to_stop = interrupt::told_to_stop()?;
    tokio::pin!(told_to_stop);
    let mut stage = tokio::select! {
        told = story::tell(&mut screen) => told?,
        () = &mut told_to_stop => {
            eprintln!("demo: stopped before the end");
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        }
    };
    if args.keep {
        tokio::select! {
            kept = stage.keep(&mut screen) => kept?,
            () = &mut told_to_stop => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
