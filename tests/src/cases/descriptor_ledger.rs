//! Who opened what is open, in stripped programs of every version: by Go, by its library, and by C through cgo.

use crate::build::{self, Variant};
use crate::case::Case;
use crate::cases::mapping_ledger::{MINORS, needs, of_every_version};
use crate::ledgers::{Watching, is_complete, through, told};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use watcher::observed::ledger::{Descriptors, Ledger, Site};
use watcher::source::kernel::ledger::Kind;
use watcher::vocabulary::descriptor::DescriptorType;

/// Odd, so that it is not right by chance.
const PIECES: u64 = 13;
const LIFE: Duration = Duration::from_secs(120);

/// A way to open something.
#[derive(Clone, Copy)]
struct Row {
    way: &'static str,
    /// Functions of the stack, innermost first.
    stack: &'static [&'static str],
    variant: Variant,
    kind: DescriptorType,
    /// Whoever opens it closes it at once, in both styles.
    is_brief: bool,
}

const GO: Row = Row {
    way: "latch",
    stack: &["syscall.openat", "os.OpenFile", "main.latch", "main.main.func1", "main.main", "runtime.main"],
    variant: Variant::STRIPPED,
    kind: DescriptorType::File,
    is_brief: false,
};
const SOCKET: Row = Row { kind: DescriptorType::Socket, ..GO };
const C: Row = Row { variant: Variant::CGO, ..GO };

#[rustfmt::skip]
const ROWS: [Row; 9] = [
    Row { kind: DescriptorType::CharDevice, ..GO },
    Row { way: "knock", stack: &["syscall.socket", "net.internetSocket", "net.Dial", "main.knock", "main.main", "runtime.main"], ..SOCKET },
    Row { way: "gate", stack: &["syscall.accept4", "net.(*TCPListener).Accept", "main.receive", "main.main", "runtime.main"], ..SOCKET },
    // The connection belongs to a goroutine of the library: none of the program's own frames is in its stack.
    Row { way: "errand", stack: &["syscall.socket", "net.internetSocket", "net/http.(*Transport).dialConn"], ..SOCKET },
    Row { way: "desk", stack: &["syscall.accept4", "net.(*TCPListener).Accept", "net/http.(*Server).Serve", "net/http.Serve"], ..SOCKET },
    Row { way: "runner", stack: &["syscall.Pipe2", "os.Pipe", "os/exec.(*Cmd).StdinPipe", "main.runner", "main.main", "runtime.main"], kind: DescriptorType::Pipe, ..GO },
    Row { kind: DescriptorType::CharDevice, ..C },
    Row { way: "bolt", stack: &["runtime.cgocall", "main._Cfunc_slide", "main.bolt", "main.main", "runtime.main"], kind: DescriptorType::CharDevice, ..C },
    Row { way: "lookup", stack: &["runtime.cgocall", "main._Cfunc_resolve", "main.lookup", "main.main", "runtime.main"], is_brief: true, ..C },
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().flat_map(|minor| {
        ROWS.iter().map(move |row| {
            let variant = row.variant.name().replace('-', "_");
            let name = format!("descriptor_ledger::go1_{minor}_{variant}_{}", row.way);
            Case::new(name, needs(*minor, row.variant), move || both_ways(*minor, row, &[]))
        })
    });
    // The same where the kernel refuses to tell of allocations.
    let by_calls = Toolchain::newest().into_iter().flat_map(|newest| {
        ROWS.iter().map(move |row| {
            let variant = row.variant.name().replace('-', "_");
            let name = format!("descriptor_ledger::by_calls_{variant}_{}", row.way);
            Case::new(name, needs(newest.minor, row.variant), move || {
                both_ways(newest.minor, row, &["file_allocated"])
            })
        })
    });
    matrix.chain(by_calls).collect()
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    of_every_version("wicket")
}

/// A program that waits for its sign.
struct Wicket {
    running: Running,
    sign: TempDir,
}

impl Wicket {
    fn start(minor: u32, row: &Row, style: Style) -> Result<Wicket> {
        let toolchain = Toolchain::minor(minor).context("this version is not here")?;
        let executable = build::build("wicket", toolchain, row.variant)?;
        let sign = tempfile::tempdir()?;
        let mut command = program::command(&executable, style, 50.0, LIFE);
        command.arg(format!("-most={PIECES}")).arg(format!("-way={}", row.way));
        command.arg("-begin").arg(sign.path().join("sign"));
        let mut running = Running::start(&mut command)?;
        running.holding(0)?;
        Ok(Wicket { running, sign })
    }

    fn begin(&self) -> Result<()> {
        fs::write(self.sign.path().join("sign"), "").context("give the sign")
    }
}

fn both_ways(minor: u32, row: &Row, refused: &[&str]) -> Result<()> {
    for style in [Style::Round, Style::Square] {
        let wicket = Wicket::start(minor, row, style)?;
        let mut watching = Watching::without(&wicket.running, [Kind::Descriptors], refused)?;
        wicket.begin()?;
        let kept = if style == Style::Round && !row.is_brief { PIECES } else { 0 };
        let read = |watching: &mut Watching| watching.descriptors().map(|opened| opened.ledger);
        let done = |ledger: &Ledger<Descriptors>| {
            sites(ledger, row).map(|site| site.created).sum::<u64>() >= PIECES
                && sites(ledger, row).map(|site| of_kind(site, row)).sum::<u64>() == kept
        };
        let ledger = watching.until("all is open that shall be", read, done)?;
        for site in sites(&ledger, row) {
            ensure!(is_complete(&site.stack, row.stack), "a stack is not whole:\n{}", told(&ledger));
            ensure!(site.ended == site.created - site.outstanding, "sums differ:\n{}", told(&ledger));
        }
        ensure!(watching.losses().is_empty(), "something was lost: {:?}", watching.losses());
        each_is_told(&mut watching, row, kept)?;
    }
    Ok(())
}

/// One by one they come to the same, and each is younger than the watching.
fn each_is_told(watching: &mut Watching, row: &Row, kept: u64) -> Result<()> {
    let opened = watching.descriptors()?;
    let began = opened.ledger.began;
    let mut count = 0;
    for one in &opened.each {
        let Some(site) = one.site.and_then(|site| opened.ledger.sites.get(site)) else { continue };
        ensure!(one.opened_at.is_some_and(|at| at >= began), "{one:?} was opened before it was watched");
        let is_of_row = one.descriptor.kind == row.kind && sites(&opened.ledger, row).any(|it| it == site);
        count += u64::from(is_of_row);
    }
    ensure!(count == kept, "{count} one by one instead of {kept}: {:?}", opened.each);
    Ok(())
}

/// Those whose stack goes through what tells this way from what the program does otherwise.
fn sites<'a>(ledger: &'a Ledger<Descriptors>, row: &'a Row) -> impl Iterator<Item = &'a Site<Descriptors>> {
    let own = row.stack.iter().find(|function| function.starts_with("main.")).or(row.stack.last());
    through(ledger, own.copied().unwrap_or_default()).filter(|site| is_complete(&site.stack, row.stack))
}

fn of_kind(site: &Site<Descriptors>, row: &Row) -> u64 {
    site.what.types.iter().filter(|(kind, _)| *kind == row.kind).map(|(_, count)| count).sum()
}
