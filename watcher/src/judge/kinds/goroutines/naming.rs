//! Names the lines of goroutines in a finding.

use crate::judge::judgement::{Culprit, Finding};
use crate::judge::kinds::goroutines::askers;
use crate::judge::kinds::goroutines::lines::caller;
use crate::judge::weigh::culprit::{self, Owner, owner};
use crate::observed::goroutines::GoroutineSite;
use crate::store::captures::Captures;
use crate::vocabulary::frame::Frame;

/// Names the lines of goroutines that are here, all of them.
pub(in crate::judge) fn name(finding: &mut Finding, captures: &Captures, site: &GoroutineSite) {
    let asked = askers::seen(captures, &site.created_by);
    let by_births = asked.iter().filter(|asker| asker.share >= MIN_SHARE);
    finding.culprits.extend(by_births.map(|it| culprit::culprit(&it.line, &it.stack, it.share)));
    if asked.is_empty() {
        if let Some(caller) = caller(captures, &site.created_by) {
            finding.culprits.push(culprit::culprit(caller.0, caller.1, 1.0));
        }
        finding.evidence.extend(askers::parent_now(captures, &site.created_by));
    }
    add_lines(&mut finding.culprits, &site.created_by, Some(site), 1.0, captures.main_module.as_deref());
}

/// The `go` statement and the line at which they wait: the program's own first, and of two of the same owner the
/// `go` statement.
pub(in crate::judge) fn add_lines(
    culprits: &mut Vec<Culprit>,
    created_by: &[Frame],
    site: Option<&GoroutineSite>,
    share: f64,
    module: Option<&str>,
) {
    let waits_at = site.map(|site| &*site.stack).unwrap_or_default();
    // What a debugger shows: where they are, then who created them.
    let stack: Vec<Frame> = waits_at.iter().chain(created_by).cloned().collect();
    let mut lines: Vec<&Frame> =
        [culprit::line(created_by, module), culprit::line(waits_at, module)].into_iter().flatten().collect();
    lines.sort_by_key(|frame| owner(&frame.function, module));
    // The runtime's line says nothing where there is another.
    if lines.first().is_some_and(|first| owner(&first.function, module) < Owner::Runtime) {
        lines.retain(|frame| owner(&frame.function, module) < Owner::Runtime);
    }
    lines.dedup();
    culprits.extend(lines.into_iter().map(|frame| culprit::culprit(frame, &stack, share)));
}

/// An origin with less of the growth than this is no culprit.
pub(in crate::judge) const MIN_SHARE: f64 = 0.1;
