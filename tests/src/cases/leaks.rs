//! The corpus, on few versions of Go: stripped programs without an endpoint that keep what they should give back are
//! diagnosed with kind, rate and lines; their twins, which do the same work and give it back, are healthy, and so is
//! what only looks like a leak.

pub use crate::corpus::expect::{expect_healthy, expect_rate};

use crate::agent;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::corpus::expect::{About, Truth, objections};
use crate::corpus::{Leaks, Row, rows};
use crate::need::Need;
use crate::program::Style;
use crate::scene::Scene;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(45);

/// Of a pace slower than this a window holds so few pieces that a busy machine decides whether it is told: only
/// `cargo xtask accuracy` asks after it, which asks again where a window was starved.
const LEAST_PER_SECOND: f64 = 1.0;

/// The cases.
pub fn cases() -> Vec<Case> {
    rows()
        .filter(|row| row.pace.is_none() || row.rate_per_second >= LEAST_PER_SECOND)
        .flat_map(|row| of_row(&row))
        .chain([Case::new("corpus::wrong_answers", [Need::Root, Need::Go], wrong_answers)])
        .collect()
}

fn of_row(row: &Row) -> Vec<Case> {
    let row = *row;
    let needs: Vec<_> = row.needs().collect();
    let case = |word: String, style, toolchain| {
        Case::new(format!("corpus::{}{word}", row.name()), needs.clone(), move || {
            agrees(&row, style, toolchain)
        })
    };
    let mut cases = Vec::new();
    if row.leaks != Leaks::Never {
        let older = row.also.iter().filter_map(|minor| Toolchain::minor(*minor));
        cases.push(case("_kept".to_owned(), Style::Round, None));
        cases
            .extend(older.map(|older| case(format!("_kept_go1_{}", older.minor), Style::Round, Some(older))));
    }
    if row.twin_in_suite {
        cases.push(case("_given_back".to_owned(), Style::Square, None));
    }
    cases
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    rows().flat_map(|row| {
        let older = row.also.iter().filter_map(|minor| Toolchain::minor(*minor));
        older.chain(Toolchain::newest()).map(move |toolchain| (row.program, toolchain, row.variant()))
    })
}

/// What is said of one of the twins, built with that toolchain or the newest, is what must be said.
fn agrees(row: &Row, style: Style, toolchain: Option<&'static Toolchain>) -> Result<()> {
    let toolchain = toolchain.or_else(Toolchain::newest).context("no Go toolchain is here")?;
    let scene = start(row, style, toolchain)?;
    let (diagnosis, outcome) = agent::diagnose(scene.pid(), WINDOW.as_secs())?;
    let truth = match row.guilt(style, toolchain.minor) {
        Some(_) => scene.truth(row, outcome.began, outcome.ended)?,
        None => Truth::default(),
    };
    let objections = objections(row, style, toolchain.minor, &diagnosis, &truth)?;
    ensure!(objections.is_empty(), "{objections:#?}: {diagnosis:#?}");
    Ok(())
}

fn start(row: &Row, style: Style, toolchain: &Toolchain) -> Result<Scene> {
    let executable = build::build(row.program, toolchain, row.variant())?;
    Scene::start(row, style, &executable, WINDOW)
}

/// A right answer is wrong for every other row: nothing here passes whatever is said.
fn wrong_answers() -> Result<()> {
    let (mut goroutines, others): (Vec<Row>, Vec<Row>) =
        rows().filter(|row| row.leaks != Leaks::Never).partition(|row| row.program == "tickets");
    let asked = goroutines.swap_remove(0);
    let newest = Toolchain::newest().context("no Go toolchain is here")?;
    let scene = start(&asked, Style::Round, newest)?;
    let (diagnosis, outcome) = agent::diagnose(scene.pid(), WINDOW.as_secs())?;
    let truth = scene.truth(&asked, outcome.began, outcome.ended)?;
    let about = |row: &Row, style| -> Result<Vec<About>> {
        let objections = objections(row, style, newest.minor, &diagnosis, &truth)?;
        Ok(objections.into_iter().map(|objection| objection.about).collect())
    };
    ensure!(about(&asked, Style::Round)?.is_empty(), "want no objection: {diagnosis:#?}");
    ensure!(about(&asked, Style::Square)? == [About::FalseAlarm], "its twin is innocent: {diagnosis:#?}");
    for row in others.iter().filter(|row| row.guilt(Style::Round, newest.minor).is_some()) {
        let wanted = if row.kind == asked.kind { About::Line } else { About::Kind };
        ensure!(
            about(row, Style::Round)?.contains(&wanted),
            "want {wanted:?} for {}: {diagnosis:#?}",
            row.name()
        );
    }
    Ok(())
}
