//! The command `watcher`: parse, run, and turn an error into an exit status.

use clap::Parser;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use watcher::cli::Cli;
use watcher::commands;
use watcher::report::{EXIT_FAILED, error};
use watcher::source::{reader, shortage};

#[global_allocator]
static ALLOCATOR: shortage::Allocator = shortage::Allocator;

fn main() -> ExitCode {
    shortage::prepare();
    if reader::serve_if_asked() {
        return ExitCode::SUCCESS;
    }
    reader::enable();
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    match commands::run(&cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let sentence = error::sentence(error.chain());
            // Nobody is left to tell where they are closed.
            let _ = writeln!(io::stderr(), "watcher: {sentence}");
            if cli.command.wants_json()
                && let Ok(line) = error::json(&sentence)
            {
                let _ = io::stdout().write_all(line.as_bytes());
            }
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Colours are for people at a terminal who have not asked for none (<https://no-color.org>). What the libraries below
/// have to say is for whoever looks for a fault.
fn log_to_stderr(verbose: u8) {
    let levels = match verbose {
        0 => "watcher=warn",
        1 => "watcher=info",
        2 => "warn,watcher=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("WATCHER_LOG").unwrap_or_else(|_| EnvFilter::new(levels));
    let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(wants_colour && io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}
