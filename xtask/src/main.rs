//! Automation of this repository; `cargo xtask --help` lists the commands. One file per command.

mod accuracy;
mod bench;
mod build_ebpf;
mod fuzz;
mod record_fixtures;
mod run;
mod servers;
mod simulate;
mod test;
mod tidy;
mod torment;
mod vm;
mod workspace;

use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

/// Automation of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Run programs of which it is known what leaks, and print how right the judge is.
    Accuracy(accuracy::Accuracy),
    /// Measure what a sweep costs, beside a peer on the same processes.
    Bench(bench::Bench),
    /// Compile the kernel programs into the committed object.
    BuildEbpf {
        /// Only compare: fail where the committed object is not what the sources compile to.
        #[arg(long)]
        check: bool,
    },
    /// Feed every parser with garbled input.
    Fuzz(fuzz::Fuzz),
    /// Make the recordings anew that the judge is tested with. Needs root and Go.
    RecordFixtures(record_fixtures::RecordFixtures),
    /// Build the agent and run it on this host as root.
    Run(run::Run),
    /// Watch Debian's servers under load, and fail where one is said to leak.
    Servers(servers::Servers),
    /// Live simulated weeks of processes: false alarms, and how soon leaks are found.
    Simulate(simulate::Simulate),
    /// Run every test that this machine allows, and say which it does not.
    Test(test::Test),
    /// Check what compilers do not: forbidden imports, long files, things left undone.
    Tidy,
    /// Torment the agent with everything that other users can do to it.
    Torment(torment::Torment),
    /// Run the tests of the kernel half on other kernels, in virtual machines.
    Vm(vm::Vm),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Accuracy(accuracy) => accuracy.carry_out(),
        Command::Bench(bench) => bench.carry_out(),
        Command::BuildEbpf { check } => build_ebpf::run(check),
        Command::Fuzz(fuzz) => fuzz.carry_out(),
        Command::RecordFixtures(fixtures) => fixtures.carry_out(),
        Command::Run(run) => run.carry_out(),
        Command::Servers(servers) => servers.carry_out(),
        Command::Simulate(simulate) => simulate.carry_out(),
        Command::Test(test) => test.carry_out(),
        Command::Tidy => tidy::carry_out(),
        Command::Torment(torment) => torment.carry_out(),
        Command::Vm(vm) => vm.carry_out(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
