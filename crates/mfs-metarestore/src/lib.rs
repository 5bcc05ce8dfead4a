//! `mfsmetarestore`: from an image and changelogs to an image (spec 01 §16).
//!
//! ```text
//! cli      options and their combinations
//! until    a point in the changelogs as people write it
//! report   messages and progress bar
//! run      what is done
//! dump     an image as text
//! ```

mod cli;
pub mod dump;
mod report;
mod run;
mod until;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing::Level;

use cli::{Cli, USAGE};

/// Runs the program; `args` begins with its name. Exit codes: 0 done, 1 anything else.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return usage(error.to_string().lines().next().unwrap_or_default()),
    };
    if cli.version {
        println!("version: {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let action = match cli.action() {
        Ok(action) => action,
        Err(complaint) => return usage(&complaint),
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(Level::WARN)
        .without_time()
        .with_target(false)
        .init();
    match run::run(&cli, &action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", report::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn usage(complaint: &str) -> ExitCode {
    if !complaint.is_empty() {
        eprintln!("{complaint}");
    }
    eprint!("{USAGE}");
    ExitCode::FAILURE
}
