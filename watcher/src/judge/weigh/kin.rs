//! Whether two leaks come from one creation: by the program's own code in the stacks that made them.
//!
//! What one call of a function makes belongs together: a client that is never closed keeps sockets, goroutines and
//! buffers. Two leaks that only run under one dispatcher, or whose goroutines were started side by side, do not.

use super::culprit::{Owner, owner};
use crate::judge::judgement::{Culprit, Finding};
use crate::judge::terms::Kind;
use crate::vocabulary::frame::Frame;

/// Lines with less than this part of what the first one has say nothing of the finding as a whole.
const COUNTS: f64 = 0.5;
/// Goroutines with less than this part of the growth are not taken for those that hold what grows beside them.
const HOLDERS: f64 = 0.25;

/// The part of a stack that tells who made something: from the program's innermost own frame to where its goroutine
/// began. Empty where the program has no frame in it. Where a goroutine waits says nothing of who made it: that stack comes
/// first and is passed over where more is known.
fn maker(kind: Kind, stack: &[Frame], is_own: impl Fn(&Frame) -> bool) -> &[Frame] {
    let began = stack.iter().position(|frame| &*frame.function == "runtime.goexit");
    // Code of C has no lines: whoever called it made the thread.
    let is_made = stack.first().is_some_and(|first| first.line == 0);
    let waits = matches!(kind, Kind::Goroutine | Kind::Thread) && !is_made;
    let stack = match began.map(|began| &stack[began + 1..]) {
        Some(made) if waits && made.iter().any(&is_own) => made,
        _ => stack,
    };
    let Some(from) = stack.iter().position(is_own) else { return &[] };
    let length = stack[from..].iter().position(|frame| &*frame.function == "runtime.goexit");
    &stack[from..from + length.unwrap_or(stack.len() - from)]
}

/// One call of a function of the program's own made both. Where it called both at the same line and something else each
/// time, it runs what it is given, and has to do with neither.
fn is_one_creation(one: &[Frame], other: &[Frame], is_own: impl Fn(&Frame) -> bool) -> bool {
    let callee = |stack: &[Frame], at: usize| {
        at.checked_sub(1).and_then(|at| stack.get(at)).map(|frame| frame.function.clone())
    };
    // All of a program runs under its main function: only what that makes by itself belongs together.
    let counts = |at: usize, frame: &Frame| is_own(frame) && (at == 0 || &*frame.function != "main.main");
    one.iter().enumerate().filter(|(at, frame)| counts(*at, frame)).any(|(at, frame)| {
        let same = other.iter().enumerate().filter(|(_, it)| it.function == frame.function);
        same.filter(|(other_at, it)| counts(*other_at, it)).any(|(other_at, it)| {
            let (callee, other_callee) = (callee(one, at), callee(other, other_at));
            it.line != frame.line || callee.is_none() || other_callee.is_none() || callee == other_callee
        })
    })
}

/// What is known of whether two findings come from one creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Kinship {
    /// They do.
    Same,
    /// The program's own lines are known of both, and they do not.
    Apart,
    /// Of one of them the program's own line is not known.
    Unknown,
}

/// Compares the most likely lines of two findings.
pub(in crate::judge) fn kinship(one: &Finding, other: &Finding, module: Option<&str>) -> Kinship {
    let is_own = |frame: &Frame| owner(&frame.function, module) == Owner::Own;
    let makers = |finding: &Finding| -> Vec<Vec<Frame>> {
        let most = finding.culprits.first().map_or(0.0, |first| first.share);
        let counts = |culprit: &&Culprit| culprit.share >= COUNTS * most;
        let maker = |culprit: &Culprit| maker(finding.kind, &culprit.stack, is_own).to_vec();
        finding.culprits.iter().filter(counts).map(maker).filter(|maker| !maker.is_empty()).collect()
    };
    let (of_one, of_other) = (makers(one), makers(other));
    if of_one.iter().any(|one| of_other.iter().any(|other| is_one_creation(one, other, is_own))) {
        return Kinship::Same;
    }
    let is_known = |finding: &Finding, makers: &[Vec<Frame>]| {
        !makers.is_empty() && finding.culprits.first().is_some_and(|first| is_own(&first.frame))
    };
    if is_known(one, &of_one) && is_known(other, &of_other) { Kinship::Apart } else { Kinship::Unknown }
}

/// The function in which the effect is made is one that the cause's goroutines run, or that started them: they hold it.
/// One creation may start several goroutines, each of which makes something of its own.
pub(in crate::judge) fn is_made_within(effect: &Finding, cause: &Finding) -> bool {
    let Some(made_at) = effect.culprits.first() else { return false };
    let within = |culprit: &Culprit| {
        culprit
            .stack
            .iter()
            .any(|frame| frame.function == made_at.frame.function && &*frame.function != "main.main")
    };
    let counts = |(index, culprit): &(usize, &Culprit)| *index == 0 || culprit.share >= HOLDERS;
    cause.culprits.iter().enumerate().filter(counts).any(|(_, culprit)| within(culprit))
}

#[cfg(test)]
mod tests {
    use super::{Frame, Kinship, is_made_within, kinship};
    use crate::judge::judgement::{Culprit, Finding};
    use crate::judge::terms::Kind;
    use crate::judge::weigh::attribute::tests::found;

    /// A finding whose only culprit has this stack: `function:line`, innermost first; its line is the first own frame, or
    /// the first of all.
    fn finding(stack: &str) -> Finding {
        let frame = |text: &str| {
            let (function, line) = text.rsplit_once(':').unwrap();
            Frame::new(function, "/src/main.go", line.parse().unwrap())
        };
        let stack: Vec<Frame> = stack.split_whitespace().map(frame).collect();
        let line = stack.iter().find(|it| it.function.starts_with("main.")).unwrap_or(&stack[0]).clone();
        Finding {
            culprits: vec![Culprit { frame: line, share: 1.0, stack }],
            ..found(Kind::Fd, 1.0, 1.0, &["main.x"])
        }
    }

    #[test]
    fn what_one_call_makes_is_one_creation_and_what_is_dispatched_is_not() {
        for (what, one, other, expected) in [
            ("one line", "os.Open:1 main.open:5", "net.Dial:2 main.open:5", Kinship::Same),
            ("one function", "os.Open:1 main.open:5 main.main:9", "net.Dial:2 main.open:7", Kinship::Same),
            ("one calls the other", "os.Open:1 main.open:5 main.poll:8", "x.Y:1 main.poll:9", Kinship::Same),
            ("two calls of one", "main.open:5 main.poll:8", "main.buffer:3 main.poll:9", Kinship::Same),
            ("the same call", "main.open:5 main.poll:8", "main.open:6 main.poll:8", Kinship::Same),
            ("main alone", "main.open:5 main.main:8", "main.cache:3 main.main:9", Kinship::Apart),
            ("a loop in main", "net.Accept:2 main.main:8", "runtime.goexit:1 main.main:9", Kinship::Same),
            (
                "main, and what it calls",
                "net.Accept:2 main.main:8",
                "main.cache:3 main.main:9",
                Kinship::Apart,
            ),
            ("a dispatcher", "main.open:5 main.every:8", "main.cache:3 main.every:8", Kinship::Apart),
            (
                "goroutines side by side",
                "main.open:5 runtime.goexit:1 main.serve:8",
                "main.cache:3 runtime.goexit:1 main.serve:9",
                Kinship::Apart,
            ),
            (
                "by way of a goroutine of a library",
                "net.dial:1 runtime.goexit:1 http.Get:3 main.poll:8",
                "lib.run:1 runtime.goexit:1 http.Get:4 main.poll:8",
                Kinship::Same,
            ),
            ("a library's", "net.dial:1", "main.cache:3", Kinship::Unknown),
            ("the standard library's", "net.dial:1 runtime.goexit:1", "net.dial:1", Kinship::Unknown),
        ] {
            assert_eq!(kinship(&finding(one), &finding(other), None), expected, "{what}");
            assert_eq!(kinship(&finding(other), &finding(one), None), expected, "{what}, turned");
        }
    }

    #[test]
    fn goroutines_that_wait_at_one_line_are_told_apart_by_who_started_them() {
        let of = |kind, stack| Finding { kind, ..finding(stack) };
        let threads = of(Kind::Thread, "main.wait:84 runtime.goexit:1 main.hirePorter:71 main.every:45");
        let others = of(Kind::Goroutine, "main.wait:84 runtime.goexit:1 main.takeOrder:79 main.every:45");
        assert_eq!(kinship(&others, &threads, None), Kinship::Apart);
        let same = of(Kind::Goroutine, "main.wait:84 runtime.goexit:1 main.hirePorter:71 main.every:45");
        assert_eq!(kinship(&same, &threads, None), Kinship::Same);
        // C started it, for whoever called C.
        let by_c = of(Kind::Thread, "clone:0 runtime.cgocall:9 main.open:3 runtime.goexit:1 main.main:7");
        let socket = of(
            Kind::Connection,
            "socket:0 clone:0 runtime.cgocall:9 main.open:3 runtime.goexit:1 main.main:7",
        );
        assert_eq!(kinship(&by_c, &socket, None), Kinship::Same);
        // A line with a small part of the growth does not stand for it.
        let mut mostly_others = others.clone();
        let part = Culprit { share: 0.1, ..same.culprits[0].clone() };
        mostly_others.culprits.push(part);
        assert_eq!(kinship(&mostly_others, &threads, None), Kinship::Apart);
    }

    #[test]
    fn what_a_goroutine_makes_for_itself_is_made_within_it() {
        let goroutines = finding("runtime.gopark:1 bufio.Scan:2 lib.scan:86 lib.Writer:57 main.start:34");
        assert!(is_made_within(&finding("lib.scan:70"), &goroutines));
        assert!(is_made_within(&finding("main.start:33"), &goroutines));
        assert!(!is_made_within(&finding("main.cache:3 main.start:34"), &goroutines));
        assert!(!is_made_within(&finding("main.main:3"), &finding("main.main:4")));
        // Three goroutines of one creation: each counts, and one that is rare does not.
        let started_by = "runtime.goexit:1 lib.New:5 main.start:34";
        let of_three = |share| Finding {
            culprits: [("lib.read", 1.0), ("lib.decode", share)]
                .map(|(place, share)| Culprit {
                    share,
                    ..finding(&format!("runtime.gopark:1 {place}:8 {started_by}")).culprits[0].clone()
                })
                .into(),
            ..goroutines.clone()
        };
        assert!(is_made_within(&finding("lib.decode:9"), &of_three(0.33)));
        assert!(!is_made_within(&finding("lib.decode:9"), &of_three(0.1)));
    }
}
