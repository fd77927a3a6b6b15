//! All goroutines of a process at one moment, by where they were created and where they are.
//!
//! A capture is costly beside a sample: it is taken on demand, at the ends of a window and on suspicion.

use super::starters::{Chains, Starter, Starters};
use super::{creators, go_code, same_program};
use crate::capture::frames::Frames;
use crate::golang::goroutines::{Goroutine, GoroutineGroup, GoroutineSnapshot, Status};
use crate::golang::runtime::Runtime;
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite, MAX_MEMBERS, MAX_SITES, Member};
use crate::source::clock;
use crate::source::memory::ProcessMemory;
use crate::source::proc::ProcessDir;
use crate::vocabulary::owner::{Owner, owner};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Reading};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Goroutines start others, but not many deep.
const MAX_LINKS: usize = 8;
/// Reads all goroutines of a process whose runtime is attached to, and makes sure that it is still the one with
/// this id, and runs the same program, afterwards. `starters` know the births that were watched.
pub fn capture(
    runtime: &mut Runtime,
    process: &ProcessDir,
    id: ProcessId,
    starters: Starters<'_>,
) -> Reading<GoroutineCapture> {
    let at = clock::now();
    let runtime_nanos = u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX);
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let Ok(snapshot) = runtime.goroutines(&file, &ProcessMemory::new(id.pid)) else {
        return process.id().and_then(|_| Reading::Unsupported);
    };
    let capture = Reading::Seen(of_snapshot(at, runtime_nanos, &snapshot, starters));
    same_program::confirmed(runtime, process, id, capture)
}

/// Goroutines of one group that were started in the same way.
#[derive(Clone, Copy, Default)]
struct Part {
    count: u64,
    /// Locked to their threads.
    locked: u64,
}

/// What is kept of a snapshot.
pub fn of_snapshot(
    at: Moment,
    runtime_nanos: u64,
    snapshot: &GoroutineSnapshot,
    starters: Starters<'_>,
) -> GoroutineCapture {
    let mut frames = Frames::default();
    let chains = chains(snapshot, starters);
    let place = |goroutine: &Goroutine| {
        let starter = creators::creation(snapshot, goroutine).map(|it| Starter::goroutine(&it));
        (goroutine.group, chains.as_ref().and_then(|chains| chains.index(starter)))
    };
    let mut parts: HashMap<Place, Part> = HashMap::new();
    for goroutine in &snapshot.goroutines {
        let part = parts.entry(place(goroutine)).or_default();
        part.count += 1;
        part.locked += u64::from(goroutine.locked_thread.is_some());
    }
    let parents = Parents::of(snapshot, starters.main_module, place);
    let mut parts: Vec<(Place, Part)> = parts.into_iter().collect();
    parts.sort_unstable_by_key(|(place, part)| (Reverse(part.count), *place));
    let mut sites: Vec<GoroutineSite> = Vec::new();
    let mut site_of: HashMap<Place, u32> = HashMap::new();
    let (mut total, mut beyond, mut without_stack) = (0, 0, 0);
    let of_group = |(group, chain): Place| Some((snapshot.groups.get(group as usize)?, chain));
    for (place, part) in parts {
        let Some((group, chain)) = of_group(place).filter(|(group, _)| !group.is_system) else { continue };
        total += part.count;
        if group.frames.is_empty() {
            without_stack += part.count;
        }
        if sites.len() >= MAX_SITES {
            beyond += part.count;
            continue;
        }
        site_of.extend(u32::try_from(sites.len()).ok().map(|site| (place, site)));
        let waits = matches!(group.status, Status::Waiting | Status::Leaked);
        sites.push(GoroutineSite {
            created_by: frames.of(&group.created_by),
            started_by: chains.as_ref().map(|chains| chains.chain(chain)).unwrap_or_default(),
            or_started_by: chains.as_ref().map(|chains| chains.or_by(chain)).unwrap_or_default(),
            parent_at: parents.most(place).map(|parent| frames.of(&parent.frames)).unwrap_or_default(),
            stack: frames.of(&group.frames),
            wait_reason: group.wait_reason.as_ref().filter(|_| waits).map(|reason| frames.text(reason)),
            count: part.count,
            holding_threads: if group.status == Status::Syscall { part.count } else { part.locked },
        });
    }
    let one_in = total.div_ceil(MAX_MEMBERS).max(1).next_power_of_two();
    let mut members: Vec<Member> = snapshot
        .goroutines
        .iter()
        .filter(|goroutine| goroutine.id.is_multiple_of(one_in))
        .filter_map(|goroutine| {
            let site = *site_of.get(&place(goroutine))?;
            let waiting_since_nanos = goroutine.waiting_since_nanos;
            Some(Member { id: goroutine.id, site, waiting_since_nanos })
        })
        .collect();
    members.sort_unstable_by_key(|member| member.id);
    GoroutineCapture { at, runtime_nanos, sites, members, one_in, total, beyond, without_stack }
}

/// Who started those whose births were watched; `None` where none were.
fn chains(snapshot: &GoroutineSnapshot, starters: Starters<'_>) -> Option<Chains> {
    starters.known.filter(|known| known.has_births())?;
    let all = snapshot.goroutines.iter().filter_map(|goroutine| creators::creation(snapshot, goroutine));
    Some(Chains::of_births(all, starters))
}

/// A group of a snapshot, and the chain of those who started its goroutines.
type Place = (u32, Option<usize>);

/// Where those are that started goroutines of which no birth was seen.
struct Parents<'a> {
    snapshot: &'a GoroutineSnapshot,
    /// By place: how many were started by goroutines of each group.
    by_place: HashMap<Place, HashMap<u32, u64>>,
}

impl<'a> Parents<'a> {
    fn of(
        snapshot: &'a GoroutineSnapshot,
        main_module: Option<&str>,
        place: impl Fn(&Goroutine) -> Place,
    ) -> Self {
        let is_own = |function: &str| owner(function, main_module) == Owner::Own;
        let asks = |group: &GoroutineGroup| {
            !group.is_system
                && !group.created_by.is_empty()
                && !group.created_by.iter().any(|frame| is_own(&frame.function))
        };
        let asks: Vec<bool> = snapshot.groups.iter().map(asks).collect();
        let children = || {
            let asks = |it: &&Goroutine| asks.get(it.group as usize).copied().unwrap_or(false);
            snapshot.goroutines.iter().filter(asks)
        };
        let parents: HashMap<u64, &Goroutine> = if children().next().is_some() {
            snapshot.goroutines.iter().map(|it| (it.id, it)).collect()
        } else {
            HashMap::new()
        };
        // A library's goroutine starts others: who asked for the first of them lives in the program's own code.
        let is_in_own = |group: u32| {
            let group = snapshot.groups.get(group as usize);
            group.is_some_and(|group| group.frames.iter().any(|frame| is_own(&frame.function)))
        };
        let asker = |child: &Goroutine| {
            let mut current = child;
            for _ in 0..MAX_LINKS {
                current = parents.get(&current.parent_id?)?;
                if is_in_own(current.group) {
                    return Some(current.group);
                }
            }
            None
        };
        let mut by_place: HashMap<Place, HashMap<u32, u64>> = HashMap::new();
        for child in children() {
            if let (place @ (_, None), Some(group)) = (place(child), asker(child)) {
                *by_place.entry(place).or_default().entry(group).or_default() += 1;
            }
        }
        Parents { snapshot, by_place }
    }

    /// The group in which most of those are that asked for them.
    fn most(&self, place: Place) -> Option<&'a GoroutineGroup> {
        let (group, _) = self.by_place.get(&place)?.iter().max_by_key(|(group, count)| (*count, *group))?;
        self.snapshot.groups.get(*group as usize).filter(|group| !group.is_system)
    }
}

#[cfg(test)]
mod tests {
    use super::{Starters, of_snapshot};
    use crate::capture::creators::Creators;
    use crate::golang::binary::symbols;
    use crate::golang::goroutines::{Goroutine, GoroutineGroup, GoroutineSnapshot, StackReading, Status};
    use crate::observed::goroutines::{GoroutineSite, MAX_MEMBERS};
    use crate::vocabulary::reading::Moment;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    fn group(count: u64, is_system: bool) -> GoroutineGroup {
        GoroutineGroup {
            count,
            status: Status::Waiting,
            wait_reason: Some("chan\nreceive".into()),
            frames: Arc::default(),
            addresses: Arc::default(),
            reading: StackReading::Torn,
            created_by: Arc::default(),
            start: None,
            labels: Arc::default(),
            is_system,
        }
    }

    #[test]
    fn goroutines_of_one_group_are_told_apart_by_who_asked_for_them() {
        let statement = symbols::Frame {
            function: "lib.Start".into(),
            symbol: "lib.Start".into(),
            file: "lib.go".into(),
            line: 7,
            start_line: 1,
            pc: 0xff,
        };
        let group = GoroutineGroup { created_by: [statement].into(), ..group(5, false) };
        let goroutine = |(id, parent)| Goroutine {
            id,
            parent_id: Some(parent),
            group: 0,
            waiting_since_nanos: None,
            address: 0,
            locked_thread: (id == 12).then_some(1),
            stack_pointer: 0,
        };
        let snapshot = GoroutineSnapshot {
            groups: vec![group],
            goroutines: [(10, 2), (11, 3), (12, 3), (13, 3), (14, 4)].map(goroutine).into(),
            ..GoroutineSnapshot::default()
        };
        let at = Moment { since_boot: Duration::ZERO, wall: UNIX_EPOCH };
        let mut known = Creators::default();
        known.enter_birth(2, 0x100, &["lib.Start", "main.poll"]);
        known.enter_birth(3, 0x100, &["lib.Start", "main.serve"]);
        let starters = Starters { known: Some(&known), ..Starters::default() };
        let capture = of_snapshot(at, 0, &snapshot, starters);
        let text = |site: &GoroutineSite| {
            let asker = site.started_by.first().map(|stack| stack[1].function.to_string());
            (asker.unwrap_or_default(), site.count, site.holding_threads)
        };
        let sites: Vec<_> = capture.sites.iter().map(text).collect();
        assert_eq!(sites[0], ("main.serve".into(), 3, 1));
        assert!(sites[1..].contains(&("main.poll".into(), 1, 0)), "{sites:?}");
        // Its birth nobody has seen: there is no more than the statement.
        assert!(sites[1..].contains(&(String::new(), 1, 0)), "{sites:?}");
        assert_eq!(capture.total, 5);
        let of = |id| capture.members.iter().find(|member| member.id == id).unwrap().site;
        assert_eq!([of(11), of(12), of(13)], [0; 3]);
    }

    #[test]
    fn of_those_whose_birth_nobody_saw_it_is_told_where_the_parent_is_now() {
        let frame = |function: &str| symbols::Frame {
            function: function.into(),
            symbol: function.into(),
            file: "lib.go".into(),
            line: 7,
            start_line: 1,
            pc: 0xff,
        };
        let made_in = |function| GoroutineGroup { created_by: [frame(function)].into(), ..group(3, false) };
        let parents = GoroutineGroup { frames: [frame("main.pace")].into(), ..group(1, false) };
        let goroutine = |(id, parent_id, group)| Goroutine {
            id,
            parent_id,
            group,
            waiting_since_nanos: None,
            address: 0,
            locked_thread: None,
            stack_pointer: 0,
        };
        let snapshot = GoroutineSnapshot {
            groups: vec![made_in("lib.Start"), made_in("main.serve"), parents, made_in("lib.read")],
            // The parent of 12 is gone; 14 was started by 10.
            goroutines: [
                (1, None, 2),
                (10, Some(1), 0),
                (11, Some(1), 0),
                (12, Some(9), 0),
                (13, Some(1), 1),
                (14, Some(10), 3),
            ]
            .map(goroutine)
            .into(),
            ..GoroutineSnapshot::default()
        };
        let at = Moment { since_boot: Duration::ZERO, wall: UNIX_EPOCH };
        let capture = of_snapshot(at, 0, &snapshot, Starters::default());
        let parent_of = |function: &str| {
            let mut sites = capture.sites.iter();
            let site = sites.find(|it| it.created_by.first().is_some_and(|it| &*it.function == function));
            site.and_then(|site| site.parent_at.first()).map(|frame| frame.function.to_string())
        };
        assert_eq!(parent_of("lib.Start").as_deref(), Some("main.pace"));
        assert_eq!(parent_of("lib.read").as_deref(), Some("main.pace"), "over two links");
        // The program's own statement tells more than that.
        assert_eq!(parent_of("main.serve"), None);
    }

    #[test]
    fn what_is_kept_is_harmless_bounded_and_not_the_runtimes_own() {
        let many = MAX_MEMBERS * 2 + 2;
        let goroutine = |id: u64, group| Goroutine {
            id,
            parent_id: None,
            group,
            waiting_since_nanos: None,
            address: 0,
            locked_thread: None,
            stack_pointer: 0,
        };
        let goroutines = (1..=many).map(|id| goroutine(id, 0)).chain([goroutine(many + 1, 1)]).collect();
        let snapshot = GoroutineSnapshot {
            groups: vec![group(many, false), group(1, true)],
            goroutines,
            ..GoroutineSnapshot::default()
        };
        let at = Moment { since_boot: Duration::ZERO, wall: UNIX_EPOCH };
        let capture = of_snapshot(at, 0, &snapshot, Starters::default());
        assert_eq!((capture.total, capture.without_stack, capture.sites.len()), (many, many, 1));
        assert_eq!(capture.sites[0].wait_reason.as_deref(), Some("chan\\nreceive"));
        assert_eq!(capture.one_in, 4);
        assert!(capture.members.len() as u64 <= MAX_MEMBERS);
        assert!(capture.members.iter().all(|member| member.id % 4 == 0 && member.site == 0));
    }
}
