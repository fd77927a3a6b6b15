//! From the stacks of the ledgers, which are addresses, to frames, and from frames to sites.

use crate::capture::frames::Frames;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{self, StackPc, Symbols};
use crate::observed::ledger::Site;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::{Mapping, ProcessDir};
use crate::vocabulary::frame::{Frame, MAX_FRAMES};
use crate::vocabulary::origin::WalkedStack;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Looks names up, of Go and of everything else.
pub(crate) struct Names<'a> {
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
pub(crate) struct Named {
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

    /// It is known, and none of it is Go's.
    pub fn is_foreign(&self) -> bool {
        self.native > 0 && self.go().is_empty()
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
        let mut go = self.symbols.expand(&self.loaded, &places.collect::<Vec<_>>());
        cut_behind_outermost(&mut go);
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

/// Cuts off what lies behind the function with which a stack of Go's begins: a new thread begins with the frame
/// pointer of the one that started it, so that a walk goes on into a stack which is another one's.
fn cut_behind_outermost(frames: &mut Vec<symbols::Frame>) {
    const OUTERMOST: [&str; 3] = ["runtime.goexit", "runtime.mstart", "runtime.rt0_go"];
    if let Some(last) = frames.iter().position(|frame| OUTERMOST.contains(&&*frame.function)) {
        frames.truncate(last + 1);
    }
}

/// What a person sees of a site: its stack, and the creators of its goroutine.
type Look = (Arc<[Frame]>, Vec<Arc<[Frame]>>);

/// Sites by what a person sees of them: stacks that differ in addresses only are one.
#[derive(Debug)]
pub(crate) struct Sites<T> {
    sites: Vec<Site<T>>,
    places: HashMap<Look, usize>,
}

impl<T> Sites<T> {
    pub fn new() -> Self {
        Sites { sites: Vec::new(), places: HashMap::new() }
    }

    /// Adds a site, or joins it with the one that looks the same.
    pub fn add(&mut self, site: Site<T>, join: impl FnOnce(&mut T, T)) {
        self.add_by(usize::MAX, site, join);
    }

    /// The same where only so many of the creators tell one site from another.
    pub fn add_by(&mut self, creators: usize, site: Site<T>, join: impl FnOnce(&mut T, T)) {
        let creators = site.started_by.iter().take(creators).cloned().collect();
        let look = (site.stack.clone(), creators);
        let place = *self.places.entry(look).or_insert(self.sites.len());
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
        self.sites.truncate(crate::observed::ledger::MAX_SITES);
        self.sites
    }
}

#[cfg(test)]
mod tests {
    use super::{Sites, cut_behind_outermost};
    use crate::golang::binary::symbols;
    use crate::observed::ledger::{Site, Tasks};
    use crate::vocabulary::frame::Frame;
    use std::time::Duration;

    #[test]
    fn a_stack_ends_where_its_thread_or_goroutine_began() {
        for (stack, expected) in [
            ("a b runtime.goexit", "a b runtime.goexit"),
            (
                "clone templateThread runtime.mstart newosproc main.f runtime.goexit",
                "clone templateThread runtime.mstart",
            ),
            ("a b", "a b"),
            ("", ""),
        ] {
            let frame = |name: &str| symbols::Frame {
                function: name.into(),
                symbol: name.into(),
                file: "".into(),
                line: 0,
                start_line: 0,
                pc: 0,
            };
            let mut frames = stack.split_whitespace().map(frame).collect();
            cut_behind_outermost(&mut frames);
            let names: Vec<&str> = frames.iter().map(|frame| &*frame.function).collect();
            assert_eq!(names.join(" "), expected);
        }
    }

    #[test]
    fn stacks_that_look_the_same_are_one_site() {
        let site = |line, outstanding, ages: (u64, u64)| Site {
            stack: [Frame::new("main.f", "f.go", line)].into(),
            started_by: Vec::new(),
            created: 3,
            ended: 3 - outstanding,
            outstanding,
            oldest: Duration::from_secs(ages.0),
            youngest: Duration::from_secs(ages.1),
            longest_ended: (outstanding < 3).then(|| Duration::from_secs(outstanding + 1)),
            what: Tasks { zombies: outstanding },
        };
        let mut sites = Sites::new();
        for more in [site(1, 0, (0, 0)), site(2, 1, (5, 5)), site(1, 2, (9, 4)), site(1, 1, (7, 2))] {
            sites.add(more, |known: &mut Tasks, more| known.zombies += more.zombies);
        }
        let sites = sites.finish(|site| site.outstanding);
        let expected =
            Site { created: 9, ended: 6, longest_ended: Some(Duration::from_secs(3)), ..site(1, 3, (9, 2)) };
        assert_eq!(sites, [expected, site(2, 1, (5, 5))]);
    }
}
