//! The `changehook` command.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "changehook", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the CustomResourceDefinitions as YAML.
    Crds {
        /// Write one file for each into this folder instead.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

fn main() -> Result<(), changehook::api::yaml::WriteError> {
    match Cli::parse().command {
        Command::Crds { dir: Some(dir) } => changehook::api::yaml::write_to(&dir),
        Command::Crds { dir: None } => {
            print!("{}", changehook::api::crds_yaml());
            Ok(())
        }
    }
}
