//! A version of Go that is in no table: everything is read by what is found in the process alone, and is the same. The
//! tables are hidden for that, and each of the two ways to find a variable has to do by itself. A version that is in one
//! is doubted in no program, however few goroutines it has.

use crate::agent;
use crate::attached::Attached;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::profiles::view;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use watcher::golang::goroutines::threads::OsThread;
use watcher::golang::goroutines::{Goroutine, GoroutineSnapshot};
use watcher::golang::runtime::AttachOptions;
use watcher::golang::runtime::locate::Routes;
use watcher::observed::go_counters::GoCounters;

/// Built for the views in all of these ways.
const PROGRAM: &str = "harbour";
const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];
const LIFE: Duration = Duration::from_secs(120);
/// The program keeps 14 kinds of 800.
const AT_LEAST: u64 = 10_000;
/// The process is quiet, but its runtime may do something between two readings; not each time.
const ATTEMPTS: usize = 5;

/// The cases.
pub fn cases() -> Vec<Case> {
    let rows = || MINORS.into_iter().flat_map(|minor| VARIANTS.map(|variant| (minor, variant)));
    let needs =
        |minor, variant: Variant| [Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
    let without_a_table = rows().map(|(minor, variant)| {
        let name = format!("calibration::go1_{minor}_{}_is_read_without_a_table", variant.name());
        Case::new(name, needs(minor, variant), move || check(minor, variant)).busy()
    });
    let at_rest = rows().map(|(minor, variant)| {
        let name = format!("calibration::go1_{minor}_{}_is_not_doubted_at_rest", variant.name());
        Case::new(name, needs(minor, variant), move || at_rest(minor, variant))
    });
    without_a_table.chain(at_rest).collect()
}

/// A program that waits, with no more goroutines than its runtime and its main function make.
fn at_rest(minor: u32, variant: Variant) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let program = program::depot(&build("depot", toolchain, variant)?, 3, LIFE)?;
    for command in ["goroutines", "heap", "memory"] {
        let shown = view(&[command], program.pid())?;
        ensure!(!shown.contains("Do not rely"), "{command}: {shown}");
        ensure!(!shown.contains("is not that of its version"), "{command}: {shown}");
    }
    let (diagnosis, _) = agent::diagnose(program.pid(), 2)?;
    let doubts = diagnosis.unseen.iter().filter(|unseen| unseen.what.starts_with("certainty"));
    ensure!(doubts.count() == 0, "{:?}", diagnosis.unseen);
    Ok(())
}

fn check(minor: u32, variant: Variant) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let executable = build(PROGRAM, toolchain, variant)?;
    let mut program = Running::start(program::command(&executable, Style::Square, 1.0, LIFE).arg("-still"))?;
    // It tells where it listens once everything waits. Nobody asks it: it stays quiet.
    program.address()?;
    let mut usual = Attached::to(program.pid())?;
    for (hide_tables, routes) in [
        (true, Routes::Both),
        (true, Routes::CodeOnly),
        (true, Routes::ContentOnly),
        (false, Routes::CodeOnly),
        (false, Routes::ContentOnly),
    ] {
        let options = AttachOptions { hide_tables, routes, ..AttachOptions::default() };
        let mut other = Attached::with(options, program.pid())?;
        agree(&mut usual, &mut other, hide_tables)
            .with_context(|| format!("{options:?}, {:?}", other.runtime.remarks()))?;
    }
    Ok(())
}

/// Everything that is read of a process.
struct Seen {
    snapshot: GoroutineSnapshot,
    threads: Vec<OsThread>,
    counters: GoCounters,
}

impl Seen {
    fn of(attached: &mut Attached) -> Result<Seen> {
        let snapshot = attached.runtime.goroutines(&attached.file, &attached.memory)?;
        let threads =
            attached.runtime.threads(&attached.file, &attached.memory).context("threads are found")?;
        let counters = attached.runtime.counters(&attached.memory);
        Ok(Seen { snapshot, threads, counters })
    }

    /// Goroutines by all that is known of their group, with their numbers.
    fn groups(&self) -> BTreeMap<String, Vec<u64>> {
        let mut groups: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let names = self.snapshot.groups.iter().map(|group| {
            let (stack, origin) = ((&group.frames, &group.addresses), (&group.created_by, &group.start));
            let doing = (group.status, &group.wait_reason, group.reading, &group.labels, group.is_system);
            format!("{} {doing:?} {stack:?} {origin:?}", group.count)
        });
        let names: Vec<String> = names.collect();
        for goroutine in &self.snapshot.goroutines {
            let name = usize::try_from(goroutine.group).ok().and_then(|group| names.get(group));
            groups.entry(name.cloned().unwrap_or_default()).or_default().push(goroutine.id);
        }
        groups.values_mut().for_each(|ids| ids.sort_unstable());
        groups
    }
}

fn agree(usual: &mut Attached, other: &mut Attached, may_lack: bool) -> Result<()> {
    let mut differences = Vec::new();
    for _ in 0..ATTEMPTS {
        let (known, found) = (Seen::of(usual)?, Seen::of(other)?);
        ensure!(known.snapshot.effort.live > AT_LEAST, "only {} goroutines", known.snapshot.effort.live);
        match same(&known, &found, may_lack) {
            Ok(()) => return Ok(()),
            Err(error) => differences.push(format!("{error:#}")),
        }
    }
    bail!("never the same: {}", differences.join("; "))
}

fn same(known: &Seen, found: &Seen, may_lack: bool) -> Result<()> {
    let (groups, others) = (known.groups(), found.groups());
    for (name, ids) in &groups {
        ensure!(
            others.get(name) == Some(ids),
            "{} of {name} are {:?}",
            ids.len(),
            others.get(name).map(Vec::len)
        );
    }
    ensure!(groups.len() == others.len(), "there are {} groups, not {}", others.len(), groups.len());
    let goroutines = |seen: &Seen| -> BTreeMap<u64, Goroutine> {
        seen.snapshot.goroutines.iter().map(|goroutine| (goroutine.id, *goroutine)).collect()
    };
    let others = goroutines(found);
    for (id, one) in goroutines(known) {
        let other = others.get(&id).with_context(|| format!("goroutine {id} is missing"))?;
        let place = |of: &Goroutine| (of.address, of.stack_pointer, of.waiting_since_nanos, of.parent_id);
        ensure!(place(&one) == place(other), "goroutine {id} is {one:?}, and {other:?}");
        or_none(one.locked_thread, other.locked_thread, may_lack)
            .with_context(|| format!("goroutine {id} is locked"))?;
    }
    ensure!(known.threads.len() == found.threads.len(), "there are {} threads", found.threads.len());
    for (one, other) in known.threads.iter().zip(&found.threads) {
        let place = |of: &OsThread| (of.address, of.tid, of.goroutine);
        ensure!(place(one) == place(other), "a thread is {one:?}, and {other:?}");
        or_none(one.locked_goroutine, other.locked_goroutine, may_lack).context("a thread is locked")?;
        or_none(one.in_cgo, other.in_cgo, may_lack).context("a thread is in C")?;
    }
    ensure!(known.counters.heap.is_some(), "there are counters of the heap");
    ensure!(
        known.counters == found.counters,
        "the counters are {:?}, and {:?}",
        known.counters,
        found.counters
    );
    Ok(())
}

/// What cannot be found in a process may be unknown, but never another.
fn or_none<T: PartialEq + Debug>(known: Option<T>, found: Option<T>, may_lack: bool) -> Result<()> {
    let fits = found == known || (may_lack && found.is_none());
    ensure!(fits, "it is {known:?}, and {found:?}");
    Ok(())
}
