use super::{AT_ONCE, Admission, Claim, IN_ALL, Terms};
use crate::vocabulary::process::ProcessId;
use std::time::Duration;

const QUICK: Duration = Duration::from_millis(2);

fn id(pid: i32) -> ProcessId {
    ProcessId { pid, start_ticks: 7 }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000 + seconds)
}

/// One process with so many events per second that is watched for so long: at which seconds its ledgers were read, and
/// when its term ended.
fn lived(events_per_second: u64, claim: impl Fn(u64) -> Claim, seconds: u64) -> (Vec<u64>, Option<u64>) {
    let mut terms = Terms::default();
    terms.begin(id(1), false, claim(0), at(0));
    terms.note_scan(id(1), 0, QUICK, at(0));
    let mut read = Vec::new();
    for second in (5..=seconds).step_by(5) {
        for due in terms.due(at(second)) {
            read.push(second);
            terms.note_scan(due, events_per_second * second, QUICK, at(second));
        }
        terms.note_claim(id(1), claim(second), at(second));
        if terms.over(at(second)).contains(&id(1)) {
            return (read, Some(second));
        }
    }
    (read, None)
}

#[test]
fn who_has_many_events_is_watched_for_a_minute_and_who_has_few_for_hours() {
    let (read, ended) = lived(5_000, |_| Claim::Rises, 3_600);
    assert_eq!((read, ended), (vec![30, 60], Some(60)));
    let (read, ended) = lived(1, |_| Claim::Rises, 24 * 3_600);
    assert_eq!(ended, None);
    assert!(read.len() < 130, "ever more seldom: {}", read.len());
    let gaps: Vec<u64> = read.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1] + 5), "{gaps:?}");
    assert_eq!(gaps.last(), Some(&900));
    let recent = read.windows(2).all(|pair| pair[1] - pair[0] <= 30.max(pair[1] / 4 + 5));
    assert!(recent, "none is old against what it covers: {read:?}");
}

#[test]
fn who_is_acquitted_is_let_go_and_who_was_for_a_moment_only_is_not() {
    let acquitted = lived(1, |second| if second < 600 { Claim::Rises } else { Claim::Nothing }, 3_600);
    assert_eq!(acquitted.1, Some(900));
    let now_and_then = |second| if second % 200 < 100 { Claim::Rises } else { Claim::Nothing };
    assert_eq!(lived(1, now_and_then, 7_200).1, None);
}

#[test]
fn who_is_busy_and_about_to_reach_a_limit_is_not_let_go() {
    assert_eq!(lived(5_000, |_| Claim::Urgent, 600).1, None);
}

#[test]
fn reading_that_takes_long_comes_seldom() {
    let mut terms = Terms::default();
    terms.begin(id(1), false, Claim::Rises, at(0));
    terms.note_scan(id(1), 0, QUICK, at(0));
    terms.note_scan(id(1), 60, Duration::from_millis(200), at(30));
    terms.note_scan(id(1), 120, Duration::from_millis(200), at(61));
    assert_eq!(terms.due(at(200)), []);
    assert_eq!(terms.due(at(262)), [id(1)]);
}

/// So many processes, each beyond its first minute, for each of which this claim speaks.
fn crowd(count: i32, claim: Claim) -> Terms {
    let mut terms = Terms::default();
    for pid in 1..=count {
        terms.begin(id(pid), false, claim, at(0));
        terms.note_scan(id(pid), 0, QUICK, at(0));
        terms.note_scan(id(pid), 30, QUICK, at(60));
    }
    terms
}

#[test]
fn few_begin_at_once_and_many_stay() {
    let mut terms = Terms::default();
    let admitted = |terms: &Terms, now| {
        (1..=100).filter(|pid| terms.admit(id(*pid), Claim::Rises, now) == Admission::Room).count()
    };
    for pid in 1..=100 {
        if terms.admit(id(pid), Claim::Rises, at(0)) == Admission::Room {
            terms.begin(id(pid), false, Claim::Rises, at(0));
        }
    }
    assert_eq!(terms.kept().0, AT_ONCE);
    assert_eq!(terms.admit(id(99), Claim::Urgent, at(1)), Admission::Room, "who cannot wait does not");
    assert_eq!(admitted(&terms, at(30)), 0);
    assert_eq!(admitted(&terms, at(60)), 100 - AT_ONCE);
    let full = crowd(i32::try_from(IN_ALL).unwrap(), Claim::Rises);
    assert!(full.over(at(120)).is_empty(), "all of the slow ones stay");
}

#[test]
fn a_better_claim_takes_the_place_of_a_worse_one() {
    let full = crowd(i32::try_from(IN_ALL).unwrap(), Claim::Rises);
    assert_eq!(full.admit(id(99), Claim::Rises, at(120)), Admission::Refused);
    assert_eq!(full.admit(id(99), Claim::Suspected, at(120)), Admission::InsteadOf(id(1)));
    assert_eq!(full.admit(id(99), Claim::Rises, at(1_000)), Admission::InsteadOf(id(1)), "by turns");
    let proven = crowd(i32::try_from(IN_ALL).unwrap(), Claim::Suspected);
    assert_eq!(proven.admit(id(99), Claim::Rises, at(9_000)), Admission::Refused);
    assert_eq!(proven.admit(id(1), Claim::Leaks, at(9_000)), Admission::Refused, "is watched already");
}

#[test]
fn whose_term_has_ended_waits_unless_more_speaks_for_it() {
    let mut terms = crowd(1, Claim::Rises);
    terms.end(id(1), at(100));
    assert_eq!(terms.admit(id(1), Claim::Rises, at(200)), Admission::Refused);
    assert_eq!(terms.admit(id(1), Claim::Suspected, at(200)), Admission::Room);
    assert_eq!(terms.admit(id(1), Claim::Rises, at(401)), Admission::Room);
    terms.forget(id(1));
    assert_eq!(terms.admit(id(1), Claim::Rises, at(200)), Admission::Room);
}

#[test]
fn all_together_cost_no_more_than_a_bound_and_the_best_claims_stay() {
    let mut terms = Terms::default();
    for pid in 1..=40 {
        let claim = if pid > 35 { Claim::Suspected } else { Claim::Rises };
        terms.begin(id(pid), false, claim, at(0));
        terms.note_scan(id(pid), 0, QUICK, at(0));
        terms.note_scan(id(pid), 100 * 60, QUICK, at(60));
    }
    let over = terms.over(at(61));
    assert_eq!(over.len(), 20);
    assert!(over.iter().all(|id| id.pid <= 35), "{over:?}");
}
