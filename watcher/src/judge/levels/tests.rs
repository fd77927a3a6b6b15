use super::NEAR;
use crate::judge::judgement::{Held, Level};
use crate::judge::simulation::{Beat, PROCESS, moment, sample};
use crate::judge::terms::{Bounds, LimitName};
use crate::observed::cgroup::{CgroupUsage, Throttle};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::observed::ledger::{Accounts, Descriptors, Ledger, Route, Site};
use crate::observed::quotas::{Ports, Quota, Quotas};
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::process::Limits;
use crate::vocabulary::reading::{Reading, Stamped, Via};
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn window(beat: &Beat, cgroup: CgroupUsage) -> Window {
    let mut window = Window::new(PROCESS, 16);
    for second in 0..3 {
        let at = f64::from(second);
        let mut sample = sample(at, beat);
        sample.cgroup = Stamped { at: moment(at), via: Via::Cgroup, reading: Reading::Seen(cgroup) };
        assert!(window.push(sample));
    }
    window
}

fn levels(beat: &Beat, cgroup: CgroupUsage, bounds: &Bounds) -> Vec<Level> {
    super::of(&window(beat, cgroup), bounds)
}

fn open_files(limit: u64) -> Bounds {
    Bounds { limits: Limits { open_files: Some(limit), ..Limits::default() }, ..Bounds::default() }
}

/// A Go heap with so much live, so much garbage and free spans, and GOMEMLIMIT where there is one.
fn heap(live_mib: u64, garbage_mib: u64, limit_mib: Option<u64>) -> Beat {
    let heap = HeapCounters {
        marked_bytes: Some(live_mib * MIB),
        in_use_bytes: (live_mib + garbage_mib) * MIB,
        mapped_bytes: (live_mib + garbage_mib + 10) * MIB,
        memory_limit_bytes: limit_mib.map(|mib| mib * MIB),
        ..HeapCounters::default()
    };
    Beat {
        anon_bytes: (live_mib + garbage_mib + 10) * MIB,
        runtime: Some(GoCounters { heap: Some(heap), ..GoCounters::default() }),
        ..Beat::default()
    }
}

fn memory(used_mib: u64, cache_mib: u64, limit_mib: Option<u64>) -> CgroupUsage {
    CgroupUsage {
        memory_bytes: Some((used_mib + cache_mib) * MIB),
        memory_limit_bytes: limit_mib.map(|mib| mib * MIB),
        reclaimable_bytes: Some(cache_mib * MIB),
        ..CgroupUsage::default()
    }
}

/// Names and whole percents of the levels that are near.
fn near(levels: &[Level]) -> Vec<(LimitName, f64)> {
    let near = levels.iter().filter(|level| level.is_near);
    near.map(|level| (level.limit, (level.share() * 100.0).floor())).collect()
}

#[test]
fn descriptors_at_rest_are_near_from_four_fifths_on() {
    for (files, expected) in
        [(15_000, None), (15_996, Some(80.0)), (19_505, Some(97.0)), (20_996, Some(105.0))]
    {
        let levels = levels(&Beat { files, ..Beat::default() }, CgroupUsage::default(), &open_files(20_000));
        let said = near(&levels);
        assert_eq!(
            said,
            expected.map(|percent| (LimitName::OpenFiles, percent)).into_iter().collect::<Vec<_>>()
        );
        let held = &levels[0].held_by;
        assert_eq!(held.is_empty(), expected.is_none(), "{levels:?}");
        if expected.is_some() {
            assert_eq!((&held[0].what, held[0].count), (&Held::Type(DescriptorType::File), files));
        }
    }
}

#[test]
fn what_has_no_limit_or_was_not_read_has_no_level() {
    assert_eq!(
        levels(&Beat { files: 1 << 20, ..Beat::default() }, CgroupUsage::default(), &Bounds::default()),
        []
    );
    let mut window = Window::new(PROCESS, 4);
    let mut sample = sample(0.0, &Beat::default());
    sample.descriptors.reading = Reading::Denied;
    assert!(window.push(sample));
    assert_eq!(super::of(&window, &open_files(4)), []);
}

#[test]
fn sockets_are_held_by_the_crowd_with_the_same_peer_and_state() {
    let beat = Beat { close_wait: 900, files: 40, ..Beat::default() };
    let levels = levels(&beat, CgroupUsage::default(), &open_files(1_024));
    assert!(matches!(&levels[0].held_by[..], [one] if one.count == 900), "{levels:?}");
}

#[test]
fn who_opened_them_comes_first() {
    let mut window = window(&Beat { files: 950, ..Beat::default() }, CgroupUsage::default());
    let line = Frame::new("main.poll", "/src/main.go", 38);
    let site = Site {
        stack: [Frame::new("os.Open", "os/file.go", 1), line.clone()].into(),
        started_by: Vec::new(),
        created: 700,
        ended: 0,
        outstanding: 700,
        oldest: Duration::ZERO,
        youngest: Duration::ZERO,
        longest_ended: None,
        what: Descriptors::default(),
    };
    window.captures_mut().descriptors.push(Ledger {
        at: moment(2.0),
        began: moment(0.0),
        route: Route::SystemCalls,
        accounts: Accounts::default(),
        sites: vec![site],
    });
    let levels = super::of(&window, &open_files(1_000));
    let held: Vec<(&Held, u64)> = levels[0].held_by.iter().map(|it| (&it.what, it.count)).collect();
    assert_eq!(held, [(&Held::Line(line), 700), (&Held::Type(DescriptorType::File), 950)]);
}

#[test]
fn page_cache_fills_no_cgroup() {
    let own = Beat { anon_bytes: 40 * MIB, ..Beat::default() };
    let said = |cgroup| near(&levels(&own, cgroup, &Bounds::default()));
    assert_eq!(said(memory(40, 455, Some(500))), []);
    assert_eq!(said(memory(40, 0, None)), []);
    let own = Beat { anon_bytes: 440 * MIB, ..Beat::default() };
    let said = |cgroup| near(&levels(&own, cgroup, &Bounds::default()));
    assert_eq!(said(memory(450, 45, Some(500))), [(LimitName::CgroupMemory, 90.0)]);
    let high = Throttle { limit_bytes: 480 * MIB, unreclaimable_bytes: 450 * MIB };
    let both = CgroupUsage { throttle: Some(high), ..memory(450, 45, Some(600)) };
    assert_eq!(said(both), [(LimitName::CgroupMemoryHigh, 93.0)]);
}

/// What fills the limit is somebody else's: it is shown and not held against this process.
#[test]
fn a_small_process_has_no_part_in_a_full_cgroup_or_host() {
    let small = Beat { anon_bytes: 20 * MIB, ..Beat::default() };
    let said = levels(&small, memory(480, 0, Some(500)), &Bounds::default());
    assert_eq!(near(&said), []);
    assert!(said[0].share() >= NEAR && said[0].own == Some(20 * MIB), "{said:?}");
    let host = Bounds {
        host_memory_bytes: Some(1_000 * MIB),
        host_available_bytes: Some(100 * MIB),
        ..Bounds::default()
    };
    assert_eq!(near(&levels(&small, CgroupUsage::default(), &host)), []);
    let large = Beat { anon_bytes: 700 * MIB, ..Beat::default() };
    assert_eq!(near(&levels(&large, CgroupUsage::default(), &host)), [(LimitName::HostMemory, 90.0)]);
}

#[test]
fn garbage_may_fill_gomemlimit_and_what_is_live_may_not() {
    let said = |beat: &Beat| near(&levels(beat, CgroupUsage::default(), &Bounds::default()));
    assert_eq!(said(&heap(100, 390, Some(500))), []);
    assert_eq!(said(&heap(400, 90, Some(500))), [(LimitName::GoMemory, 82.0)]);
    assert_eq!(said(&heap(4_000, 90, None)), []);
    let mut unmarked = heap(400, 90, Some(500));
    let counters = unmarked.runtime.as_mut().and_then(|it| it.heap.as_mut());
    counters.expect("it has a heap").marked_bytes = None;
    assert_eq!(said(&unmarked), [], "what is live is not known");
}

#[test]
fn garbage_below_gomemlimit_does_not_fill_the_cgroup_around_it() {
    let said = |beat: &Beat| near(&levels(beat, memory(500, 0, Some(520)), &Bounds::default()));
    assert_eq!(said(&heap(100, 390, Some(500))), []);
    // Nothing makes the collector stop short of the cgroup's limit.
    assert_eq!(said(&heap(100, 390, None)), [(LimitName::CgroupMemory, 96.0)]);
    assert_eq!(said(&heap(100, 390, Some(900))), [(LimitName::CgroupMemory, 96.0)]);
}

#[test]
fn memory_is_held_by_the_lines_that_allocated_it() {
    let mut window = window(&heap(450, 10, None), memory(480, 0, Some(500)));
    let line = Frame::new("main.remember", "/src/main.go", 17);
    let of = |bytes| HeapSite { stack: [line.clone()].into(), objects: 1, bytes, object_bytes: bytes };
    let sites = Ok(vec![of(300 * MIB), of(100 * MIB)]);
    window.captures_mut().heap.push(HeapCapture { at: moment(2.0), sites, mapped_bytes: None });
    let levels = super::of(&window, &Bounds::default());
    let held: Vec<(&Held, u64)> = levels[0].held_by.iter().map(|it| (&it.what, it.count / MIB)).collect();
    assert_eq!(held, [(&Held::Line(line), 400), (&Held::Heap, 460)]);
}

#[test]
fn threads_have_several_limits() {
    let beat = Beat { threads: 9_000, ..Beat::default() };
    let go = Bounds { is_go: true, ..Bounds::default() };
    assert_eq!(near(&levels(&beat, CgroupUsage::default(), &go)), [(LimitName::GoThreads, 90.0)]);
    assert_eq!(near(&levels(&beat, CgroupUsage::default(), &Bounds::default())), []);
    let raised = Beat { threads: 10_400, ..Beat::default() };
    assert_eq!(near(&levels(&raised, CgroupUsage::default(), &go)), [], "the program has raised its bound");
    let few = Beat { threads: 100, zombies: 60, ..Beat::default() };
    let cgroup = |pids| CgroupUsage { pids: Some(pids), pids_limit: Some(200), ..CgroupUsage::default() };
    let said = levels(&few, cgroup(180), &Bounds::default());
    assert_eq!(near(&said), [(LimitName::CgroupPids, 90.0)]);
    let held: Vec<(&Held, u64)> = said[0].held_by.iter().map(|it| (&it.what, it.count)).collect();
    assert_eq!(held, [(&Held::OwnThreads, 100), (&Held::Zombies, 60)]);
    assert_eq!(near(&levels(&few, cgroup(140), &Bounds::default())), []);
    let user = Bounds {
        limits: Limits { user_processes: Some(4_000), ..Limits::default() },
        user_tasks: Some(3_900),
        ..Bounds::default()
    };
    assert_eq!(near(&levels(&few, CgroupUsage::default(), &user)), [], "others have them");
}

#[test]
fn the_fullest_comes_first_and_mappings_count() {
    let bounds = Bounds {
        limits: Limits { open_files: Some(1_000), mappings: Some(65_530), ..Limits::default() },
        ..Bounds::default()
    };
    let beat = Beat { files: 400, mappings: 60_000, ..Beat::default() };
    let levels = levels(&beat, CgroupUsage::default(), &bounds);
    let names: Vec<LimitName> = levels.iter().map(|level| level.limit).collect();
    assert_eq!(names, [LimitName::Mappings, LimitName::OpenFiles]);
    assert_eq!(near(&levels), [(LimitName::Mappings, 91.0)]);
}

fn with_quotas(beat: &Beat, quotas: Quotas) -> Window {
    let mut window = Window::new(PROCESS, 4);
    let mut sample = sample(0.0, beat);
    sample.quotas = Arc::new(Stamped { at: moment(0.0), via: Via::Procfs, reading: Reading::Seen(quotas) });
    assert!(window.push(sample));
    window
}

#[test]
fn what_the_user_has_of_inotify_is_held_by_this_process_or_by_others() {
    let said = |own, used| {
        let quotas = Quotas {
            inotify_instances: Some(Quota { own, used, of: 128 }),
            inotify_watches: Some(Quota { own: 3, used: 50, of: 16_384 }),
            ..Quotas::default()
        };
        super::of(&with_quotas(&Beat::default(), quotas), &Bounds::default())
    };
    let full = said(120, 124);
    assert_eq!(near(&full), [(LimitName::InotifyInstances, 96.0)]);
    assert_eq!((&full[0].held_by[0].what, full[0].held_by[0].count), (&Held::Own, 120));
    assert_eq!(near(&said(80, 89)), [], "70 %");
    let elsewhere = said(1, 124);
    assert_eq!(near(&elsewhere), [], "others have them");
    assert_eq!(elsewhere[0].held_by[0].what, Held::Others);
}

#[test]
fn ports_are_those_towards_one_peer() {
    let peer = "10.0.0.5:5432".parse().expect("an address");
    let said = |used| {
        let taken = Quota { own: used, used, of: 28_232 };
        let ports = Some(Ports { local: [10, 0, 0, 1].into(), peer, taken });
        super::of(&with_quotas(&Beat::default(), Quotas { ports, ..Quotas::default() }), &Bounds::default())
    };
    let full = said(27_000);
    assert_eq!((near(&full), full[0].peer), (vec![(LimitName::Ports, 95.0)], Some(peer)));
    assert_eq!(near(&said(20_000)), []);
}

#[test]
fn a_path_says_more_than_a_type() {
    let quotas = Quotas { descriptor_paths: vec![("/etc/hosts".to_owned(), 19_500)], ..Quotas::default() };
    let window = with_quotas(&Beat { files: 19_505, pipes: 4, ..Beat::default() }, quotas);
    let levels = super::of(&window, &open_files(20_000));
    let held: Vec<(&Held, u64)> = levels[0].held_by.iter().map(|it| (&it.what, it.count)).collect();
    assert_eq!(held, [(&Held::Path("/etc/hosts".to_owned()), 19_500)]);
}

#[test]
fn tasks_of_the_user_are_those_that_were_read_where_nothing_newer_is_known() {
    let user =
        Bounds { limits: Limits { user_processes: Some(1_000), ..Limits::default() }, ..Bounds::default() };
    let quotas = Quotas { user_tasks: Some(900), ..Quotas::default() };
    let window = with_quotas(&Beat { threads: 800, ..Beat::default() }, quotas);
    assert_eq!(near(&super::of(&window, &user)), [(LimitName::UserProcesses, 90.0)]);
}
