use super::add;
use crate::judge::judgement::{Detail, Finding};
use crate::judge::simulation::{Beat, PROCESS, sample};
use crate::judge::terms::{Bounds, Exhaustion, Kind, LimitName, Rate};
use crate::judge::weigh::exhaustion::approach::Times;
use crate::observed::Sample;
use crate::observed::cgroup::{CgroupUsage, Throttle};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;
use crate::vocabulary::process::Limits;
use crate::vocabulary::reading::Reading;

const MIB: f64 = 1024.0 * 1024.0;

fn finding(kind: Kind, per_second: f64) -> Finding {
    Finding {
        kind,
        primary: true,
        consequence_of: None,
        confidence: 0.9,
        rate: Rate { per_second, low: 0.8 * per_second, high: 1.25 * per_second },
        exhausts: None,
        detail: Detail::default(),
        culprits: Vec::new(),
        evidence: Vec::new(),
    }
}

/// A sample a second for a minute; `change` sets what differs from an idle process.
fn window(change: impl Fn(u64, &mut Sample)) -> Window {
    let mut window = Window::new(PROCESS, 128);
    for second in 0..=60 {
        let mut sample = sample(second as f64, &Beat::default());
        change(second, &mut sample);
        assert!(window.push(sample));
    }
    window
}

fn with_cgroup(usage: CgroupUsage) -> Window {
    window(move |_, sample| sample.cgroup.reading = Reading::Seen(usage))
}

/// What becomes of findings in this window.
fn times(window: &Window, bounds: &Bounds, mut findings: Vec<Finding>) -> Vec<Option<Exhaustion>> {
    add(&mut findings, window, bounds);
    findings.into_iter().map(|finding| finding.exhausts).collect()
}

fn time(window: &Window, bounds: &Bounds, kind: Kind, per_second: f64) -> Option<Exhaustion> {
    times(window, bounds, vec![finding(kind, per_second)]).remove(0)
}

fn said(exhaustion: Option<Exhaustion>) -> Option<(LimitName, u64, f64)> {
    exhaustion.map(|it| (it.limit, it.limit_value, it.in_seconds.round()))
}

#[test]
fn the_interval_comes_of_the_rates() {
    let rate = Rate { per_second: 2.0, low: 1.0, high: 4.0 };
    assert_eq!(Times::of(100.0, rate), Some(Times { likely: 50.0, low: 25.0, high: Some(100.0) }));
    let never = Rate { low: -1.0, ..rate };
    assert_eq!(Times::of(100.0, never), Some(Times { likely: 50.0, low: 25.0, high: None }));
    assert_eq!(Times::of(100.0, Rate { per_second: 0.0, ..rate }), None);
    assert_eq!(Times::of(-5.0, rate).map(|times| times.likely), Some(0.0), "it is over the limit already");
}

#[test]
fn each_kind_runs_into_its_own_limit() {
    let bounds = Bounds {
        limits: Limits {
            open_files: Some(1_009),
            user_processes: Some(500),
            mappings: Some(1_060),
            ..Limits::default()
        },
        host_memory_bytes: Some(16 << 30),
        host_available_bytes: Some(100 << 20),
        host_tasks: Some(4_000),
        host_tasks_in_use: Some(3_800),
        user_tasks: Some(250),
        is_go: true,
        age_seconds: None,
    };
    let idle = window(|_, _| {});
    for (kind, per_second, expected) in [
        (Kind::Fd, 2.0, Some((LimitName::OpenFiles, 1_009, 500.0))),
        (Kind::Connection, 2.0, Some((LimitName::OpenFiles, 1_009, 500.0))),
        (Kind::Mapping, 2.0, Some((LimitName::Mappings, 1_060, 500.0))),
        (Kind::Thread, 2.0, Some((LimitName::HostTasks, 4_000, 100.0))),
        (Kind::Child, 2.0, Some((LimitName::HostTasks, 4_000, 100.0))),
        (Kind::Native, MIB, Some((LimitName::HostMemory, 16 << 30, 100.0))),
        (Kind::Goroutine, 512.0, Some((LimitName::HostMemory, 16 << 30, 100.0))),
        (Kind::Goroutine, 0.0, None),
    ] {
        assert_eq!(said(time(&idle, &bounds, kind, per_second)), expected, "{kind:?}");
    }
    let roomy = Bounds { host_tasks: Some(400_000), ..bounds };
    assert_eq!(said(time(&idle, &roomy, Kind::Thread, 2.0)), Some((LimitName::UserProcesses, 500, 125.0)));
    let root = Bounds { limits: Limits::default(), ..roomy };
    let threads = said(time(&idle, &root, Kind::Thread, 2.0));
    assert_eq!(threads, Some((LimitName::GoThreads, 10_000, 4_996.0)));
    let other = Bounds { is_go: false, ..root };
    assert_eq!(said(time(&idle, &other, Kind::Thread, 2.0)).map(|it| it.0), Some(LimitName::HostTasks));
    assert_eq!(time(&idle, &Bounds::default(), Kind::Native, MIB), None, "no limit is known");
}

#[test]
fn address_space_and_data_bound_what_is_mapped() {
    let window = window(|_, sample| {
        if let Reading::Seen(memory) = &mut sample.memory.reading {
            (memory.virtual_bytes, memory.data_bytes) = (1 << 30, 200 << 20);
        }
    });
    let of = |address_space_bytes, data_bytes| {
        let limits = Limits { address_space_bytes, data_bytes, ..Limits::default() };
        said(time(&window, &Bounds { limits, ..Bounds::default() }, Kind::Native, MIB))
    };
    assert_eq!(of(Some(2 << 30), None), Some((LimitName::AddressSpace, 2 << 30, 1024.0 - 64.0)));
    assert_eq!(of(Some(2 << 30), Some(300 << 20)), Some((LimitName::DataSize, 300 << 20, 100.0)));
    assert_eq!(of(None, None), None);
}

#[test]
fn page_cache_makes_room_and_a_throttle_comes_before_the_end() {
    let usage = CgroupUsage {
        memory_bytes: Some(900 << 20),
        memory_limit_bytes: Some(1000 << 20),
        reclaimable_bytes: Some(100 << 20),
        ..CgroupUsage::default()
    };
    let end = time(&with_cgroup(usage), &Bounds::default(), Kind::Native, MIB).expect("memory.max");
    assert_eq!(said(Some(end)), Some((LimitName::CgroupMemory, 1000 << 20, 200.0)));
    assert_eq!((end.low_seconds, end.high_seconds, end.beyond), (160.0, Some(250.0), None));

    let throttle = Throttle { limit_bytes: 900 << 20, unreclaimable_bytes: 800 << 20 };
    let usage = CgroupUsage { throttle: Some(throttle), ..usage };
    let first = time(&with_cgroup(usage), &Bounds::default(), Kind::Native, MIB).expect("memory.high");
    assert_eq!(said(Some(first)), Some((LimitName::CgroupMemoryHigh, 900 << 20, 100.0)));
    let beyond = first.beyond.expect("then it ends");
    assert_eq!((beyond.limit, beyond.in_seconds), (LimitName::CgroupMemory, 200.0));
}

#[test]
fn what_others_in_the_cgroup_take_brings_its_limit_nearer() {
    let grows = |others: u64| {
        window(move |second, sample| {
            let own = (40 + second) << 20;
            if let Reading::Seen(memory) = &mut sample.memory.reading {
                memory.anon_bytes = own;
            }
            sample.cgroup.reading = Reading::Seen(CgroupUsage {
                memory_bytes: Some(own + ((100 + others * second) << 20)),
                memory_limit_bytes: Some((500 + 60 * others) << 20),
                ..CgroupUsage::default()
            });
        })
    };
    for (others, expected) in [(0, 300.0), (3, 75.0)] {
        let said = said(time(&grows(others), &Bounds::default(), Kind::Native, MIB)).map(|it| it.2);
        assert_eq!(said, Some(expected), "others take {others} MiB a second");
    }
}

/// A Go heap of which `live` MiB are live and `resident` MiB resident; the next collection is due at `goal` MiB.
/// Next to all that is allocated is garbage.
fn go_heap(live: u64, resident: u64, goal: u64, limit: Option<u64>) -> Window {
    go_heap_of(live, resident, goal, limit, 100_000)
}

/// The same, with so many MiB allocated each second.
fn go_heap_of(live: u64, resident: u64, goal: u64, limit: Option<u64>, allocated: u64) -> Window {
    window(move |second, sample| {
        let heap = HeapCounters {
            marked_bytes: Some(live << 20),
            in_use_bytes: resident << 20,
            goal_bytes: Some(goal << 20),
            gogc_percent: Some(100),
            memory_limit_bytes: limit.map(|limit| limit << 20),
            mapped_bytes: (resident + 20) << 20,
            live_bytes: resident << 20,
            total_allocated_bytes: second * (allocated << 20),
            ..HeapCounters::default()
        };
        let counters = GoCounters { goroutines: Some(10), heap: Some(heap), gc_cycles: Some(second) };
        sample.runtime.reading = Reading::Seen(counters);
    })
}

fn with_room(megabytes: u64) -> Bounds {
    Bounds {
        host_memory_bytes: Some(16 << 30),
        host_available_bytes: Some(megabytes << 20),
        is_go: true,
        ..Bounds::default()
    }
}

#[test]
fn a_live_byte_costs_two_and_the_room_of_the_heap_counts() {
    // 400 MiB are free; a heap of 100 MiB live that is at its goal of 200 grows by 2 MiB for each that leaks.
    for (live, resident, goal, seconds) in
        [(100, 200, 200, 200.0), (100, 150, 200, 175.0), (100, 300, 200, 250.0)]
    {
        let found = time(&go_heap(live, resident, goal, None), &with_room(400), Kind::Heap, MIB);
        assert_eq!(said(found), Some((LimitName::HostMemory, 16 << 30, seconds)), "{live} {resident} {goal}");
        let found = found.expect("a limit");
        assert!(found.low_seconds <= found.in_seconds, "{found:?}");
        assert!(found.high_seconds.is_some_and(|high| high >= found.in_seconds), "{found:?}");
    }
    // The next collection would come 500 MiB from here, which 50 MiB a second of garbage reach first.
    let found = time(&go_heap_of(600, 700, 1200, None, 50), &with_room(400), Kind::Heap, MIB);
    assert_eq!(said(found), Some((LimitName::HostMemory, 16 << 30, 8.0)));
}

#[test]
fn where_all_that_is_allocated_leaks_there_is_no_garbage_beside_it() {
    // 150 MiB are live, 50 of them since the last collection: 400 MiB last for as many seconds.
    let found = time(&go_heap_of(100, 150, 200, None, 1), &with_room(400), Kind::Heap, MIB).expect("a limit");
    assert_eq!(found.in_seconds.round(), 400.0);
    assert_eq!((found.low_seconds.round(), found.high_seconds.map(f64::round)), (320.0, Some(444.0)));
    // Half of it leaks: the heap is at most 4/3 of what is live.
    let found = time(&go_heap_of(100, 150, 200, None, 2), &with_room(400), Kind::Heap, MIB).expect("a limit");
    let truth = (550.0 - 4.0 / 3.0 * 125.0) / (4.0 / 3.0);
    assert!((found.in_seconds - truth).abs() < 1.0, "{found:?}, in truth {truth}");
}

#[test]
fn gomemlimit_slows_down_and_garbage_makes_room_until_the_end() {
    // 20 MiB lie beside the heap: of 320 MiB 300 are the heap's, and 200 of these not live yet.
    let window = go_heap(100, 200, 200, Some(320));
    let found = time(&window, &with_room(400), Kind::Heap, MIB).expect("GOMEMLIMIT");
    assert_eq!(said(Some(found)), Some((LimitName::GoMemory, 320 << 20, 200.0)));
    let interval = (found.low_seconds.round(), found.high_seconds.map(f64::round));
    assert_eq!(interval, (40.0, Some(250.0)), "felt first at twice 100 MiB");
    let end = found.beyond.expect("the host's memory ends it");
    // 400 MiB are free, and 100 MiB of garbage are given up before.
    assert_eq!((end.limit, end.in_seconds.round()), (LimitName::HostMemory, 500.0));
    // A limit beyond the host's memory holds nothing down.
    let found = time(&go_heap(100, 200, 200, Some(4_000)), &with_room(400), Kind::Heap, MIB);
    assert_eq!(said(found), Some((LimitName::HostMemory, 16 << 30, 200.0)));
    let native = time(&window, &with_room(400), Kind::Native, MIB);
    assert_eq!(
        said(native).map(|it| it.0),
        Some(LimitName::HostMemory),
        "GOMEMLIMIT does not count what C has"
    );
}

#[test]
fn all_that_takes_memory_shares_its_time() {
    let findings =
        vec![finding(Kind::Goroutine, 512.0), finding(Kind::Native, MIB), finding(Kind::Heap, MIB)];
    // A MiB of stacks, one of C and two of Go heap each second.
    let all = times(&go_heap(100, 200, 200, None), &with_room(400), findings);
    let expected = Some((LimitName::HostMemory, 16 << 30, 100.0));
    assert_eq!(all.into_iter().map(said).collect::<Vec<_>>(), [expected; 3]);
}

#[test]
fn stacks_are_as_large_as_those_of_the_new_goroutines() {
    let window = window(|second, sample| {
        let heap = HeapCounters {
            stack_bytes: (1 << 20) + second * 10 * 8_192,
            gogc_percent: Some(100),
            ..HeapCounters::default()
        };
        let counters =
            GoCounters { goroutines: Some(50 + 10 * second), heap: Some(heap), gc_cycles: Some(0) };
        sample.runtime.reading = Reading::Seen(counters);
    });
    let found = time(&window, &with_room(80), Kind::Goroutine, 128.0);
    assert_eq!(said(found), Some((LimitName::HostMemory, 16 << 30, 80.0)));
}

#[test]
fn what_follows_may_end_the_process_first() {
    let mut connection = finding(Kind::Connection, 1.0);
    let mut native = finding(Kind::Native, MIB);
    native.consequence_of = Some(Kind::Connection);
    native.primary = false;
    connection.primary = true;
    let bounds =
        Bounds { limits: Limits { open_files: Some(100_009), ..Limits::default() }, ..with_room(300) };
    let said = times(&window(|_, _| {}), &bounds, vec![connection, native]);
    assert!(said.iter().all(|it| it.is_some_and(|it| it.limit == LimitName::HostMemory)), "{said:?}");
}

/// A heap of large objects that are made and never touched, in a cgroup: its spans grow and its memory does not.
#[test]
fn what_is_never_touched_fills_no_memory() {
    const WHOLE_MIB: u64 = 1 << 20;
    let grown = |is_touched: bool| {
        window(move |second, sample| {
            let spans = (20 + 2 * second) * WHOLE_MIB;
            let heap = HeapCounters {
                marked_bytes: Some(spans),
                in_use_bytes: spans,
                gogc_percent: Some(100),
                goal_bytes: Some(2 * spans),
                total_allocated_bytes: spans,
                ..HeapCounters::default()
            };
            sample.runtime.reading = Reading::Seen(GoCounters { heap: Some(heap), ..GoCounters::default() });
            if let Reading::Seen(memory) = &mut sample.memory.reading {
                memory.anon_bytes = if is_touched { spans } else { 20 * WHOLE_MIB };
                memory.virtual_bytes = 1_000 * WHOLE_MIB;
            }
            sample.cgroup.reading = Reading::Seen(CgroupUsage {
                memory_bytes: Some(40 * WHOLE_MIB),
                memory_limit_bytes: Some(340 * WHOLE_MIB),
                ..CgroupUsage::default()
            });
        })
    };
    let touched = said(time(&grown(true), &Bounds::default(), Kind::Heap, 2.0 * MIB)).expect("it runs out");
    assert!(touched.0 == LimitName::CgroupMemory && touched.2 <= 160.0, "{touched:?}");
    let untouched = said(time(&grown(false), &Bounds::default(), Kind::Heap, 2.0 * MIB));
    assert!(untouched.is_none_or(|(_, _, seconds)| seconds > 500.0), "{untouched:?}");
    // Address space is taken all the same.
    let limits = Limits { address_space_bytes: Some(1_264 * WHOLE_MIB), ..Limits::default() };
    let space = said(time(&grown(false), &Bounds { limits, ..Bounds::default() }, Kind::Heap, 2.0 * MIB));
    assert_eq!(space.map(|(limit, _, _)| limit), Some(LimitName::AddressSpace));
}
