use super::corroborate;
use crate::judge::judgement::{Culprit, Finding};
use crate::judge::terms::{Kind, Rate, Unit};
use crate::judge::weigh::evidence::{Evidence, Said};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::observed::pulls::{PulledProfile, PulledSite};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use std::time::{Duration, UNIX_EPOCH};

fn at(seconds: u64) -> Moment {
    Moment { since_boot: Duration::from_secs(seconds), wall: UNIX_EPOCH }
}

fn frames(text: &str) -> Vec<Frame> {
    let frame = |one: &str| {
        let (name, line) = one.split_once(':').unwrap_or((one, "0"));
        Frame::new(name, "main.go", line.parse().unwrap())
    };
    text.split_whitespace().map(frame).collect()
}

fn pulled(seconds: u64, sites: &[(&str, u64)]) -> PulledProfile {
    let sites: Vec<PulledSite> = sites
        .iter()
        .map(|(stack, value)| PulledSite { stack: frames(stack).into(), value: *value })
        .collect();
    let total = sites.iter().map(|site| site.value).sum();
    PulledProfile { at: at(seconds), sites, total, beyond: 0 }
}

fn seen(seconds: u64, sites: &[(&str, &str, u64)]) -> GoroutineCapture {
    let site = |(created_by, stack, count): &(&str, &str, u64)| GoroutineSite {
        started_by: Vec::new(),
        or_started_by: Vec::new(),
        parent_at: [].into(),
        created_by: frames(created_by).into(),
        stack: frames(stack).into(),
        wait_reason: None,
        count: *count,
        holding_threads: 0,
    };
    GoroutineCapture {
        at: at(seconds),
        runtime_nanos: 0,
        sites: sites.iter().map(site).collect(),
        members: Vec::new(),
        one_in: 1,
        total: sites.iter().map(|site| site.2).sum(),
        beyond: 0,
        without_stack: 0,
    }
}

fn finding(kind: Kind, line: Option<&str>) -> Finding {
    let culprit = |frame: Frame| Culprit { stack: vec![frame.clone()], frame, share: 1.0 };
    Finding {
        kind,
        primary: true,
        consequence_of: None,
        confidence: 0.8,
        rate: Rate { per_second: 10.0, low: 9.0, high: 11.0 },
        exhausts: None,
        detail: crate::judge::judgement::Detail::default(),
        culprits: line.into_iter().flat_map(frames).map(culprit).collect(),
        evidence: Vec::new(),
    }
}

fn told(mut finding: Finding, captures: &Captures) -> (f64, Vec<String>, Vec<Said>) {
    corroborate(std::slice::from_mut(&mut finding), captures);
    let said = finding.evidence.into_iter().filter_map(|evidence| match evidence {
        Evidence::Endpoint(said) => Some(said),
        _ => None,
    });
    let culprits = finding.culprits.iter().map(|culprit| culprit.frame.function.to_string());
    (finding.confidence, culprits.collect(), said.collect())
}

/// 1000 wait where `main.serve` put them, 30 elsewhere.
fn crowd(endpoint: u64) -> Captures {
    let mut captures = Captures::default();
    let waiting = "runtime.gopark:1 main.wait[...]:7 main.serve.func1:9 runtime.goexit:2";
    captures
        .goroutines
        .push(seen(100, &[("main.serve:12", waiting, 1000), ("main.main:3", "main.idle:5", 30)]));
    let told = "runtime.gopark:3 main.wait[go.shape.int]:7 main.serve.func1:9";
    captures.pulls.goroutines.push(pulled(80, &[(told, 800), ("main.idle:5", 30)]));
    captures.pulls.goroutines.push(pulled(101, &[(told, endpoint), ("main.idle:5", 30)]));
    captures
}

#[test]
fn goroutines_that_agree_make_surer_and_others_do_not() {
    let (confidence, _, said) = told(finding(Kind::Goroutine, Some("main.serve:12")), &crowd(1008));
    assert!(confidence > 0.89, "{confidence}");
    let holds = Said::Holds { outside: 1000, endpoint: 1008, unit: Unit::Goroutines, agrees: true };
    assert!(said.contains(&holds), "{said:?}");
    let grew = Said::Grew { before: 800, after: 1008, seconds: 21.0, unit: Unit::Goroutines };
    assert!(said.contains(&grew), "{said:?}");
    // The function is another one than the `go` statement's, and the endpoint cannot know that one.
    assert!(matches!(&said[0], Said::Line { frame, .. } if &*frame.function == "main.wait[go.shape.int]"));

    let (confidence, _, said) = told(finding(Kind::Goroutine, Some("main.serve:12")), &crowd(400));
    assert!(confidence < 0.7, "{confidence}");
    assert!(said.iter().any(|said| matches!(said, Said::Holds { agrees: false, endpoint: 400, .. })));
}

#[test]
fn a_leak_profile_only_adds() {
    let mut captures = crowd(1000);
    let without = told(finding(Kind::Goroutine, Some("main.serve:12")), &captures);
    captures.pulls.leaked = Some(pulled(101, &[("main.idle:5", 3)]));
    assert_eq!(told(finding(Kind::Goroutine, Some("main.serve:12")), &captures), without);
    captures.pulls.leaked = Some(pulled(101, &[("main.wait[go.shape.int]:7 main.serve.func1:9", 3)]));
    let (confidence, _, said) = told(finding(Kind::Goroutine, Some("main.serve:12")), &captures);
    assert_eq!(confidence, without.0);
    assert_eq!(said.last(), Some(&Said::Unreachable { count: 3 }));
}

#[test]
fn where_nothing_was_named_from_outside_the_endpoint_names_it() {
    let (confidence, culprits, _) = told(finding(Kind::Goroutine, None), &crowd(1000));
    assert_eq!(culprits, ["main.wait[go.shape.int]"]);
    assert!(confidence >= 0.8);
    let (confidence, culprits, said) =
        told(finding(Kind::Goroutine, Some("main.serve:12")), &Captures::default());
    assert_eq!((confidence, culprits.len(), said.len()), (0.8, 1, 0));
}

#[test]
fn heaps_are_compared_by_line() {
    let mib = 1 << 20;
    let mut captures = Captures::default();
    let site = HeapSite {
        stack: frames("main.fill:9 main.main:30").into(),
        objects: 7,
        bytes: 60 * mib,
        object_bytes: mib,
    };
    captures.heap.push(HeapCapture { at: at(100), sites: Ok(vec![site]), mapped_bytes: None });
    for (seconds, bytes) in [(50, 20 * mib), (100, 66 * mib)] {
        let sites = [("main.fill:9 main.main:30", bytes), ("main.other:4", 8 * mib)];
        captures.pulls.heap.push(pulled(seconds, &sites));
    }
    let (confidence, _, said) = told(finding(Kind::Heap, Some("main.fill:9")), &captures);
    assert!(confidence > 0.89);
    assert_eq!(
        said,
        [
            Said::Line { frame: frames("main.fill:9").remove(0), share: 1.0, is_known: true },
            Said::Holds { outside: 60 * mib, endpoint: 66 * mib, unit: Unit::Bytes, agrees: true },
            Said::Grew { before: 20 * mib, after: 66 * mib, seconds: 50.0, unit: Unit::Bytes },
        ]
    );
    let (confidence, _, said) = told(finding(Kind::Heap, Some("main.elsewhere:1")), &captures);
    assert!(said.iter().any(|said| matches!(said, Said::Line { is_known: false, .. })));
    // Neither has anything there: that is no disagreement.
    assert!(confidence > 0.8);
}

#[test]
fn connections_are_held_against_the_goroutines_that_sit_on_them() {
    let mut captures = Captures::default();
    let reading = "net.(*conn).Read:1 net/http.(*persistConn).readLoop:2";
    captures.pulls.goroutines.push(pulled(1, &[(reading, 101), ("net/http.(*conn).serve:5", 2)]));
    let mut connections = finding(Kind::Connection, None);
    connections.evidence.push(Evidence::Concentrated { share: 1.0, now: 100 });
    let (confidence, _, said) = told(connections.clone(), &captures);
    assert_eq!(said, [Said::HttpConnections { client: 101, server: 2 }]);
    assert!(confidence > 0.89);
    connections.evidence = vec![Evidence::Concentrated { share: 1.0, now: 500 }];
    assert_eq!(told(connections, &captures).0, 0.8);
}
