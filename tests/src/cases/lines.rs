//! Several leaks in one program: each is told by itself, with its own line.

use crate::agent;
use crate::answer::{Diagnosis, Finding};
use crate::build::programs;
use crate::case::Case;
use crate::corpus::expect::expect_healthy;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::scene::WARM_UP;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::thread;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(45);
const PROGRAM: &str = "bazaar";

/// What leaks in `bazaar`, at which of its lines, and how often a second; `None` where that is bytes.
const LEAKS: [(&str, &[&str], Option<f64>); 6] = [
    ("fd", &["os.Open(\"/etc/hosts\")"], Some(1.0 / 0.47)),
    ("heap", &["make([]byte, 20_000)"], None),
    ("thread", &["\t<-closing", "\tgo func() {\n\t\truntime.LockOSThread()"], Some(1.0 / 0.9)),
    ("goroutine", &["\tgo wait()"], Some(1.0 / 0.11)),
    ("child", &["errand.Start()"], Some(1.0 / 1.3)),
    // Both ends of each.
    ("connection", &["http.Get(address)"], Some(2.0 / 0.7)),
];
/// A busy machine, and what the program does beside.
const NEAR: std::ops::RangeInclusive<f64> = 0.8..=1.2;

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = || [Need::Root, Need::Go];
    vec![
        Case::new("lines::six_leaks_have_six_lines", needs(), six_leaks_have_six_lines),
        Case::new("lines::six_that_give_back_are_healthy", needs(), six_that_give_back_are_healthy),
    ]
}

fn diagnosed(style: Style) -> Result<Diagnosis> {
    let executable = program::shipped(PROGRAM)?;
    let running = Running::start(&mut program::command(&executable, style, 1.0, WINDOW * 4))?;
    thread::sleep(WARM_UP);
    Ok(agent::diagnose(running.pid(), WINDOW.as_secs())?.0)
}

fn six_leaks_have_six_lines() -> Result<()> {
    let diagnosis = diagnosed(Style::Round)?;
    let source = fs::read_to_string(programs().join(PROGRAM).join("main.go"))?;
    for (kind, lines, per_second) in LEAKS {
        let found = diagnosis.findings.iter().find(|finding| finding.kind == kind);
        let finding = found.with_context(|| format!("no {kind}: {diagnosis:#?}"))?;
        let independent = finding.consequence_of.is_none();
        ensure!(independent, "{kind} follows from another leak: {finding:#?}");
        let numbers = lines.iter().map(|line| number(&source, line)).collect::<Result<Vec<u32>>>()?;
        ensure!(names(finding, &numbers), "{kind}: want one of {numbers:?} first: {finding:#?}");
        if let Some(per_second) = per_second {
            let part = finding.rate_per_second / per_second;
            ensure!(NEAR.contains(&part), "{kind}: want {per_second:.2} a second: {finding:#?}");
        }
    }
    let mut others = diagnosis.findings.iter().filter(|it| LEAKS.iter().all(|(kind, ..)| *kind != it.kind));
    let stray = others.find(|finding| finding.consequence_of.is_none());
    ensure!(stray.is_none(), "it leaks nothing else: {stray:#?}");
    Ok(())
}

fn six_that_give_back_are_healthy() -> Result<()> {
    expect_healthy(&diagnosed(Style::Square)?)
}

/// The first line of a finding is one of these.
fn names(finding: &Finding, numbers: &[u32]) -> bool {
    let first = finding.culprits.first();
    first.is_some_and(|it| it.file.ends_with("/bazaar/main.go") && numbers.contains(&it.line))
}

/// The number of the line at which a text of the source begins; of one that begins with a line break in it, the first.
fn number(source: &str, text: &str) -> Result<u32> {
    let at = source.find(text).with_context(|| format!("{text:?} is not in {PROGRAM}"))?;
    Ok(u32::try_from(source[..at].matches('\n').count())? + 1)
}
