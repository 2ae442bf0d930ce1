//! Parse, run, exit.

use clap::Parser;
use flockmon::cli::{Cli, expand_scene};
use flockmon::run::{self, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse_from(expand_scene(std::env::args_os()));
    match run::run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            let (status, error) = match failure {
                Failure::BadInput(error) => (2, error),
                Failure::Running(error) => (1, error),
            };
            // The terminal may be gone, and then there is nobody to tell.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("flockmon: {error:#}\n").as_bytes());
            ExitCode::from(status)
        }
    }
}
