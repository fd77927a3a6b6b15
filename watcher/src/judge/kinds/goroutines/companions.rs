//! Goroutines that another leak brings with it: a connection has its reader, a thread the goroutine that is locked to it.
//! What grows beside them is a leak of its own, and its rate is what is left without them.

use super::{Origin, origins};
use crate::judge::judgement::{Culprit, Finding};
use crate::judge::kinds::goroutines::lines::is_own;
use crate::judge::terms::Kind;
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::kin::{Kinship, kinship};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;

/// Less than this part of the growth is not worth a word.
const LEAST: f64 = 0.05;
/// More than this part is most of it: then goroutines do not leak by themselves, and the relations of kinds say so.
const MOST: f64 = 0.5;

/// So many goroutines for each socket, as counted at two moments.
const AS_MANY: f64 = 1.2;

/// Takes from the growth of goroutines what comes with another leak, where they leak by themselves.
pub(in crate::judge) fn take_out(findings: &mut [Finding], captures: &Captures) {
    let Some((first, last)) = captures.goroutines.ends() else { return };
    let module = captures.main_module.as_deref();
    let leaks_by_itself =
        |it: &Finding| it.kind == Kind::Goroutine && it.consequence_of.is_none() && it.rate.per_second > 0.0;
    let Some(index) = findings.iter().position(leaks_by_itself) else { return };
    let bring = |kind| matches!(kind, Kind::Child | Kind::Connection | Kind::Fd | Kind::Thread);
    let origins = origins(Some(first), last);
    let all: u64 = origins.iter().map(Origin::grown).sum();
    let comes_with = |origin: &Origin| {
        if sits_on_sockets(origin, findings, last.at.seconds_since(&first.at)) {
            return true;
        }
        let probe = probe(&findings[index], origin, module);
        let others = findings.iter().filter(|other| bring(other.kind));
        others.into_iter().any(|other| kinship(&probe, other, module) == Kinship::Same)
    };
    let others: Vec<&Origin> = origins.iter().skip(1).filter(|origin| comes_with(origin)).collect();
    let grown: u64 = others.iter().map(|origin| origin.grown()).sum();
    let part = grown as f64 / all.max(1) as f64;
    if !(LEAST..=MOST).contains(&part) {
        return;
    }
    let is_theirs = |culprit: &Culprit| {
        others.iter().any(|origin| {
            let created_by = origin.created_by.first();
            created_by.is_some_and(|frame| culprit.stack.contains(frame))
        })
    };
    let finding = &mut findings[index];
    let in_all = finding.rate.per_second;
    finding.culprits.retain(|culprit| !is_theirs(culprit));
    for culprit in &mut finding.culprits {
        culprit.share = (culprit.share / (1.0 - part)).min(1.0);
    }
    for rate in [&mut finding.rate.per_second, &mut finding.rate.low, &mut finding.rate.high] {
        *rate *= 1.0 - part;
    }
    finding.evidence.push(Evidence::WithoutCompanions { in_all_per_second: in_all });
}

/// They wait for the network, and are no more than the sockets that come: each connection has its reader, also where only
/// the other end of it was put down to a line.
fn sits_on_sockets(origin: &Origin, findings: &[Finding], seconds: f64) -> bool {
    let waits = origin.fullest.and_then(|site| site.wait_reason.as_deref()) == Some("IO wait");
    let sockets: f64 =
        findings.iter().filter(|it| it.kind == Kind::Connection).map(|it| it.rate.per_second).sum();
    waits && origin.grown() as f64 <= AS_MANY * sockets * seconds
}

/// A finding that has the stack of this origin alone.
fn probe(like: &Finding, origin: &Origin, module: Option<&str>) -> Finding {
    let site = origin.fullest;
    let asked_by = site.iter().flat_map(|site| &site.started_by).flat_map(|stack| stack.iter());
    let waits_at = site.map(|site| &*site.stack).unwrap_or_default();
    let stack: Vec<Frame> = waits_at.iter().chain(origin.created_by).chain(asked_by).cloned().collect();
    let line = stack.iter().find(|frame| is_own(frame, module)).or(stack.first()).cloned();
    let culprits =
        line.into_iter().map(|frame| Culprit { frame, share: 1.0, stack: stack.clone() }).collect();
    Finding { culprits, ..like.clone() }
}

#[cfg(test)]
mod tests {
    use super::take_out;
    use crate::judge::judgement::Finding;
    use crate::judge::kinds::goroutines::tests::{CONNECTIONS, HANDLER, LIBRARY, crowd, judged, watched};
    use crate::judge::terms::Kind;
    use crate::judge::weigh::attribute::tests::found;
    use crate::judge::weigh::evidence::Evidence;

    /// Ten a second of one line; two more a second at a place of a library that `main.poll` asked for.
    fn beside(others: u64, other: Kind) -> (Finding, Finding) {
        let mut window = watched(
            |second| 20 + (10 + others) * second as u64,
            |second| {
                let second = second as u64;
                vec![
                    (HANDLER, crowd(1_000, 10 * second, None)),
                    (LIBRARY, crowd(90_000, others * second, None)),
                    (CONNECTIONS, crowd(1, 20, None)),
                ]
            },
        );
        let mut last = window.captures().goroutines.last().unwrap().clone();
        let asked = found(Kind::Fd, 1.0, 1.0, &["github.com/a/log.New", "main.poll"]);
        for site in
            last.sites.iter_mut().filter(|site| &*site.created_by[0].function == "github.com/a/log.New")
        {
            site.started_by = vec![asked.culprits[0].stack.clone().into()];
        }
        window.captures_mut().goroutines.push(last);
        let goroutines = judged(&window).findings.into_iter().find(|it| it.kind == Kind::Goroutine).unwrap();
        let mut findings = [goroutines, found(other, 2.0, 1.0, &["main.poll", "main.main"])];
        take_out(&mut findings, window.captures());
        findings.into()
    }

    #[test]
    fn goroutines_that_come_with_another_leak_are_left_out_of_the_rate() {
        let (goroutines, _) = beside(2, Kind::Connection);
        assert!((goroutines.rate.per_second - 10.0).abs() < 0.2, "{:?}", goroutines.rate);
        assert_eq!(&*goroutines.culprits[0].frame.function, "main.handle");
        assert!(goroutines.culprits[0].share > 0.99, "{:?}", goroutines.culprits);
        assert!(goroutines.culprits.iter().all(|it| !it.frame.function.starts_with("github.com")));
        let told = |it: &Evidence| matches!(it, Evidence::WithoutCompanions { in_all_per_second } if (in_all_per_second - 12.0).abs() < 0.2);
        assert!(goroutines.evidence.iter().any(told), "{:?}", goroutines.evidence);
    }

    #[test]
    fn readers_of_sockets_are_left_out_whoever_opened_them() {
        for (sockets, expected) in [(2.0, 10.0), (0.5, 12.0)] {
            let window = watched(
                |second| 20 + 12 * second as u64,
                |second| {
                    let second = second as u64;
                    vec![
                        (HANDLER, crowd(1_000, 10 * second, None)),
                        (CONNECTIONS, crowd(90_000, 2 * second, None)),
                    ]
                },
            );
            let goroutines =
                judged(&window).findings.into_iter().find(|it| it.kind == Kind::Goroutine).unwrap();
            let mut findings =
                [goroutines, found(Kind::Connection, sockets, 1.0, &["main.poll", "main.main"])];
            take_out(&mut findings, window.captures());
            assert!(
                (findings[0].rate.per_second - expected).abs() < 0.2,
                "{sockets}: {:?}",
                findings[0].rate
            );
        }
    }

    #[test]
    fn nothing_is_left_out_where_it_is_most_of_it_or_no_such_leak() {
        for (others, kind) in [(30, Kind::Connection), (2, Kind::Heap), (0, Kind::Connection)] {
            let (goroutines, _) = beside(others, kind);
            let expected = (10 + others) as f64;
            assert!(
                (goroutines.rate.per_second - expected).abs() < 0.2,
                "{others} {kind:?}: {:?}",
                goroutines.rate
            );
        }
    }
}
