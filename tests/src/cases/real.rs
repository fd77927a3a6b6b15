//! A few programs with real libraries, and their mended twins; `cargo xtask accuracy --real` asks after all.

use crate::case::Case;
use crate::need::Need;
use crate::real::measure::{Settings, Subject, watch};
use crate::real::report::objection;
use crate::real::{PROGRAMS, Program, Twin};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// One whose library is mended by a version, one that holds things of several kinds, and one of which nothing is left
/// but a mapping.
const SAMPLE: [&str; 3] = ["crier", "conveyor", "atlas"];
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
    twins.map(case).collect()
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
