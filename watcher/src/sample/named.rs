//! From the stacks of the ledgers, which are addresses, to frames, and from frames to sites.

use super::code::{Frame, Frames, MAX_FRAMES};
use super::ledger::Site;
use crate::golang::loaded::Loaded;
use crate::golang::symbols::{self, StackPc, Symbols};
use crate::origin::WalkedStack;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::{Mapping, ProcessDir};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Looks names up, of Go and of everything else.
pub(super) struct Names<'a> {
    pub symbols: &'a mut Symbols,
    pub loaded: Loaded<'a>,
    pub native: &'a mut NativeSymbols,
    pub process: &'a ProcessDir,
    /// Those of the process.
    pub mappings: &'a [Mapping],
    pub frames: Frames,
}

/// A stack with names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// Innermost frame first.
    pub frames: Arc<[Frame]>,
    /// How many of them are not Go's: they come first.
    pub native: usize,
}

impl Named {
    /// Go's frames.
    pub fn go(&self) -> &[Frame] {
        self.frames.get(self.native..).unwrap_or_default()
    }
}

impl Names<'_> {
    /// A stack as the kernel walked it: what C called first, then the goroutine that called C.
    pub fn walked(&mut self, stack: &WalkedStack) -> Named {
        let raw = stack.sorted(|pc| self.symbols.is_text(pc));
        let native = self.native.frames(self.process, self.mappings, &raw.native);
        let native: Vec<Frame> = native
            .into_iter()
            .take(MAX_FRAMES / 2)
            .map(|frame| Frame {
                function: self.frames.text(&frame.function),
                file: self.frames.text(&frame.file),
                line: 0,
            })
            .collect();
        // The first of all is where the thread was; Go's first behind C is where its goroutine stopped.
        let places = raw.go.iter().enumerate().map(|(index, pc)| StackPc { pc: *pc, is_exact: index == 0 });
        let go = self.symbols.expand(&self.loaded, &places.collect::<Vec<_>>());
        let count = native.len();
        let go = self.frames.of(&go);
        let frames = native.into_iter().chain(go.iter().cloned()).take(MAX_FRAMES).collect();
        Named { frames, native: count }
    }

    /// The frames of a `go` statement, by the address behind it; empty for none.
    pub fn statement(&mut self, created_at: u64) -> Arc<[Frame]> {
        if created_at == 0 {
            return Arc::default();
        }
        let frames = self.symbols.expand(&self.loaded, &[StackPc { pc: created_at, is_exact: false }]);
        self.frames.of(&frames)
    }

    /// Frames that were looked up already.
    pub fn known(&mut self, frames: &[symbols::Frame]) -> Arc<[Frame]> {
        self.frames.of(frames)
    }
}

/// Sites by what a person sees of them: stacks that differ in addresses only are one.
#[derive(Debug)]
pub(super) struct Sites<T> {
    sites: Vec<Site<T>>,
    places: HashMap<(Arc<[Frame]>, Arc<[Frame]>), usize>,
}

impl<T> Sites<T> {
    pub fn new() -> Self {
        Sites { sites: Vec::new(), places: HashMap::new() }
    }

    /// Adds a site, or joins it with the one that looks the same. `started_by` are the creators of its goroutine,
    /// the first of which counts for that.
    pub fn add(&mut self, site: Site<T>, join: impl FnOnce(&mut T, T)) {
        let creator = site.started_by.first().cloned().unwrap_or_default();
        let place = *self.places.entry((site.stack.clone(), creator)).or_insert(self.sites.len());
        let Some(known) = self.sites.get_mut(place) else { return self.sites.push(site) };
        if site.outstanding > 0 {
            let is_first = known.outstanding == 0;
            known.oldest = known.oldest.max(site.oldest);
            known.youngest = if is_first { site.youngest } else { known.youngest.min(site.youngest) };
        }
        known.created += site.created;
        known.ended += site.ended;
        known.outstanding += site.outstanding;
        known.longest_ended = known.longest_ended.max(site.longest_ended);
        join(&mut known.what, site.what);
    }

    /// Adds a site that is like no other, whatever its stack.
    pub fn push(&mut self, site: Site<T>) {
        self.sites.push(site);
    }

    /// All of them, those with most first, as far as there is room.
    pub fn finish(mut self, amount: impl Fn(&Site<T>) -> u64) -> Vec<Site<T>> {
        self.sites.retain(|site| site.created > 0 || site.outstanding > 0);
        let order = |site: &Site<T>| Reverse((amount(site), site.outstanding, site.created));
        self.sites.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.stack.cmp(&b.stack)));
        self.sites.truncate(super::ledger::MAX_SITES);
        self.sites
    }
}
