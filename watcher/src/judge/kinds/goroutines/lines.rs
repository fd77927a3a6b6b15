//! Goroutines by line: who made them, in whose code.

use crate::judge::judgement::Culprit;
use crate::judge::terms::Rate;
use crate::judge::weigh::culprit::{self, Owner, owner, package};
use crate::observed::goroutines::GoroutineSite;
use crate::observed::heap::HeapSite;
use crate::store::captures::Captures;
use crate::store::{Series, Window};
use crate::vocabulary::frame::Frame;
use std::collections::HashMap;

/// The number of goroutines over time.
pub fn series(window: &Window) -> Series {
    window.series(|sample| Some((sample.runtime.at, sample.runtime.seen()?.goroutines? as f64)))
}

/// Whether a `go` statement among these lines, or in their stacks, started the goroutines of a site.
pub(in crate::judge) fn is_of_origin(site: &GoroutineSite, culprits: &[Culprit]) -> bool {
    let creates = |frame: &Frame| site.created_by.iter().any(|creator| creator.function == frame.function);
    culprits.iter().any(|culprit| creates(&culprit.frame) || culprit.stack.iter().any(&creates))
}

/// The program's own line that calls the dependency whose `go` statement this is, and its stack. A goroutine knows who
/// created it, not who called that; what is allocated beside it in the same function does, and stands in the heap
/// profile. The profile is a sample: where none of it passed through that very function, what passed through the
/// dependency's package is the next best.
pub(in crate::judge) fn caller<'a>(
    captures: &'a Captures,
    created_by: &[Frame],
) -> Option<(&'a Frame, &'a [Frame])> {
    let module = captures.main_module.as_deref();
    if created_by.is_empty() || created_by.iter().any(|frame| is_own(frame, module)) {
        return None;
    }
    let creates = |frame: &Frame| created_by.iter().any(|creator| creator.function == frame.function);
    let beside = |frame: &Frame| {
        created_by.iter().any(|creator| package(&creator.function) == package(&frame.function))
    };
    own_line_through(captures, creates).or_else(|| own_line_through(captures, beside))
}

pub(in crate::judge) fn is_own(frame: &Frame, module: Option<&str>) -> bool {
    owner(&frame.function, module) == Owner::Own
}

/// The program's own line, and its stack, in those stacks of the heap profile that pass `through` somewhere. Of
/// several lines the one with most bytes.
pub(in crate::judge) fn own_line_through(
    captures: &Captures,
    through: impl Fn(&Frame) -> bool,
) -> Option<(&Frame, &[Frame])> {
    let module = captures.main_module.as_deref();
    let sites: &[HeapSite] = captures.heap.last()?.sites.as_ref().ok()?;
    let mut bytes: HashMap<&Frame, (u64, &[Frame])> = HashMap::new();
    for site in sites.iter().filter(|site| site.stack.iter().any(&through)) {
        if let Some(line) = culprit::line(&site.stack, module).filter(|line| is_own(line, module)) {
            bytes.entry(line).or_insert((0, &site.stack)).0 += site.bytes;
        }
    }
    let (line, (_, stack)) = bytes.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(a.0)))?;
    Some((line, stack))
}

/// A rate of nothing: it has stopped growing.
pub(in crate::judge) const STOPPED: Rate = Rate { per_second: 0.0, low: 0.0, high: 0.0 };
