//! Whose goroutines allocate what a heap keeps.

use super::lines::Kept;
use crate::judge::judgement::Finding;
use crate::judge::kinds::goroutines::askers;
use crate::judge::weigh::culprit;
use crate::store::Captures;

/// Names the program's own line where most is allocated in goroutines of a library: the line that asked for those.
pub(in crate::judge) fn name_asker(finding: &mut Finding, captures: &Captures, kept: &[Kept<'_>]) {
    let Some(most) = kept.iter().max_by_key(|one| one.bytes) else { return };
    let Some((line, stack, evidence)) = askers::of_goroutines_that_run(captures, most.stack) else { return };
    let all: u64 = kept.iter().map(|one| one.bytes).sum();
    let share = most.bytes as f64 / all.max(1) as f64;
    finding.culprits.push(culprit::culprit(&line, &stack, share));
    finding.evidence.push(evidence);
}
