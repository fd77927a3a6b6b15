//! What must hold of values that come from a file, because it holds of those that are read from a system: counts
//! that are no larger than what is kept, indices that lie within, sums that fit.

use super::Captured;
use crate::observed::Sample;
use crate::observed::ages::{Ages, MAX_COHORTS, MAX_MEMBERS as MAX_AGES};
use crate::observed::anatomy::Anatomy;
use crate::observed::goroutines::{GoroutineCapture, MAX_MEMBERS, MAX_SITES};
use crate::observed::ledger::Ledger;
use crate::observed::pulls::{EndpointUse, PulledProfile};
use crate::observed::quotas::Quotas;
use crate::observed::{connections, threads};
use crate::store::captures::LedgerName;
use crate::vocabulary::frame::{Frame, MAX_FRAMES};
use std::time::Duration;

/// No machine has more bytes, tasks or descriptors; many of these add up without an overflow.
const MOST: u64 = 1 << 50;
/// Stacks of creators that are kept of one site.
const MAX_CREATORS: usize = 64;
/// Data files of one process, since only so many of its descriptors are looked at.
const MAX_DATA_FILES: usize = 4096;
/// Sentences about one process, and profiles that were pulled of it: an endpoint is asked a few times an hour.
const MAX_REMARKS: usize = 4096;

/// What is wrong with a sample, in part of a sentence.
///
/// # Errors
/// Where something is.
pub fn sample(sample: &Sample) -> Result<(), &'static str> {
    let connection_groups = sample.connections.seen().map_or(0, |it| it.groups.len());
    let thread_groups = sample.thread_groups.seen().map_or(0, |it| it.groups.len());
    if connection_groups > connections::MAX_GROUPS || thread_groups > threads::MAX_GROUPS {
        return Err("a sample with more groups than are kept");
    }
    let memory = sample.memory.seen().map(|it| {
        [it.anon_bytes, it.file_bytes, it.shmem_bytes, it.swap_bytes, it.page_tables_bytes, it.peak_rss_bytes]
    });
    let groups =
        sample.connections.seen().into_iter().flat_map(|it| it.groups.iter().map(|group| group.count));
    let ungrouped = [
        sample.connections.seen().map(|it| it.ungrouped),
        sample.thread_groups.seen().map(|it| it.ungrouped),
    ];
    let ungrouped = ungrouped.into_iter().flatten();
    let types = sample.descriptor_types.seen().into_iter().flat_map(|it| it.counts.values().copied());
    let threads =
        sample.thread_groups.seen().into_iter().flat_map(|it| it.groups.iter().map(|group| group.count));
    let totals = [sample.mappings.seen(), sample.threads.seen(), sample.descriptors.seen()];
    let totals = totals.into_iter().flatten().copied();
    let children = sample.children.seen().into_iter().flat_map(|it| [it.zombies, it.running]);
    let mut all = memory.into_iter().flatten().chain(groups).chain(ungrouped).chain(types).chain(threads);
    let quotas = sample.quotas.seen();
    if quotas.is_some_and(|it| it.descriptor_paths.len().max(it.mapping_paths.len()) > Quotas::MOST_PATHS) {
        return Err("a sample with more paths than are kept");
    }
    let dialled = sample.connections.seen().and_then(|it| it.dialled_most).map(|most| most.count);
    let mut shared = quotas.into_iter().flat_map(Quotas::numbers).chain(dialled);
    if shared.any(|number| number > MOST)
        || all.any(|number| number > MOST)
        || totals.chain(children).any(|number| number > MOST)
    {
        return Err("a sample with a number that no machine has");
    }
    Ok(())
}

/// What is wrong with a capture, in part of a sentence.
///
/// # Errors
/// Where something is.
pub fn captured(captured: &Captured<'_>) -> Result<(), &'static str> {
    match captured {
        Captured::Goroutines(capture) => goroutines(capture),
        Captured::Heap(capture) => {
            let sites = capture.sites.as_deref().unwrap_or_default();
            bounded(
                sites.iter().map(|site| (&*site.stack, site.bytes.max(site.objects).max(site.object_bytes))),
            )
        }
        Captured::Ages(it) => ages(it),
        Captured::DataFiles(it) => {
            if it.files.len() > MAX_DATA_FILES {
                return Err("a capture with more files than are looked at");
            }
            number(it.files.iter().flat_map(|file| [file.position, file.size]))
        }
        Captured::Descriptors(it) => {
            for site in &it.sites {
                let what = &site.what;
                let waiting = what.waiting.iter().map(|(stack, count)| (&**stack, *count));
                let counts = what.types.iter().map(|(_, count)| count);
                let counts = counts.chain(what.connections.iter().map(|(_, count)| count));
                bounded(waiting)?;
                number(counts.copied())?;
            }
            ledger(it)
        }
        Captured::Mappings(it) => {
            number(it.sites.iter().flat_map(|site| [site.what.bytes, site.what.file_bytes]))?;
            ledger(it)
        }
        Captured::Threads(it) | Captured::Children(it) => {
            number(it.sites.iter().map(|site| site.what.zombies))?;
            ledger(it)
        }
        Captured::Spans(it) => {
            number(it.sites.iter().flat_map(|site| [site.what.bytes, site.what.objects]))?;
            ledger(it)
        }
        Captured::PulledGoroutines(it) | Captured::PulledHeap(it) | Captured::PulledLeaked(it) => pulled(it),
    }
}

/// What is wrong with what is told of a process beside its captures, in part of a sentence.
///
/// # Errors
/// Where something is.
pub fn about(
    without_ledger: &[(LedgerName, String)],
    endpoint: Option<&EndpointUse>,
    anatomy: Option<&Anatomy>,
) -> Result<(), &'static str> {
    let pulls = endpoint.map(|it| &it.pulls[..]).unwrap_or_default();
    let lists = [
        without_ledger.len(),
        pulls.len(),
        endpoint.map_or(0, |it| it.failures.len()),
        anatomy.map_or(0, |it| it.remarks.len()),
    ];
    if lists.into_iter().any(|length| length > MAX_REMARKS) {
        return Err("more remarks on a process than are kept");
    }
    number(anatomy.into_iter().flat_map(Anatomy::numbers))?;
    number(pulls.iter().map(|pull| pull.bytes))?;
    let times = pulls.iter().flat_map(|pull| [Some(pull.took), pull.target_cpu]);
    number(times.flatten().map(|time: Duration| time.as_secs()))
}

fn ages(ages: &Ages) -> Result<(), &'static str> {
    let cohorts = &ages.cohorts;
    if cohorts.len() > MAX_COHORTS || cohorts.iter().any(|cohort| cohort.members.len() > MAX_AGES) {
        return Err("a capture with more ages than are kept");
    }
    let seconds = cohorts.iter().flat_map(|cohort| &cohort.members).flat_map(|member| {
        [member.age_seconds, member.idle_seconds, member.dead_seconds, Some(member.error_seconds)]
    });
    if seconds.flatten().chain([ages.process_seconds]).any(|it| !(0.0..=MOST_SECONDS).contains(&it)) {
        return Err("a capture with an age that nothing has");
    }
    number(cohorts.iter().flat_map(|cohort| [cohort.count, cohort.dated, cohort.peers, cohort.never_used]))
}

/// Longer than any machine runs, in seconds.
const MOST_SECONDS: f64 = 1e10;

fn goroutines(capture: &GoroutineCapture) -> Result<(), &'static str> {
    // Members are looked up at their sites.
    let sites = capture.sites.len();
    if capture.members.iter().any(|member| member.site as usize >= sites) {
        return Err("a capture with goroutines at a site that it does not have");
    }
    // Twice as many as are kept: ids are not spread evenly.
    if capture.members.len() as u64 > 2 * MAX_MEMBERS || !capture.one_in.is_power_of_two() {
        return Err("a capture with more goroutines than are kept");
    }
    number([capture.total, capture.beyond, capture.without_stack])?;
    number(capture.sites.iter().map(|site| site.holding_threads))?;
    bounded(capture.sites.iter().map(|site| (&*site.stack, site.count)))?;
    bounded(capture.sites.iter().map(|site| (&*site.created_by, site.count)))
}

fn ledger<T>(ledger: &Ledger<T>) -> Result<(), &'static str> {
    let accounts = &ledger.accounts;
    let sums = [accounts.outstanding, accounts.before, accounts.missed, accounts.without_stack];
    let events = [accounts.created, accounts.ended, accounts.corrected, accounts.lost];
    number(sums.into_iter().chain(events))?;
    for site in &ledger.sites {
        if site.started_by.len() > MAX_CREATORS {
            return Err("a ledger with more stacks than are kept");
        }
        number([site.created, site.ended])?;
        let ages = [Some(site.oldest), Some(site.youngest), site.longest_ended];
        number(ages.into_iter().flatten().map(|age| age.as_secs()))?;
        bounded(site.started_by.iter().map(|stack| (&**stack, 0)))?;
    }
    bounded(ledger.sites.iter().map(|site| (&*site.stack, site.outstanding)))
}

fn pulled(profile: &PulledProfile) -> Result<(), &'static str> {
    number([profile.total, profile.beyond])?;
    bounded(profile.sites.iter().map(|site| (&*site.stack, site.value)))
}

fn number(numbers: impl IntoIterator<Item = u64>) -> Result<(), &'static str> {
    if numbers.into_iter().any(|number| number > MOST) {
        return Err("a capture with a number that no machine has");
    }
    Ok(())
}

fn bounded<'a>(sites: impl Iterator<Item = (&'a [Frame], u64)>) -> Result<(), &'static str> {
    let mut count = 0;
    for (stack, value) in sites {
        count += 1;
        if count > MAX_SITES || stack.len() > MAX_FRAMES {
            return Err("a capture with more stacks, or longer ones, than are kept");
        }
        number([value])?;
    }
    Ok(())
}
