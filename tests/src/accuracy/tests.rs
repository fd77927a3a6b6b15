use super::plan::{Flavour, Wanted, subjects};
use super::report::Report;
use super::tally::{Tally, calibration, goals, median};
use super::{Failure, Measured, Run, Stated, Subject};
use crate::corpus::expect::{About, Objection};
use crate::corpus::rows;
use crate::program::Style;
use crate::toolchain::Toolchain;
use expect_test::expect;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

static OLD: Toolchain = Toolchain { minor: 21, version: String::new(), go: PathBuf::new() };
static NEW: Toolchain = Toolchain { minor: 27, version: String::new(), go: PathBuf::new() };

fn subject(name: &str, style: Style, toolchain: &'static Toolchain) -> Subject {
    let row = rows().find(|row| row.name() == name).unwrap();
    Subject { row, style, toolchain, flavour: Flavour::Stripped }
}

fn run(subject: &Subject, verdict: &str, objections: &[About]) -> Run {
    let objection = |about: &About| Objection { about: *about, sentence: format!("it is about {about:?}") };
    Run {
        subject: *subject,
        verdict: verdict.to_owned(),
        objections: objections.iter().map(objection).collect(),
        rank: None,
        findings: Vec::new(),
        unexplained: Some(0.01),
        detected_after_seconds: None,
        accused_on_the_way: false,
        busy: Some(0.5),
        looks: 1.0,
        saved: "x.json".into(),
    }
}

fn leak(verdict: &str, objections: &[About]) -> Run {
    run(&subject("tickets", Style::Round, &NEW), verdict, objections)
}

fn innocent(verdict: &str, objections: &[About]) -> Run {
    run(&subject("tickets", Style::Square, &NEW), verdict, objections)
}

#[test]
fn each_wrong_answer_costs_what_it_is_about() {
    let of = |run: Run| Tally::of([&run]);
    let leaking = |run: Run| {
        let tally = of(run);
        [
            tally.seen,
            tally.right_kind,
            tally.right_line,
            tally.right_details,
            tally.all_right,
            tally.undecided_leaks,
        ]
    };
    assert_eq!(leaking(leak("leak", &[])), [1, 1, 1, 1, 1, 0]);
    assert_eq!(leaking(leak("leak", &[About::Detail])), [1, 1, 1, 0, 0, 0]);
    assert_eq!(leaking(leak("leak", &[About::Line])), [1, 1, 0, 1, 0, 0]);
    assert_eq!(leaking(leak("leak", &[About::Kind])), [1, 0, 0, 0, 0, 0]);
    assert_eq!(leaking(leak("healthy", &[About::Missed])), [0, 0, 0, 0, 0, 0]);
    assert_eq!(leaking(leak("inconclusive", &[About::Undecided])), [0, 0, 0, 0, 0, 1]);
    let acquitted = |run: Run| {
        let tally = of(run);
        [tally.leaks, tally.innocents, tally.acquitted, tally.false_alarms, tally.undecided_innocents]
    };
    assert_eq!(acquitted(innocent("healthy", &[])), [0, 1, 1, 0, 0]);
    assert_eq!(acquitted(innocent("healthy", &[About::Detail])), [0, 1, 0, 0, 0]);
    assert_eq!(acquitted(innocent("leak", &[About::FalseAlarm])), [0, 1, 0, 1, 0]);
    assert_eq!(acquitted(innocent("inconclusive", &[About::Undecided])), [0, 1, 0, 0, 1]);
}

#[test]
fn the_first_culprit_and_the_time_until_it_was_told_are_counted() {
    let at = |rank, seconds| Run { rank, detected_after_seconds: seconds, ..leak("leak", &[]) };
    let runs = [at(Some(0), Some(9.0)), at(Some(1), Some(30.0)), at(Some(0), None), at(None, Some(12.0))];
    let tally = Tally::of(&runs);
    assert_eq!((tally.first_line, tally.detected, tally.detected_median_seconds), (2, 3, Some(12.0)));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(Vec::new()), None);
}

/// The goals that these runs miss, by their first words.
fn missed(runs: &[Run]) -> Vec<&'static str> {
    let goals = goals(&Tally::of(runs)).into_iter().filter(|goal| !goal.is_met);
    goals.map(|goal| goal.goal.split(',').next().unwrap_or_default()).collect()
}

#[test]
fn a_goal_is_missed_by_one_answer_too_many() {
    const KIND: &str = "right kind as the cause in 100 % of the leaks";
    const LINES: &str = "right lines among the first three culprits in 95 % of the leaks";
    const DETAILS: &str = "rate";
    const HEALTHY: &str = "95 % of the innocents healthy";
    const MEMORY: &str = "at most 2 % of memory unexplained in all";
    let among = |right: usize, good: Run, wrong: Run| {
        let mut runs = vec![good; right];
        runs.push(wrong);
        missed(&runs)
    };
    let leaks = |right, wrong: &[About]| among(right, leak("leak", &[]), leak("leak", wrong));
    assert!(leaks(19, &[About::Line]).is_empty());
    assert_eq!(leaks(18, &[About::Line]), [LINES]);
    assert!(leaks(19, &[About::Detail]).is_empty());
    assert_eq!(leaks(18, &[About::Detail]), [DETAILS]);
    assert_eq!(leaks(99, &[About::Kind]), [KIND]);
    let innocents = |right, verdict: &str, wrong: &[About]| {
        among(right, innocent("healthy", &[]), innocent(verdict, wrong))
    };
    assert_eq!(innocents(99, "leak", &[About::FalseAlarm]), ["no false alarm"]);
    assert!(innocents(19, "inconclusive", &[About::Undecided]).is_empty());
    assert_eq!(innocents(18, "inconclusive", &[About::Undecided]), [HEALTHY]);
    assert_eq!(innocents(18, "healthy", &[About::Detail]), [HEALTHY]);
    let memory = |unexplained| missed(&[Run { unexplained, ..leak("leak", &[]) }]);
    assert!(memory(Some(0.02)).is_empty());
    assert_eq!(memory(Some(0.021)), [MEMORY]);
    // Not known is not explained.
    assert_eq!(memory(None), [MEMORY]);
}

#[test]
fn who_is_sure_is_right_nine_times_in_ten() {
    let stating = |right: usize, wrong: Stated| {
        let mut findings = vec![Stated { confidence: 0.9, is_right: true }; right];
        findings.push(wrong);
        missed(&[Run { findings, ..leak("leak", &[]) }])
    };
    assert!(stating(9, Stated { confidence: 0.97, is_right: false }).is_empty());
    assert_eq!(
        stating(8, Stated { confidence: 0.97, is_right: false }),
        ["of the findings stated with 0.9 or more 90 % right"]
    );
    // Who says to doubt may be wrong.
    assert!(stating(0, Stated { confidence: 0.89, is_right: false }).is_empty());
}

#[test]
fn findings_are_counted_where_their_confidence_lies() {
    let stated = |confidence, is_right| Stated { confidence, is_right };
    let bins = calibration([
        stated(0.49, false),
        stated(0.5, true),
        stated(0.69, false),
        stated(0.7, true),
        stated(0.8, false),
        stated(0.9, true),
        stated(0.9, false),
        stated(1.0, true),
    ]);
    let counted = bins.map(|bin| (bin.findings, bin.right));
    assert_eq!(counted, [(1, 0), (2, 1), (1, 1), (1, 0), (3, 2)]);
}

#[test]
fn each_subject_is_asked_once_and_a_short_round_asks_of_each_kind() {
    let wanted = |filter: Option<&str>, short| Wanted {
        filter: filter.map(str::to_owned),
        toolchains: vec![&OLD, &NEW],
        flavours: vec![Flavour::Stripped, Flavour::Endpoint],
        short,
    };
    let all = subjects(&wanted(None, false));
    let names: BTreeSet<String> = all.iter().map(Subject::name).collect();
    assert_eq!(names.len(), all.len());
    assert_eq!(all.len(), 4 * rows().map(|row| row.styles().len()).sum::<usize>());
    let kinds: BTreeSet<&str> = rows().map(|row| row.about()).collect();
    let short = subjects(&wanted(None, true));
    assert!(short.iter().map(|subject| subject.row.about()).collect::<BTreeSet<_>>() == kinds);
    assert_eq!(short.len(), 4 * (2 * kinds.len() - 1));
    assert!(subjects(&wanted(Some("heap"), false)).iter().all(|subject| subject.row.kind == "heap"));
    assert!(subjects(&wanted(Some("nothing of that name"), false)).is_empty());
}

#[test]
fn a_report_says_what_was_missed() {
    let measured = Measured {
        runs: vec![
            Run {
                rank: Some(0),
                findings: vec![Stated { confidence: 0.97, is_right: true }],
                detected_after_seconds: Some(12.0),
                ..leak("leak", &[])
            },
            run(&subject("ingest", Style::Round, &OLD), "leak", &[About::Line, About::Detail]),
            Run {
                unexplained: Some(0.043),
                accused_on_the_way: true,
                looks: 0.5,
                ..innocent("leak", &[About::FalseAlarm])
            },
        ],
        failures: vec![Failure {
            subject: subject("ledger", Style::Square, &NEW),
            why: "it ended early".to_owned(),
        }],
        discarded: vec![leak("leak", &[]), leak("inconclusive", &[About::Undecided])],
    };
    let report = Report::of(&measured, Duration::from_secs(45), 8, 2);
    assert!(!report.is_good());
    expect![[r#"
        3 programs, each watched for 45 s, 8 at once on 2 cores. The machine was busy 50 % of a window's time in the median, 50 % at most.
        It was too busy for the agent to look every second 2 times, and those programs were asked again: 1 of the answers that were discarded were wrong. 1 answers below are still of such a time.

                    |                         leaking                          |             innocent              |   told after   |memory explained 
                    |number  seen    kind  line ≤3  line 1      all  undecided | number  accused  on way  undecid. |  median     of |   ≥98 %    worst
        by kind
          fd        |     1     1       1        0       0        0          0 |      0        0       0         0 |       -      0 |       1    1.0 %
          goroutine |     1     1       1        1       1        1          0 |      1        1       1         0 |    12 s      1 |       1    4.3 %
        by Go
          1.21      |     1     1       1        0       0        0          0 |      0        0       0         0 |       -      0 |       1    1.0 %
          1.27      |     1     1       1        1       1        1          0 |      1        1       1         0 |    12 s      1 |       1    4.3 %
        by build
          stripped  |     2     2       2        1       1        1          0 |      1        1       1         0 |    12 s      1 |       2    4.3 %
          all       |     2     2       2        1       1        1          0 |      1        1       1         0 |    12 s      1 |       2    4.3 %

        Recall 100.0 %: 2 of 2 leaks named.
        Precision 66.7 %: 2 of 3 accusations right.

        How sure the findings say to be, and how often they are right
          0.0 to 0.5      0 findings     0 right        -
          0.5 to 0.7      0 findings     0 right        -
          0.7 to 0.8      0 findings     0 right        -
          0.8 to 0.9      0 findings     0 right        -
          0.9 to 1.0      1 findings     1 right  100.0 %

        Wrong
          ingest-kept-go1.21-stripped: it is about Line [x.json]
          tickets-given-back-go1.27-stripped: it is about FalseAlarm [x.json]
          tickets-given-back-go1.27-stripped: 4.3 % of its memory is unexplained [x.json]

        Right, but for a detail
          ingest-kept-go1.21-stripped: it is about Detail [x.json]

        Wrong where nobody had time to look, and asked again
          tickets-kept-go1.27-stripped: it is about Undecided [x.json]

        Not measured
          ledger-given-back-go1.27-stripped: it ended early

        Goals
          met     stripped    right kind as the cause in 100 % of the leaks: 2 of 2
          MISSED  stripped    right lines among the first three culprits in 95 % of the leaks: 1 of 2
          MISSED  stripped    rate, state, peer, limit and consequences right in 95 % of the leaks: 1 of 2
          MISSED  stripped    no false alarm: 1 of 1
          MISSED  stripped    95 % of the innocents healthy, and for the right reason: 0 of 1
          met     stripped    of the findings stated with 0.9 or more 90 % right: 1 of 1
          MISSED  stripped    at most 2 % of memory unexplained in all: 2 of 3
    "#]].assert_eq(&report.text());
    let good = Measured { runs: vec![leak("leak", &[])], ..Measured::default() };
    assert!(Report::of(&good, Duration::from_secs(45), 8, 2).is_good());
    assert!(!Report::of(&Measured::default(), Duration::from_secs(45), 8, 2).is_good());
}

#[test]
fn the_json_keeps_its_shape() {
    let measured = Measured { runs: vec![leak("leak", &[About::Line])], ..Measured::default() };
    let json = Report::of(&measured, Duration::from_secs(45), 8, 2).json().unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], "watcher.accuracy/1");
    expect!["all by_flavour by_go by_kind calibration circumstances discarded goals misses not_measured runs schema"]
        .assert_eq(&keys(&json));
    for (of, keys_of) in [
        (
            "circumstances",
            expect!["asked_again at_once cores discarded_wrong median_busy most_busy starved window_seconds"],
        ),
        (
            "all",
            expect![
                "accused_on_the_way acquitted all_right detected detected_median_seconds explained false_alarms first_line innocents leaks memories most_unexplained right_details right_kind right_line seen sure sure_right undecided_innocents undecided_leaks"
            ],
        ),
        ("goals", expect!["flavour goals"]),
        ("calibration", expect!["findings from right to"]),
        ("misses", expect!["diagnosis is_detail said subject"]),
        (
            "runs",
            expect![
                "accused_on_the_way busy detected_after_seconds flavour go is_right keeps kind looks program rank situations subject unexplained verdict"
            ],
        ),
    ] {
        keys_of.assert_eq(&keys(json[of].get(0).unwrap_or(&json[of])));
    }
}

fn keys(object: &Value) -> String {
    object.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}
