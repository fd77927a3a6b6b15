//! The command `watcher`: parse, run, and turn an error into an exit status.

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use watcher::cli::Cli;
use watcher::commands;
use watcher::report::{EXIT_FAILED, error};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    match commands::run(&cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let sentence = error::sentence(error.chain());
            // Nobody is left to tell where they are closed.
            let _ = writeln!(std::io::stderr(), "watcher: {sentence}");
            if cli.command.wants_json()
                && let Ok(line) = error::json(&sentence)
            {
                let _ = std::io::stdout().write_all(line.as_bytes());
            }
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("WATCHER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
