use crate::judge::simulation::{moment, window};
use crate::judge::{Bounds, Evidence, Hold, Judgement, Kind, Thresholds, Verdict, judge};
use crate::sample::code::Frame;
use crate::sample::goroutines::{GoroutineCapture, GoroutineSite};
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

/// Threads grow as told; at the captures so many goroutines hold one each at this stack.
fn judged(
    threads: impl Fn(usize) -> u64,
    stack: &[&str],
    wait: Option<&str>,
    holding: [u64; 3],
) -> Judgement {
    let mut window = window(|second, beat| beat.threads += threads(second));
    window.captures_mut().main_module = Some("example.com/shop".into());
    for (second, count) in [0.0, 22.0, 45.0].into_iter().zip(holding) {
        let site = |created_by, stack, count, holding_threads, wait: Option<&str>| GoroutineSite {
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
    judge(&window, &Bounds::default(), &Thresholds::default())
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
