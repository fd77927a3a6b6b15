//! Who started the goroutine, or the thread of C, that created something: one chain for all that came about in the same
//! way.
//!
//! A library may open a connection in a goroutine of its own, and a C library in a thread of its own. The line that
//! matters is where that goroutine or thread was asked for, over as many links as it takes.

use super::creators::Creators;
use super::named::{Named, Names};
use crate::source::kernel::ledger::{Ledgers, TaskKind};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId, WalkedStack};
use crate::vocabulary::owner::{Owner, owner};
use crate::vocabulary::process::ProcessId;
use std::collections::HashMap;
use std::sync::Arc;

/// Threads of C start threads, but not many deep.
const MAX_LINKS: usize = 8;

/// What is known of who started goroutines and threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starters<'a> {
    /// Births that were watched; without them there is only the `go` statement.
    pub known: Option<&'a Creators>,
    /// Threads that were seen to be started.
    pub threads: Option<&'a ThreadStarts>,
    /// Path of the main module.
    pub main_module: Option<&'a str>,
}

/// Who started the threads of a process that live and were started while it was watched.
#[derive(Debug, Default)]
pub struct ThreadStarts {
    started: HashMap<i32, Origin>,
    stacks: HashMap<StackId, WalkedStack>,
}

impl ThreadStarts {
    /// Those of a process that is watched for tasks; `None` where it is not.
    pub fn read(ledgers: &Ledgers, id: ProcessId) -> Option<Self> {
        let raw = ledgers.tasks(id, TaskKind::Threads)?;
        Some(ThreadStarts {
            started: raw.things.iter().map(|task| (task.tid, task.origin)).collect(),
            stacks: raw.sites.into_iter().map(|(id, site)| (id, site.stack)).collect(),
        })
    }
}

/// Whoever ran the code that created something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Starter {
    /// Goroutines with the same parent and the same address behind the `go` statement.
    Goroutine { parent_id: Option<u64>, created_at: u64 },
    /// A thread that runs no goroutine.
    Thread(i32),
}

impl Starter {
    /// The goroutine, else the thread, behind an origin.
    pub fn of(origin: &Origin) -> Starter {
        origin.goroutine.map_or(Starter::Thread(origin.tid), |goroutine| Starter::goroutine(&goroutine))
    }

    pub fn goroutine(goroutine: &CreatingGoroutine) -> Starter {
        Starter::Goroutine { parent_id: goroutine.parent_id, created_at: goroutine.created_at }
    }

    /// The same where it is worth following from this stack: the runtime starts its own threads on behalf of whoever
    /// comes next, so that a thread counts only where all of its stack is C's.
    pub fn behind(self, stack: Option<&Named>) -> Option<Starter> {
        match self {
            // The main goroutine was started by nobody.
            Starter::Goroutine { created_at, .. } => (created_at != 0).then_some(self),
            Starter::Thread(_) => stack.is_some_and(Named::is_foreign).then_some(self),
        }
    }
}

/// Gives frames to addresses.
pub(crate) trait Name {
    /// Those of a `go` statement, by the address behind it.
    fn statement(&mut self, created_at: u64) -> Arc<[Frame]>;
    /// Those of a stack.
    fn stack(&mut self, stack: &WalkedStack) -> Named;
}

impl Name for Names<'_> {
    fn statement(&mut self, created_at: u64) -> Arc<[Frame]> {
        Names::statement(self, created_at)
    }

    fn stack(&mut self, stack: &WalkedStack) -> Named {
        self.walked(stack)
    }
}

/// Where births tell everything that is asked for.
struct Nameless;

impl Name for Nameless {
    fn statement(&mut self, _: u64) -> Arc<[Frame]> {
        Arc::default()
    }

    fn stack(&mut self, _: &WalkedStack) -> Named {
        Named::default()
    }
}

/// Stacks, nearest first.
type Chain = Vec<Arc<[Frame]>>;

/// Chains of those who started goroutines and threads, each once.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    chains: Vec<Vec<Arc<[Frame]>>>,
    /// Of each chain, other stacks that may have been its first.
    or_by: Vec<Vec<Arc<[Frame]>>>,
    places: HashMap<Starter, usize>,
}

impl Chains {
    /// Those behind these.
    pub fn of(all: impl Iterator<Item = Starter>, starters: Starters<'_>, name: &mut impl Name) -> Self {
        let mut chains = Chains::default();
        let mut indices: HashMap<(Chain, Chain), usize> = HashMap::new();
        // Most stacks are shared: their addresses are compared before their frames are.
        let mut seen: HashMap<Vec<*const Frame>, usize> = HashMap::new();
        for starter in all {
            if chains.places.contains_key(&starter) {
                continue;
            }
            let mut chain = follow(starter, starters, name);
            chain.retain(|frames| !frames.is_empty());
            if chain.is_empty() {
                continue;
            }
            let or_by = or_by(starter, starters);
            let addresses: Vec<*const Frame> =
                chain.iter().chain(&or_by).map(|frames| frames.as_ptr()).collect();
            let index = *seen.entry(addresses).or_insert_with(|| {
                let next = chains.chains.len();
                let index = *indices.entry((chain.clone(), or_by.clone())).or_insert(next);
                // Kept, so that no other stack gets its address.
                chains.chains.push(chain);
                chains.or_by.push(or_by);
                index
            });
            chains.places.insert(starter, index);
        }
        chains
    }

    /// Those behind goroutines of which a birth was seen.
    pub fn of_births(all: impl Iterator<Item = CreatingGoroutine>, starters: Starters<'_>) -> Self {
        let seen = |it: &CreatingGoroutine| starters.known.is_some_and(|known| known.tells_of(it));
        // The main goroutine was started by nobody.
        let all = all.filter(|goroutine| goroutine.created_at != 0 && seen(goroutine));
        Chains::of(all.map(|it| Starter::goroutine(&it)), starters, &mut Nameless)
    }

    /// The chain behind this one, by number.
    pub fn index(&self, starter: Option<Starter>) -> Option<usize> {
        self.places.get(&starter?).copied()
    }

    /// Further stacks that may have been the first of the chain of this number.
    pub fn or_by(&self, index: Option<usize>) -> Vec<Arc<[Frame]>> {
        index.and_then(|index| self.or_by.get(index)).cloned().unwrap_or_default()
    }

    /// The chain of this number: nearest first.
    pub fn chain(&self, index: Option<usize>) -> Vec<Arc<[Frame]>> {
        index.and_then(|index| self.chains.get(index)).cloned().unwrap_or_default()
    }
}

/// Further stacks that may have started this one.
fn or_by(starter: Starter, starters: Starters<'_>) -> Vec<Arc<[Frame]>> {
    match (starter, starters.known) {
        (Starter::Goroutine { parent_id, created_at }, Some(known)) => {
            known.or_by(&CreatingGoroutine { id: 0, parent_id, created_at }).to_vec()
        }
        _ => Vec::new(),
    }
}

/// Who started this one, nearest first, as far as to the program's own code.
fn follow(starter: Starter, starters: Starters<'_>, name: &mut impl Name) -> Vec<Arc<[Frame]>> {
    let mut chain: Vec<Arc<[Frame]>> = Vec::new();
    let mut current = starter;
    while chain.len() < MAX_LINKS {
        let tid = match current {
            Starter::Thread(tid) => tid,
            Starter::Goroutine { parent_id, created_at } => {
                let goroutine = CreatingGoroutine { id: 0, parent_id, created_at };
                let known = starters.known.map(|it| it.started_by(&goroutine, starters.main_module));
                match known.filter(|known| !known.is_empty()) {
                    Some(known) => chain.extend(known),
                    None => chain.push(name.statement(created_at)),
                }
                break;
            }
        };
        let Some((threads, origin)) =
            starters.threads.and_then(|threads| Some((threads, threads.started.get(&tid)?)))
        else {
            break;
        };
        let walked = origin.stack.and_then(|stack| threads.stacks.get(&stack));
        let Some(stack) = walked.map(|walked| name.stack(walked)) else { break };
        chain.push(Arc::clone(&stack.frames));
        let is_own = |frame: &Frame| owner(&frame.function, starters.main_module) == Owner::Own;
        match Starter::of(origin).behind(Some(&stack)) {
            Some(next) if !stack.go().iter().any(is_own) => current = next,
            _ => break,
        }
    }
    chain
}

#[cfg(test)]
pub(crate) mod tests;
