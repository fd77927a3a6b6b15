//! `cargo xtask vm`: the tests of the kernel half on other kernels than this host's, in virtual machines.
//!
//! Here the programs for the inside are built, linked statically: a virtual machine has no libraries. Fetching the
//! kernels and booting them is the work of the program `vm` of the tests, which also runs the cases in there.

use crate::workspace::{cargo, succeed, target_directory};
use anyhow::Result;
use std::process::Command;

/// What runs inside: the agent, the runner of the cases, and what they start.
const PROGRAMS: [&str; 4] = ["watcher", "vm", "holder", "opener"];
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Vm {
    /// Run only cases whose names contain this.
    pub filter: Option<String>,
    /// Boot only this kernel: 6.1 or 6.12.
    #[arg(long, value_name = "VERSION")]
    pub kernel: Option<String>,
}

impl Vm {
    /// Fails where a case fails in one of the machines, or none could be booted.
    pub fn carry_out(self) -> Result<()> {
        succeed(
            self.command()?.args(self.filter).args(self.kernel.map(|kernel| format!("--kernel={kernel}"))),
        )
    }

    /// As a part of all tests: where no machine can be booted, that is said, and is a failure only if `strict`.
    pub fn carry_out_where_possible(self, strict: bool) -> Result<()> {
        let mut command = self.command()?;
        command.arg("--optional").args(self.filter);
        if strict {
            command.env("WATCHER_TESTS_REQUIRE", "1");
        }
        succeed(&mut command)
    }

    /// Builds, and gives the command that boots the machines.
    fn command(&self) -> Result<Command> {
        // Other flags than those of an ordinary build: in its directory each would undo the other's work.
        let directory = target_directory()?.join("vm");
        let mut build = cargo()?;
        build.args(["build", "--package", "watcher", "--package", "tests"]);
        build.args(PROGRAMS.iter().flat_map(|name| ["--bin", name]));
        build.args(["--target", PLATFORM, "--target-dir"]);
        build.arg(&directory);
        // The machine holds its files in memory, and nobody debugs in there.
        build.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "debuginfo");
        // It reads the kernel's types, some megabytes of them, anew for each set of programs: unoptimised, in an
        // emulator, that takes seconds.
        build.args(["--config", "profile.dev.package.aya-obj.opt-level=3"]);
        build.args(["--config", "profile.dev.package.watcher.opt-level=1"]);
        build.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
        succeed(&mut build)?;
        let programs = directory.join(PLATFORM).join("debug");
        let mut vm = Command::new(programs.join("vm"));
        vm.args(["boot", "--programs"]).arg(&programs);
        Ok(vm)
    }
}
