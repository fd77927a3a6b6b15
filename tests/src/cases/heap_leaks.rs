//! What is said of the heap beside other things: where goroutines that pile up hold it, and where collections are too
//! few to tell. That it leaks by itself is in the corpus.

use crate::agent;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::scene::WARM_UP;
use crate::toolchain::Toolchain;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

const WINDOW_SECONDS: u64 = 45;
const LIFE: Duration = Duration::from_secs(150);
/// Older versions of Go that are asked too.
const ALSO: [u32; 1] = [21];

/// Programs whose goroutines pile up, and the heap with them; and how many a second.
const BESIDE: [(&str, f64); 2] = [("journal", 227.0), ("alarms", 499.0)];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (program, rate_per_second) in BESIDE {
        for toolchain in toolchains() {
            let name = format!("heap_leaks::{program}_beside_goroutines_go1_{}", toolchain.minor);
            cases.push(Case::new(name, [Need::Go], move || follows(program, rate_per_second, toolchain)));
        }
    }
    cases.push(Case::new("heap_leaks::seldom_collected", [Need::Go], || {
        inconclusive(Some("300MiB"), "collection")
    }));
    cases.push(Case::new("heap_leaks::never_collected", [Need::Go], || inconclusive(None, "(GOGC=off)")));
    cases
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let beside = BESIDE
        .into_iter()
        .flat_map(|(program, _)| toolchains().map(move |toolchain| (program, toolchain, Variant::STRIPPED)));
    beside.chain(Toolchain::newest().map(|newest| ("lending", newest, Variant::STRIPPED)))
}

fn toolchains() -> impl Iterator<Item = &'static Toolchain> {
    ALSO.into_iter().filter_map(Toolchain::minor).chain(Toolchain::newest())
}

/// What goroutines that pile up hold on the heap follows from them.
fn follows(program: &str, rate_per_second: f64, toolchain: &Toolchain) -> Result<()> {
    let executable = build::build(program, toolchain, Variant::STRIPPED)?;
    let mut command = program::command(&executable, Style::Round, rate_per_second, LIFE);
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
