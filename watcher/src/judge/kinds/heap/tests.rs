use super::stairs;
use crate::judge::judge;
use crate::judge::judgement::Judgement;
use crate::judge::series::growth::Course;
use crate::judge::simulation::{Dice, moment, window};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{SteadyWhy, UndecidedWhy};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::store::Window;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Reading;
use proptest::prelude::{ProptestConfig, any, proptest};

const MIB: f64 = 1024.0 * 1024.0;
const ALLOCATED_PER_SECOND: u64 = 1 << 20;

/// A heap whose collections come at these seconds and find so many bytes live then. Between them it fills up to
/// twice that, and the process keeps all it ever had.
fn collected(at: &[(usize, f64)]) -> Window {
    let mut at = at.to_vec();
    at.insert(0, (0, at.first().map_or(MIB, |first| first.1)));
    window(move |second, beat| {
        let cycles = at.iter().filter(|(when, _)| *when <= second).count();
        let live = at[cycles - 1].1;
        let most = at[..cycles].iter().map(|(_, live)| 2.0 * live).fold(0.0, f64::max);
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "a size is never negative"
        )]
        let bytes = |size: f64| size as u64;
        beat.anon_bytes = bytes(most) + (8 << 20);
        let heap = HeapCounters {
            marked_bytes: Some(bytes(live)),
            live_bytes: bytes(live),
            in_use_bytes: bytes(most),
            gogc_percent: Some(100),
            goal_bytes: Some(bytes(2.0 * live)),
            total_allocated_bytes: second as u64 * ALLOCATED_PER_SECOND,
            ..HeapCounters::default()
        };
        let gc_cycles = Some(cycles as u64);
        beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles });
    })
}

fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

fn outcome(judgement: &Judgement) -> String {
    let grows = judgement.findings.iter().filter(|it| it.kind == Kind::Heap);
    let steady = judgement.steady.iter().filter(|it| it.kind == Kind::Heap);
    let undecided = judgement.undecided.iter().filter(|it| it.kind == Kind::Heap);
    grows
        .map(|it| format!("grows by {:.2} MiB/s, {:.2}", it.rate.per_second / MIB, it.confidence))
        .chain(steady.map(|it| match it.why {
            SteadyWhy::LiveHeap { cycles, .. } => format!("stays over {cycles}"),
            SteadyWhy::LiveHeapFilled { .. } => "was filled".to_owned(),
            SteadyWhy::LittleAllocated { .. } => "little is allocated".to_owned(),
            _ => "memory stays".to_owned(),
        }))
        .chain(undecided.map(|it| match it.why {
            UndecidedWhy::TooFewCollections { have, .. } => format!("only {have}"),
            UndecidedWhy::Ambiguous { .. } => "ambiguous".to_owned(),
            _ => "undecided".to_owned(),
        }))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Seconds of collections, and MiB that they find live.
type Collections = &'static [(usize, f64)];

#[test]
fn few_collections_accuse_only_where_the_shape_is_beyond_doubt() {
    let rows: [(&str, Collections, &str); 10] = [
        ("a line", &[(5, 10.0), (15, 20.0), (35, 40.0)], "grows by 1.00 MiB/s, 0.65"),
        (
            "five on a line",
            &[(5, 50.0), (15, 57.5), (25, 65.0), (35, 72.5), (45, 80.0)],
            "grows by 0.75 MiB/s, 0.71",
        ),
        ("level", &[(5, 20.0), (15, 20.3), (35, 20.1)], "stays over 3"),
        ("up and down", &[(5, 20.0), (15, 30.0), (25, 21.0), (35, 31.0)], "stays over 4"),
        ("filling up", &[(5, 10.0), (15, 30.0), (25, 38.0), (35, 40.0)], "ambiguous"),
        ("too little for three", &[(5, 50.0), (15, 60.0), (35, 80.0)], "ambiguous"),
        ("too little for four", &[(6, 316.0), (18, 362.0), (30, 400.0), (42, 444.0)], "ambiguous"),
        ("falling", &[(5, 50.0), (15, 40.0), (35, 20.0)], "stays over 3"),
        ("two", &[(10, 10.0), (30, 30.0)], "only 2"),
        ("one, and small", &[(20, 3.0)], "stays over 2"),
    ];
    for (name, at, expected) in rows {
        let at: Vec<(usize, f64)> = at.iter().map(|(second, mib)| (*second, mib * MIB)).collect();
        assert_eq!(outcome(&judged(&collected(&at))), expected, "{name}");
    }
}

#[test]
fn many_collections_are_a_series() {
    let every_second = |live: fn(f64) -> f64| -> Vec<(usize, f64)> {
        (1..=45).map(|second| (second, live(second as f64) * MIB)).collect()
    };
    for (name, live, expected) in [
        ("slow leak", (|t| 20.0 + 0.1 * t) as fn(f64) -> f64, "grows by 0.10 MiB/s, 0.85"),
        ("level", |t| 20.0 + 0.2 * (t * 7.0 % 5.0), "stays over 45"),
        ("plateau", |t| 10.0 + t.min(15.0), "was filled"),
        ("sawtooth", |t| 10.0 + t % 9.0, "stays over 45"),
    ] {
        assert_eq!(outcome(&judged(&collected(&every_second(live)))), expected, "{name}");
    }
}

/// Bytes of a slice with so many elements of 504 bytes, by `nextslicecap`.
fn slice_bytes(elements: f64) -> f64 {
    let mut room = 256.0;
    while room < elements {
        room += (room + 768.0) / 4.0;
    }
    504.0 * room
}

/// A heap with nothing but a slice on it that has so many elements after so many seconds; the larger it is, the more
/// seldom it is collected. When the slice is allocated anew, its old self is live for a moment too.
fn with_slice(dice: &mut Dice, elements: impl Fn(f64) -> f64) -> Vec<(usize, f64)> {
    let (mut second, mut at) = (1.0, Vec::new());
    let mut before = slice_bytes(elements(0.0));
    while second < 45.0 {
        let slice = slice_bytes(elements(second));
        let old = if slice > before && dice.between(0.0, 1.0) < 0.8 { before } else { 0.0 };
        before = slice;
        let live = old + slice + MIB * (1.0 + 0.1 * dice.normal().abs());
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "a second of the window"
        )]
        at.push((second as usize, live));
        second += (live / (8.0 * MIB)).max(1.0);
    }
    at
}

#[test]
fn a_slice_that_is_appended_to_grows_in_steps() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let window = collected(&with_slice(&mut dice, |t| 2_400.0 + 400.0 * t));
        let Some(Course::Grows(growth)) = stairs::course(&super::collections(&window), &window) else {
            panic!("no stairs: {:?}", super::collections(&window));
        };
        // 400 elements of 504 bytes.
        assert!((0.85..1.15).contains(&(growth.rate.per_second / 201_600.0)), "{growth:?}");
        assert!(matches!(growth.evidence[..], [Evidence::Stairs { steps: 4..=9, .. }]), "{growth:?}");
        assert!(outcome(&judged(&window)).starts_with("grows"), "seed {seed}");
        // It is full after a third of the time, and stays.
        let full = judged(&collected(&with_slice(&mut dice, |t| 2_400.0 + 400.0 * t.min(15.0))));
        assert!(full.findings.is_empty(), "{full:?}");
    }
}

#[test]
fn how_long_it_takes_is_told_by_when_the_next_collection_is_due() {
    let need = |at: Collections, off: bool| {
        let at: Vec<(usize, f64)> = at.iter().map(|(second, mib)| (*second, mib * MIB)).collect();
        let mut window = collected(&at);
        if off {
            window = window_with(&window, |heap| (heap.gogc_percent, heap.goal_bytes) = (None, None));
        }
        super::too_few(&window).why
    };
    // 30 MiB more are due at 1 MiB per second, five times.
    let told = need(&[(10, 10.0), (30, 30.0)], false);
    assert_eq!(told, UndecidedWhy::TooFewCollections { have: 2, need: 3, need_seconds: 112.5 });
    let told = need(&[(20, 40.0)], false);
    assert_eq!(told, UndecidedWhy::TooFewCollections { have: 1, need: 3, need_seconds: 200.0 });
    assert_eq!(need(&[(20, 400.0)], true), UndecidedWhy::NeverCollected { have: 1 });
}

#[test]
fn resident_memory_acquits_no_heap_that_fills_up_unseen() {
    // 500 MiB were live at the last collection, and as much again is resident already.
    let filling = |per_second: u64| {
        outcome(&judged(&window(move |second, beat| {
            beat.anon_bytes = 1 << 30;
            let heap = HeapCounters {
                marked_bytes: Some(500 << 20),
                live_bytes: (500 << 20) + (per_second * second as u64),
                in_use_bytes: 1000 << 20,
                goal_bytes: Some(1000 << 20),
                gogc_percent: Some(100),
                ..HeapCounters::default()
            };
            beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles: Some(9) });
        })))
    };
    assert_eq!(filling(5 << 20), "only 0");
    assert_eq!(filling(1 << 20), "only 0", "45 MiB may have come to stay");
    assert_eq!(filling(100 << 10), "little is allocated", "less than 2 % of what is live");
    // By 100 of 500 MiB.
    let risen: [(usize, f64); 2] = [(10, 500.0 * MIB), (40, 600.0 * MIB)];
    assert!(super::has_risen(&collected(&risen)));
    assert!(!super::has_risen(&collected(&[(10, 500.0 * MIB), (40, 540.0 * MIB)])));
}

/// What is said of a heap of 3 MiB that allocates so much a second and is never collected, in a process whose memory
/// stays where it is, on a host that has so much memory to give.
fn uncollected(per_second: u64, host_bytes: Option<u64>) -> String {
    let window = window(move |second, beat| {
        let allocated = per_second * second as u64;
        let heap = HeapCounters {
            marked_bytes: Some(3 << 20),
            live_bytes: (3 << 20) + allocated,
            in_use_bytes: 36 << 20,
            goal_bytes: Some(60 << 20),
            gogc_percent: Some(100),
            total_allocated_bytes: (90 << 20) + allocated,
            ..HeapCounters::default()
        };
        beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles: Some(2) });
    });
    let bounds = Bounds {
        is_go: true,
        host_memory_bytes: host_bytes,
        host_available_bytes: host_bytes,
        ..Bounds::default()
    };
    let judgement = judge(&window, &bounds, &Thresholds::default());
    format!("{:?}: {}", judgement.verdict, outcome(&judgement))
}

#[test]
fn a_heap_that_is_not_collected_is_acquitted_by_how_little_is_allocated() {
    let little = "Healthy: little is allocated";
    assert_eq!(uncollected(0, None), little);
    assert_eq!(uncollected(4 << 10, None), little);
    assert_eq!(uncollected(20 << 10, None), little, "less than 1 MiB in all");
    assert_eq!(uncollected(100 << 10, None), "Inconclusive: only 0");
    // 16 GiB are not filled by 100 KiB a second within a day, and by 1 MiB they are.
    assert_eq!(uncollected(100 << 10, Some(16 << 30)), little);
    assert_eq!(uncollected(1 << 20, Some(16 << 30)), "Inconclusive: only 0");
}

#[test]
fn the_newest_of_few_collections_acquits_what_it_covers() {
    for (name, at, expected) in [
        ("level", &[(2, 40.0), (30, 40.3)][..], "stays over 3"),
        ("too early", &[(5, 40.0)], "only 1"),
        ("risen", &[(2, 40.0), (30, 43.0)], "only 2"),
    ] {
        let at: Vec<(usize, f64)> = at.iter().map(|(second, mib)| (*second, mib * MIB)).collect();
        assert_eq!(outcome(&judged(&collected(&at))), expected, "{name}");
    }
}

/// The same window with other counters of the heap.
fn window_with(window: &Window, change: fn(&mut HeapCounters)) -> Window {
    let mut other = Window::new(window.latest().unwrap().process, 64);
    for sample in window.samples() {
        let mut sample = sample.clone();
        if let Reading::Seen(counters) = &mut sample.runtime.reading
            && let Some(heap) = &mut counters.heap
        {
            change(heap);
        }
        assert!(other.push(sample));
    }
    other
}

fn captured(second: f64, sites: &[(&[&str], u64)]) -> HeapCapture {
    let frames = |functions: &[&str]| {
        (1..).zip(functions).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect()
    };
    let sites = sites
        .iter()
        .map(|(stack, bytes)| HeapSite {
            stack: frames(stack),
            objects: bytes / 1024,
            bytes: *bytes,
            object_bytes: 1024,
        })
        .collect();
    HeapCapture { at: moment(second), sites: Ok(sites), mapped_bytes: None }
}

#[test]
fn the_stack_that_keeps_is_named_with_its_caller() {
    let mut window = collected(&[(5, 10.0 * MIB), (15, 20.0 * MIB), (35, 40.0 * MIB)]);
    let goroutines: &[&str] = &["runtime.malg", "runtime.newproc1"];
    let (leak, cache, small): (&[&str], &[&str], &[&str]) = (
        &["strings.Repeat", "main.describe", "main.remember", "example.com/other.Pace", "main.main"],
        &["main.warm"],
        &["github.com/a/b.Parse", "main.serve"],
    );
    let heap = &mut window.captures_mut().heap;
    heap.push(captured(0.0, &[(cache, 64 << 20), (leak, 1 << 20)]));
    let now = [(cache, 64 << 20), (leak, 16 << 20), (goroutines, 10 << 20), (small, 5 << 20)];
    heap.push(captured(45.0, &now));
    let judgement = judged(&window);
    let finding = &judgement.findings[0];
    let lines: Vec<(&str, f64)> = finding.culprits.iter().map(|it| (&*it.frame.function, it.share)).collect();
    assert_eq!(
        lines,
        [
            ("main.describe", 0.5),
            ("main.remember", 0.5),
            ("main.serve", 5.0 / 30.0),
            // What goroutines themselves are made of accuses nobody before the program's own lines do.
            ("runtime.malg", 10.0 / 30.0)
        ]
    );
    let expected = Evidence::Allocated { bytes: 15 << 20, objects: 15 << 10, share: 0.5, seconds: 45.0 };
    assert!(finding.evidence.contains(&expected), "{finding:?}");
}

#[test]
fn stacks_that_lead_to_one_line_are_one_and_large_objects_are_told() {
    let mut window = collected(&[(5, 10.0 * MIB), (15, 20.0 * MIB), (35, 40.0 * MIB)]);
    let (often, seldom): (&[&str], &[&str]) =
        (&["io.ReadAll", "main.read", "main.serve"], &["io.ReadAll", "main.read", "main.warm"]);
    let large: &[&str] = &["main.page", "main.serve"];
    let size = |mut capture: HeapCapture, object_bytes: u64| {
        for site in capture.sites.iter_mut().flatten().filter(|site| &*site.stack[0].function == "main.page")
        {
            (site.object_bytes, site.objects) = (object_bytes, site.bytes / object_bytes);
        }
        capture
    };
    let heap = &mut window.captures_mut().heap;
    heap.push(size(captured(0.0, &[(large, 8 << 20)]), 1 << 20));
    let now = [(often, 12 << 20), (seldom, 4 << 20), (large, 32 << 20)];
    heap.push(size(captured(45.0, &now), 1 << 20));
    let judgement = judged(&window);
    let finding = &judgement.findings[0];
    let lines: Vec<(&str, f64)> = finding.culprits.iter().map(|it| (&*it.frame.function, it.share)).collect();
    let expected = [
        ("main.page", 24.0 / 40.0),
        ("main.serve", 24.0 / 40.0),
        ("main.read", 16.0 / 40.0),
        ("main.serve", 12.0 / 40.0),
    ];
    assert_eq!(lines, expected);
    assert!(finding.evidence.contains(&Evidence::LargeObjects { objects: 24, object_bytes: 1 << 20 }));
}

#[test]
fn native_memory_is_what_the_runtime_does_not_account_for() {
    let native = |per_second: u64| {
        judged(&window(move |second, beat| {
            let heap =
                HeapCounters { in_use_bytes: 20 << 20, idle_bytes: 4 << 20, ..HeapCounters::default() };
            beat.anon_bytes = (30 << 20) + per_second * second as u64;
            let goroutines = Some(8);
            beat.runtime = Some(GoCounters { goroutines, heap: Some(heap), gc_cycles: Some(3) });
        }))
    };
    assert_eq!(native(0).verdict, Verdict::Healthy);
    let growing = native(2 << 20);
    let kinds: Vec<Kind> = growing.undecided.iter().map(|it| it.kind).collect();
    assert!(kinds.contains(&Kind::Native), "{growing:?}");
    let slowly = native(200 << 10);
    assert_eq!(slowly.verdict, Verdict::Inconclusive, "no garbage of Go's is in it: {slowly:?}");
}

/// A cache that fills, on a slice: fast at first, slower and slower later.
#[test]
fn a_slice_that_fills_up_is_innocent() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let (room, pace) = (dice.between(4_000.0, 80_000.0), dice.between(4.0, 25.0));
        let began = dice.between(0.0, 10.0);
        let at = with_slice(&mut dice, |t| room * (1.0 - (-(t + began) / pace).exp()));
        let judgement = judged(&collected(&at));
        assert!(judgement.findings.is_empty(), "{room} in {pace}: {at:?} {judgement:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// What requests hold at the moment of a collection goes up and down: whatever the pace of collections, hardly
    /// ever is it taken for a leak.
    #[test]
    fn heaps_that_breathe_are_innocent(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let pace = dice.between(1.0, 15.0);
        let (level, breath) = (dice.between(4.0, 400.0) * MIB, dice.between(0.0, 0.1));
        let mut at = Vec::new();
        let mut second = dice.between(1.0, pace + 1.0);
        while second < 45.0 {
            let live = level * (1.0 + breath * dice.normal().clamp(-2.0, 2.0));
            #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a second of the window")]
            at.push((second as usize, live));
            second += pace.max(1.0);
        }
        at.dedup_by_key(|(second, _)| *second);
        let judgement = judged(&collected(&at));
        assert!(judgement.findings.is_empty(), "{at:?} {judgement:?}");
    }
}
