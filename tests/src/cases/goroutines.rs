//! Goroutines and heap that pile up are diagnosed with kind, rate and lines, in stripped programs without an endpoint;
//! their twins, which do the same work and let go of it, are healthy.

use crate::agent;
use crate::answer::{Culprit, Diagnosis};
use crate::build::{self, Variant};
use crate::case::Case;
use crate::cases::leaks::{expect_healthy, expect_rate};
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::thread;
use std::time::Duration;

const WINDOW_SECONDS: u64 = 45;
const LIFE: Duration = Duration::from_secs(150);
/// Start-up is over by then, and what is given back after two seconds is in balance.
const WARM_UP: Duration = Duration::from_secs(6);
/// Odd, so that a rate is not right by chance.
const RATE_PER_SECOND: f64 = 11.3;
/// A heap must grow by much more than the rest of the program breathes.
const FAST_PER_SECOND: f64 = 113.0;
/// Who called a library is told by the heap profile, which samples once in half a MiB: some samples must fall there.
const SAMPLED_PER_SECOND: f64 = 227.0;

/// A program and what is to be said of its leaking twin.
#[derive(Clone, Copy)]
struct Row {
    program: &'static str,
    arguments: &'static [&'static str],
    rate_per_second: f64,
    kind: &'static str,
    /// What the lines to be named say, as they stand in its main.go.
    lines: &'static [&'static str],
    /// Words of the evidence.
    says: &'static str,
}

const BASE: Row = Row {
    program: "",
    arguments: &[],
    rate_per_second: RATE_PER_SECOND,
    kind: "goroutine",
    lines: &[],
    says: "wait to receive from a channel",
};

#[rustfmt::skip]
const ROWS: [Row; 11] = [
    Row { program: "tickets", lines: &["go follow(one)", "<-one.result"], ..BASE },
    Row { program: "kiosk", lines: &["go pending.await()", "<-c.done"], ..BASE },
    Row { program: "brokers", lines: &["go consult(answer)", "answer <- 42"], says: "wait to send on a channel", ..BASE },
    Row { program: "queues", arguments: &["-lane=channel"], lines: &["go takeFrom(work)", "\t<-work"], says: "wait to receive from a nil channel", ..BASE },
    Row { program: "queues", arguments: &["-lane=full"], lines: &["go putInto(work)", "work <- 2"], says: "wait to send on a channel", ..BASE },
    Row { program: "queues", arguments: &["-lane=group"], lines: &["go waitFor(group)", "group.Wait()"], says: "wait for a", ..BASE },
    Row { program: "queues", arguments: &["-lane=mutex"], lines: &["go enter(mutex)", "\tmutex.Lock()\n\tdefer"], says: "wait for a", ..BASE },
    Row { program: "pulses", lines: &["go attend()", "time.Sleep(interval)"], says: "sleep", ..BASE },
    Row { program: "journal", rate_per_second: SAMPLED_PER_SECOND, lines: &["seelog.CloneLogger(base)"], says: "", ..BASE },
    Row { program: "alarms", lines: &["go remind(time.NewTimer(notice))", "<-timer.C"], ..BASE },
    Row { program: "catalog", rate_per_second: FAST_PER_SECOND, kind: "heap", lines: &["strings.Repeat(", "descriptions[number] = describe(number)"], says: "collections found", ..BASE },
];

/// Programs whose goroutines were started all at once, wait, and no longer grow in number.
#[rustfmt::skip]
const STUCK: [Row; 2] = [
    Row { program: "tickets", lines: &["go follow(one)", "<-one.result"], ..BASE },
    Row { program: "alarms", lines: &["go remind(time.NewTimer(notice))", "<-timer.C"], ..BASE },
];

/// Beside the newest Go: timers, wait reasons and the heap profile are others there.
const OLDER_MINOR: u32 = 22;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let needs = [Need::Go];
    for row in ROWS {
        let name = row.name();
        cases.push(Case::new(format!("lines::{name}_kept"), needs, move || kept(row, newest()?)));
        cases.push(Case::new(format!("lines::{name}_given_back"), needs, move || given_back(row)));
        if let Some(older) = Toolchain::minor(OLDER_MINOR) {
            let name = format!("lines::{name}_kept_go1.{OLDER_MINOR}");
            cases.push(Case::new(name, needs, move || kept(row, older)));
        }
    }
    for row in STUCK {
        cases.push(Case::new(format!("lines::{}_stuck", row.program), needs, move || stuck(row)));
    }
    cases.push(Case::new("lines::porters_at_work", needs, porters_at_work));
    cases
}

/// What these cases build.
pub fn builds(
    newest: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let toolchains = [Some(newest), Toolchain::minor(OLDER_MINOR)];
    toolchains.into_iter().flatten().flat_map(|toolchain| {
        let programs = ROWS.iter().map(|row| row.program).chain(["porters"]);
        programs.map(move |program| (program, toolchain, Variant::STRIPPED))
    })
}

fn newest() -> Result<&'static Toolchain> {
    Toolchain::newest().context("no Go toolchain is here")
}

impl Row {
    fn name(&self) -> String {
        let lanes = self.arguments.iter().filter_map(|argument| argument.strip_prefix("-lane="));
        [self.program].into_iter().chain(lanes).collect::<Vec<_>>().join("_")
    }
}

fn kept(row: Row, toolchain: &Toolchain) -> Result<()> {
    let (program, _peer) = start(row, Style::Round, toolchain)?;
    let (diagnosis, outcome) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    ensure!(diagnosis.verdict == "leak", "want a leak: {diagnosis:#?}");
    let primary = diagnosis.primary().context("a leak has a primary finding")?;
    ensure!(primary.kind == row.kind, "want {}: {diagnosis:#?}", row.kind);
    for other in diagnosis.findings.iter().filter(|finding| !finding.primary) {
        ensure!(other.consequence_of.as_deref() == Some(row.kind), "not explained by it: {other:#?}");
    }
    if row.kind == "goroutine" {
        expect_rate(primary, program.rate_per_second(outcome.began, outcome.ended)?)?;
    }
    expect_lines(&diagnosis, &primary.culprits, row)?;
    ensure!(primary.evidence.iter().any(|it| it.contains(row.says)), "want {:?}: {primary:#?}", row.says);
    Ok(())
}

fn given_back(row: Row) -> Result<()> {
    let (program, _peer) = start(row, Style::Square, newest()?)?;
    expect_healthy(&agent::diagnose(program.pid(), WINDOW_SECONDS)?.0)
}

fn stuck(row: Row) -> Result<()> {
    const STARTED: u64 = 1_000;
    let executable = program::shipped(row.program)?;
    let mut command = program::command(&executable, Style::Round, 2_000.0, LIFE);
    let mut program = Running::start(command.args(["-most", &STARTED.to_string()]))?;
    program.holding(STARTED)?;
    let (diagnosis, _) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    let primary = diagnosis.primary().with_context(|| format!("want a leak: {diagnosis:#?}"))?;
    ensure!(primary.kind == "goroutine" && primary.rate_per_second == 0.0, "they are stuck: {diagnosis:#?}");
    expect_lines(&diagnosis, &primary.culprits, row)
}

/// A large pool of which each worker has something to do now and then.
fn porters_at_work() -> Result<()> {
    let executable = program::shipped("porters")?;
    let program = Running::start(&mut program::command(&executable, Style::Square, 40.0, LIFE))?;
    thread::sleep(WARM_UP);
    expect_healthy(&agent::diagnose(program.pid(), WINDOW_SECONDS)?.0)
}

/// The program at work, with somebody who calls it where it serves.
fn start(row: Row, style: Style, toolchain: &Toolchain) -> Result<(Running, Option<Running>)> {
    let executable = build::build(row.program, toolchain, Variant::STRIPPED)?;
    let command = |style| program::command(&executable, style, row.rate_per_second, LIFE);
    let mut program = Running::start(command(style).args(row.arguments))?;
    let peer = if row.program == "kiosk" {
        let url = format!("http://{}/", program.address()?);
        Some(Running::start(command(Style::Square).args(["-url", &url]))?)
    } else {
        None
    };
    thread::sleep(WARM_UP);
    Ok((program, peer))
}

/// Fails unless each line is among the first three culprits.
fn expect_lines(diagnosis: &Diagnosis, culprits: &[Culprit], row: Row) -> Result<()> {
    let path = build::programs().join(row.program).join("main.go");
    let source = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for text in row.lines {
        let (before, _) = source.split_once(text).with_context(|| format!("{text:?} is in main.go"))?;
        let line = u32::try_from(before.matches('\n').count())? + 1;
        let named = culprits.iter().take(3).any(|it| it.file.ends_with("/main.go") && it.line == line);
        ensure!(named, "want line {line}, {text:?}, among the first three: {diagnosis:#?}");
    }
    ensure!(culprits.iter().all(|it| (0.0..=1.0).contains(&it.share)), "no share: {culprits:#?}");
    Ok(())
}
