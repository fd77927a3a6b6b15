//! What holds the heap of programs that record no heap profile: live objects in the spans that each stack has filled
//! since it was watched.

use super::lines::{self, Kept};
use crate::judge::{Evidence, Finding};
use crate::store::Captures;

/// Names the lines whose objects are live. Spans are taken from the system and filled by whoever comes next, so a
/// stack's part is an estimate; but what churns leaves no live objects behind, and what is kept does.
pub(super) fn attribute(finding: &mut Finding, captures: &Captures) {
    let Some(ledger) = captures.spans.last() else { return };
    let sites = ledger.sites.iter().filter(|site| !site.stack.is_empty() && site.what.bytes > 0);
    let kept: Vec<Kept> = sites
        .map(|site| Kept {
            stack: &site.stack,
            bytes: site.what.bytes,
            objects: site.what.objects,
            object_bytes: site.what.bytes.checked_div(site.what.objects),
        })
        .collect();
    if let Some(top) = lines::name(finding, &kept, captures.main_module.as_deref()) {
        finding.evidence.push(Evidence::Retained {
            bytes: top.bytes,
            objects: top.objects,
            share: top.share,
            seconds: ledger.watched().as_secs_f64(),
        });
        top.add_sizes(finding);
    }
}
