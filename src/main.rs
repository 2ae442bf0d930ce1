//! Read the command line and the configuration, run, exit.

use flockmon::cli::expand_scene;
use flockmon::config::Settings;
use flockmon::failure::Failure;
use flockmon::format::printable_lines;
use flockmon::run;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = Settings::read(expand_scene(std::env::args_os())).map_err(Failure::BadInput).and_then(|settings| {
        if settings.cli.lab.print_config { run::print(&settings.to_toml()) } else { run::run(&settings.into_cli()) }
    });
    match done {
        Ok(code) => code,
        Err(failure) => {
            let (status, error) = match failure {
                Failure::BadInput(error) => (2, error),
                Failure::Running(error) => (1, error),
            };
            // The terminal may be gone, and then there is nobody to tell.
            let text = format!("flockmon: {}\n", printable_lines(&format!("{error:#}")));
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            ExitCode::from(status)
        }
    }
}
