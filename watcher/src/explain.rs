//! Puts a [`Judgement`] into words: what, how fast, how we know, what was ruled out, what cannot be seen, what to
//! do next.
//!
//! Plain sentences and plain values. Nothing here knows terminals or JSON; [`crate::report`] knows nothing else.

mod advice;
pub mod diagnosis;
mod ended;
mod endpoint;
mod finding;
mod glance;
mod levels;
mod memory;
pub mod names;
mod since;
mod story;
mod survivors;
mod time_left;
mod unnoticed;
mod unseen;
mod verdicts;
pub mod words;

pub use crate::judge::judgement::{Culprit, Reading};
pub use crate::judge::terms::{Kind, LimitName, Unit, Verdict};
pub use crate::observed::ledger::{Accounts, Route};
pub use crate::observed::pulls::{EndpointUse, PullCost};
pub use crate::vocabulary::frame::Frame;
pub use ended::{at_the_end, explain_ended, filling};
pub use levels::{Holder, Level};
pub use memory::{MemoryBalance, Part, anatomy};

use crate::judge::judgement::{Judgement, Lacking};
use crate::judge::weigh::gaps::{Gap, What};
use crate::vocabulary::process::Target;
pub use diagnosis::{
    Diagnosis, Ended, Exhaustion, Finding, Life, Process, RuledOut, Story, Suspected, Undecided, Unseen,
};

/// Explains a judgement. `unseen` is what the caller knows to be missing for every process.
pub fn explain(judgement: &Judgement, target: &Target, unseen: &[Unseen]) -> Diagnosis {
    let findings: Vec<Finding> = judgement.findings.iter().map(finding::explain).collect();
    let suspected: Vec<Suspected> = judgement.suspected.iter().map(finding::suspected).collect();
    let ruled_out = judgement.steady.iter().map(verdicts::ruled_out).collect();
    let undecided: Vec<Undecided> = judgement.undecided.iter().map(verdicts::undecided).collect();
    let knows_why = judgement.lacking.iter().any(|one| matches!(one, Lacking::Runtime { .. }));
    let mut missing: Vec<Unseen> = judgement
        .gaps
        .iter()
        .filter(|gap| gap.what != What::Runtime || (target.go.is_some() && !knows_why && is_unread(gap)))
        .map(unseen::of_gap)
        .collect();
    // Of one that could not be read nobody knows what it is.
    if target.go.is_none() && !knows_why {
        missing.push(unseen::not_go(target));
    }
    missing.extend(unseen.iter().cloned());
    missing.extend(judgement.lacking.iter().map(unseen::of_capture));
    missing.extend(judgement.endpoint.iter().flat_map(endpoint::unseen));
    let levels: Vec<Level> =
        judgement.levels.iter().map(|level| levels::explain(level, target.id.pid)).collect();
    let mut next_steps = verdicts::next_steps(judgement, target.id.pid);
    if judgement.verdict != Verdict::Leak {
        let near = levels.iter().filter(|level| level.is_near);
        next_steps.splice(0..0, near.map(|level| level.advice.clone()));
    }
    Diagnosis {
        process: process(target, judgement),
        window_seconds: judgement.window_seconds,
        samples: judgement.samples,
        verdict: judgement.verdict,
        headline: levels::headline(
            judgement.verdict,
            verdicts::headline(judgement, &findings, &suspected),
            &levels,
        ),
        need_seconds: verdicts::waiting_time(judgement).filter(|_| judgement.findings.is_empty()),
        next_steps,
        findings,
        suspected,
        ruled_out,
        readings: judgement.readings.clone(),
        undecided,
        memory: memory_of(judgement),
        endpoint: judgement.endpoint.clone(),
        unnoticed: unnoticed::sentence(judgement),
        unseen: missing,
        story: judgement.story.as_ref().map(story::explain),
        ended: None,
        levels,
    }
}

/// The runtime is attached to after the first samples: what lacks those alone was seen.
fn is_unread(gap: &Gap) -> bool {
    gap.denied > 0 || gap.failed > 0 || gap.unsupported * 10 > gap.samples
}

/// By what was measured mapping by mapping, or else by totals.
fn memory_of(judgement: &Judgement) -> Option<MemoryBalance> {
    let by_totals = || {
        let memory = judgement.memory.as_ref()?;
        Some(memory::balance(memory, judgement.runtime.as_ref(), judgement.mapped_bytes))
    };
    judgement.anatomy.as_ref().map(anatomy).or_else(by_totals)
}

fn process(target: &Target, judgement: &Judgement) -> Process {
    Process {
        pid: target.id.pid,
        name: target.name.clone(),
        started: target.started,
        sampled: judgement.sampled.map(|moment| moment.wall),
        exe: target.exe.clone(),
        go_version: target.go.as_ref().map(|go| go.version.clone()),
        module: target.go.as_ref().and_then(|go| go.module_path()).map(str::to_owned),
        container: target.container.clone(),
        restarts: target.lineage.restarts,
    }
}

#[cfg(test)]
pub(crate) mod tests;
