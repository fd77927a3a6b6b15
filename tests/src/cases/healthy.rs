//! What does not leak is not accused: real servers while their customers call, and a program that does some of
//! everything.

use crate::agent;
use crate::build::Variant;
use crate::case::Case;
use crate::cases::leaks::expect_healthy;
use crate::load::{CALLED, Load};
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::servers::Debian;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::Duration;

/// The cases.
pub fn cases() -> Vec<Case> {
    let servers = Debian::ALL.map(|server| {
        let load = CALLED.contains(&server).then_some(Need::Go);
        let needs = [server.need()].into_iter().chain(load);
        Case::new(format!("healthy::{}", server.name()), needs, move || real_server(server))
    });
    let steady = Case::new("healthy::some_of_everything", [Need::Go], some_of_everything);
    servers.into_iter().chain([steady]).collect()
}

/// What these cases build.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ["patrons", "ledger"].into_iter().map(move |program| (program, toolchain, Variant::STRIPPED))
}

/// Customers call for as long: all phases of their day fall into the window.
const DAY: Duration = Duration::from_secs(52);
/// A machine that runs many tests at a time answers so many.
const CALLS_PER_SECOND: f64 = 20.0;

fn real_server(server: Debian) -> Result<()> {
    let started = server.start()?;
    let pid = started.running.pid();
    let called = CALLED.contains(&server);
    let load = called.then(|| Load::start(server, &started, CALLS_PER_SECOND, DAY, false)).transpose()?;
    let list = agent::list()?;
    let listed = list.process(pid).with_context(|| format!("{server:?} is not listed: {list:?}"))?;
    ensure!(listed.go_version.as_deref().is_some_and(|it| it.starts_with("go1.")), "no version: {listed:?}");
    let module = listed.module.as_deref().unwrap_or_default();
    ensure!(module.starts_with(server.module()), "want module {}: {listed:?}", server.module());
    let (diagnosis, _) = agent::diagnose(pid, 45)?;
    // It has only just started: more than that nobody can say of its memory.
    ensure!(matches!(&*diagnosis.verdict, "healthy" | "inconclusive"), "a false alarm: {diagnosis:#?}");
    load.map_or(Ok(()), |load| load.finish()?.expect_served())
}

fn some_of_everything() -> Result<()> {
    let executable = program::shipped("ledger")?;
    let life = Duration::from_secs(150);
    let running = Running::start(&mut program::command(&executable, Style::Square, 120.0, life))?;
    thread::sleep(Duration::from_secs(6));
    expect_healthy(&agent::diagnose(running.pid(), 45)?.0)
}
