//! Shapes that are no leak although they look like one, each beside a twin that is one: a process that loads its first
//! data, a line of goroutines that waits for one answer.

use crate::agent;
use crate::build::Variant;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

const SECONDS: u64 = 35;
const LIFE: Duration = Duration::from_secs(90);
/// Both are collected often, so that what is live is known; and next to no side work.
const FLAGS: [&str; 2] = ["-tidy=1s", "-breath=1s"];

/// A program, how much it does, and the kind of which only its round twin is accused.
const SHAPES: [(&str, f64, &str); 1] = [("caravan", 1.0, "goroutine")];

/// The cases.
pub fn cases() -> Vec<Case> {
    let of = |(program, rate, kind): (&'static str, f64, &'static str)| {
        Case::new(format!("shapes::{program}"), [Need::Root, Need::Go], move || shape(program, rate, kind))
    };
    SHAPES.into_iter().map(of).collect()
}

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let newest = Toolchain::newest();
    SHAPES.into_iter().filter_map(move |(program, ..)| Some((program, newest?, Variant::STRIPPED)))
}

fn shape(program: &str, rate: f64, kind: &str) -> Result<()> {
    let executable = program::shipped(program)?;
    let start = |style| Running::start(program::command(&executable, style, rate, LIFE).args(FLAGS));
    let (round, square) = (start(Style::Round)?, start(Style::Square)?);
    thread::sleep(Duration::from_secs(2));
    let (leak, innocent) = thread::scope(|scope| {
        let innocent = scope.spawn(|| agent::diagnose(square.pid(), SECONDS));
        let leak = agent::diagnose(round.pid(), SECONDS);
        (leak, innocent.join())
    });
    let leak = leak?.0;
    let innocent = innocent.map_err(|_| anyhow::anyhow!("panicked"))??.0;
    ensure!(innocent.findings.is_empty() && innocent.verdict != "leak", "the innocent twin: {innocent:?}");
    ensure!(leak.primary().is_some_and(|primary| primary.kind == kind), "the leak: {leak:?}");
    // Nobody knows yet: that is said, and not that it is healthy.
    ensure!(innocent.verdict == "inconclusive", "the innocent twin: {innocent:?}");
    Ok(())
}
