//! `cargo soak --hours N`: kill -9 for hours, in series of fresh control planes so that nothing grows. Prints the seed of
//! each series, and kills, requests, repeats and losses in all; the first thing that must not be ends it.

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use testbed::{
    Error, Result, interrupt,
    program::{self, Profile},
    rounds::{self, Plan, Report},
};

/// After so many kills everything starts afresh.
const SERIES: usize = 200;

#[derive(Parser)]
#[command(name = "cargo soak", version, about = "Kill the operator again and again under load, for hours")]
struct Args {
    /// How long
    #[arg(long, value_name = "HOURS", default_value_t = 1.0, conflicts_with = "kills")]
    hours: f64,
    /// Instead: how often it is killed, at least
    #[arg(long, value_name = "COUNT")]
    kills: Option<usize>,
    /// Where the chance of the first series comes from, to see it again as far as timing allows
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// A setting of the operator by the name of its flag without dashes; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    setting: Vec<(&'static str, String)>,
}

fn setting(text: &str) -> Result<(&'static str, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    // as long as the process, which is what its few settings are for
    Ok((name.to_owned().leak(), value.to_owned()))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("soak: failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let told_to_stop = interrupt::told_to_stop()?;
        tokio::select! {
            done = run(&args) => done.map(|()| ExitCode::SUCCESS),
            () = told_to_stop => Ok(ExitCode::from(interrupt::EXIT_CODE)),
        }
    });
    runtime.shutdown_background();
    code.unwrap_or_else(|error: Error| {
        eprintln!("soak: {error:?}");
        ExitCode::FAILURE
    })
}

async fn run(args: &Args) -> Result<()> {
    let binary = program::build(Profile::Release).await?;
    let end = Instant::now() + Duration::from_secs_f64(args.hours * 3600.0);
    let mut seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut all = Report::default();
    loop {
        let kills = args.kills.map_or(SERIES, |kills| kills.saturating_sub(all.kills).min(SERIES));
        if kills == 0 || (args.kills.is_none() && Instant::now() >= end) {
            say(&format!("in all: {all}"));
            return Ok(());
        }
        let plan = Plan { binary: binary.clone(), settings: args.setting.clone(), seed, kills };
        let done = rounds::run(&plan, |report| {
            if report.rounds.is_multiple_of(20) {
                say(&format!("   {} kills, {} requests", report.kills, report.requests));
            }
        })
        .await?;
        say(&format!("seed {seed}: {done}"));
        all += done;
        seed = seed.wrapping_add(1);
    }
}

fn say(text: &str) {
    // whoever reads may have gone; what counts is how it ends
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
