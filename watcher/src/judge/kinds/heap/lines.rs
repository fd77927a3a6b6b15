//! The lines that allocated what stays, and the lines that called them: often one makes and the other one keeps.

use crate::judge::judgement::{Culprit, Finding};
use crate::judge::kinds::heap::collected::OF_ONE_SIZE;
use crate::judge::weigh::culprit::{self, Owner};
use crate::judge::weigh::evidence::Evidence;
use crate::vocabulary::frame::Frame;
use std::collections::{BTreeMap, HashMap};

/// A line with less of the growth than this is no culprit.
const MIN_SHARE: f64 = 0.1;
const MAX_LINES: usize = 3;
/// The runtime gives each object beyond this a span of its own (`maxSmallSize`, `internal/runtime/gc`): what refers
/// to a few bytes of it keeps it all, and nothing else with it.
const LARGE_OBJECT_BYTES: u64 = 32 * 1024;

/// What came to stay of what one stack allocated in one size.
pub(super) struct Kept<'a> {
    pub stack: &'a [Frame],
    pub bytes: u64,
    pub objects: u64,
    /// Size of each; `None` where there are several.
    pub object_bytes: Option<u64>,
}

/// What came to stay of what one line allocated, in all stacks that lead there.
struct Line<'a> {
    frame: &'a Frame,
    /// The stack that has most of it.
    stack: &'a [Frame],
    stack_bytes: u64,
    bytes: u64,
    objects: u64,
    callers: HashMap<&'a Frame, u64>,
    /// Bytes and objects by size, of stacks that keep one size.
    sizes: BTreeMap<u64, (u64, u64)>,
}

/// The line that is named first.
pub(super) struct Top {
    pub bytes: u64,
    pub objects: u64,
    /// Its part of all that came to stay: 0 to 1.
    pub share: f64,
    large: Option<Evidence>,
}

/// Names the lines that have most of it, each with its caller; what the first of them keeps.
pub(super) fn name(finding: &mut Finding, kept: &[Kept<'_>], module: Option<&str>) -> Option<Top> {
    let all: u64 = kept.iter().map(|one| one.bytes).sum();
    let share = |bytes: u64| bytes as f64 / all.max(1) as f64;
    let lines = by_line(kept, module);
    let mut culprits: Vec<Culprit> = Vec::new();
    for line in lines.iter().take(MAX_LINES).take_while(|line| share(line.bytes) >= MIN_SHARE) {
        let caller = line.callers.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        let frames = [Some((line.frame, line.bytes)), caller.map(|(frame, bytes)| (*frame, *bytes))];
        for (frame, bytes) in frames.into_iter().flatten() {
            if culprits.iter().chain(&finding.culprits).all(|known| known.frame != *frame) {
                culprits.push(culprit::culprit(frame, line.stack, share(bytes)));
            }
        }
    }
    // The runtime's own objects, those of goroutines for one, come last. The sort keeps the order of the others.
    culprits.sort_by_key(|it| culprit::owner(&it.frame.function, module) == Owner::Runtime);
    // Who asked for the goroutines in which it is allocated stands before, and allocates nothing there.
    let named = culprits.first().and_then(|it| lines.iter().find(|line| *line.frame == it.frame));
    finding.culprits.append(&mut culprits);
    let first = named.or(lines.first())?;
    let (bytes, objects) = (first.bytes, first.objects);
    Some(Top { bytes, objects, share: share(bytes), large: first.large() })
}

impl Top {
    /// What its objects are like, where that says something.
    pub fn add_sizes(self, finding: &mut Finding) {
        finding.evidence.extend(self.large);
    }
}

impl Line<'_> {
    fn large(&self) -> Option<Evidence> {
        let (object_bytes, (bytes, objects)) = self.sizes.iter().max_by_key(|(_, (bytes, _))| *bytes)?;
        // One that takes the place of another is a slice that grows.
        let several = *objects >= 2;
        let is_large = *object_bytes > LARGE_OBJECT_BYTES;
        let is_most = *bytes as f64 >= OF_ONE_SIZE * self.bytes as f64;
        (several && is_large && is_most)
            .then_some(Evidence::LargeObjects { objects: *objects, object_bytes: *object_bytes })
    }
}

/// By line, those that keep most first.
fn by_line<'a>(kept: &[Kept<'a>], module: Option<&str>) -> Vec<Line<'a>> {
    let mut by_line: HashMap<&Frame, Line> = HashMap::new();
    for one in kept {
        let Some(frame) = culprit::line(one.stack, module) else { continue };
        let line = by_line.entry(frame).or_insert_with(|| Line {
            frame,
            stack: one.stack,
            stack_bytes: 0,
            bytes: 0,
            objects: 0,
            callers: HashMap::new(),
            sizes: BTreeMap::new(),
        });
        line.bytes += one.bytes;
        line.objects += one.objects;
        if (one.bytes, line.stack) > (line.stack_bytes, one.stack) {
            (line.stack, line.stack_bytes) = (one.stack, one.bytes);
        }
        if let Some(caller) = caller(frame, one.stack, module) {
            *line.callers.entry(caller).or_default() += one.bytes;
        }
        if let Some(size) = one.object_bytes {
            let (bytes, objects) = line.sizes.entry(size).or_default();
            *bytes += one.bytes;
            *objects += one.objects;
        }
    }
    let mut lines: Vec<Line> = by_line.into_values().collect();
    lines.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.frame.cmp(b.frame)));
    lines
}

/// The function of the same owner that calls the one which this line is in.
fn caller<'a>(line: &Frame, stack: &'a [Frame], module: Option<&str>) -> Option<&'a Frame> {
    let owner = culprit::owner(&line.function, module);
    let callers = stack.iter().skip_while(|frame| *frame != line).skip(1);
    callers
        .take_while(|frame| owner < Owner::Runtime && culprit::owner(&frame.function, module) == owner)
        .find(|frame| frame.function != line.function)
}
