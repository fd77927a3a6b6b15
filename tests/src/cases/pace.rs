//! Leaks at the pace of production, which a short look cannot prove, are not called healthy; their innocent twins are
//! not accused.

use crate::build::Variant;
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::slow::field::{self, Cohort};
use crate::slow::rows::{SlowRow, rows};
use crate::slow::watch::look_at;
use crate::slow::{Answer, Cell, Look, Measured, Subject};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::thread;
use std::time::Duration;

/// The look, after so long a time of work that some pieces of each leak are there: of one more of many alike the judge
/// says what it does not say of a first one. In it each leak has at least one piece.
const LOOK: Look = Look { after: Duration::from_secs(130), window: Duration::from_secs(45) };
/// What is slower shows nothing in so short a time.
const LEAST_PER_MINUTE: f64 = 2.0;
/// Of what is told in pieces. Bytes show in so short a time only where they are many.
const KINDS: [&str; 7] = ["child", "connection", "fd", "goroutine", "innocent", "mapping", "thread"];
const SPARE: Duration = Duration::from_secs(300);

/// The cases: one for all programs of a kind, and one for innocents.
pub fn cases() -> Vec<Case> {
    let of = |kind: &'static str| {
        Case::new(format!("pace::{kind}"), [Need::Root, Need::Go, C_COMPILER], move || look(kind))
    };
    KINDS.into_iter().map(of).collect()
}

/// What these cases build.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    chosen().map(move |it| (it.row.program, toolchain, it.row.variant()))
}

fn chosen() -> impl Iterator<Item = SlowRow> {
    let all = rows().unwrap_or_default().into_iter();
    // Of much work of one kind that is given back a piece in twenty is not: that takes longer.
    let shows = |it: &SlowRow| {
        it.row.rate_per_second * 60.0 >= LEAST_PER_MINUTE && !it.row.arguments.contains(&"-mix=20")
    };
    all.filter(move |it| KINDS.contains(&it.row.about()) && shows(it))
}

fn look(kind: &str) -> Result<()> {
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    let subjects = chosen().filter(|it| it.row.about() == kind).flat_map(|slow| {
        slow.row.styles().iter().map(move |style| Subject { slow, style: *style, toolchain })
    });
    let (built, failures) = field::build(subjects.collect());
    ensure!(failures.is_empty(), "{failures:#?}");
    let word = format!("pace{kind}");
    let cohort = Cohort::start(&word, &built, LOOK.after + LOOK.window + SPARE)?;
    thread::sleep(LOOK.after);
    let saved = tempfile::tempdir().context("create a directory")?;
    let mut measured = Measured::default();
    look_at(&cohort, LOOK, saved.path(), &mut measured);
    ensure!(measured.failures.is_empty(), "{:#?}", measured.failures);
    let wrong: Vec<String> = measured.cells.iter().filter(|cell| is_wrong(cell)).map(words).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

fn is_wrong(cell: &Cell) -> bool {
    match cell.subject.guilt() {
        Some(_) => matches!(cell.answer, Answer::Healthy | Answer::Other { .. }),
        None => cell.answer.is_accusation() && !cell.is_filling(),
    }
}

fn words(cell: &Cell) -> String {
    let diagnosis = std::fs::read_to_string(&cell.saved).unwrap_or_default();
    format!("{}: {}: {diagnosis}", cell.subject.name(), cell.answer.said())
}
