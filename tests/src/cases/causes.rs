//! Leaks whose cause is one thing and whose consequences are others: goroutines that hold buffers, a client in the same
//! process as its server.

use crate::agent;
use crate::answer::Diagnosis;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::corpus::expect::{About, Truth, objections};
use crate::corpus::{BASE, Count, Row};
use crate::need::Need;
use crate::program::Style;
use crate::scene::{Scene, Setting};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::Duration;

/// Programs outlive the look by this.
const SPARE: Duration = Duration::from_secs(100);

/// A program, when it is looked at, and what must be said besides what its row says.
#[derive(Clone, Copy)]
struct Shape {
    row: Row,
    /// Seconds of its life before somebody looks.
    after: u64,
    /// Seconds of looking.
    window: u64,
    /// Of the twin that keeps.
    wants: fn(&Diagnosis) -> Result<()>,
}

const ROW: Row = Row { situations: &[27], count: Count::No, says: "", ..BASE };
const SHAPE: Shape = Shape { row: ROW, after: 1, window: 45, wants: nothing_more };

#[rustfmt::skip]
const SHAPES: [(&str, Shape); 2] = [
    // Each goroutine waits for ever and holds a buffer.
    ("goroutines_with_buffers", Shape { row: Row { program: "guesthouse", arguments: &["-coat=65536"], rate_per_second: 5.0, kind: "goroutine", lines: &["go one.sit()"], ..ROW }, after: 5, wants: heap_follows, ..SHAPE }),
    // Client and server in one process: the client is to blame.
    ("its_own_client", Shape { row: Row { program: "canteen", rate_per_second: 10.0, kind: "connection", lines: &["http.Get(url)"], ..ROW }, after: 5, ..SHAPE }),
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let one = |name: &str, twin: &str, shape: Shape, style| {
        Case::new(format!("causes::{name}{twin}"), [Need::Root, Need::Go], move || look(&shape, style))
    };
    let both = SHAPES.into_iter().flat_map(|(name, shape)| {
        shape.row.styles().iter().map(move |style| match style {
            Style::Round => one(name, "_kept", shape, Style::Round),
            Style::Square => one(name, "_given_back", shape, Style::Square),
        })
    });
    both.collect()
}

/// What these cases build.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    SHAPES.into_iter().map(move |(_, shape)| (shape.row.program, toolchain, shape.row.variant()))
}

/// An innocent twin may be left undecided here: what it does looks like something that nobody can know yet.
fn look(shape: &Shape, style: Style) -> Result<()> {
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    let executable = build::build(shape.row.program, toolchain, shape.row.variant())?;
    let life = Duration::from_secs(shape.after + shape.window) + SPARE;
    let setting = Setting { executable: &executable, peer: &executable, life, more: &[] };
    let scene = Scene::begin(&shape.row, style, setting)?;
    thread::sleep(Duration::from_secs(shape.after));
    let (diagnosis, _) = agent::diagnose(scene.pid(), shape.window)?;
    let truth = Truth { server: scene.server(), ..Truth::default() };
    let objections = objections(&shape.row, style, toolchain.minor, &diagnosis, &truth)?;
    let is_innocent = shape.row.guilt(style, toolchain.minor).is_none();
    let wrong = objections.iter().filter(|it| !(is_innocent && it.about == About::Undecided));
    let wrong: Vec<_> = wrong
        .filter(|it| {
            matches!(
                it.about,
                About::Missed | About::FalseAlarm | About::Undecided | About::Kind | About::Line
            )
        })
        .collect();
    ensure!(wrong.is_empty(), "{wrong:#?}: {diagnosis:#?}");
    if is_innocent { Ok(()) } else { (shape.wants)(&diagnosis) }
}

fn nothing_more(_: &Diagnosis) -> Result<()> {
    Ok(())
}

/// The heap is what the goroutines hold.
fn heap_follows(diagnosis: &Diagnosis) -> Result<()> {
    let heap = diagnosis.findings.iter().find(|finding| finding.kind == "heap");
    let of = heap.and_then(|heap| heap.consequence_of.as_deref());
    ensure!(heap.is_none() || of == Some("goroutine"), "want the heap to follow from them: {diagnosis:#?}");
    Ok(())
}
