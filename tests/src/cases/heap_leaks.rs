//! Live objects on Go's heap that pile up, in the ways that production has shown: stripped programs without an endpoint,
//! some of which record a heap profile and some of which do not, are diagnosed with kind and lines; their twins, which
//! do the same work and let go of it, are healthy.

use crate::agent;
use crate::answer::{Diagnosis, Finding};
use crate::build::{self, Variant};
use crate::case::Case;
use crate::cases::leaks::expect_healthy;
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

/// A program, and what must be said of the twin that keeps.
#[derive(Clone, Copy)]
struct Row {
    program: &'static str,
    arguments: &'static [&'static str],
    peer: Peer,
    rate_per_second: f64,
    leaks: Leaks,
    /// What the lines to be named say, as they stand in its main.go.
    lines: &'static [&'static str],
    /// Words of the evidence.
    says: &'static str,
    /// It records no heap profile, so that only probes in its allocator tell lines; they take root.
    is_probed: bool,
    /// Older versions of Go that are asked too.
    also: &'static [u32],
}

#[derive(Clone, Copy, PartialEq)]
enum Peer {
    /// Works alone.
    None,
    /// Serves; the peer calls it.
    Caller,
}

#[derive(Clone, Copy)]
enum Leaks {
    Always,
    /// Up to this minor version of Go; later ones give back by themselves.
    UntilGo(u32),
}

const BASE: Row = Row {
    program: "",
    arguments: &[],
    peer: Peer::None,
    rate_per_second: 113.0,
    leaks: Leaks::Always,
    lines: &[],
    says: "collections found",
    is_probed: false,
    also: &[21],
};
const PROBED: Row =
    Row { is_probed: true, says: "is still live was allocated at one line", also: &[21, 24], ..BASE };
/// What keeps a little of something large.
const PINS: Row = Row { program: "digest", rate_per_second: 2.3, ..BASE };
const TIMERS: Row =
    Row { program: "metronome", rate_per_second: 3001.0, leaks: Leaks::UntilGo(22), also: &[21, 24], ..BASE };

#[rustfmt::skip]
const ROWS: [Row; 14] = [
    Row { program: "toll", peer: Peer::Caller, rate_per_second: 401.0, lines: &["passages = append(passages, one)"], says: "", also: &[21, 24], ..BASE },
    Row { program: "lending", lines: &["content: make([]byte, 0, crateBytes)", "one := take()"], ..BASE },
    Row { program: "lending", rate_per_second: 23.0, lines: &["content: make([]byte, 0, crateBytes)", "one := take()"], also: &[], ..BASE },
    Row { arguments: &["-way=page"], lines: &["strings.Repeat(", "title(page())"], says: "large objects of 1 MiB each", also: &[21, 24], ..PINS },
    Row { arguments: &["-way=page"], rate_per_second: 0.31, lines: &["strings.Repeat("], says: "large objects of 1 MiB each", also: &[], ..PINS },
    Row { arguments: &["-way=table"], lines: &["make([]row, 0, rows)"], says: "large objects of 944 KiB each", ..PINS },
    Row { arguments: &["-way=scan"], rate_per_second: 0.37, lines: &["make([]byte, scanBytes)"], says: "large objects of 12 MiB each", ..PINS },
    Row { program: "herald", rate_per_second: 23.0, lines: &["make([]byte, formBytes)"], says: "large objects of 40 KiB each", ..PROBED },
    Row { program: "herald", rate_per_second: 5.3, lines: &["make([]byte, formBytes)"], ..PROBED },
    Row { program: "postroom", rate_per_second: 127.0, lines: &["io.ReadAll(letter)", "deliver(day, number, letter)"], also: &[21, 24], ..BASE },
    Row { arguments: &["-way=tick"], lines: &["time.Tick(beat)"], ..TIMERS },
    Row { arguments: &["-way=ticker"], lines: &["beats := time.NewTicker(beat)\n\tselect"], ..TIMERS },
    Row { arguments: &["-way=after"], lines: &["<-time.After(beat)"], ..TIMERS },
    Row { program: "carousel", rate_per_second: 53.0, lines: &["make([]byte, cushionBytes)", "left, right := newSeat(), newSeat()"], ..PROBED },
];

/// Programs whose goroutines pile up, and the heap with them.
const BESIDE: [Row; 2] = [
    Row { program: "journal", rate_per_second: 227.0, ..BASE },
    Row { program: "alarms", rate_per_second: 499.0, ..BASE },
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in ROWS {
        let needs: Vec<Need> = [Need::Go].into_iter().chain(row.is_probed.then_some(Need::Root)).collect();
        for toolchain in row.toolchains() {
            let name = format!("heap_leaks::{}_kept_go1_{}", row.name(), toolchain.minor);
            cases.push(Case::new(name, needs.clone(), move || kept(row, toolchain)));
        }
        let name = format!("heap_leaks::{}_given_back", row.name());
        cases.push(Case::new(name, needs, move || given_back(row)));
    }
    for row in BESIDE {
        for toolchain in row.toolchains() {
            let name = format!("heap_leaks::{}_beside_goroutines_go1_{}", row.name(), toolchain.minor);
            cases.push(Case::new(name, [Need::Go], move || follows(row, toolchain)));
        }
    }
    cases.push(Case::new("heap_leaks::seldom_collected", [Need::Go], || {
        inconclusive(Some("300MiB"), "should hold them")
    }));
    cases.push(Case::new("heap_leaks::never_collected", [Need::Go], || inconclusive(None, "(GOGC=off)")));
    cases
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let rows = ROWS.into_iter().chain(BESIDE);
    rows.flat_map(|row| row.toolchains().map(move |toolchain| (row.program, toolchain, Variant::STRIPPED)))
}

impl Row {
    fn name(&self) -> String {
        let words = self.arguments.iter().filter_map(|argument| argument.strip_prefix("-way="));
        let rate = self.rate_per_second.to_string();
        [self.program].into_iter().chain(words).chain([&*rate]).collect::<Vec<_>>().join("_")
    }

    fn toolchains(&self) -> impl Iterator<Item = &'static Toolchain> + use<> {
        self.also.iter().filter_map(|minor| Toolchain::minor(*minor)).chain(Toolchain::newest())
    }

    fn leaks_with(&self, minor: u32) -> bool {
        match self.leaks {
            Leaks::Always => true,
            Leaks::UntilGo(last) => minor <= last,
        }
    }
}

fn kept(row: Row, toolchain: &Toolchain) -> Result<()> {
    let (program, _peer) = start(row, Style::Round, toolchain)?;
    let (diagnosis, _) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    if !row.leaks_with(toolchain.minor) {
        return expect_healthy(&diagnosis);
    }
    ensure!(diagnosis.verdict == "leak", "want a leak: {diagnosis:#?}");
    ensure!(diagnosis.findings.len() == 1, "want the heap alone: {diagnosis:#?}");
    let primary = diagnosis.primary().context("a leak has a primary finding")?;
    ensure!(primary.kind == "heap", "want heap: {diagnosis:#?}");
    expect_lines(&diagnosis, primary, row)?;
    ensure!(primary.evidence.iter().any(|it| it.contains(row.says)), "want {:?}: {primary:#?}", row.says);
    Ok(())
}

fn given_back(row: Row) -> Result<()> {
    let newest = Toolchain::newest().context("no Go toolchain is here")?;
    let (program, _peer) = start(row, Style::Square, newest)?;
    expect_healthy(&agent::diagnose(program.pid(), WINDOW_SECONDS)?.0)
}

/// What goroutines that pile up hold on the heap follows from them.
fn follows(row: Row, toolchain: &Toolchain) -> Result<()> {
    let executable = build::build(row.program, toolchain, Variant::STRIPPED)?;
    let mut command = program::command(&executable, Style::Round, row.rate_per_second, LIFE);
    // Else too few collections fall into the window to say anything of the heap.
    let program = Running::start(command.env("GOGC", "25"))?;
    thread::sleep(WARM_UP);
    let (diagnosis, _) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    let kinds: Vec<_> =
        diagnosis.findings.iter().map(|it| (&*it.kind, it.primary, it.consequence_of.as_deref())).collect();
    let expected = [("goroutine", true, None), ("heap", false, Some("goroutine"))];
    ensure!(kinds == expected, "want the heap to follow from goroutines: {diagnosis:#?}");
    Ok(())
}

/// Where collections are too few to tell what is live, that is said, and how long it takes. Without a limit nothing
/// ever collects.
fn inconclusive(memory_limit: Option<&str>, says: &str) -> Result<()> {
    let executable = program::shipped("lending")?;
    let mut command = program::command(&executable, Style::Round, 113.0, LIFE);
    let program =
        Running::start(command.env("GOGC", "off").envs(memory_limit.map(|limit| ("GOMEMLIMIT", limit))))?;
    thread::sleep(WARM_UP);
    let (diagnosis, outcome) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    ensure!(diagnosis.verdict == "inconclusive", "want no verdict: {diagnosis:#?}");
    ensure!(outcome.stdout.contains(says), "want {says:?}: {}", outcome.stdout);
    Ok(())
}

/// The program at work, with somebody who calls it where it serves.
fn start(row: Row, style: Style, toolchain: &Toolchain) -> Result<(Running, Option<Running>)> {
    let executable = build::build(row.program, toolchain, Variant::STRIPPED)?;
    let command = |style| program::command(&executable, style, row.rate_per_second, LIFE);
    let mut program = Running::start(command(style).args(row.arguments))?;
    let peer = match row.peer {
        Peer::None => None,
        Peer::Caller => {
            let address = program.address()?;
            Some(Running::start(command(Style::Square).args(["-call", &address]))?)
        }
    };
    thread::sleep(WARM_UP);
    Ok((program, peer))
}

/// Fails unless each line is among the first three culprits.
fn expect_lines(diagnosis: &Diagnosis, finding: &Finding, row: Row) -> Result<()> {
    let path = build::programs().join(row.program).join("main.go");
    let source = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for text in row.lines {
        let (before, _) = source.split_once(text).with_context(|| format!("{text:?} is in main.go"))?;
        let line = u32::try_from(before.matches('\n').count())? + 1;
        let mut first = finding.culprits.iter().take(3);
        let named = first.any(|it| it.file.ends_with("/main.go") && it.line == line);
        ensure!(named, "want line {line}, {text:?}, among the first three: {diagnosis:#?}");
    }
    let shares = finding.culprits.iter().all(|it| (0.0..=1.0).contains(&it.share));
    ensure!(shares, "no share: {finding:#?}");
    Ok(())
}
