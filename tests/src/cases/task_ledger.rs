//! Who starts the threads and the children that stay, in stripped programs of every version.

use super::mapping_ledger::{MINORS, PIECES, Quarry, needs};
use crate::build::Variant;
use crate::case::Case;
use crate::ledgers::{Watching, is_complete, through, told};
use crate::program::Style;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use watcher::sample::ledger::{Ledger, Site, Tasks};
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
    let own = if row.way == "bench" { "main.sit".to_owned() } else { format!("main.{}", row.way) };
    for style in [Style::Round, Style::Square] {
        let mut quarry = Quarry::start(toolchain, row.variant, row.way, style)?;
        let mut watching = Watching::begin(&quarry.running, [Kind::Tasks])?;
        quarry.begin()?;
        let read = |watching: &mut Watching| watching.tasks(row.kind);
        let ledger = if style == Style::Round {
            quarry.running.holding(PIECES)?;
            watching.until("all are there", read, |ledger| outstanding(ledger, &own) == PIECES)?
        } else {
            let is_over = |ledger: &Ledger<Tasks>| {
                let has_worked = row.way == "bench"
                    || through(ledger, &own).map(|site| site.created).sum::<u64>() >= PIECES;
                has_worked && ledger.accounts.created > 0 && outstanding(ledger, &own) == 0
            };
            watching.until("all are gone", read, is_over)?
        };
        check(row, style, &own, &ledger).with_context(|| told(&ledger))?;
        ensure!(watching.losses().is_empty(), "something was lost: {:?}", watching.losses());
    }
    Ok(())
}

fn outstanding(ledger: &Ledger<Tasks>, function: &str) -> u64 {
    through(ledger, function).map(|site| site.outstanding).sum()
}

fn check(row: &Row, style: Style, own: &str, ledger: &Ledger<Tasks>) -> Result<()> {
    ensure!(ledger.accounts.missed == 0 && ledger.accounts.lost == 0, "nothing was missed or lost");
    let sites: Vec<&Site<Tasks>> = through(ledger, own).collect();
    let is_whole = |site: &&Site<Tasks>| is_complete(&site.stack, row.stack);
    if style == Style::Round {
        ensure!(sites.iter().all(is_whole), "not every stack goes through {:?} to its end", row.stack);
        let zombies: u64 = sites.iter().map(|site| site.what.zombies).sum();
        ensure!(zombies == if row.way == "cart" { PIECES } else { 0 }, "{zombies} zombies");
    } else if row.way != "bench" {
        ensure!(sites.iter().any(is_whole), "no stack goes through {:?} to its end", row.stack);
        let ended: u64 = sites.iter().map(|site| site.ended).sum();
        ensure!(ended == PIECES, "{ended} of {PIECES} ended");
    }
    if row.way == "bench" && style == Style::Round {
        let creators = sites.iter().filter_map(|site| site.started_by.first());
        let by_bench = |frames: &&std::sync::Arc<[_]>| {
            frames.iter().any(|frame: &watcher::sample::code::Frame| &*frame.function == "main.bench")
        };
        ensure!(creators.filter(by_bench).count() == sites.len(), "who started the goroutines is not told");
    }
    Ok(())
}
