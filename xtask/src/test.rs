//! `cargo xtask test`: the tests of plain `cargo test`, then those of the kernel half in virtual machines, then those
//! that need root, Go and real servers.
//!
//! As root nothing may be left out: what the machine lacks is fetched, and what cannot be fetched fails its tests.
//! Anybody else gets the tests that work without, and reads which were left out and why.

use crate::vm::Vm;
use crate::workspace::{cargo, is_root, prepare_to_watch, succeed};
use anyhow::Result;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Debian packages that the tests need: real servers, old Go, a C compiler, and what starts programs in odd ways.
const PACKAGES: [&str; 13] = [
    "caddy",
    "containerd",
    "docker.io",
    "etcd-server",
    "gcc",
    "golang-1.19-go",
    "influxdb",
    "libc6-dev",
    "nats-server",
    "openssl",
    "prometheus",
    "redis-server",
    "util-linux",
];

/// `cargo xtask test`.
#[derive(clap::Args)]
pub struct Test {
    /// Run only tests whose names contain this.
    filter: Option<String>,
}

impl Test {
    /// Ends with the summary of the last runner.
    pub fn carry_out(self) -> Result<()> {
        succeed(cargo()?.args(["test", "--"]).args(&self.filter))?;
        succeed(cargo()?.args(["test", "--package", "tests", "--lib", "--"]).args(&self.filter))?;
        let watcher = prepare_to_watch()?;
        if is_root() {
            install_packages()?;
        } else {
            say("Not root: tests that need root are left out; root runs them too.")?;
        }
        // The cases read whole symbol tables and the kernel's types: unoptimised that starves what they watch.
        let release = ["--release", "--package", "tests"];
        succeed(cargo()?.args(["run", "--quiet"]).args(release).args(["--bin", "prepare"]))?;
        let mut host = cargo()?;
        host.arg("test").args(release).args(["--test", "host", "--"]).args(&self.filter);
        host.env("WATCHER_BIN", watcher);
        if is_root() {
            host.env("WATCHER_TESTS_REQUIRE", "1");
        }
        // Both, whatever comes of the first: one run shall tell all that is wrong.
        let elsewhere = Vm { filter: self.filter, kernel: None }.carry_out_where_possible(is_root());
        succeed(&mut host).and(elsewhere)
    }
}

/// Installs what is missing where this is Debian; elsewhere the tests say what they lack.
fn install_packages() -> Result<()> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return say("This is no Debian: servers and Go 1.19 are not installed, and their tests will say so.");
    }
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(&missing);
    // Its servers must not start: the tests start them on ports of their own.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    match succeed(&mut install) {
        Ok(()) => Ok(()),
        Err(error) => say(&format!("Some tests will lack what they need: {error:#}")),
    }
}

fn is_installed(package: &str) -> bool {
    let query =
        Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", package]).output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn say(sentence: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{sentence}")?)
}
