use crate::golang::runtime::HeapCounters;
use crate::judge::simulation::{Dice, moment, window};
use crate::judge::{Bounds, Evidence, Judgement, Kind, SteadyWhy, Thresholds, UndecidedWhy, Verdict, judge};
use crate::sample::code::Frame;
use crate::sample::heap_sites::{HeapCapture, HeapSite};
use crate::sample::runtime::GoCounters;
use crate::store::Window;
use proptest::prelude::{ProptestConfig, any, proptest};

const MIB: f64 = 1024.0 * 1024.0;

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
        ("one, and small", &[(20, 3.0)], "memory stays"),
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
        ("plateau", |t| 10.0 + t.min(15.0), "stays over 45"),
        ("sawtooth", |t| 10.0 + t % 9.0, "stays over 45"),
    ] {
        assert_eq!(outcome(&judged(&collected(&every_second(live)))), expected, "{name}");
    }
}

fn captured(second: f64, sites: &[(&[&str], u64)]) -> HeapCapture {
    let frames = |functions: &[&str]| {
        (1..).zip(functions).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect()
    };
    let sites = sites
        .iter()
        .map(|(stack, bytes)| HeapSite { stack: frames(stack), objects: bytes / 1024, bytes: *bytes })
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
