//! `cargo compare BASE [OTHER]`: what the steps of a change (`benches/change.rs`) cost in one commit and in another, or in
//! the checkout as it is, as a ratio.
//!
//! Numbers of two runs an hour apart are numbers of two machines. So both programs are built first and then run in turns,
//! a few times each, the first of one round the second of the next: what slows the machine down slows both down, and the
//! spread of the rounds' ratios says what a ratio is worth.

mod figures;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Parser;
use testbed::{Error, Result, interrupt, process, program, scratch::Scratch};

use figures::{Figures, Ratio, read, unit};

const BENCH: &str = "change";

#[derive(Parser)]
#[command(name = "cargo compare", version, about = "Compare what the steps of a change cost in two commits")]
struct Args {
    /// The commit that is compared with
    base: String,
    /// The other commit; the checkout as it is, unless named
    other: Option<String>,
    /// Only benches with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each of the two is run
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u16).range(3..=100))]
    rounds: u16,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("compare: failed to start: {error}");
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
        eprintln!("compare: {error:?}");
        ExitCode::FAILURE
    })
}

async fn run(args: &Args) -> Result<()> {
    let base = build(Some(&args.base)).await?;
    let other = build(args.other.as_deref()).await?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        say(&format!("round {} of {}", round + 1, args.rounds));
        let only = args.only.as_deref();
        rounds.push(if round % 2 == 0 {
            let before = measure(&base, only).await?;
            (before, measure(&other, only).await?)
        } else {
            let after = measure(&other, only).await?;
            (measure(&base, only).await?, after)
        });
    }
    for line in report(&rounds) {
        say(&line);
    }
    Ok(())
}

/// The bench's program, as of a commit or of the checkout as it is.
async fn build(commit: Option<&str>) -> Result<PathBuf> {
    let Some(commit) = commit else { return program::build_bench(program::checkout(), BENCH).await };
    let revision = format!("{commit}^{{commit}}");
    let full = git(&["rev-parse", "--verify", "--end-of-options", &revision]).await?;
    // in target/, where it is out of the way; built once, found again by Cargo
    let folder = program::checkout().join("target/compare").join(full.trim());
    if !folder.join("Cargo.toml").exists() {
        let failed = |error| Error::caused(format!("failed to write {}", folder.display()), error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let archive = folder.join("commit.tar");
        let path = archive.display().to_string();
        git(&["archive", "--format=tar", "--output", &path, full.trim()]).await?;
        let mut unpack = Command::new("tar");
        unpack.arg("-xf").arg(&archive).arg("-C").arg(&folder);
        succeeded("tar", process::run(unpack, Vec::new()).await?)?;
        std::fs::remove_file(&archive).map_err(failed)?;
    }
    if !folder.join("benches").join(format!("{BENCH}.rs")).exists() {
        return Err(Error::new(format!("failed to compare with {commit}: it has no benches/{BENCH}.rs yet")));
    }
    program::build_bench(&folder, BENCH).await
}

async fn git(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(program::checkout()).args(arguments);
    succeeded("git", process::run(command, Vec::new()).await?)
}

fn succeeded(name: &str, output: process::Output) -> Result<String> {
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Error::new(format!("{name} failed: {}", output.stderr.trim())))
    }
}

/// One run of a bench's program: the median of each of its benches, in nanoseconds.
async fn measure(bench: &Path, only: Option<&str>) -> Result<Figures> {
    let scratch = Scratch::new()?;
    let mut command = Command::new(bench);
    command
        .current_dir(scratch.path())
        .env("CRITERION_HOME", scratch.path())
        .args(["--bench", "--noplot", "--warm-up-time", "0.3", "--measurement-time", "0.7", "--sample-size", "20"])
        .args(only);
    succeeded("the bench", process::run(command, Vec::new()).await?)?;
    let found = read(scratch.path())?;
    if found.is_empty() {
        return Err(Error::new("failed to measure anything: no bench has that name"));
    }
    Ok(found)
}

/// The table: what both have.
fn report(rounds: &[(Figures, Figures)]) -> Vec<String> {
    let mut all: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (before, after) in rounds {
        for (name, before) in before {
            if let Some(after) = after.get(name) {
                all.entry(name).or_default().push((*before, *after));
            }
        }
    }
    let mut lines = vec![format!("{:<50} {:>10} {:>10} {:>7}   rounds", "", "base", "other", "ratio")];
    for (name, pairs) in all {
        let Some(ratio) = Ratio::of(&pairs) else { continue };
        lines.push(format!(
            "{name:<50} {:>10} {:>10} {:>7.3}   {:.3} to {:.3}: {}",
            unit(ratio.base),
            unit(ratio.other),
            ratio.median,
            ratio.lowest,
            ratio.highest,
            ratio.in_words()
        ));
    }
    lines
}

fn say(text: &str) {
    // whoever reads may have gone; what counts is how it ends
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_of_the_two_has_is_not_compared() {
        let figures = |names: &[(&str, f64)]| names.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect();
        let round = (figures(&[("sign", 100.0), ("gone", 1.0)]), figures(&[("sign", 150.0), ("new", 1.0)]));
        let lines = report(&[round.clone(), round.clone(), round]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("sign ") && lines[1].contains(" 1.500 "), "{lines:?}");
    }
}
