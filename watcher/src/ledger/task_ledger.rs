//! The ledgers of threads and of child processes: who started those that stay.
//!
//! Who asked the kernel for a thread says little in Go: the runtime starts one on behalf of whoever comes next, and
//! keeps it. So a thread on which a goroutine sits, locked, in a system call or in C, goes to where that goroutine
//! is; any other thread, such as one that C started, to the stack that created it.

use super::mapping_ledger::Sources;
use crate::capture::frames::Frames;
use crate::capture::named::{Named, Names, Sites};
use crate::capture::starters::{Chains, Starter, Starters};
use crate::capture::{go_code, same_program};
use crate::golang::goroutines::GoroutineSnapshot;
use crate::golang::goroutines::threads::OsThread;
use crate::golang::runtime::Runtime;
use crate::observed::ledger::{Accounts, Ledger, Site, Tasks};
use crate::source::clock;
use crate::source::kernel::ledger::{Ledgers, RawLedger, RawTask, TaskKind};
use crate::source::memory::ProcessMemory;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::{ProcRoot, ProcessDir};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::StackId;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Reading};
use crate::vocabulary::task::ThreadState;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A thread or a child that the kernel's own tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Present {
    tid: i32,
    start_ticks: u64,
    is_zombie: bool,
}

/// Where the goroutine is that sits on a thread, and the `go` statement that started it.
type Place = (Arc<[Frame]>, Arc<[Frame]>);

/// Names of everything that a ledger of tasks speaks of.
#[derive(Default)]
struct Known {
    /// Stacks that created tasks.
    births: HashMap<StackId, Named>,
    /// Who started the goroutines and threads that ran those.
    chains: Chains,
    /// By thread id.
    places: HashMap<i32, Place>,
}

impl Known {
    fn birth(&self, stack: Option<StackId>) -> Arc<[Frame]> {
        stack.and_then(|stack| self.births.get(&stack)).map(|named| named.frames.clone()).unwrap_or_default()
    }

    fn starter(&self, task: &RawTask) -> Option<Starter> {
        Starter::of(&task.origin).behind(task.origin.stack.and_then(|stack| self.births.get(&stack)))
    }
}

/// Reads the ledger of threads, or of children, of a process that is watched for tasks and whose runtime is attached
/// to.
pub fn capture(
    kind: TaskKind,
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    native: &mut NativeSymbols,
    root: &ProcRoot,
    process: &ProcessDir,
    id: ProcessId,
) -> Reading<Ledger<Tasks>> {
    let starters = Starters::default();
    capture_with(kind, Sources { ledgers, runtime, native, process, starters }, root, id)
}

/// The same where it is known who started the goroutines and threads that created tasks.
pub fn capture_with(
    kind: TaskKind,
    sources: Sources<'_>,
    root: &ProcRoot,
    id: ProcessId,
) -> Reading<Ledger<Tasks>> {
    let Sources { ledgers, runtime, native, process, starters } = sources;
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let at = clock::now();
    let present = match kind {
        TaskKind::Threads => threads(process),
        TaskKind::Children => children(root, process),
    };
    let present = match present {
        Reading::Seen(present) => present,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let Some(raw) = ledgers.tasks(id, kind) else { return process.id().and_then(|_| Reading::Unsupported) };
    let memory = ProcessMemory::new(id.pid);
    let mut known = Known::default();
    let mut snapshot = None;
    if kind == TaskKind::Threads {
        let os_threads = runtime.threads(&file, &memory).unwrap_or_default();
        snapshot = runtime.goroutines(&file, &memory).ok().map(|snapshot| (os_threads, snapshot));
    }
    let mappings = process.mappings().into_seen().unwrap_or_default();
    let (symbols, loaded) = runtime.symbols(&file, &memory);
    let mut names =
        Names { symbols, loaded, native, process, mappings: &mappings, frames: Frames::default() };
    if let Some((os_threads, snapshot)) = &snapshot {
        known.places = places(&mut names, os_threads, snapshot, id.pid);
    }
    known.births = raw.sites.iter().map(|(id, site)| (*id, names.walked(&site.stack))).collect();
    let creators = raw.things.iter().filter_map(|task| known.starter(task));
    known.chains = Chains::of(creators, starters, &mut names);
    let (ledger, phantoms) = join(at, &raw, &present, &known);
    ledgers.forget_tasks(id, &phantoms);
    runtime.symbols(&file, &memory).0.forget_pages();
    same_program::confirmed(runtime, process, id, Reading::Seen(ledger))
}

fn threads(process: &ProcessDir) -> Reading<Vec<Present>> {
    let mut present = Vec::new();
    let seen = process.tasks(&mut |task| {
        // The first thread is the process itself.
        if !task.is_leader() && task.state != ThreadState::Dead {
            present.push(Present { tid: task.tid, start_ticks: task.start_ticks, is_zombie: false });
        }
    });
    seen.map(|()| present)
}

fn children(root: &ProcRoot, process: &ProcessDir) -> Reading<Vec<Present>> {
    process.children().map(|pids| {
        let child = |pid| {
            let stat = root.stat(pid).into_seen().filter(|stat| stat.parent_pid == process.pid())?;
            let is_zombie = stat.state == ThreadState::Dead && stat.threads <= 1;
            Some(Present { tid: pid, start_ticks: stat.start_ticks, is_zombie })
        };
        pids.into_iter().filter_map(child).collect()
    })
}

/// Where the goroutines are that sit on threads.
fn places(
    names: &mut Names,
    os_threads: &[OsThread],
    snapshot: &GoroutineSnapshot,
    pid: i32,
) -> HashMap<i32, Place> {
    // Inside of a pid namespace threads have other numbers, and matching them would name the wrong ones.
    if !os_threads.iter().any(|thread| i32::try_from(thread.tid) == Ok(pid)) {
        return HashMap::new();
    }
    let groups: HashMap<u64, u32> = snapshot.goroutines.iter().map(|it| (it.address, it.group)).collect();
    let mut places = HashMap::new();
    for thread in os_threads {
        let on = [thread.goroutine, thread.locked_goroutine].into_iter().flatten();
        let group = on
            .filter_map(|address| groups.get(&address))
            .find_map(|group| snapshot.groups.get(*group as usize));
        if let (Some(group), Ok(tid)) =
            (group.filter(|group| !group.frames.is_empty()), i32::try_from(thread.tid))
        {
            places.insert(tid, (names.known(&group.frames), names.known(&group.created_by)));
        }
    }
    places
}

/// The ledger, and what the programs believed to be there and is not.
fn join(
    at: Moment,
    raw: &RawLedger<RawTask>,
    present: &[Present],
    known: &Known,
) -> (Ledger<Tasks>, Vec<RawTask>) {
    let mut entered: HashMap<(i32, u64), &RawTask> =
        raw.things.iter().map(|task| ((task.tid, task.start_ticks), task)).collect();
    let mut accounts = Accounts {
        outstanding: present.len() as u64,
        created: raw.tally.created,
        ended: raw.tally.ended,
        lost: raw.tally.lost,
        one_in: 1,
        ..Accounts::default()
    };
    let mut sites = Sites::new();
    // Of each stack those that have gone to where their goroutine is, or that nobody has seen end.
    let mut elsewhere: HashMap<StackId, u64> = HashMap::new();
    let mut creators: HashMap<StackId, HashMap<usize, u64>> = HashMap::new();
    for task in present {
        let entry = entered.remove(&(task.tid, task.start_ticks));
        let started = entry.map_or_else(|| clock::of_ticks(task.start_ticks), |entry| entry.at);
        // A start is told in ticks: what began in that very tick is not known to be new.
        if entry.is_none() && started <= raw.began.since_boot {
            accounts.before += 1;
            continue;
        }
        accounts.missed += u64::from(entry.is_none());
        let stack = entry.and_then(|entry| entry.origin.stack);
        if let Some(stack) = stack {
            *elsewhere.entry(stack).or_default() += 1;
        } else if entry.is_some() {
            accounts.without_stack += 1;
        }
        let birth = known.birth(stack);
        let creator = entry.and_then(|entry| known.chains.index(known.starter(entry)));
        if let (Some(stack), Some(creator)) = (stack, creator) {
            *creators.entry(stack).or_default().entry(creator).or_default() += 1;
        }
        // Who needed the next thread says nothing of the goroutine that sits on it.
        let (stack, started_by, creators) = match known.places.get(&task.tid) {
            Some((stack, statement)) => (stack.clone(), vec![statement.clone(), birth], 1),
            None => (birth, known.chains.chain(creator), usize::MAX),
        };
        let age = at.since_boot.saturating_sub(started);
        let what = Tasks { zombies: u64::from(task.is_zombie) };
        let site = Site { created: u64::from(entry.is_some()), ..one(stack, started_by, age, what) };
        sites.add_by(creators, site, merge);
    }
    // What is younger than the list of tasks is no part of this scan.
    let (young, phantoms): (Vec<&RawTask>, Vec<&RawTask>) =
        entered.into_values().partition(|task| task.at > at.since_boot);
    accounts.corrected = phantoms.len() as u64;
    for task in young {
        if let Some(stack) = task.origin.stack {
            *elsewhere.entry(stack).or_default() += 1;
        }
    }
    for (stack, site) in &raw.sites {
        accounts.created += site.created;
        let ended = site.created.saturating_sub(elsewhere.get(stack).copied().unwrap_or(0));
        accounts.ended += ended;
        // Who ran what is no more is known for the stack as a whole.
        let most = creators.remove(stack).and_then(|counts| counts.into_iter().max_by_key(|it| (it.1, it.0)));
        let creator = most.map(|(creator, _)| creator);
        let birth = known.birth(Some(*stack));
        let gone = one(birth, known.chains.chain(creator), Duration::ZERO, Tasks::default());
        let longest_ended = site.longest_ended.filter(|_| ended > 0);
        sites.add(Site { created: ended, ended, outstanding: 0, longest_ended, ..gone }, merge);
    }
    let sites = sites.finish(|site| site.outstanding);
    let ledger = Ledger { at, began: raw.began, route: raw.route, accounts, sites };
    (ledger, phantoms.into_iter().copied().collect())
}

fn one(stack: Arc<[Frame]>, mut started_by: Vec<Arc<[Frame]>>, age: Duration, what: Tasks) -> Site<Tasks> {
    while started_by.last().is_some_and(|frames| frames.is_empty()) {
        started_by.pop();
    }
    Site {
        stack,
        started_by,
        created: 0,
        ended: 0,
        outstanding: 1,
        oldest: age,
        youngest: age,
        longest_ended: None,
        what,
    }
}

fn merge(known: &mut Tasks, more: Tasks) {
    known.zombies += more.zombies;
}

#[cfg(test)]
mod tests;
