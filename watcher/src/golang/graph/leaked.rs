//! Goroutines that can never go on: blocked on something that nothing can reach that ever runs again.
//!
//! What is live is what variables, finalizers, cleanups and goroutines that can go on lead to. A goroutine that waits can
//! go on where what it waits on is live; then what it holds is live as well, and so on until nothing more is found (Go's
//! own `goroutineleak` profile does the same, `runtime/mgc.go`, `findGoroutineLeaks`). What is left waits for ever.
//!
//! One reading of a running program can be wrong, where a reference moves from what is still to be read to what has been
//! read. So a single reading accuses nobody: see [`super::sightings`].

use super::Holder;
use super::ground::Ground;
use super::objects::ObjectId;
use super::waiters::Waiter;
use crate::golang::graph::bits::{is_set, set};
use crate::golang::graph::model::{Graph, RootKind};
use std::collections::HashMap;
use std::ops::Range;

/// Cases of one `select`.
const MAX_CASES: usize = 1 << 16;
/// Frames of a goroutine among which those of package sync are looked for.
const MAX_SYNC_FRAMES: usize = 16;
const MAIN_GOROUTINE: u64 = 1;

/// A goroutine that nothing can wake, by one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// `goid`.
    pub id: u64,
    /// Stack pointer at which it stopped.
    pub stack_pointer: u64,
    /// When a collection first found it parked, in nanoseconds of the runtime's clock.
    pub waiting_since_nanos: u64,
    /// Addresses of what it waits on; empty for a nil channel and an empty select.
    pub waits_on: Vec<u64>,
    /// Objects that only it holds, or it and others of its kind; of what several hold, the first has it.
    pub held_objects: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Its stack, in bytes.
    pub stack_bytes: u64,
}

/// What one reading says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Goroutines that nothing can wake.
    pub stuck: Vec<Stuck>,
    /// Goroutines that nothing reachable can wake, but something that may be garbage leads to what they wait on.
    pub uncertain: u64,
    /// Goroutines that nothing can wake and no collection has found parked yet: they may just have begun to wait.
    pub undated: u64,
    /// Goroutines that wait and of which it could not be told for what: they count as able to go on.
    pub unresolved: u64,
    /// The goroutine that runs finalizers or cleanups is at work or held up: what waits for it is not seen.
    pub finalizers_wait: bool,
    /// Bytes that what is able to go on leads to.
    pub live_bytes: u64,
    /// What it looked at could not be read wholly: it accuses nobody.
    pub has_gaps: bool,
}

/// What a goroutine needs to go on.
enum Wait {
    /// Nothing: it runs, sleeps, waits for the network.
    Live,
    /// It never will: a nil channel, an empty select.
    Never,
    /// One of these.
    On(Vec<ObjectId>),
}

/// What the runtime calls what a goroutine does (`waitReasonStrings` in `runtime/runtime2.go`).
fn is_channel(reason: &str) -> bool {
    matches!(reason, "chan receive" | "chan send" | "select")
}

fn is_hopeless(reason: &str) -> bool {
    matches!(reason, "chan receive (nil chan)" | "chan send (nil chan)" | "select (no cases)")
}

fn is_semaphore(reason: &str) -> bool {
    matches!(
        reason,
        "sync.Mutex.Lock"
            | "sync.RWMutex.Lock"
            | "sync.RWMutex.RLock"
            | "sync.WaitGroup.Wait"
            | "sync.Cond.Wait"
            | "semacquire"
    )
}

impl Graph {
    /// Which goroutines can never go on, by this reading.
    pub fn leaked(&self, ground: &mut Ground) -> Verdict {
        let mut verdict = Verdict { has_gaps: self.effort.has_gaps(), ..Verdict::default() };
        let (by_address, by_goroutine) = self.read_waiters(ground);
        let waits: Vec<Wait> = self
            .goroutines
            .iter()
            .map(|holder| self.wait(ground, holder, &by_address, &by_goroutine, &mut verdict))
            .collect();
        let mut is_live = vec![false; waits.len()];
        let mut live = vec![0_u64; self.objects.len().div_ceil(64)];
        let of_goroutine =
            |root: &crate::golang::graph::model::Root| matches!(root.kind, RootKind::Goroutine(_));
        let seeds = self.roots.iter().filter(|root| !of_goroutine(root)).map(|root| root.target);
        verdict.live_bytes += self.mark(seeds, &mut live).1;
        loop {
            let mut changed = false;
            for (index, wait) in waits.iter().enumerate() {
                let goes_on = !is_live[index]
                    && match wait {
                        Wait::Live => true,
                        Wait::Never => false,
                        Wait::On(objects) => objects.iter().any(|object| is_set(&live, *object)),
                    };
                if goes_on {
                    is_live[index] = true;
                    changed = true;
                    verdict.live_bytes += self.mark(self.owned(index), &mut live).1;
                }
            }
            if !changed {
                break;
            }
        }
        self.accuse(&waits, &is_live, &live, &mut verdict);
        verdict
    }

    fn accuse(&self, waits: &[Wait], is_live: &[bool], live: &[u64], verdict: &mut Verdict) {
        let mut all = live.to_vec();
        let mut stuck = Vec::new();
        for (index, wait) in waits.iter().enumerate() {
            let holder = &self.goroutines[index];
            if is_live[index] || !holder.is_alive() {
                continue;
            }
            let waits_on = match wait {
                Wait::On(objects) => objects.clone(),
                _ => Vec::new(),
            };
            let seeds = self.owned(index).chain(waits_on.iter().copied());
            let (held_objects, held_bytes) = self.mark(seeds, &mut all);
            stuck.push((index, waits_on, held_objects, held_bytes));
        }
        if stuck.is_empty() {
            return;
        }
        // What is reached by nothing is garbage, or moved while it was read. Where that leads to what somebody waits on,
        // nothing is sure.
        let mut doubtful = vec![0_u64; live.len()];
        let unreached = self.objects.spans().iter().filter(|span| span.has_pointers).flat_map(|span| {
            (span.base..span.base + span.slots)
                .filter(|id| self.objects.is_allocated(*id) && !is_set(&all, *id) && !self.is_opaque(*id))
        });
        self.mark(unreached, &mut doubtful);
        for (index, waits_on, held_objects, held_bytes) in stuck {
            let holder = &self.goroutines[index];
            if waits_on.iter().any(|object| is_set(&doubtful, *object)) {
                verdict.uncertain += 1;
            } else if holder.waiting_since_nanos == 0 {
                verdict.undated += 1;
            } else if holder.id != MAIN_GOROUTINE {
                verdict.stuck.push(Stuck {
                    id: holder.id,
                    stack_pointer: holder.stack_pointer,
                    waiting_since_nanos: holder.waiting_since_nanos,
                    waits_on: waits_on.iter().map(|id| self.objects.address(*id)).collect(),
                    held_objects,
                    held_bytes,
                    stack_bytes: holder.stack.end.saturating_sub(holder.stack.start),
                });
            }
        }
    }

    /// What a goroutine leads to by itself: its stack, and what its structure keeps (panics, labels, a timer).
    fn owned(&self, index: usize) -> impl Iterator<Item = ObjectId> + '_ {
        let holder = &self.goroutines[index];
        let roots = self.roots.get(holder.words.clone()).unwrap_or_default().iter().map(|root| root.target);
        let structure = self.objects.object_at(holder.address).filter(|_| holder.is_alive());
        let kept = structure.into_iter().flat_map(|id| self.edges.targets(id));
        roots.chain(kept).filter(|id| !self.is_opaque(*id))
    }

    /// Marks what `seeds` lead to; gives how many objects were not marked before, and their bytes.
    pub(super) fn mark(&self, seeds: impl Iterator<Item = ObjectId>, marked: &mut [u64]) -> (u64, u64) {
        let (mut objects, mut bytes) = (0, 0);
        let mut todo: Vec<ObjectId> = Vec::new();
        for seed in seeds {
            if set(marked, seed) {
                todo.push(seed);
            }
            while let Some(id) = todo.pop() {
                objects += 1;
                bytes += self.objects.bytes(id);
                if !self.is_opaque(id) {
                    todo.extend(self.edges.targets(id).filter(|target| set(marked, *target)));
                }
            }
        }
        (objects, bytes)
    }

    fn wait(
        &self,
        ground: &mut Ground,
        holder: &Holder,
        by_address: &HashMap<u64, Waiter>,
        by_goroutine: &HashMap<u64, Vec<Waiter>>,
        verdict: &mut Verdict,
    ) -> Wait {
        if !holder.is_alive() {
            return Wait::Never;
        }
        let reason = ground.wait_reasons.get(usize::from(holder.wait_reason)).map_or("", |reason| &**reason);
        let is_idle = holder.is_waiting() && matches!(reason, "finalizer wait" | "cleanup wait");
        if !is_idle && self.runs_finalizers(ground, holder) {
            verdict.finalizers_wait = true;
        }
        if !(holder.is_waiting() && self.stays(holder)) {
            return Wait::Live;
        }
        let found = if is_hopeless(reason) {
            return Wait::Never;
        } else if is_channel(reason) {
            self.channels(holder, by_address)
        } else if is_semaphore(reason) {
            let own = by_goroutine.get(&holder.address).map_or(&[][..], Vec::as_slice);
            self.semaphores(ground, holder, own, reason == "sync.Cond.Wait")
        } else {
            return Wait::Live;
        };
        found.map_or_else(
            || {
                verdict.unresolved += 1;
                Wait::Live
            },
            Wait::On,
        )
    }

    /// The channels that a goroutine waits on; `None` where one lies outside the heap, or cannot be told.
    fn channels(&self, holder: &Holder, by_address: &HashMap<u64, Waiter>) -> Option<Vec<ObjectId>> {
        let mut channels = Vec::new();
        let mut next = holder.waiting;
        while next != 0 {
            let waiter = by_address.get(&next).filter(|waiter| waiter.goroutine == holder.address)?;
            channels.push(self.objects.object_at(waiter.channel)?);
            next = waiter.next;
            (channels.len() <= MAX_CASES).then_some(())?;
        }
        (!channels.is_empty()).then_some(channels)
    }

    /// What holds the semaphore that a goroutine waits on; `None` as with channels.
    fn semaphores(
        &self,
        ground: &mut Ground,
        holder: &Holder,
        own: &[Waiter],
        is_condition: bool,
    ) -> Option<Vec<ObjectId>> {
        let mut objects = Vec::new();
        for waiter in own.iter().filter(|waiter| waiter.element != 0) {
            objects.push(self.objects.object_at(waiter.element)?);
        }
        // Before Go 1.26 the sudog of a condition does not name it: its address is in the frames of package sync.
        if objects.is_empty() || is_condition {
            for word in sync_words(ground, holder) {
                objects.extend(self.objects.object_at(word).filter(|id| !self.is_opaque(*id)));
            }
        }
        (!objects.is_empty()).then_some(objects)
    }

    fn runs_finalizers(&self, ground: &mut Ground, holder: &Holder) -> bool {
        const RUNNERS: [&str; 3] = ["runtime.runfinq", "runtime.runFinalizers", "runtime.runCleanups"];
        let loaded = ground.loaded;
        let start = ground.symbols.entry_frame(&loaded, holder.start_pc);
        start.is_some_and(|frame| RUNNERS.contains(&&*frame.function))
    }
}

/// Words of the frames of package sync with which a stack begins.
fn sync_words(ground: &mut Ground, holder: &Holder) -> Vec<u64> {
    const COPIED_BYTES: u64 = 2048;
    let stack = holder.stack_pointer..holder.stack.end.min(holder.stack_pointer.saturating_add(COPIED_BYTES));
    let loaded = ground.loaded;
    let mut bytes = vec![0; usize::try_from(stack.end.saturating_sub(stack.start)).unwrap_or(0) / 8 * 8];
    if loaded.memory.read(stack.start, &mut bytes).is_err() {
        return Vec::new();
    }
    let copy = super::frames::StackCopy { base: stack.start, bytes: &bytes };
    let pc = loaded.word(holder.address.wrapping_add(ground.layout.sched_pc() as u64));
    let (mut pc, mut sp) = (pc.unwrap_or(0), stack.start);
    let mut words = Vec::new();
    for _ in 0..MAX_SYNC_FRAMES {
        let Some(function) = ground.symbols.function_at(&loaded, pc) else { break };
        let Some(delta) = ground.symbols.stack_delta(&loaded, &function, pc) else { break };
        let frame: Range<u64> = sp..sp.saturating_add(delta);
        let name = ground.symbols.name(&loaded, &function).unwrap_or_default();
        let is_sync = name.starts_with("sync.")
            || name.starts_with("internal/sync.")
            || &*name == "runtime.notifyListWait"
            || &*name == "sync.runtime_notifyListWait";
        if !is_sync && !name.starts_with("runtime.") {
            break;
        }
        if is_sync {
            // Its arguments lie in the frame of its caller: one frame more.
            words.extend(frame.clone().step_by(8).filter_map(|address| copy.word(address)));
        }
        let Some(caller) = copy.word(frame.end) else { break };
        (pc, sp) = (caller, frame.end + 8);
    }
    words
}
