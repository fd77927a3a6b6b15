//! Who maps what, in stripped programs of every version: by Go, by C through cgo, and by the runtime for itself.

use crate::build::{self, Variant};
use crate::case::Case;
use crate::ledgers::{Watching, is_complete, through, told};
use crate::need::{C_COMPILER, Need};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use watcher::observed::ledger::{Ledger, Mappings, Site};
use watcher::source::kernel::ledger::Kind;

/// Before Go 1.21 stacks of calls into C are not walked to their end.
pub(super) const MINORS: [u32; 7] = [21, 22, 23, 24, 25, 26, 27];
/// Odd, so that it is not right by chance.
pub(super) const PIECES: u64 = 23;
const STONE_BYTES: u64 = 200 * 1024;
const LIFE: Duration = Duration::from_secs(120);

/// A way to take memory.
#[derive(Clone, Copy)]
struct Row {
    way: &'static str,
    /// Functions of the stack, innermost first.
    stack: &'static [&'static str],
    variant: Variant,
    is_native: bool,
    is_file: bool,
    /// C hands out memory in small pieces and asks for it in bulk: counts say nothing then.
    is_bulk: bool,
}

const GO: Row = Row {
    way: "slab",
    stack: &["syscall.mmap", "syscall.Mmap", "main.slab", "main.main", "runtime.main"],
    variant: Variant::STRIPPED,
    is_native: false,
    is_file: false,
    is_bulk: false,
};
const C: Row = Row {
    way: "cast",
    stack: &["runtime.cgocall", "main._Cfunc_cast_stone", "main.cast", "main.main", "runtime.main"],
    variant: Variant::CGO,
    is_native: true,
    ..GO
};

const ROWS: [Row; 6] = [
    GO,
    Row { variant: Variant::CGO, ..GO },
    Row {
        way: "plan",
        stack: &["syscall.mmap", "syscall.Mmap", "main.plan", "main.main", "runtime.main"],
        is_file: true,
        ..GO
    },
    C,
    Row {
        way: "gravel",
        stack: &["runtime.cgocall", "main._Cfunc_pebble", "main.gravel", "main.main", "runtime.main"],
        is_bulk: true,
        ..C
    },
    // Another thread's memory comes from a heap of its own, reserved at once and taken piece by piece.
    Row {
        way: "rubble",
        stack: &["runtime.cgocall", "main._Cfunc_pebble", "main.gravel", "main.rubble"],
        is_bulk: true,
        ..C
    },
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().flat_map(|minor| {
        ROWS.iter().map(move |row| {
            let name =
                format!("mapping_ledger::go1_{minor}_{}_{}", row.variant.name().replace('-', "_"), row.way);
            Case::new(name, needs(*minor, row.variant), move || both_ways(*minor, row))
        })
    });
    let single = [
        Case::new("mapping_ledger::heap_is_the_runtimes", [Need::Root, Need::Go], heap_is_the_runtimes),
        Case::new("mapping_ledger::stacks_of_threads", [Need::Root, Need::Go, C_COMPILER], stacks_of_threads),
        Case::new("mapping_ledger::equals_the_kernels_list", [Need::Root, Need::Go], equals_the_kernels_list),
    ];
    matrix.chain(single).collect()
}

/// What the ledgers' cases build, whatever they are about: `program` in each version, with and without C.
pub(super) fn of_every_version(
    program: &'static str,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let toolchains = MINORS.into_iter().filter_map(Toolchain::minor);
    toolchains.flat_map(move |toolchain| {
        [Variant::STRIPPED, Variant::CGO].map(|variant| (program, toolchain, variant))
    })
}

/// What these cases build, and those of tasks.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    of_every_version("quarry")
}

pub(super) fn needs(minor: u32, variant: Variant) -> Vec<Need> {
    let compiler = variant.cgo.then_some(C_COMPILER);
    [Need::Root, Need::GoMinor(minor)].into_iter().chain(compiler).collect()
}

/// A program that waits for its sign.
pub(super) struct Quarry {
    pub running: Running,
    sign: TempDir,
}

impl Quarry {
    pub(super) fn start(toolchain: &Toolchain, variant: Variant, way: &str, style: Style) -> Result<Quarry> {
        let executable = build::build("quarry", toolchain, variant)?;
        let sign = tempfile::tempdir()?;
        let mut command = program::command(&executable, style, 50.0, LIFE);
        command.arg(format!("-most={PIECES}")).arg(format!("-way={way}"));
        command.arg("-begin").arg(sign.path().join("sign"));
        let mut running = Running::start(&mut command)?;
        running.holding(0)?;
        Ok(Quarry { running, sign })
    }

    /// Lets it begin.
    pub(super) fn begin(&self) -> Result<()> {
        fs::write(self.sign.path().join("sign"), "").context("give the sign")
    }
}

fn both_ways(minor: u32, row: &Row) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let function = format!("main.{}", row.way);
    for style in [Style::Round, Style::Square] {
        let mut quarry = Quarry::start(toolchain, row.variant, row.way, style)?;
        let mut watching = Watching::begin(&quarry.running, [Kind::Mappings])?;
        quarry.begin()?;
        if style == Style::Round {
            quarry.running.holding(PIECES)?;
        }
        let least = if row.is_bulk { 1 } else { PIECES };
        let ledger = watching.until("it has done its work", Watching::mappings, |ledger| {
            through(ledger, &function).map(|site| site.created).sum::<u64>() >= least
        })?;
        check(row, style, &function, &ledger).with_context(|| told(&ledger))?;
        ensure!(watching.losses().is_empty(), "something was lost: {:?}", watching.losses());
    }
    Ok(())
}

fn check(row: &Row, style: Style, function: &str, ledger: &Ledger<Mappings>) -> Result<()> {
    ensure!(ledger.accounts.missed == 0 && ledger.accounts.lost == 0, "nothing was missed or lost");
    let sites: Vec<&Site<Mappings>> = through(ledger, function).collect();
    let whole = |site: &&&Site<Mappings>| is_complete(&site.stack, row.stack);
    ensure!(sites.iter().filter(whole).count() > 0, "no stack goes through {:?}", row.stack);
    let by_go = |site: &Site<Mappings>| {
        site.what.is_runtime || site.stack.iter().any(|it| &*it.function == "os.Open")
    };
    let sites: Vec<&Site<Mappings>> = sites.into_iter().filter(|site| !by_go(site)).collect();
    ensure!(sites.iter().all(|site| is_complete(&site.stack, &[])), "a stack is not whole");
    ensure!(
        sites.iter().all(|site| site.what.is_native == row.is_native),
        "C is mistaken for Go, or the other way round"
    );
    let bytes: u64 = sites.iter().map(|site| site.what.bytes).sum();
    let file_bytes: u64 = sites.iter().map(|site| site.what.file_bytes).sum();
    let outstanding: u64 = sites.iter().map(|site| site.outstanding).sum();
    let created: u64 = sites.iter().map(|site| site.created).sum();
    let held = PIECES * STONE_BYTES;
    match style {
        Style::Round if row.is_bulk => {
            ensure!(bytes * 10 >= held * 9 && bytes <= held * 2, "{bytes} of {held} bytes are named");
        }
        Style::Round => {
            ensure!((outstanding, bytes) == (PIECES, held), "{outstanding} with {bytes} of {held} bytes");
        }
        Style::Square if row.is_bulk => ensure!(bytes * 8 <= held, "{bytes} bytes of the twin stay"),
        Style::Square => {
            ensure!((created, outstanding, bytes) == (PIECES, 0, 0), "{outstanding} of the twin stay");
        }
    }
    ensure!(file_bytes == if row.is_file { bytes } else { 0 }, "{file_bytes} bytes of files");
    if row.is_native {
        let first = sites
            .iter()
            .find(|site| site.outstanding > 0 || site.created > 0)
            .and_then(|site| site.stack.first());
        let name = first.map(|frame| frame.function.to_string()).unwrap_or_default();
        ensure!(
            !name.is_empty() && !name.contains("libc"),
            "the system call of C's library has no name: {name}"
        );
    }
    Ok(())
}

/// What Go's heap grows by is the runtime's, also where it asks C to map it.
fn heap_is_the_runtimes() -> Result<()> {
    let toolchain = Toolchain::newest().context("the toolchain is gone")?;
    for variant in [Variant::STRIPPED, Variant::CGO] {
        let mut quarry = Quarry::start(toolchain, variant, "heap", Style::Round)?;
        let mut watching = Watching::begin(&quarry.running, [Kind::Mappings])?;
        quarry.begin()?;
        quarry.running.holding(PIECES)?;
        let ledger = watching.mappings()?;
        let of = |is_runtime| ledger.sites.iter().filter(move |site| site.what.is_runtime == is_runtime);
        let runtime: u64 = of(true).map(|site| site.what.bytes).sum();
        ensure!(runtime >= PIECES * STONE_BYTES / 2, "{runtime} bytes are the runtime's: {}", told(&ledger));
        let others: u64 =
            of(false).filter(|site| !site.what.is_thread_stack).map(|site| site.what.bytes).sum();
        ensure!(others <= runtime / 4, "{others} bytes are somebody else's: {}", told(&ledger));
        ensure!(ledger.accounts.missed == 0, "something was missed: {}", told(&ledger));
    }
    Ok(())
}

/// A thread of C's has a stack of several megabytes, which is nobody's memory.
fn stacks_of_threads() -> Result<()> {
    let toolchain = Toolchain::newest().context("the toolchain is gone")?;
    let mut quarry = Quarry::start(toolchain, Variant::CGO, "crew", Style::Round)?;
    let mut watching = Watching::begin(&quarry.running, [Kind::Mappings])?;
    quarry.begin()?;
    quarry.running.holding(PIECES)?;
    let ledger = watching.mappings()?;
    let stacks: u64 = through(&ledger, "main.crew")
        .filter(|site| site.what.is_thread_stack)
        .map(|site| site.outstanding)
        .sum();
    ensure!(stacks == PIECES, "{stacks} stacks of threads: {}", told(&ledger));
    Ok(())
}

/// What is left of tens of thousands of calls that cover, cut and move each other's mappings.
fn equals_the_kernels_list() -> Result<()> {
    let toolchain = Toolchain::newest().context("the toolchain is gone")?;
    let mut quarry = Quarry::start(toolchain, Variant::STRIPPED, "blast", Style::Round)?;
    let mut watching = Watching::begin(&quarry.running, [Kind::Mappings])?;
    quarry.begin()?;
    let held = loop {
        // Scans while it goes on must not disturb what is found in the end.
        watching.mappings()?;
        let held = quarry.running.holding(0)?.count;
        if held > 0 {
            break held;
        }
    };
    let ledger = watching.mappings()?;
    let bytes = |function| through(&ledger, function).map(|site| site.what.bytes).sum::<u64>();
    let (drilled, shifted) = (bytes("main.drill"), bytes("main.shift"));
    ensure!(drilled + shifted == held, "{drilled} + {shifted} of {held} bytes: {}", told(&ledger));
    ensure!(drilled > 0 && shifted > 0, "both ways leave something");
    ensure!(ledger.accounts.missed == 0 && ledger.accounts.lost == 0, "{}", told(&ledger));
    Ok(())
}
