//! Goroutines that come seldom and sleep: whoever sleeps ends that by himself, and an hour's sleep is longer than a window.
//!
//! A loop that sleeps between its rounds wakes, and the runtime's notes show it: it is still there afterwards. Who was not
//! seen to wake may be one that sleeps once, and then goes.

use crate::judge::judgement::{Finding, Outcome, Suspected};
use crate::judge::kinds::goroutines::lines::is_of_origin;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::goroutines::{GoroutineCapture, Member};
use crate::store::Window;
use crate::store::captures::Captures;
use std::collections::HashMap;

/// Whatever comes faster than this, in goroutines per second, piles up while it sleeps.
const SELDOM_PER_SECOND: f64 = 0.15;

/// Makes a suspicion of a finding of sleepers that nobody saw wake.
pub(super) fn weigh(outcome: Outcome, window: &Window) -> Outcome {
    match outcome {
        Outcome::Leaks(finding) if is_asleep(&finding) && !woke(&finding, window.captures()) => {
            let confidence = finding.confidence.min(crate::judge::weigh::few::CONFIDENCE);
            let finding = Finding { confidence, ..finding };
            Outcome::Suspected(Suspected { finding, need_seconds: None })
        }
        other => other,
    }
}

fn is_asleep(finding: &Finding) -> bool {
    let sleeps =
        |it: &Evidence| matches!(it, Evidence::Origin { wait: Some(wait), .. } if &**wait == "sleep");
    finding.rate.per_second < SELDOM_PER_SECOND && finding.evidence.iter().any(sleeps)
}

/// Whether any goroutine of these lines that is still there has run between two captures.
fn woke(finding: &Finding, captures: &Captures) -> bool {
    let Some(last) = captures.goroutines.last() else { return false };
    let of_it = |capture: &GoroutineCapture, member: &Member| {
        let site = capture.sites.get(member.site as usize);
        site.is_some_and(|site| {
            site.wait_reason.as_deref() == Some("sleep") && is_of_origin(site, &finding.culprits)
        })
    };
    captures.goroutines.earlier().any(|earlier| {
        let before: HashMap<u64, &Member> = earlier.members.iter().map(|it| (it.id, it)).collect();
        last.members.iter().filter(|member| of_it(last, member)).any(|member| {
            let then = before.get(&member.id).and_then(|before| before.waiting_since_nanos);
            then.is_some() && then != member.waiting_since_nanos
        })
    })
}
