//! Who starts the threads and the children that stay, in stripped programs of every version.

use super::mapping_ledger::{MINORS, PIECES, Quarry, needs};
use crate::build::Variant;
use crate::case::Case;
use crate::ledgers::{Watching, is_complete, told};
use crate::program::Style;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use watcher::observed::ledger::{Ledger, Site, Tasks};
use watcher::source::kernel::ledger::{Kind, TaskKind};

/// A way to start something.
#[derive(Clone, Copy)]
struct Row {
    way: &'static str,
    kind: TaskKind,
    variant: Variant,
    /// Functions of the stack, innermost first.
    stack: &'static [&'static str],
}

const ROWS: [Row; 4] = [
    Row {
        way: "cart",
        kind: TaskKind::Children,
        variant: Variant::STRIPPED,
        stack: &[
            "syscall.forkAndExecInChild",
            "syscall.forkExec",
            "os.StartProcess",
            "os/exec.(*Cmd).Start",
            "main.cart",
            "main.main",
            "runtime.main",
        ],
    },
    Row {
        way: "bench",
        kind: TaskKind::Threads,
        variant: Variant::STRIPPED,
        stack: &["runtime.gopark", "runtime.chanrecv", "main.sit"],
    },
    Row {
        way: "bench",
        kind: TaskKind::Threads,
        variant: Variant::CGO,
        stack: &["runtime.gopark", "runtime.chanrecv", "main.sit"],
    },
    Row {
        way: "crew",
        kind: TaskKind::Threads,
        variant: Variant::CGO,
        stack: &["runtime.cgocall", "main._Cfunc_hire", "main.crew", "main.main", "runtime.main"],
    },
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().flat_map(|minor| {
        ROWS.iter().map(move |row| {
            let name =
                format!("task_ledger::go1_{minor}_{}_{}", row.variant.name().replace('-', "_"), row.way);
            Case::new(name, needs(*minor, row.variant), move || both_ways(*minor, row))
        })
    });
    matrix.collect()
}

fn both_ways(minor: u32, row: &Row) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    for style in [Style::Round, Style::Square] {
        let mut quarry = Quarry::start(toolchain, row.variant, row.way, style)?;
        let mut watching = Watching::begin(&quarry.running, [Kind::Tasks])?;
        quarry.begin()?;
        let read = |watching: &mut Watching| watching.tasks(row.kind);
        let ledger = if style == Style::Round {
            quarry.running.holding(PIECES)?;
            watching.until("all are there", read, |ledger| {
                // The runtime takes threads that are there already before it starts others.
                let reused = if row.way == "bench" { ledger.accounts.before } else { 0 };
                (PIECES - reused..=PIECES).contains(&sum(ledger, row, |site| site.outstanding))
            })?
        } else {
            watching.until("all are gone", read, |ledger| {
                let has_worked = row.way == "bench" || sum(ledger, row, |site| site.created) == PIECES;
                has_worked && ledger.accounts.created > 0 && sum(ledger, row, |site| site.outstanding) == 0
            })?
        };
        check(row, style, &ledger).with_context(|| told(&ledger))?;
        ensure!(watching.losses().is_empty(), "something was lost: {:?}", watching.losses());
    }
    Ok(())
}

/// The sites that have all of the row's functions and are complete. What the runtime starts for itself on the way
/// has others.
fn sites<'a>(ledger: &'a Ledger<Tasks>, row: &Row) -> impl Iterator<Item = &'a Site<Tasks>> {
    let functions = row.stack;
    ledger.sites.iter().filter(move |site| is_complete(&site.stack, functions))
}

fn sum(ledger: &Ledger<Tasks>, row: &Row, count: impl Fn(&Site<Tasks>) -> u64) -> u64 {
    sites(ledger, row).map(count).sum()
}

fn check(row: &Row, style: Style, ledger: &Ledger<Tasks>) -> Result<()> {
    ensure!(ledger.accounts.missed == 0 && ledger.accounts.lost == 0, "nothing was missed or lost");
    let zombies = sum(ledger, row, |site| site.what.zombies);
    let expected = if (row.way, style) == ("cart", Style::Round) { PIECES } else { 0 };
    ensure!(zombies == expected, "{zombies} zombies");
    if row.way != "bench" {
        let ended = sum(ledger, row, |site| site.ended);
        ensure!(ended == if style == Style::Round { 0 } else { PIECES }, "{ended} of {PIECES} ended");
    } else if style == Style::Round {
        let started_by = |site: &Site<Tasks>| site.started_by.first().cloned().unwrap_or_default();
        let by_bench = |site: &Site<Tasks>| started_by(site).iter().any(|it| &*it.function == "main.bench");
        ensure!(sites(ledger, row).all(by_bench), "who started the goroutines is not told");
    }
    Ok(())
}
