//! What holds the heap of programs that record no heap profile: live objects in the spans that each stack has filled
//! since it was watched.

use super::{MAX_SITES, MIN_SHARE, Owner, add_lines, culprit};
use crate::judge::{Evidence, Finding};
use crate::store::Captures;

/// Names the lines whose objects are live. Spans are taken from the system and filled by whoever comes next, so a
/// stack's part is an estimate; but what churns leaves no live objects behind, and what is kept does.
pub(super) fn attribute(finding: &mut Finding, captures: &Captures) {
    let Some(ledger) = captures.spans.last() else { return };
    let known = || ledger.sites.iter().filter(|site| !site.stack.is_empty());
    let all: u64 = known().map(|site| site.what.bytes).sum();
    let mut sites: Vec<_> = known().filter(|site| site.what.bytes > 0).collect();
    sites.sort_by(|a, b| b.what.bytes.cmp(&a.what.bytes).then(a.stack.cmp(&b.stack)));
    let module = captures.main_module.as_deref();
    let share = |bytes: u64| bytes as f64 / all.max(1) as f64;
    for site in sites.iter().take(MAX_SITES).take_while(|site| share(site.what.bytes) >= MIN_SHARE) {
        add_lines(&mut finding.culprits, &site.stack, share(site.what.bytes), module);
    }
    finding.culprits.sort_by_key(|it| culprit::owner(&it.frame.function, module) == Owner::Runtime);
    if let Some(top) = sites.first() {
        finding.evidence.push(Evidence::Retained {
            bytes: top.what.bytes,
            objects: top.what.objects,
            share: share(top.what.bytes),
            seconds: ledger.watched().as_secs_f64(),
        });
    }
}
