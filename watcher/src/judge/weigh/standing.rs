//! Whether more than a window's totals stands behind a finding.

use crate::judge::horizons::ladder::Ladder;
use crate::judge::judgement::Finding;
use crate::judge::weigh::evidence::{Evidence, Hold};

/// Of those that came so many must have been seen for their staying to say something.
const LEAST_CAME: u64 = 10;

/// The shortest horizon is an hour, and tells only what it found several times in a row.
const HORIZONS_TAKE_SECONDS: f64 = 2.0 * 3600.0;
/// So sure a finding by totals has to be where nobody can wait for more.
const SURE_ENOUGH: f64 = 0.8;

/// Whether places in the program, or the horizons, stand behind a finding. What totals of one window show alone may be
/// load that rises; but a limit that is reached before a horizon could tell does not care what fills it.
pub fn stands(finding: &Finding, ladder: &Ladder) -> bool {
    finding.evidence.iter().any(speaks_of_places)
        || ladder.alarms().any(|alarm| alarm.kind == finding.kind)
        || cannot_wait(finding)
}

/// Even at the slowest pace that is plausible the process has come to its end by then.
fn cannot_wait(finding: &Finding) -> bool {
    let Some(exhausts) = finding.exhausts.filter(|it| it.beyond.is_none()) else { return false };
    let soon = exhausts.high_seconds.is_some_and(|seconds| seconds <= HORIZONS_TAKE_SECONDS);
    soon && finding.confidence >= SURE_ENOUGH
}

/// What comes as seldom as this, in things per second, is told ...
const SELDOM_PER_SECOND: f64 = 0.15;
/// ... once it was watched for so many seconds: sessions of some minutes fill up as evenly as a leak grows.
const SELDOM_SECONDS: f64 = 300.0;

/// Whether so many that came in so many seconds were watched for longer than such things may live.
fn is_long_enough(came: u64, seconds: f64) -> bool {
    seconds >= SELDOM_SECONDS || came as f64 >= SELDOM_PER_SECOND * seconds
}

/// Whether it says what became of things that single places created. Every kind of evidence has its own answer, so
/// that a new one does not speak before somebody has thought about it.
fn speaks_of_places(evidence: &Evidence) -> bool {
    match evidence {
        // Totals, in other words.
        Evidence::Rose { .. }
        | Evidence::Quarters { .. }
        | Evidence::Share { .. }
        | Evidence::Steps { .. }
        | Evidence::Stairs { .. }
        | Evidence::Collections { .. }
        | Evidence::Concentrated { .. }
        | Evidence::WithoutStack { .. }
        | Evidence::ThreadStacks { .. }
        | Evidence::Since { .. } => false,
        // What is in use is not lost.
        Evidence::InUse { .. } => false,
        // A bounded set that is not yet full looks the same.
        Evidence::OneByOne { .. } | Evidence::SameFile { .. } => false,
        // Two looks at what is in use: of which line it is, and not whether it stays.
        Evidence::SittingOn { .. }
        | Evidence::BothEnds { .. }
        | Evidence::WithoutCompanions { .. }
        | Evidence::SeveralAskers { .. }
        | Evidence::ParentNow { .. }
        | Evidence::InGoroutinesOf { .. }
        | Evidence::Allocated { .. }
        | Evidence::LargeObjects { .. } => false,
        // An endpoint names and confirms, it never decides alone.
        Evidence::Endpoint(_) => false,
        Evidence::Origin { grown, came, stayed, seconds, .. } => {
            *came >= LEAST_CAME && 2 * stayed >= *came && is_long_enough(*grown, *seconds)
        }
        Evidence::Survivors { here, seconds, .. } => is_long_enough(here.created, *seconds),
        // Who is locked to its thread holds it until the lock is given back; calls go on and return.
        Evidence::HoldingThreads { hold, .. } => *hold == Hold::Locked,
        Evidence::Stuck { .. }
        | Evidence::ClosedByCollector { .. }
        | Evidence::Mapped { .. }
        | Evidence::Lives { .. }
        | Evidence::DeadAndHeld { .. }
        | Evidence::Retained { .. }
        | Evidence::Stayed { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{speaks_of_places, stands};
    use crate::judge::horizons::ladder::Ladder;
    use crate::judge::judge;
    use crate::judge::judgement::{Detail, Finding, Judgement};
    use crate::judge::simulation::{PROCESS, moment, sample, window};
    use crate::judge::terms::{Bounds, Exhaustion, Kind, LimitName, Rate, Thresholds};
    use crate::judge::weigh::evidence::{Begin, Created, Evidence, Hold, Said};
    use crate::observed::heap::{HeapCapture, HeapSite};
    use crate::store::Window;
    use crate::vocabulary::frame::Frame;

    #[test]
    fn who_came_and_went_again_is_no_evidence() {
        let origin = |came, stayed| Evidence::Origin {
            grown: 40,
            share: 1.0,
            seconds: 60.0,
            came,
            stayed,
            wait: None,
        };
        assert!(speaks_of_places(&origin(20, 20)));
        assert!(!speaks_of_places(&origin(20, 5)));
        assert!(!speaks_of_places(&origin(0, 0)), "nothing was captured in between");
    }

    #[test]
    fn what_comes_seldom_is_told_after_some_minutes() {
        let here = |created| Created { created, ended: 0, longest_seconds: None };
        let survivors = |created, seconds| Evidence::Survivors {
            here: here(created),
            elsewhere: Created::default(),
            seconds,
            keeping_stacks: 1,
        };
        assert!(!speaks_of_places(&survivors(14, 200.0)));
        assert!(speaks_of_places(&survivors(21, 310.0)));
        assert!(speaks_of_places(&survivors(40, 200.0)));
    }

    #[test]
    fn each_kind_of_evidence_speaks_of_places_or_of_totals() {
        let holding = |hold| Evidence::HoldingThreads { grown: 20, threads: 20, hold };
        let totals = [
            Evidence::Rose { from: 0.0, to: 40.0, seconds: 45.0, samples: 46 },
            Evidence::Quarters { rises: [10.0; 4] },
            Evidence::Share { of_descriptors: 1.0, readings: 9 },
            Evidence::Steps { up: 30, down: 0 },
            Evidence::Stairs { steps: 4, from: 1.0, to: 9.0 },
            Evidence::Collections { cycles: 9, from: 1.0, to: 9.0 },
            Evidence::Concentrated { share: 1.0, now: 40 },
            Evidence::WithoutStack { count: 9 },
            Evidence::ThreadStacks { count: 40, seconds: 45.0 },
            Evidence::Since { seconds: 60.0, begin: Begin::ProcessStart },
            Evidence::Since { seconds: 60.0, begin: Begin::Watched },
            Evidence::Since { seconds: 60.0, begin: Begin::NoEarlier },
            Evidence::SittingOn { goroutines: 40, function: "main.serve".into() },
            Evidence::SeveralAskers { lines: 2 },
            Evidence::WithoutCompanions { in_all_per_second: 14.0 },
            Evidence::BothEnds { port: 80, dialled: 40, accepted: 40, by_client: true },
            Evidence::Allocated { bytes: 1 << 24, objects: 9, share: 1.0, seconds: 40.0 },
            Evidence::LargeObjects { objects: 9, object_bytes: 1 << 20 },
            Evidence::Endpoint(Said::Unreachable { count: 40 }),
            Evidence::Endpoint(Said::HttpConnections { client: 40, server: 0 }),
            holding(Hold::SystemCall),
            holding(Hold::C),
        ];
        for evidence in totals {
            assert!(!speaks_of_places(&evidence), "{evidence:?}");
        }
        let created = Created { created: 40, ended: 0, longest_seconds: None };
        let places = [
            holding(Hold::Locked),
            Evidence::Stuck {
                count: 600,
                total: 620,
                seconds: 60.0,
                wait: None,
                may_be_idle: false,
                for_ever: false,
            },
            Evidence::Survivors {
                here: created,
                elsewhere: Created::default(),
                seconds: 45.0,
                keeping_stacks: 1,
            },
            Evidence::ClosedByCollector { collections: 2, count: 30 },
            Evidence::Mapped { bytes: 1 << 24, mappings: 9, seconds: 45.0, by_c: true },
            Evidence::Lives { rising: 4, lives: 4, typical_seconds: 9_000.0 },
            Evidence::Retained { bytes: 1 << 24, objects: 9, share: 1.0, seconds: 45.0 },
        ];
        for evidence in places {
            assert!(speaks_of_places(&evidence), "{evidence:?}");
        }
    }

    #[test]
    fn an_hour_of_rising_totals_in_an_old_process_is_not_told() {
        let mut hour = Window::new(PROCESS, 512);
        for beat in 0..=360_u32 {
            let mut now = crate::judge::simulation::Beat::default();
            now.files += u64::from(beat);
            assert!(hour.push(sample(f64::from(beat) * 10.0, &now)));
        }
        let bounds = Bounds { age_seconds: Some(10.0 * 86_400.0), ..Bounds::default() };
        let judgement = judge(&hour, &bounds, &Thresholds::default());
        let [finding] = &judgement.findings[..] else { panic!("it grows: {judgement:?}") };
        let since = |it: &Evidence| matches!(it, Evidence::Since { .. });
        assert!(finding.evidence.iter().any(since), "{:?}", finding.evidence);
        assert!(!stands(finding, &Ladder::default()), "{:?}", finding.evidence);
    }

    #[test]
    fn lines_of_the_heap_profile_alone_are_not_told() {
        let rises = window(|second, beat| {
            let marked_bytes = (20 + second as u64) << 20;
            let heap = crate::observed::go_counters::HeapCounters {
                marked_bytes: Some(marked_bytes),
                live_bytes: marked_bytes,
                in_use_bytes: 2 * marked_bytes,
                ..Default::default()
            };
            beat.anon_bytes = 2 * marked_bytes;
            beat.runtime = Some(crate::observed::go_counters::GoCounters {
                goroutines: Some(8),
                heap: Some(heap),
                gc_cycles: Some(second as u64),
            });
        });
        let mut rises = rises;
        for (second, objects) in [(0.0, 1), (45.0, 40)] {
            let stack = [Frame::new("main.remember", "/src/main.go", 7)].into();
            let site = HeapSite { stack, objects, bytes: objects << 20, object_bytes: 1 << 20 };
            let capture = HeapCapture { at: moment(second), sites: Ok(vec![site]), mapped_bytes: None };
            rises.captures_mut().heap.push(capture);
        }
        let judgement: Judgement = judge(&rises, &Bounds::default(), &Thresholds::default());
        let [finding] = &judgement.findings[..] else { panic!("it grows: {judgement:?}") };
        let named = |it: &Evidence| matches!(it, Evidence::Allocated { .. });
        assert!(finding.evidence.iter().any(named), "{:?}", finding.evidence);
        assert!(!stands(finding, &Ladder::default()), "{:?}", finding.evidence);
        let kept = Evidence::Retained { bytes: 1 << 24, objects: 16, share: 1.0, seconds: 45.0 };
        let by_spans = Finding { evidence: vec![kept], ..accused() };
        assert!(stands(&by_spans, &Ladder::default()));
    }

    #[test]
    fn what_ends_before_a_horizon_could_tell_is_told_by_totals() {
        let ends_in = |seconds: f64, confidence| {
            let exhausts = Exhaustion {
                limit: LimitName::OpenFiles,
                limit_value: 1024,
                in_seconds: seconds,
                low_seconds: 0.9 * seconds,
                high_seconds: Some(1.1 * seconds),
                beyond: None,
            };
            let finding = Finding { exhausts: Some(exhausts), confidence, ..accused() };
            stands(&finding, &Ladder::default())
        };
        assert!(ends_in(1_200.0, 0.85));
        assert!(!ends_in(1_200.0, 0.6));
        assert!(!ends_in(86_400.0, 0.95));
    }

    fn accused() -> Finding {
        Finding {
            kind: Kind::Heap,
            primary: true,
            consequence_of: None,
            confidence: 0.8,
            rate: Rate { per_second: 1e6, low: 1e6, high: 1e6 },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        }
    }
}
