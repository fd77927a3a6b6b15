//! Stripped programs that keep what they should give back are diagnosed with kind and rate; their twins, which do the
//! same work and give it back, are healthy.

use crate::agent;
use crate::answer::{Diagnosis, Finding};
use crate::build::Variant;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::{Duration, SystemTime};

const WINDOW_SECONDS: u64 = 45;
const LIFE: Duration = Duration::from_secs(150);
/// Start-up is over by then, and what is given back after three seconds is in balance.
const WARM_UP: Duration = Duration::from_secs(6);
/// RLIMIT_NOFILE of the programs here.
const DESCRIPTOR_LIMIT: u64 = 4096;

/// A program and what its leaking twin must be called.
#[derive(Clone, Copy)]
struct Row {
    program: &'static str,
    /// What it needs to have somebody to talk to.
    peer: Peer,
    /// Odd numbers, so that a rate is not right by chance.
    rate_per_second: f64,
    kind: &'static str,
    unit: &'static str,
    state: Option<&'static str>,
    limit: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Peer {
    /// Works alone.
    None,
    /// Serves; the peer calls it.
    Caller,
    /// Calls; the peer serves.
    Server,
}

#[rustfmt::skip]
const ROWS: [Row; 6] = [
    Row { program: "ingest", peer: Peer::None, rate_per_second: 11.3, kind: "fd", unit: "fds", state: None, limit: Some("RLIMIT_NOFILE") },
    Row { program: "relay", peer: Peer::Caller, rate_per_second: 7.7, kind: "connection", unit: "connections", state: Some("CLOSE_WAIT"), limit: Some("RLIMIT_NOFILE") },
    Row { program: "courier", peer: Peer::Server, rate_per_second: 5.9, kind: "connection", unit: "connections", state: Some("ESTABLISHED"), limit: Some("RLIMIT_NOFILE") },
    Row { program: "signer", peer: Peer::None, rate_per_second: 3.7, kind: "thread", unit: "threads", state: None, limit: None },
    Row { program: "thumbs", peer: Peer::None, rate_per_second: 4.3, kind: "child", unit: "children", state: None, limit: None },
    Row { program: "archive", peer: Peer::None, rate_per_second: 9.1, kind: "mapping", unit: "mappings", state: None, limit: None },
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in ROWS {
        let needs = [Need::Go];
        cases.push(Case::new(format!("diagnose::{}_kept", row.program), needs, move || kept(row)));
        cases
            .push(Case::new(format!("diagnose::{}_given_back", row.program), needs, move || given_back(row)));
    }
    cases
}

/// What these cases build with the toolchain that ships.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let programs = ROWS.iter().map(|row| row.program).chain(["ledger"]);
    programs.map(move |program| (program, toolchain, Variant::STRIPPED))
}

fn kept(row: Row) -> Result<()> {
    let scene = Scene::start(row, Style::Round)?;
    let (diagnosis, outcome) = agent::diagnose(scene.program.pid(), WINDOW_SECONDS)?;
    ensure!(diagnosis.verdict == "leak", "want a leak: {diagnosis:#?}");
    let primary = diagnosis.primary().context("a leak has a primary finding")?;
    ensure!(primary.kind == row.kind && primary.unit == row.unit, "want {}: {diagnosis:#?}", row.kind);
    for other in diagnosis.findings.iter().filter(|finding| !finding.primary) {
        ensure!(other.consequence_of.as_deref() == Some(row.kind), "not explained by it: {other:#?}");
    }
    ensure!(primary.detail.state.as_deref() == row.state, "want state {:?}: {primary:#?}", row.state);
    ensure!(!primary.evidence.is_empty(), "a finding says how it knows: {primary:#?}");
    expect_rate(primary, scene.program.rate_per_second(outcome.began, outcome.ended)?)?;
    if let Some(limit) = row.limit {
        expect_exhaustion(primary, limit, &scene.program, outcome.ended)?;
    }
    Ok(())
}

fn given_back(row: Row) -> Result<()> {
    let scene = Scene::start(row, Style::Square)?;
    let (diagnosis, _) = agent::diagnose(scene.program.pid(), WINDOW_SECONDS)?;
    expect_healthy(&diagnosis)
}

/// Fails with all that was said unless the verdict is `healthy`.
pub fn expect_healthy(diagnosis: &Diagnosis) -> Result<()> {
    ensure!(diagnosis.verdict == "healthy", "want a healthy process: {diagnosis:#?}");
    ensure!(diagnosis.findings.is_empty(), "a healthy process has no findings: {diagnosis:#?}");
    Ok(())
}

/// Fails unless the rate is within 5 % of the true one.
pub fn expect_rate(finding: &Finding, truth: f64) -> Result<()> {
    let said = finding.rate_per_second;
    ensure!(
        (said - truth).abs() <= 0.05 * truth,
        "said {said:.2} per second, in truth {truth:.2}: {finding:#?}"
    );
    Ok(())
}

fn expect_exhaustion(finding: &Finding, limit: &str, program: &Running, ended: SystemTime) -> Result<()> {
    let exhausts =
        finding.exhausts.as_ref().with_context(|| format!("it runs into {limit}: {finding:#?}"))?;
    ensure!(exhausts.limit == limit, "want {limit}: {finding:#?}");
    let held = program.held_at(ended).context("the program says what it holds")?;
    let truth = (DESCRIPTOR_LIMIT - held.count) as f64 / finding.rate_per_second;
    let said = exhausts.in_seconds;
    ensure!((said - truth).abs() <= 0.05 * truth, "said {said:.0} s, in truth {truth:.0} s: {finding:#?}");
    Ok(())
}

/// A program at work, with the peer that it needs.
struct Scene {
    program: Running,
    _peer: Option<Running>,
}

impl Scene {
    fn start(row: Row, style: Style) -> Result<Scene> {
        let executable = program::shipped(row.program)?;
        let command = |style| {
            let rate = row.rate_per_second;
            program::command_with_descriptor_limit(&executable, style, rate, LIFE, DESCRIPTOR_LIMIT)
        };
        let (program, peer) = match row.peer {
            Peer::None => (Running::start(&mut command(style))?, None),
            Peer::Caller => {
                let mut program = Running::start(&mut command(style))?;
                let address = program.address()?;
                (program, Some(Running::start(command(Style::Square).args(["-call", &address]))?))
            }
            Peer::Server => {
                let mut server = Running::start(&mut command(Style::Square))?;
                let url = format!("http://{}/", server.address()?);
                (Running::start(command(style).args(["-url", &url]))?, Some(server))
            }
        };
        thread::sleep(WARM_UP);
        Ok(Scene { program, _peer: peer })
    }
}
