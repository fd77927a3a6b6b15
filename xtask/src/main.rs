//! Automation of this repository; `cargo xtask --help` lists the commands.

mod build_ebpf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compiles the kernel programs into the committed object.
    BuildEbpf {
        /// Only compare: fail where the committed object is not what the sources compile to.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::BuildEbpf { check } => build_ebpf::run(check),
    }
}
