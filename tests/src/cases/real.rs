//! A few programs with real libraries, and their mended twins; `cargo xtask accuracy --real` asks after all.

use crate::agent;
use crate::case::Case;
use crate::need::Need;
use crate::program;
use crate::real::measure::{Settings, Subject, watch};
use crate::real::report::objection;
use crate::real::{PROGRAMS, Program, Twin};
use crate::running::Running;
use crate::scene::WARM_UP;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::Duration;

/// One whose library is mended by a version, one that holds things of several kinds, and one of which nothing is left
/// but a mapping.
const SAMPLE: [&str; 3] = ["crier", "conveyor", "atlas"];
/// Its goroutines hold most of what they leak.
const HOLDER: &str = "unpacker";
const WINDOW: Duration = Duration::from_secs(45);

/// The cases.
pub fn cases() -> Vec<Case> {
    let sample = PROGRAMS.iter().filter(|program| SAMPLE.contains(&program.name));
    let twins = sample.flat_map(|program| [(program, Twin::Reported), (program, Twin::Fixed)]);
    let case = |(program, twin): (&'static Program, Twin)| {
        let word = match twin {
            Twin::Reported => "reported",
            Twin::Fixed => "fixed",
        };
        let name = format!("real::{}_{word}", program.name);
        Case::new(name, [Need::Root, Need::GoMinor(27)], move || agrees(program, twin))
    };
    let one_leak = Case::new(
        "real::what_a_librarys_goroutines_hold_is_one_leak",
        [Need::Root, Need::GoMinor(27)],
        what_a_librarys_goroutines_hold_is_one_leak,
    );
    twins.map(case).chain([one_leak]).collect()
}

/// Each call starts three goroutines of the library, which hold large buffers. In a window the line that asked
/// for them is told. At one look nobody has seen that, and where the goroutine is now that did is said instead.
fn what_a_librarys_goroutines_hold_is_one_leak() -> Result<()> {
    let program = PROGRAMS.iter().find(|program| program.name == HOLDER).context("it is in the table")?;
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    let executable = program.build(Twin::Reported, toolchain)?;
    let start = |twin| {
        let (style, rate) = (program.style(twin), program.rate_per_second);
        // Collections date what waits: a few more of them than there would be.
        let mut command = program::command(&executable, style, rate, 4 * WINDOW);
        Running::start(command.env("GOGC", "10"))
    };
    // The same executable, which gives back.
    let (running, mended) = (start(Twin::Reported)?, start(Twin::Fixed)?);
    thread::sleep(WARM_UP);
    let (diagnosis, _) = agent::diagnose(running.pid(), WINDOW.as_secs())?;
    let causes: Vec<&str> =
        diagnosis.findings.iter().filter(|it| it.consequence_of.is_none()).map(|it| &*it.kind).collect();
    ensure!(causes == ["goroutine"], "want one cause: {diagnosis:#?}");
    let heap = diagnosis.findings.iter().find(|it| it.kind == "heap").context("the heap grows as well")?;
    for finding in [&diagnosis.findings[0], heap] {
        let first = finding.culprits.first().context("a line")?;
        ensure!(first.function == "main.label", "want the line that asked: {finding:#?}");
    }
    // All three of them.
    ensure!(diagnosis.findings[0].culprits[0].share > 0.9, "{diagnosis:#?}");
    let (look, _) = agent::diagnose(running.pid(), 0)?;
    let (innocent, _) = agent::diagnose(mended.pid(), 0)?;
    ensure!(innocent.findings.is_empty() && innocent.suspected.is_empty(), "{innocent:#?}");
    let is_hint = |text: &&String| text.contains("by a goroutine that is now at main.");
    let hinted =
        look.suspected.iter().filter(|it| it.finding.kind == "goroutine").flat_map(|it| &it.finding.evidence);
    ensure!(hinted.filter(is_hint).count() == 1, "no word of who asked: {look:#?}");
    ensure!(!diagnosis.findings[0].evidence.iter().any(|it| is_hint(&it)), "{diagnosis:#?}");
    Ok(())
}

fn agrees(program: &'static Program, twin: Twin) -> Result<()> {
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    let executable = program.build(twin, toolchain)?;
    let place = tempfile::tempdir().context("create a directory")?;
    let settings = Settings { window: WINDOW, at_once: 1, pace: 1.0, save_in: place.path().to_owned() };
    let run = watch(Subject { program, twin, toolchain }, &executable, &settings)?;
    ensure!(run.judged.is_right(twin), "{}: {:#?}", objection(&run), run.judged);
    Ok(())
}
