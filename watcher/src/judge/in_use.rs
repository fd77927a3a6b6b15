//! Connections that still carry data: a crowd of clients that arrive, a pool that fills. Whoever uses them has not lost
//! them, however evenly they come.
//!
//! What is lost was used last when it came, so that its idle times reach back as far as the growth does.

use super::{Evidence, Finding, Kind, Suspected, few};
use crate::sample::ages::Group;
use crate::socket::SocketState;
use crate::store::Window;

/// What carried data within this part of the window is in use ...
const PART: f64 = 1.0 / 6.0;
/// ... or within so many seconds, where the window is long.
const AT_MOST_SECONDS: f64 = 30.0;
/// Ages that were taken longer before the window's end than this say nothing of it, in seconds.
const FRESH_SECONDS: f64 = 90.0;
/// Those that came are in use where so few in proportion are idle ...
const IDLE: f64 = 0.25;
/// ... and so many are not.
const USED: f64 = 0.5;

/// Makes a suspicion of sockets that grow and are in use, and of what follows from them.
pub(super) fn withdraw(findings: &mut Vec<Finding>, suspected: &mut Vec<Suspected>, window: &Window) {
    let Some(used) = findings.iter().find(|it| it.kind == Kind::Connection).and_then(|it| of(it, window))
    else {
        return;
    };
    let goes = |it: &Finding| it.kind == Kind::Connection || it.consequence_of == Some(Kind::Connection);
    for mut finding in findings.extract_if(.., |it| goes(it)) {
        finding.confidence = finding.confidence.min(few::CONFIDENCE);
        finding.consequence_of = None;
        if finding.kind == Kind::Connection {
            finding.evidence.insert(0, used.clone());
        }
        suspected.push(Suspected { finding, need_seconds: None });
    }
}

/// That so many of them are in use, where nearly all that came are.
fn of(finding: &Finding, window: &Window) -> Option<Evidence> {
    if finding.detail.state.is_some_and(|state| state != SocketState::Established) {
        return None;
    }
    let ages = window.captures().ages.last()?;
    let newest = window.latest()?.at;
    if newest.seconds_since(&ages.at) > FRESH_SECONDS {
        return None;
    }
    let within_seconds = (PART * window.seconds()).min(AT_MOST_SECONDS);
    let came = finding.rate.per_second * window.seconds();
    let (mut used, mut idle) = (0.0, 0.0);
    for cohort in ages.cohorts.iter().filter(|it| matches!(it.group, Group::Sockets { .. })) {
        let members = cohort.members.len();
        let is_used = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds <= within_seconds);
        let of_it = cohort.members.iter().filter(|it| it.dead_seconds.is_none() && is_used(it.idle_seconds));
        let share = of_it.count() as f64 / members.max(1) as f64;
        used += share * cohort.count as f64;
        idle += (1.0 - share) * cohort.count as f64;
    }
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a part of a count")]
    let count = used.round() as u64;
    (used >= USED * came && idle < IDLE * came).then_some(Evidence::InUse { count, within_seconds })
}

#[cfg(test)]
mod tests {
    use super::withdraw;
    use crate::judge::simulation::{moment, window};
    use crate::judge::{Bounds, Evidence, Kind, Thresholds, Verdict, judge};
    use crate::sample::ages::{Ages, Cohort, Group, Member, Unread};
    use crate::sample::connections::Role;
    use crate::socket::{Family, Transport};
    use crate::store::Window;

    /// Two sockets a second, one of which was used last when it came and so many of the others just now.
    fn arriving(idle_seconds: impl Fn(f64) -> f64) -> Window {
        let mut window = window(|second, beat| beat.established += 2 * second as u64);
        let member = |number: u64| {
            let age = 0.5 * number as f64;
            Member {
                number,
                age_seconds: None,
                error_seconds: 0.0,
                idle_seconds: Some(idle_seconds(age)),
                dead_seconds: None,
            }
        };
        let group = Group::Sockets {
            family: Family::Inet,
            transport: Transport::Tcp,
            role: Role::Accepted,
            port: 8080,
            path: String::new(),
        };
        let members: Vec<Member> = (1..=90).map(member).collect();
        let cohort =
            Cohort { group, count: 90, dated: 0, state: None, peer: None, peers: 1, never_used: 0, members };
        window.captures_mut().ages.push(Ages {
            at: moment(45.0),
            process_seconds: 3_600.0,
            cohorts: vec![cohort],
            single: 0,
            beyond: 0,
            unread: Unread::default(),
        });
        window
    }

    #[test]
    fn clients_that_arrive_and_talk_are_no_leak_and_those_that_fell_silent_are() {
        let judged = |window: &Window| judge(window, &Bounds::default(), &Thresholds::default());
        let silent = judged(&arriving(|age| age));
        assert_eq!(silent.verdict, Verdict::Leak);
        assert_eq!(silent.findings.first().map(|it| it.kind), Some(Kind::Connection));
        let talk = judged(&arriving(|age| age.min(3.0)));
        assert_eq!(talk.verdict, Verdict::Inconclusive, "{:?}", talk.findings);
        let of_sockets = talk.suspected.iter().find(|it| it.finding.kind == Kind::Connection);
        let evidence = of_sockets.map(|it| &it.finding.evidence[..]).unwrap_or_default();
        assert!(matches!(evidence.first(), Some(Evidence::InUse { count: 90, .. })), "{evidence:?}");
    }

    #[test]
    fn a_leak_beside_many_that_talk_is_one() {
        let window = arriving(|age| if age < 23.0 { age } else { 1.0 });
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        assert_eq!(judgement.verdict, Verdict::Leak);
        let (mut none, mut suspected) = (Vec::new(), Vec::new());
        withdraw(&mut none, &mut suspected, &window);
        assert!(suspected.is_empty());
    }
}
