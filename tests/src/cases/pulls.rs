//! Endpoints are found by themselves in every form that they come in, nobody else is sent a byte, what an endpoint does
//! wrong is told and bounded, and what it says agrees with what is seen from outside.

mod doors;
mod faults;
mod figures;
mod lies;
mod places;

use crate::agent;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::http::Address;
use crate::need::Need;
use crate::program;
use crate::running::Running;
use crate::servers::{Debian, Server};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(150);
const LIMIT: Duration = Duration::from_secs(60);
const GUESTHOUSE: &str = "guesthouse";
const DOORMAN: &str = "doorman";
const USHER: &str = "usher";

/// The cases.
pub fn cases() -> Vec<Case> {
    let servers = Debian::ALL.map(|server| {
        let name = format!("{server:?}").to_lowercase();
        Case::new(format!("pulls::of_{name}"), [Need::Root, server.need()], move || of_server(server))
    });
    let docker = Need::Program { program: "dockerd", package: "docker.io" };
    let mut cases: Vec<Case> = servers.into();
    cases.push(Case::new("pulls::of_dockerd", [Need::Root, docker], of_dockerd));
    cases.extend(doors::cases());
    cases.extend(faults::cases());
    cases.extend(figures::cases());
    cases.extend(lies::cases());
    cases.extend(places::cases());
    cases
}

/// What these cases build with the toolchain that ships.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    [GUESTHOUSE, DOORMAN, USHER, doors::PAVILION]
        .into_iter()
        .map(move |program| (program, toolchain, Variant::STRIPPED))
}

/// The answer of `watcher pull --format json`.
#[derive(Debug, Deserialize)]
struct Pulled {
    schema: String,
    pid: u32,
    endpoint: String,
    bytes: u64,
    target_cpu_seconds: Option<f64>,
    file: Option<PathBuf>,
    stacks: usize,
}

/// `watcher pull` of one process, with these settings, kept below `directory`.
fn pull(pid: u32, profile: &str, directory: &Path, settings: &str) -> Result<agent::Outcome> {
    let file = directory.join("settings.toml");
    fs::write(&file, format!("directory = '{}'\n{settings}", directory.join("kept").display()))?;
    let (pid, file) = (pid.to_string(), file.display().to_string());
    let arguments =
        ["pull", "--pid", &pid, "--profile", profile, "--format", "json", "--pprof-settings", &file];
    agent::run(&arguments, LIMIT)
}

/// The same, which must succeed.
fn pulled(pid: u32, profile: &str, directory: &Path, settings: &str) -> Result<Pulled> {
    let outcome = pull(pid, profile, directory, settings)?;
    ensure!(outcome.status == Some(0), "no profile: {outcome:?}");
    let pulled: Pulled = outcome.json()?;
    ensure!(pulled.schema == "watcher.pull/1" && pulled.pid == pid, "of another process: {pulled:?}");
    ensure!(pulled.bytes > 0 && pulled.stacks > 0, "nothing came: {pulled:?}");
    ensure!(pulled.target_cpu_seconds.is_some(), "its cost is not known: {pulled:?}");
    ensure!(pulled.file.as_ref().is_some_and(|file| file.is_file()), "it is not kept: {pulled:?}");
    Ok(pulled)
}

fn directory() -> Result<tempfile::TempDir> {
    tempfile::tempdir().context("create a directory")
}

fn built(name: &str) -> Result<PathBuf> {
    program::shipped(name)
}

/// A guest house with these arguments.
fn guesthouse(arguments: &[&str]) -> Result<Running> {
    let life = format!("-for={}s", LIFE.as_secs());
    Running::start(Command::new(built(GUESTHOUSE)?).arg(life).args(arguments))
}

/// The endpoint that `watcher list` shows for a process, or why it shows none.
fn listed(pid: u32) -> Result<(Option<String>, Option<String>)> {
    #[derive(Deserialize)]
    struct List {
        processes: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        pid: u32,
        endpoint: Option<String>,
        no_endpoint: Option<String>,
    }
    let outcome = agent::run(&["list", "--format", "json"], LIMIT)?;
    let list: List = outcome.json()?;
    let own = list.processes.into_iter().find(|listed| listed.pid == pid);
    let own = own.with_context(|| format!("process {pid} is not listed: {outcome:?}"))?;
    Ok((own.endpoint, own.no_endpoint))
}

fn of_server(server: Debian) -> Result<()> {
    let running: Server = server.start()?;
    let place = match &running.profiles {
        Address::Tcp(address) => address.clone(),
        Address::Unix(path) => path.display().to_string(),
    };
    expect_pulls(running.running.pid(), &place)
}

fn expect_pulls(pid: u32, place: &str) -> Result<()> {
    let kept = directory()?;
    for profile in ["goroutine", "heap"] {
        let pulled = pulled(pid, profile, kept.path(), "")?;
        ensure!(pulled.endpoint.contains(place), "want {place}: {pulled:?}");
    }
    let (endpoint, why) = listed(pid)?;
    ensure!(endpoint.as_deref().is_some_and(|it| it.contains(place)), "not listed: {endpoint:?} {why:?}");
    Ok(())
}

fn of_dockerd() -> Result<()> {
    let data = directory()?;
    let place = |name: &str| data.path().join(name).display().to_string();
    let socket = place("docker.sock");
    let mut command = Command::new(crate::need::find_program("dockerd").context("dockerd is missing")?);
    command.args(["--data-root", &place("data"), "--exec-root", &place("exec")]);
    command.args(["--pidfile", &place("docker.pid"), "--iptables=false", "--bridge=none"]);
    command.args(["-H", &format!("unix://{socket}")]).stderr(std::process::Stdio::null());
    let running = Running::start(command.env("HOME", data.path()))?;
    let deadline = std::time::Instant::now() + LIMIT;
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        ensure!(std::time::Instant::now() < deadline, "dockerd does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let outcome = expect_pulls(running.pid(), &socket);
    // It has started containerd, and ends it when it is asked to end itself.
    let pid = nix::unistd::Pid::from_raw(running.pid().try_into().context("a pid")?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).context("ask dockerd to end")?;
    let mut running = running;
    running.wait()?;
    outcome
}

/// Builds a program whose folder is a module of its own.
fn module(name: &'static str) -> Result<PathBuf> {
    build(name, Toolchain::newest().context("no Go toolchain is here")?, Variant::STRIPPED)
}
