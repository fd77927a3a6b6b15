use crate::judge::judge;
use crate::judge::judgement::{Finding, Judgement};
use crate::judge::simulation::{moment, window};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::evidence::{Evidence, Hold};
use crate::judge::weigh::survivors::world::{NEVER, Place, Thing, alive, every, ledger, thing};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::observed::ledger::Mappings;
use crate::store::Window;
use crate::vocabulary::frame::Frame;
use std::sync::Arc;

fn frames(functions: &[&str]) -> Arc<[Frame]> {
    (1..).zip(functions).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect()
}

fn capture(second: f64, sites: Vec<GoroutineSite>) -> GoroutineCapture {
    let total = sites.iter().map(|site| site.count).sum();
    GoroutineCapture {
        at: moment(second),
        runtime_nanos: 0,
        sites,
        members: Vec::new(),
        one_in: 1,
        total,
        beyond: 0,
        without_stack: 0,
    }
}

const CAPTURED_AT: [f64; 3] = [0.0, 22.0, 45.0];

/// Threads grow as told; at the captures so many goroutines hold one each at this stack.
fn judged(
    threads: impl Fn(usize) -> u64,
    stack: &[&str],
    wait: Option<&str>,
    holding: [u64; 3],
) -> Judgement {
    let mut window = window(|second, beat| beat.threads += threads(second));
    hold(&mut window, stack, wait, holding);
    judge(&window, &Bounds::default(), &Thresholds::default())
}

fn hold(window: &mut Window, stack: &[&str], wait: Option<&str>, holding: [u64; 3]) {
    window.captures_mut().main_module = Some("example.com/shop".into());
    for (second, count) in CAPTURED_AT.into_iter().zip(holding) {
        let site = |created_by, stack, count, holding_threads, wait: Option<&str>| GoroutineSite {
            started_by: Vec::new(),
            or_started_by: Vec::new(),
            parent_at: Arc::default(),
            created_by: frames(created_by),
            stack: frames(stack),
            wait_reason: wait.map(Into::into),
            count,
            holding_threads,
        };
        let sites = vec![
            site(&["main.begin"], stack, count, count, wait),
            site(&["net/http.(*Server).Serve"], &["runtime.gopark", "main.idle"], 500, 0, Some("IO wait")),
        ];
        window.captures_mut().goroutines.push(capture(second, sites));
    }
}

#[test]
fn the_goroutines_that_hold_the_threads_are_named() {
    for (stack, wait, hold, line) in [
        (
            &["runtime.gopark", "main.(*session).work"][..],
            Some("chan receive"),
            Hold::Locked,
            "main.(*session).work",
        ),
        (&["syscall.Syscall", "syscall.Read", "main.drain"], None, Hold::SystemCall, "main.drain"),
        (&["runtime.cgocall", "main.nap"], None, Hold::C, "main.nap"),
    ] {
        let judgement = judged(|second| second as u64, stack, wait, [0, 22, 45]);
        let finding = &judgement.findings[0];
        assert_eq!(finding.kind, Kind::Thread);
        let named: Vec<&str> = finding.culprits.iter().map(|it| &*it.frame.function).collect();
        assert_eq!(named, [line, "main.begin"]);
        assert_eq!(finding.evidence[0], Evidence::HoldingThreads { grown: 45, threads: 45, hold });
        assert!(finding.confidence > 0.87, "{}", finding.confidence);
    }
}

#[test]
fn a_pool_of_locked_threads_that_is_full_is_no_leak() {
    let judgement = judged(
        |second| (second as u64 * 3).min(40),
        &["runtime.gopark", "main.work"],
        Some("select"),
        [0, 40, 40],
    );
    assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:#?}");
}

#[test]
fn mappings_that_are_stacks_of_threads_follow_from_them_whoever_needed_the_next_thread() {
    // Each stack has a page beside it that nobody may touch: a mapping of its own.
    const PER_THREAD: u64 = 2;
    let wakes =
        Place { stack: &["mmap", "runtime.newproc", "main.serve", "runtime.goexit"], started_by: &[] };
    let loads = Place { stack: &["syscall.mmap", "syscall.Mmap", "main.load"], started_by: &[] };
    let judged = |things: &[Thing], threads: &[Thing]| {
        let mut window = window(|second, beat| {
            beat.threads += alive(threads, second);
            beat.mappings += alive(things, second) + (PER_THREAD - 1) * alive(threads, second);
        });
        let holding = [0, 22, 45].map(|second| alive(threads, second));
        hold(&mut window, &["runtime.cgocall", "main.nap"], None, holding);
        for second in CAPTURED_AT {
            let what = |place: &Place, count: u64| Mappings {
                bytes: count << 23,
                is_native: *place == wakes,
                is_thread_stack: *place == wakes,
                ..Mappings::default()
            };
            window.captures_mut().mappings.push(ledger(second, things, what));
        }
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        let told = |it: &Finding| {
            (it.kind, it.consequence_of, it.culprits.first().map(|it| it.frame.function.to_string()))
        };
        judgement.findings.iter().map(told).collect::<Vec<_>>()
    };
    let nap = || Some("main.nap".to_owned());

    let threads = every(7.0, wakes, NEVER);
    assert_eq!(
        judged(&threads, &threads),
        [(Kind::Thread, None, nap()), (Kind::Mapping, Some(Kind::Thread), None)]
    );

    // Mappings of the program's own beside fewer threads are a leak of their own.
    let threads = every(2.0, wakes, NEVER);
    let things = [every(5.0, loads, NEVER), threads.clone()].concat();
    let mut found = judged(&things, &threads);
    found.sort();
    assert_eq!(found, [(Kind::Thread, None, nap()), (Kind::Mapping, None, Some("main.load".to_owned()))]);

    // Threads that come and go leave a leak of mappings its line, however many of their stacks are there.
    let born = (0..385).map(|number| f64::from(number) / 7.0 - 10.0);
    let threads: Vec<Thing> = born.map(|born| thing(wakes, born, born + 5.0)).collect();
    let things = [every(0.7, loads, NEVER), threads.clone()].concat();
    let found = judged(&things, &threads);
    assert_eq!(found, [(Kind::Mapping, None, Some("main.load".to_owned()))]);
}
