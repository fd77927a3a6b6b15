//! Findings in sentences.

use super::words::{count, counted, duration, percent, quantity, range, rate};
use super::{Kind, endpoint, glance, since, survivors, time_left};
use crate::explain::diagnosis::{Exhaustion, Finding, Suspected};
use crate::explain::names::{family_name, growing, peer_name, state_name, type_name};
use crate::judge;
use crate::judge::judgement::Finding as Judged;
use crate::judge::terms::Unit;
use crate::judge::weigh::evidence::Evidence;

pub(super) fn explain(judged: &Judged) -> Finding {
    let exhausts = judged.exhausts.map(|exhaustion| Exhaustion {
        limit: time_left::limit_name(exhaustion.limit),
        in_seconds: exhaustion.in_seconds,
        low_seconds: exhaustion.low_seconds,
        high_seconds: exhaustion.high_seconds,
    });
    Finding {
        kind: judged.kind,
        primary: judged.primary,
        consequence_of: judged.consequence_of,
        confidence: judged.confidence,
        rate_per_second: judged.rate.per_second,
        time_left: judged.exhausts.as_ref().map(time_left::sentence),
        exhausts,
        state: judged.detail.state.map(state_name),
        peer: judged.detail.peer.as_ref().map(peer_name),
        descriptor_type: judged.detail.descriptor_type.map(type_name),
        family: judged.detail.family.map(family_name),
        culprits: judged.culprits.clone(),
        headline: headline(judged),
        evidence: evidence(judged),
    }
}

pub(super) fn suspected(judged: &judge::judgement::Suspected) -> Suspected {
    let mut finding = explain(&judged.finding);
    let few = survivors::few(&judged.finding);
    let says_why = few.is_some();
    finding.headline = few.unwrap_or(finding.headline);
    Suspected { finding, need_seconds: judged.need_seconds, says_why }
}

/// A sentence for each piece of evidence; what is said of the totals' course is one.
fn evidence(judged: &Judged) -> Vec<String> {
    let mut sentences = Vec::new();
    for evidence in &judged.evidence {
        match evidence {
            Evidence::Rose { from, to, seconds, samples } => {
                sentences.push(course(judged, (*from, *to), *seconds, *samples));
            }
            Evidence::Steps { .. } | Evidence::Quarters { .. } => {}
            other => sentences.push(sentence(other, judged)),
        }
    }
    sentences
}

/// "From 45 to 360 in 45 s (45 samples): it never fell, and it rose in each quarter of that time, by 70 to 80."
fn course(judged: &Judged, (from, to): (f64, f64), seconds: f64, samples: usize) -> String {
    let unit = judged.kind.unit();
    let mut how = Vec::new();
    for evidence in &judged.evidence {
        match evidence {
            Evidence::Quarters { rises } => {
                let low = rises.iter().copied().fold(f64::INFINITY, f64::min);
                let high = rises.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                how.push(format!("it rose in each quarter of that time, by {}", range(low, high, unit)));
            }
            Evidence::Steps { down: 0, .. } => how.insert(0, "it never fell".to_owned()),
            Evidence::Steps { up, down } => how
                .insert(0, format!("{} up and {} down", counted(*up, "step", "steps"), count(*down as f64))),
            _ => {}
        }
    }
    let how = if how.is_empty() { String::new() } else { format!(": {}", how.join(", and ")) };
    format!(
        "From {} to {} in {} ({}){how}.",
        quantity(from, unit),
        quantity(to, unit),
        duration(seconds),
        counted(samples, "sample", "samples")
    )
}

/// What grows and how fast; what has stopped growing, and how much of it there is.
fn headline(judged: &Judged) -> String {
    let stuck = judged.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Stuck { count, .. } => Some(*count),
        _ => None,
    });
    if let Some(headline) = glance::headline(judged) {
        return headline;
    }
    let comes_back = judged.evidence.iter().any(|it| matches!(it, Evidence::ClosedByCollector { .. }));
    match stuck {
        None if comes_back => format!(
            "{} grow by {} until a garbage collection closes them",
            growing(judged.kind, &judged.detail),
            rate(judged.rate.per_second, judged.kind.unit())
        ),
        Some(stuck) => {
            format!("{} goroutines are stuck at one line; their number no longer grows", count(stuck as f64))
        }
        None => format!(
            "{} grow by {}",
            growing(judged.kind, &judged.detail),
            rate(judged.rate.per_second, judged.kind.unit())
        ),
    }
}

fn sentence(evidence: &Evidence, judged: &Judged) -> String {
    match *evidence {
        // These three are one sentence, see [`course`].
        Evidence::Rose { .. } | Evidence::Steps { .. } | Evidence::Quarters { .. } => String::new(),
        Evidence::Share { readings: 0, .. } => {
            "All open descriptors together grow; what they are could not be read.".to_owned()
        }
        Evidence::Share { of_descriptors, readings } => format!(
            "They are {} of the growth of all open descriptors, by {} of what these are.",
            percent(of_descriptors),
            counted(readings, "reading", "readings")
        ),
        Evidence::Origin { grown, share, seconds, came, stayed, ref wait } => {
            let wait = wait.as_deref().map(|wait| format!("; most of them {}", waiting(wait)));
            let cohort = match came {
                0 => String::new(),
                came => format!(
                    " Of {} that came in the first half of that time, {} are still there.",
                    count(came as f64),
                    if stayed == came { "all".to_owned() } else { count(stayed as f64) }
                ),
            };
            format!(
                "{} of the growth comes from one `go` statement: {} more goroutines in {}{}.{cohort}",
                percent(share),
                count(grown as f64),
                duration(seconds),
                wait.unwrap_or_default()
            )
        }
        Evidence::Stuck { count: stuck, total, seconds, ref wait, may_be_idle, for_ever } => {
            let wait = wait.as_deref().map_or("wait", waiting);
            let mut text = format!(
                "{} of {} goroutines {wait}, the same ones as {} before",
                count(stuck as f64),
                count(total as f64),
                duration(seconds)
            );
            text += if for_ever {
                "; nothing can ever end that."
            } else {
                ", and by the runtime's own notes none of them has run meanwhile."
            };
            if may_be_idle {
                text += " Workers of a pool that had nothing to do for all that time would look the same.";
            }
            text
        }
        Evidence::Allocated { bytes, objects, share, seconds } => format!(
            "{} of what came to stay was allocated at one line: {} more than {} before, in {}, estimated from samples.",
            percent(share),
            quantity(bytes as f64, Unit::Bytes),
            duration(seconds),
            match objects {
                0 => "as many objects, but larger ones".to_owned(),
                1 => "1 more object".to_owned(),
                more => format!("{} more objects", count(more as f64)),
            }
        ),
        Evidence::Collections { cycles, from, to } => format!(
            "{} found {} live at first and {} at last.",
            counted(cycles, "collection", "collections"),
            quantity(from, Unit::Bytes),
            quantity(to, Unit::Bytes)
        ),
        Evidence::Endpoint(ref said) => endpoint::sentence(said),
        Evidence::Concentrated { share, now } if judged.kind == Kind::Goroutine => format!(
            "{} of all goroutines come from one `go` statement, {} of them when they were looked at.",
            percent(share),
            count(now as f64)
        ),
        Evidence::Concentrated { share, now } => {
            let what = match (judged.detail.state, judged.detail.descriptor_type) {
                (Some(state), _) => format!("in {}", state_name(state)),
                (None, Some(kind)) => format!("of type {}", type_name(kind)),
                (None, None) => "in one group".to_owned(),
            };
            format!("{} of the growth is {what}, where there are {} now.", percent(share), count(now as f64))
        }
        Evidence::InUse { count: used, within_seconds } => format!(
            "{} of the open ones carried data within the last {}: they are in use, and no leak while they are.",
            count(used as f64),
            duration(within_seconds)
        ),
        Evidence::Stayed { count: stayed, seconds } => {
            format!("{}.", survivors::stayed(judged.kind, stayed, seconds))
        }
        Evidence::SeveralAskers { lines } => format!(
            "One goroutine calls the library at {lines} lines that start such goroutines. Which of them started those that \
             stay was not seen."
        ),
        Evidence::ParentNow { ref line, count: number } => format!(
            "{} of them were started, directly or through others, by a goroutine that is now at {} ({}:{}). Where it was \
             then was not seen.",
            count(number as f64),
            line.function,
            line.file,
            line.line
        ),
        Evidence::InGoroutinesOf { ref start, count: number } => format!(
            "It is allocated in goroutines that run {start}; {} of them are here that the named line asked for.",
            count(number as f64)
        ),
        Evidence::WithoutCompanions { in_all_per_second } => format!(
            "All goroutines together grow by {}: the others come with other leaks.",
            rate(in_all_per_second, Unit::Goroutines)
        ),
        Evidence::Since { seconds, begin } => since::sentence(seconds, begin),
        Evidence::OneByOne { .. } | Evidence::SameFile { .. } | Evidence::DeadAndHeld { .. } => {
            glance::sentence(evidence, judged)
        }
        Evidence::Lives { rising, lives, typical_seconds } => since::lives(rising, lives, typical_seconds),
        Evidence::Survivors { .. }
        | Evidence::WithoutStack { .. }
        | Evidence::ClosedByCollector { .. }
        | Evidence::SittingOn { .. }
        | Evidence::BothEnds { .. }
        | Evidence::Mapped { .. }
        | Evidence::ThreadStacks { .. }
        | Evidence::HoldingThreads { .. }
        | Evidence::LargeObjects { .. }
        | Evidence::Stairs { .. }
        | Evidence::Retained { .. } => survivors::sentence(evidence, judged.kind),
    }
}

/// What a goroutine does, from the runtime's words for it (`waitReasonStrings`, `runtime/runtime2.go`).
pub(super) fn waiting(reason: &str) -> &str {
    match reason {
        "chan receive" => "wait to receive from a channel",
        "chan send" => "wait to send on a channel",
        "chan receive (nil chan)" => "wait to receive from a nil channel",
        "chan send (nil chan)" => "wait to send on a nil channel",
        "select" => "wait in a select",
        "select (no cases)" => "wait in a select without cases",
        "sleep" => "sleep",
        "IO wait" => "wait for the network or a file",
        "semacquire" => "wait for a lock or a WaitGroup",
        "sync.Mutex.Lock" => "wait for a mutex",
        "sync.RWMutex.Lock" | "sync.RWMutex.RLock" => "wait for a read-write mutex",
        "sync.WaitGroup.Wait" => "wait for a WaitGroup",
        "sync.Cond.Wait" => "wait for a condition",
        _ => "wait",
    }
}
