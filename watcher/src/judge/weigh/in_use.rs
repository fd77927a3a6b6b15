//! Connections that still carry data: a crowd of clients that arrive, a pool that fills. Whoever uses them has not lost
//! them, however evenly they come.
//!
//! What is lost was used last when it came, so that its idle times reach back as far as the growth does.

use super::few;
use crate::judge::judgement::{Finding, Suspected};
use crate::judge::terms::Kind;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::ages::{Ages, Group, Member};
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::SocketState;
use std::ops::RangeInclusive;

/// What carried data within this part of the window is in use ...
const PART: f64 = 1.0 / 6.0;
/// ... or within so many seconds, where the window is long.
const AT_MOST_SECONDS: f64 = 30.0;
/// Connections of a pool rest between two requests. What is lost was used last when it came, so that its idle times reach
/// over the whole window; where none reaches farther than this part of it, or these seconds, they are rests ...
const RESTS: f64 = 0.4;
const REST_AT_MOST_SECONDS: f64 = 120.0;
/// ... of all but a few.
const IDLE_OF_RESTING: f64 = 0.07;
/// Ages that were taken longer before the window's end than this say nothing of it, in seconds.
const FRESH_SECONDS: f64 = 90.0;
/// Those that came are in use where so few in proportion are idle ...
const IDLE: f64 = 0.25;
/// ... and so many are not.
const USED: f64 = 0.5;

/// Used again is what rests for no more than this part of its life.
const AGAIN: f64 = 0.7;
/// Who is so many times as old as the longest rest should have been used again,
const LONGER: f64 = 1.5;
/// ... and so many of those were; of so many at least.
const NEARLY_ALL: f64 = 0.9;
const LEAST_OLD: usize = 6;

/// Goroutines of a connection: half of one where both ends are here, two of a client's transport.
const GOROUTINES_EACH: RangeInclusive<f64> = 0.25..=2.5;
/// Descriptors of pipes that `io.Copy` keeps for a connection (`internal/poll/splice_linux.go`).
const PIPES_EACH: RangeInclusive<f64> = 0.5..=5.0;
/// Whoever serves a connection in use waits for its data, or for the time of the next message.
const WAITS: [&str; 2] = ["IO wait", "sleep"];

/// Makes a suspicion of sockets that grow and are in use, and of what comes with them.
pub(in crate::judge) fn withdraw(
    findings: &mut Vec<Finding>,
    suspected: &mut Vec<Suspected>,
    window: &Window,
) {
    let others = suspected.iter().map(|it| &it.finding);
    let sockets = findings.iter().chain(others).find(|it| it.kind == Kind::Connection);
    let Some((per_second, used)) = sockets.and_then(|it| Some((it.rate.per_second, of(it, window)?))) else {
        return;
    };
    let mut withdrawn = vec![Kind::Connection];
    let goes = |it: &Finding, withdrawn: &[Kind]| {
        it.kind == Kind::Connection
            || it.consequence_of.is_some_and(|cause| withdrawn.contains(&cause))
            || comes_with(it, per_second)
    };
    while let Some(index) = findings.iter().position(|it| goes(it, &withdrawn)) {
        let mut finding = findings.remove(index);
        finding.confidence = finding.confidence.min(few::CONFIDENCE);
        finding.consequence_of = None;
        withdrawn.push(finding.kind);
        suspected.push(Suspected { finding, need_seconds: None });
    }
    for one in suspected.iter_mut().filter(|it| it.finding.kind == Kind::Connection) {
        one.finding.evidence.insert(0, used.clone());
    }
}

/// Goroutines and pipes that come as the sockets do, and wait for what these bring.
fn comes_with(finding: &Finding, sockets_per_second: f64) -> bool {
    let each = finding.rate.per_second / sockets_per_second;
    match finding.kind {
        Kind::Goroutine => {
            let waits = |it: &Evidence| matches!(it, Evidence::Origin { wait: Some(wait), .. } if WAITS.contains(&&**wait));
            GOROUTINES_EACH.contains(&each) && finding.evidence.iter().any(waits)
        }
        Kind::Fd => {
            finding.detail.descriptor_type == Some(DescriptorType::Pipe) && PIPES_EACH.contains(&each)
        }
        _ => false,
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
    let came = finding.rate.per_second * window.seconds();
    let talk = (PART * window.seconds()).min(AT_MOST_SECONDS);
    let rest = (RESTS * window.seconds()).min(REST_AT_MOST_SECONDS);
    [(talk, IDLE), (rest, IDLE_OF_RESTING)].into_iter().find_map(|(within_seconds, most_idle)| {
        let (used, idle) = used_and_idle(ages, within_seconds);
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a part of a count")]
        let count = used.round() as u64;
        (used >= USED * came && idle < most_idle * came).then_some(Evidence::InUse { count, within_seconds })
    })
}

/// Sockets that carried data within so many seconds, or are taken in turn, and those that did not.
fn used_and_idle(ages: &Ages, within_seconds: f64) -> (f64, f64) {
    let (mut used, mut idle) = (0.0, 0.0);
    for cohort in ages.cohorts.iter().filter(|it| matches!(it.group, Group::Sockets { .. })) {
        let members = cohort.members.len();
        let rests = taken_in_turn(&cohort.members);
        let is_used = |it: &&Member| {
            let in_time = it.idle_seconds.is_some_and(|seconds| seconds <= within_seconds);
            it.dead_seconds.is_none() && (rests || in_time)
        };
        let share = cohort.members.iter().filter(is_used).count() as f64 / members.max(1) as f64;
        used += share * cohort.count as f64;
        idle += (1.0 - share) * cohort.count as f64;
    }
    (used, idle)
}

/// Whether these are used again and again, with rests between: of those that are older than a rest takes nearly all were
/// used long after they came. What is used for a while and then lost is not: the older ones rest for nearly all of their
/// lives.
fn taken_in_turn(members: &[Member]) -> bool {
    let lives = || {
        let live = members.iter().filter(|it| it.dead_seconds.is_none());
        live.filter_map(|it| Some((it.age_seconds?, it.idle_seconds?)))
    };
    let is_again = |(age, idle): &(f64, f64)| *idle <= AGAIN * age;
    let rest = lives().filter(is_again).map(|(_, idle)| idle).fold(0.0, f64::max);
    let old: Vec<(f64, f64)> = lives().filter(|(age, _)| *age > LONGER * rest).collect();
    let again = old.iter().filter(|it| is_again(it)).count();
    old.len() >= LEAST_OLD && old.len() * 4 >= members.len() && again as f64 >= NEARLY_ALL * old.len() as f64
}

#[cfg(test)]
mod tests {
    use super::comes_with;
    use crate::judge::judge;
    use crate::judge::judgement::Finding;
    use crate::judge::simulation::{moment, window};
    use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
    use crate::judge::weigh::evidence::Evidence;
    use crate::observed::ages::{Ages, Cohort, Group, Member, Unread};
    use crate::observed::connections::Role;
    use crate::store::Window;
    use crate::vocabulary::socket::{Family, Transport};

    /// Two sockets a second, one of which was used last when it came and so many of the others just now.
    fn arriving(idle_seconds: impl Fn(f64) -> f64) -> Window {
        of_age(|_| None, idle_seconds)
    }

    /// The same where something tells their ages.
    fn of_age(known: fn(f64) -> Option<f64>, idle_seconds: impl Fn(f64) -> f64) -> Window {
        let mut window = window(|second, beat| beat.established += 2 * second as u64);
        let member = |number: u64| {
            let age = 0.5 * number as f64;
            Member {
                number,
                age_seconds: known(age),
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
    fn what_serves_them_comes_with_them_and_what_waits_for_a_channel_does_not() {
        let judgement = judge(&arriving(|age| age.min(3.0)), &Bounds::default(), &Thresholds::default());
        let sockets = judgement.suspected.iter().find(|it| it.finding.kind == Kind::Connection);
        let sockets = sockets.map(|it| it.finding.clone()).expect("they are suspected");
        let goroutines = |wait: &str| {
            let origin = Evidence::Origin {
                grown: 90,
                share: 1.0,
                seconds: 45.0,
                came: 45,
                stayed: 45,
                wait: Some(wait.into()),
            };
            Finding { kind: Kind::Goroutine, evidence: vec![origin], ..sockets.clone() }
        };
        assert!(comes_with(&goroutines("IO wait"), sockets.rate.per_second));
        assert!(!comes_with(&goroutines("chan receive"), sockets.rate.per_second));
        assert!(
            !comes_with(&goroutines("IO wait"), 20.0 * sockets.rate.per_second),
            "far fewer than sockets"
        );
    }

    #[test]
    fn a_pool_whose_connections_rest_for_long_is_in_use_and_what_was_used_for_a_while_is_lost() {
        let judged = |window: &Window| judge(window, &Bounds::default(), &Thresholds::default());
        // Taken in turn, every 16 s; and every 22 s, where their ages are known.
        for pool in [arriving(|age| age % 16.0), of_age(Some, |age| age % 22.0)] {
            let judgement = judged(&pool);
            assert_eq!(judgement.findings, [], "{judgement:?}");
        }
        // Used for six seconds each, and then no more.
        for lost in [arriving(|age| (age - 6.0).max(0.0)), of_age(Some, |age| (age - 6.0).max(0.0))] {
            assert_eq!(judged(&lost).verdict, Verdict::Leak);
        }
    }

    #[test]
    fn a_leak_beside_many_that_talk_is_one() {
        let window = arriving(|age| if age < 23.0 { age } else { 1.0 });
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        assert_eq!(judgement.verdict, Verdict::Leak);
    }
}
