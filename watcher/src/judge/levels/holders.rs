//! Who holds what counts against a limit: by line of code where a ledger, the goroutines or the heap profile know it,
//! else by what the things are.

use crate::judge::judgement::Level;
use crate::judge::judgement::{Held, Holder};
use crate::judge::terms::LimitName;
use crate::judge::weigh::culprit;
use crate::judge::weigh::survivors::lines;
use crate::observed::Sample;
use crate::observed::ledger::{Ledger, Site};
use crate::store::Captures;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use std::collections::BTreeMap;

/// So many lines of code are named, and so many crowds.
const MOST_LINES: usize = 3;
const MOST_CROWDS: usize = 2;

/// Who holds less than this part of what is used is not named.
const LEAST_PART: f64 = 0.1;

/// The holders of a level, lines first, those with most first.
pub(super) fn of(level: &Level, newest: &Sample, captures: &Captures) -> Vec<Holder> {
    let module = captures.main_module.as_deref();
    let (by_line, crowds) = match level.limit {
        LimitName::OpenFiles => (opened(captures.descriptors.last(), module), descriptors(newest)),
        LimitName::Mappings => (opened(captures.mappings.last(), module), mappings(newest)),
        LimitName::GoThreads => (sitting(captures), threads(newest)),
        LimitName::UserProcesses | LimitName::HostTasks | LimitName::CgroupPids => {
            (sitting(captures), tasks(level, newest))
        }
        LimitName::InotifyInstances | LimitName::InotifyWatches | LimitName::Ports => {
            (Vec::new(), shared(level))
        }
        LimitName::GoMemory => (allocated(captures), live(newest)),
        LimitName::CgroupMemory
        | LimitName::CgroupMemoryHigh
        | LimitName::HostMemory
        | LimitName::AddressSpace
        | LimitName::DataSize => (allocated(captures), memory(level, newest)),
    };
    let mut holders = named(by_line, level.value, MOST_LINES);
    holders.extend(named(crowds, level.value, MOST_CROWDS));
    holders
}

/// Those that hold enough to be named, those with most first.
fn named(mut all: Vec<(Held, u64)>, value: u64, most: usize) -> Vec<Holder> {
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let holders = all.into_iter().map(|(what, count)| {
        // Two readings of different moments: no part is more than the whole.
        Holder { what, count, share: (count as f64 / value.max(1) as f64).min(1.0) }
    });
    holders.filter(|holder| holder.share >= LEAST_PART).take(most).collect()
}

/// What is outstanding in a ledger, by the line to edit.
fn opened<T>(ledger: Option<&Ledger<T>>, module: Option<&str>) -> Vec<(Held, u64)> {
    let sites = ledger.map(|ledger| &ledger.sites[..]).unwrap_or_default();
    let line = |site: &Site<T>| lines(&site.stack, &site.started_by, module).first().copied().cloned();
    sum_by_line(sites.iter().filter_map(|site| Some((line(site)?, site.outstanding))), Held::Line)
}

/// Threads by the line at which their goroutine is.
fn sitting(captures: &Captures) -> Vec<(Held, u64)> {
    let module = captures.main_module.as_deref();
    let sites = captures.goroutines.last().map(|capture| &capture.sites[..]).unwrap_or_default();
    let holding = sites.iter().filter(|site| site.holding_threads > 0);
    let line = holding.filter_map(|site| {
        let line = culprit::line(&site.stack, module).or_else(|| culprit::line(&site.created_by, module));
        Some((line?.clone(), site.holding_threads))
    });
    sum_by_line(line, Held::Sitting)
}

/// The heap by the line that allocated it.
fn allocated(captures: &Captures) -> Vec<(Held, u64)> {
    let module = captures.main_module.as_deref();
    let sites = captures.heap.last().and_then(|capture| capture.sites.as_ref().ok());
    let sites = sites.into_iter().flatten();
    let line = sites.filter_map(|site| Some((culprit::line(&site.stack, module)?.clone(), site.bytes)));
    sum_by_line(line, Held::Line)
}

/// By line, in the order of their names: of those with as many the same is said each time.
fn sum_by_line(counts: impl Iterator<Item = (Frame, u64)>, held: impl Fn(Frame) -> Held) -> Vec<(Held, u64)> {
    let mut sums: BTreeMap<Frame, u64> = BTreeMap::new();
    for (frame, count) in counts {
        let sum = sums.entry(frame).or_default();
        *sum = sum.saturating_add(count);
    }
    sums.into_iter().map(|(frame, count)| (held(frame), count)).collect()
}

fn descriptors(newest: &Sample) -> Vec<(Held, u64)> {
    let types = newest.descriptor_types.seen().into_iter().flat_map(|types| &types.counts);
    let paths = newest.quotas.seen().map(|quotas| &quotas.descriptor_paths[..]).unwrap_or_default();
    // A path says more than that it is a file.
    let is_told = |kind: DescriptorType| kind == DescriptorType::File && !paths.is_empty();
    let types = types.filter(move |(kind, _)| **kind != DescriptorType::Socket && !is_told(**kind));
    let types = types.map(|(kind, count)| (Held::Type(*kind), *count));
    let groups = newest.connections.seen().into_iter().flat_map(|connections| &connections.groups);
    let groups = groups.map(|group| {
        let (state, peer) = (group.key.state, group.key.peer.clone());
        (Held::Sockets { state, peer }, group.count)
    });
    let paths = paths.iter().map(|(path, count)| (Held::Path(path.clone()), *count));
    types.chain(groups).chain(paths).collect()
}

fn mappings(newest: &Sample) -> Vec<(Held, u64)> {
    let paths = newest.quotas.seen().map(|quotas| &quotas.mapping_paths[..]).unwrap_or_default();
    paths.iter().map(|(path, count)| (Held::Path(path.clone()), *count)).collect()
}

fn shared(level: &Level) -> Vec<(Held, u64)> {
    let own = level.own.unwrap_or(0);
    vec![(Held::Own, own), (Held::Others, level.value.saturating_sub(own))]
}

fn threads(newest: &Sample) -> Vec<(Held, u64)> {
    let groups = newest.thread_groups.seen().into_iter().flat_map(|threads| &threads.groups);
    let mut by_name: Vec<(&str, u64)> = Vec::new();
    for group in groups {
        match by_name.iter_mut().find(|(name, _)| *name == group.name) {
            Some((_, count)) => *count = count.saturating_add(group.count),
            None => by_name.push((&group.name, group.count)),
        }
    }
    by_name.into_iter().map(|(name, count)| (Held::Threads(name.to_owned()), count)).collect()
}

fn tasks(level: &Level, newest: &Sample) -> Vec<(Held, u64)> {
    let threads = newest.threads.seen().copied().unwrap_or(0);
    let zombies = newest.children.seen().map_or(0, |children| children.zombies);
    let others = level.value.saturating_sub(threads.saturating_add(zombies));
    vec![(Held::OwnThreads, threads), (Held::Zombies, zombies), (Held::Others, others)]
}

fn live(newest: &Sample) -> Vec<(Held, u64)> {
    let heap = newest.runtime.seen().and_then(|runtime| runtime.heap.as_ref());
    heap.and_then(|heap| heap.marked_bytes).map(|marked| (Held::LiveHeap, marked)).into_iter().collect()
}

fn memory(level: &Level, newest: &Sample) -> Vec<(Held, u64)> {
    let heap = newest.runtime.seen().and_then(|runtime| runtime.heap.as_ref());
    let heap = heap.map(|heap| heap.in_use_bytes.saturating_add(heap.idle_bytes));
    let Some(resident) = newest.memory.seen().map(|memory| memory.anon_bytes + memory.shmem_bytes) else {
        return Vec::new();
    };
    let others = level.own.map_or(0, |own| level.value.saturating_sub(own));
    match heap {
        // What was never touched is in the heap and not resident.
        Some(heap) => vec![
            (Held::Heap, heap.min(resident)),
            (Held::OutsideHeap, resident.saturating_sub(heap)),
            (Held::Others, others),
        ],
        None => vec![(Held::OutsideHeap, resident), (Held::Others, others)],
    }
}
