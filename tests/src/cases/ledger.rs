//! The ledger of descriptors, on whatever kernel is running: exact where the kernel takes trampolines, and elsewhere
//! right after each comparison with the kernel's own table.

use crate::build::Variant;
use crate::case::Case;
use crate::descriptor_ledger::{Differences, Watch, identity, table};
use crate::kernel_tables::goes;
use crate::kernel_tables::holder::Holder;
use crate::loaded::Loaded;
use crate::need::Need;
use crate::opener::{Opener, Taken};
use crate::program;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use std::{fs, thread};
use watcher::observed::ledger::Route;
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds, Ledgers, Refusal};
use watcher::source::kernel::probes::{Outcome, ProbeName};

/// The Go program of these cases.
const DRAWERS: &str = "drawers";

/// The cases.
pub fn cases() -> Vec<Case> {
    let root = [Need::Root];
    let go = [Need::Root, Need::Go];
    vec![
        Case::new("ledger::steps_gain_what_they_say", root, steps_gain_what_they_say),
        Case::new("ledger::equals_the_table_after_every_step", root, || equals_the_table(&[])),
        Case::new("ledger::equals_the_table_by_allocations", root, || equals_the_table(&BY_ALLOCATIONS)),
        Case::new("ledger::equals_the_table_by_calls", root, || equals_the_table(&BY_CALLS)),
        Case::new(
            "ledger::ends_with_a_process_of_many_descriptors",
            root,
            ends_with_a_process_of_many_descriptors,
        ),
        Case::new("ledger::a_pid_that_comes_back_is_another_process", root, a_pid_that_comes_back),
        Case::new("ledger::a_rush_leaves_nothing_behind", go, a_rush_leaves_nothing_behind),
        Case::new("ledger::four_thousand_stacks_are_told_apart", go, four_thousand_stacks_are_told_apart),
        Case::new("ledger::stacks_beyond_room_are_counted", go, stacks_beyond_room_are_counted),
        Case::new(
            "ledger::a_refused_program_costs_what_it_tells",
            root,
            a_refused_program_costs_what_it_tells,
        ),
        Case::new("ledger::a_refused_ledger_costs_no_other", root, a_refused_ledger_costs_no_other),
        Case::new("ledger::two_watch_the_same_process", root, two_watch_the_same_process),
        Case::new("ledger::nothing_stays_loaded", root, nothing_stays_loaded),
    ]
}

/// The Go programs of these cases.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    Toolchain::newest().into_iter().map(|toolchain| (DRAWERS, toolchain, Variant::STRIPPED))
}

/// What the other cases build on: each step changes the table of descriptors as it says.
fn steps_gain_what_they_say() -> Result<()> {
    let mut opener = Opener::start()?;
    let mut absent = Vec::new();
    for step in opener.names()? {
        let before = opener.open()?;
        match opener.take(&step)? {
            Taken::Gained(gained) => {
                let after = opener.open()?;
                let grown = i64::try_from(after.len())? - i64::try_from(before.len())?;
                ensure!(grown == gained, "step {step}: {grown} descriptors more, not {gained}");
            }
            Taken::Absent(why) => absent.push(format!("{step} ({why})")),
        }
    }
    ensure!(absent.len() <= 1, "this kernel has not enough of the calls: {absent:?}");
    Ok(())
}

/// With trampolines there is never a difference. Without, differences are what system calls do not tell, and are gone
/// once the ledger was put right.
fn equals_the_table(refused: &[&str]) -> Result<()> {
    let mut opener = Opener::start()?;
    let mut watch = Watch::with(Kernel::load(), opener.pid(), refused).map_err(|refused| refused.1)?;
    let route = watch.route()?;
    let is_exact = route == Route::Exact;
    let expected = match refused {
        [] if takes_trampolines(&watch.kernel) => Route::Exact,
        [_, _] => Route::SystemCalls,
        _ => Route::Allocations,
    };
    let gaps = watch.ledgers.gaps(Kind::Descriptors);
    ensure!(route == expected, "descriptors are seen by {route:?}, not {expected:?}: {gaps:?}");
    let mut found = BTreeMap::new();
    for step in opener.names()? {
        opener.take(&step)?;
        let differences = watch.differences()?;
        if differences != Differences::default() {
            watch.put_right(&differences)?;
            found.insert(step, differences);
        }
        let left = watch.differences()?;
        ensure!(left.stale.is_empty(), "still in the ledger, and not open: {left:?}");
    }
    let open = watch.since()?.len();
    ensure!(open > 100, "only {open} descriptors are open in the end: the test proves nothing");
    let lost = watch.raw()?.tally.lost;
    ensure!(lost == 0, "{lost} descriptors were not entered for want of room");
    if is_exact {
        ensure!(found.is_empty(), "the exact ledger differs from the table: {found:?}");
        return Ok(());
    }
    if route == Route::Allocations {
        return only_copies_were_missed(&found);
    }
    // Here files come and go that no return of a system call tells of.
    for (step, missed, stale) in
        [("clone_pidfd", 3, 0), ("ring_open", 3, 0), ("ring_worker", 3, 0), ("ring_close", 0, 3)]
    {
        let differences = found.remove(step).unwrap_or_default();
        let counts = (differences.missed.len(), differences.stale.len());
        ensure!(
            counts == (missed, stale),
            "{step}: {differences:?}, and not {missed} missed and {stale} stale"
        );
    }
    // The result of bpf(2) is a descriptor for some of its commands only.
    found.remove("bpf");
    ensure!(found.is_empty(), "what system calls return was missed: {found:?}");
    Ok(())
}

/// Nobody opened here what was open before and is copied, or what comes from another process. What is closed is never
/// believed to be open.
fn only_copies_were_missed(found: &BTreeMap<String, Differences>) -> Result<()> {
    let copies = ["dup", "dup2_unused", "dup2_used", "dup3", "fcntl_dup", "fcntl_dup_cloexec"];
    for (step, differences) in found {
        let is_expected = copies.contains(&step.as_str()) && differences.missed.len() == 3;
        ensure!(is_expected && differences.stale.is_empty(), "{step}: {differences:?}");
    }
    ensure!(found.len() == copies.len(), "copies of what was open before have an opener: {found:?}");
    Ok(())
}

fn takes_trampolines(kernel: &Kernel) -> bool {
    let takes = |probe| kernel.outcome(probe).is_some_and(Outcome::works);
    takes(ProbeName::Fentry) && takes(ProbeName::Fexit)
}

/// As many as the machine allows, up to 50,000; as often as would overflow the map if anything stayed in it.
fn ends_with_a_process_of_many_descriptors() -> Result<()> {
    /// The map has room for 262,144.
    const MORE_THAN_ROOM: u64 = 300_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let count = hard.saturating_sub(100).min(50_000);
    ensure!(count >= 4000, "the hard limit of descriptors is {hard}: too low to show anything");
    let mut other = Opener::start()?;
    let mut watch = Watch::begin(other.pid())?;
    for _ in 0..MORE_THAN_ROOM.div_ceil(count) {
        let mut opener = Opener::start()?;
        let id = identity(opener.pid())?;
        watch.also(id)?;
        opener.gain(&format!("fill {count}"))?;
        let raw = watch.ledgers.descriptors(id).context("the process is not watched")?;
        ensure!(
            raw.things.len() as u64 == count,
            "{} descriptors of {count} are in the ledger",
            raw.things.len()
        );
        ensure!(raw.tally.lost == 0, "{} of {count} found no room", raw.tally.lost);
        opener.kill()?;
        watch.ledgers.unwatch(id);
        ensure!(watch.ledgers.descriptors(id).is_none(), "it is watched although it is gone");
    }
    other.gain("open")?;
    ensure!(watch.differences()? == Differences::default(), "the other process: {:?}", watch.differences()?);
    Ok(())
}

/// What a new process does under the pid of one that is watched is not entered, until it is watched itself.
fn a_pid_that_comes_back() -> Result<()> {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    const TRIES: usize = 200;
    let mut first = Opener::start()?;
    let pid = first.pid();
    let mut watch = Watch::begin(pid)?;
    let old = watch.id;
    first.gain("open")?;
    ensure!(watch.raw()?.things.len() == 3, "the first process: {:?}", watch.raw()?.things);
    first.kill()?;
    // Start times are told in hundredths of a second.
    thread::sleep(Duration::from_millis(30));
    let again = (0..TRIES).find_map(|_| {
        let next = fs::write(LAST, (pid - 1).to_string()).map_err(Into::into).and_then(|()| Opener::start());
        next.map(|opener| (opener.pid() == pid).then_some(opener)).transpose()
    });
    let mut second = again.context("another process took the pid each time")??;
    let new = identity(pid)?;
    ensure!(new != old, "the second process cannot be told from the first: {new:?}");
    second.gain("open")?;
    second.gain("dup")?;
    let raw = watch.ledgers.descriptors(old).context("the first process is not watched")?;
    let created: u64 = raw.sites.values().map(|site| site.created).sum::<u64>() + raw.tally.created;
    ensure!(created == 3, "under the old process {created} descriptors were created, not 3");
    watch.before = table(&mut watch.kernel, pid)?;
    watch.also(new)?;
    watch.id = new;
    second.gain("openat")?;
    ensure!(watch.differences()? == Differences::default(), "the second process: {:?}", watch.differences()?);
    ensure!(watch.since()?.len() == 7, "the second process has {:?}", watch.since()?);
    Ok(())
}

/// 200,000 descriptors opened and closed as fast as all processors can.
fn a_rush_leaves_nothing_behind() -> Result<()> {
    const RUSH: u64 = 200_000;
    let mut drawers = Opener::start_program(&program::shipped(DRAWERS)?)?;
    let mut watch = Watch::begin(drawers.pid())?;
    let began = Instant::now();
    drawers.gain(&format!("rush {RUSH}"))?;
    let took = began.elapsed();
    let raw = watch.raw()?;
    let differences = watch.differences()?;
    ensure!(differences.stale.is_empty(), "{} closed descriptors are in the ledger", differences.stale.len());
    let sites = raw.sites.values().fold((0, 0), |sum, site| (sum.0 + site.created, sum.1 + site.ended));
    let (created, ended) = (sites.0 + raw.tally.created, sites.1 + raw.tally.ended);
    ensure!(
        created + raw.tally.lost >= RUSH,
        "{created} created and {} lost of {RUSH} in {took:?}",
        raw.tally.lost
    );
    // Where ends are seen when the address is given to another file, the last ones are not seen yet.
    let least = if raw.route == Route::Allocations { RUSH * 9 / 10 } else { RUSH };
    ensure!(
        ended + raw.tally.lost >= least,
        "{ended} ended and {} lost of {RUSH} in {took:?}",
        raw.tally.lost
    );
    Ok(())
}

/// 4,096 ways to the same call are 4,096 stacks, each with one descriptor.
fn four_thousand_stacks_are_told_apart() -> Result<()> {
    const WAYS: usize = 4096;
    let mut drawers = Opener::start_program(&program::shipped(DRAWERS)?)?;
    let mut watch = Watch::begin(drawers.pid())?;
    drawers.gain(&format!("ways {WAYS}"))?;
    let differences = watch.differences()?;
    ensure!(differences.stale.is_empty() && differences.missed.is_empty(), "{differences:?}");
    let raw = watch.raw()?;
    let stacks: BTreeSet<_> = raw.things.iter().filter_map(|thing| thing.origin.stack).collect();
    ensure!(stacks.len() >= WAYS, "{} stacks of {WAYS}; lost: {:?}", stacks.len(), watch.ledgers.losses());
    let alone = stacks.iter().filter(|stack| raw.sites.get(stack).is_some_and(|site| site.created == 1));
    ensure!(alone.count() >= WAYS, "some ways share a stack");
    let cut = raw.sites.values().filter(|site| site.stack.is_cut).count();
    ensure!(cut == 0, "{cut} stacks are cut");
    Ok(())
}

/// More stacks than there is room for: every descriptor is in the ledger, and those without a stack are counted.
fn stacks_beyond_room_are_counted() -> Result<()> {
    /// There is room for 8,192 stacks.
    const WAYS: u64 = 12_000;
    let mut drawers = Opener::start_program(&program::shipped(DRAWERS)?)?;
    let mut watch = Watch::begin(drawers.pid())?;
    drawers.gain(&format!("ways {WAYS}"))?;
    ensure!(watch.differences()? == Differences::default(), "{:?}", watch.differences()?);
    let raw = watch.raw()?;
    let without = raw.things.iter().filter(|thing| thing.origin.stack.is_none()).count() as u64;
    ensure!(without > 0, "there was room for {WAYS} stacks: the test proves nothing");
    ensure!(
        raw.tally.created == without,
        "{without} are without stack, and {} were counted",
        raw.tally.created
    );
    let losses = watch.ledgers.losses();
    let counted = losses.iter().find(|(reason, _)| reason.contains("no room")).map_or(0, |(_, count)| *count);
    ensure!(counted == without, "{without} are without stack; losses: {losses:?}");
    Ok(())
}

/// What is refused so that descriptors are seen by the allocations of files, or where system calls return.
const BY_ALLOCATIONS: [&str; 1] = [EXACT[0]];
const BY_CALLS: [&str; 2] = [EXACT[0], ALLOCATIONS[0]];

/// Programs of the way by allocations.
const ALLOCATIONS: [&str; 3] = ["file_allocated", "allocation_learned", "descriptors_opened"];
/// Programs of the exact way, of the other way that it cannot do without, and of the other way else.
const EXACT: [&str; 6] = [
    "file_installed",
    "file_replaces",
    "file_not_replaced",
    "file_closes",
    "call_closed_range",
    "process_replaced",
];
const BY_CALL: [&str; 2] = ["call_opened", "call_closes"];
const BY_CALL_IF_TAKEN: [&str; 7] = [
    "call_replaced",
    "call_controlled",
    "call_piped",
    "call_paired",
    "call_received",
    "call_closed_range",
    "process_replaced",
];
/// Programs of other ledgers, and which.
const OTHERS: [(&str, Kind); 10] = [
    ("munmap_called", Kind::Mappings),
    ("mmap_returns", Kind::Mappings),
    ("mremap_called", Kind::Mappings),
    ("mremap_returns", Kind::Mappings),
    ("brk_called", Kind::Mappings),
    ("brk_returns", Kind::Mappings),
    ("mprotect_returns", Kind::Mappings),
    ("task_freed", Kind::Tasks),
    ("task_exited", Kind::Tasks),
    ("task_forked", Kind::Tasks),
];

/// Detaching waits for every task of a machine: in an emulator that takes an older kernel half a minute each time, and
/// there, after the first that took longer than this, one in three is tried.
const SLOW: Duration = Duration::from_secs(15);

/// How far a list is, and how long the newest of it takes.
struct Pace {
    next: usize,
    began: Instant,
    is_slow: bool,
}

impl Pace {
    fn new() -> Pace {
        Pace { next: 0, began: Instant::now(), is_slow: false }
    }

    /// Whether the next one is to be tried; asked before each of them.
    fn has_time_for_next(&mut self) -> bool {
        self.is_slow |= self.began.elapsed() > SLOW;
        self.began = Instant::now();
        self.next += 1;
        !self.is_slow || self.next % 3 == 1
    }
}

/// Without one program of the exact way the other one is taken; without one of that, its ledger has a gap that is
/// told, or is refused as a whole. What is in the ledger is right after a comparison, whatever was refused.
fn a_refused_program_costs_what_it_tells() -> Result<()> {
    let mut kernel = Kernel::load();
    let is_exact = takes_trampolines(&kernel);
    let forced = |name| vec![EXACT[0], ALLOCATIONS[0], name];
    let sets = EXACT.map(|name| vec![ALLOCATIONS[0], name]).into_iter();
    let sets = sets.chain(ALLOCATIONS.map(|name| vec![EXACT[0], name]));
    let sets = sets.chain(BY_CALL.into_iter().chain(BY_CALL_IF_TAKEN).map(forced));
    let mut pace = Pace::new();
    for refused in sets {
        if !pace.has_time_for_next() {
            continue;
        }
        let name = refused[refused.len() - 1];
        let mut opener = Opener::start()?;
        let mut watch = match Watch::with(kernel, opener.pid(), &refused).map_err(|it| *it) {
            Ok(watch) => watch,
            Err((_, error)) if !BY_CALL.contains(&name) => {
                return Err(error.context(format!("without {name}")));
            }
            Err((back, error)) => {
                let text = format!("{error:#}");
                ensure!(text.contains(name), "the refusal does not name {name}: {text}");
                kernel = back;
                continue;
            }
        };
        ensure!(!BY_CALL.contains(&name), "nobody needs {name}");
        ensure!(watch.route()? == Route::SystemCalls, "it is exact without {name}");
        let gaps = watch.ledgers.gaps(Kind::Descriptors);
        let of_name = gaps.iter().any(|gap| gap.why.contains(name));
        ensure!(
            of_name || ALLOCATIONS.contains(&name) || !is_exact && !BY_CALL_IF_TAKEN.contains(&name),
            "no gap tells of {name}: {gaps:?}"
        );
        for step in [
            "open",
            "dup2_used",
            "fcntl_dup",
            "pipe",
            "socketpair",
            "receive",
            "close",
            "close_range",
            "exec",
        ] {
            opener.gain(step)?;
            let differences = watch.differences()?;
            let is_sure = step == "open" || step == "close";
            ensure!(
                !is_sure || differences == Differences::default(),
                "without {name}, {step}: {differences:?}"
            );
            watch.put_right(&differences)?;
            let left = watch.differences()?;
            ensure!(
                left == Differences::default(),
                "without {name}, {step} was put right, and still {left:?}"
            );
        }
        kernel = watch.kernel;
    }
    Ok(())
}

/// A process whose mappings or threads cannot be watched is watched for its descriptors all the same, and no program
/// of the ledgers is missing above.
fn a_refused_ledger_costs_no_other() -> Result<()> {
    let mut opener = Opener::start()?;
    let kernel = Kernel::load();
    let id = identity(opener.pid())?;
    let wanted = [Kind::Descriptors, Kind::Mappings, Kind::Tasks];
    let mut pace = Pace::new();
    for (name, kind) in OTHERS {
        if !pace.has_time_for_next() {
            continue;
        }
        let mut ledgers = Ledgers::new(&kernel);
        ledgers.refuse(name);
        let Err(Refusal::Kind { kind: refused, outcome }) = ledgers.watch(id, None, Kinds::from(wanted))
        else {
            bail!("nobody needs {name}");
        };
        ensure!(
            refused == kind && outcome.why().is_some_and(|why| why.contains(name)),
            "{refused:?}: {outcome:?}"
        );
        for other in wanted {
            ensure!(ledgers.route(other).is_some() == (other != kind), "without {name}, {other:?} is wrong");
        }
        opener.gain("open")?;
        let things = ledgers.descriptors(id).context("descriptors are not watched")?.things.len();
        ensure!(things == 3, "without {name}, {things} descriptors are in the ledger, not 3");
    }
    let known: BTreeSet<&str> =
        EXACT.into_iter().chain(ALLOCATIONS).chain(BY_CALL).chain(BY_CALL_IF_TAKEN).collect();
    let known: BTreeSet<&str> =
        known.into_iter().chain(OTHERS.map(|(name, _)| name)).map(as_loaded).collect();
    let tables = Holder::start(&["programs"])?;
    let watcher = Holder::start(&["ledger", &opener.pid().to_string()])?;
    let mut ours = Loaded::by(watcher.pid())?.names();
    ours.retain(|name| !known.contains(name.as_str()));
    let unknown: Vec<_> = ours.difference(&Loaded::by(tables.pid())?.names()).cloned().collect();
    ensure!(unknown.is_empty(), "no test refuses these programs: {unknown:?}");
    Ok(())
}

/// The kernel cuts names.
fn as_loaded(name: &str) -> &str {
    &name[..name.len().min(15)]
}

/// Each of two has all of it, and the end of one does not change the other.
fn two_watch_the_same_process() -> Result<()> {
    let mut opener = Opener::start()?;
    let mut first = Watch::begin(opener.pid())?;
    opener.gain("open")?;
    let mut second = Watch::begin(opener.pid())?;
    opener.gain("openat")?;
    opener.gain("close")?;
    for (watch, expected) in [(&mut first, 12), (&mut second, 9)] {
        ensure!(watch.differences()? == Differences::default(), "{:?}", watch.differences()?);
        let count = watch.raw()?.things.len();
        ensure!(count == expected, "{count} descriptors, not {expected}");
    }
    drop(first);
    opener.gain("open")?;
    ensure!(second.differences()? == Differences::default(), "{:?}", second.differences()?);
    ensure!(second.raw()?.things.len() == 12, "{} descriptors, not 12", second.raw()?.things.len());
    Ok(())
}

/// Programs, maps and links of a watcher that is killed while it watches.
fn nothing_stays_loaded() -> Result<()> {
    let mut opener = Opener::start()?;
    let watcher = Holder::start(&["ledger", &opener.pid().to_string()])?;
    let ours = Loaded::by(watcher.pid())?;
    ensure!(
        ours.programs.len() >= 6 && ours.links.len() >= 2,
        "it has only {ours:?}: the test proves nothing"
    );
    opener.gain("open")?;
    // Dropping it kills it.
    drop(watcher);
    goes(&ours)?;
    opener.gain("open").map(drop).context("the process that was watched")
}
