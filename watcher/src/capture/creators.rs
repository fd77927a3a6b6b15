//! Who started the goroutine that created something: the chain of `go` statements, as far as to the program's own code.
//!
//! A library may do its work in goroutines of its own: a connection of `net/http` is dialled by a goroutine whose
//! stack holds no frame of the program. The line that matters is where the chain of those who started it leaves the
//! library. The runtime keeps of each goroutine only its parent's id and the address of the `go` statement; the stack
//! around the statement is known where births were watched.

use super::{go_code, same_program};
use crate::capture::frames::Frames;
use crate::golang::binary::symbols::StackPc;
use crate::golang::goroutines::{Goroutine, GoroutineSnapshot};
use crate::golang::runtime::Runtime;
use crate::golang::{Memory, ReadAt};
use crate::source::kernel::ledger::{BirthStack, Bounds, Ledgers, RawBirths, Refusal, go_view};
use crate::source::memory::ProcessMemory;
use crate::source::proc::ProcessDir;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, StackId, WalkedStack};
use crate::vocabulary::owner::{Owner, owner};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Libraries start goroutines from goroutines, but not many deep.
const MAX_DEPTH: usize = 8;
/// Of so many births, those that nobody will ask for are forgotten.
const FORGET_FROM: usize = 16_384;

/// Why births of goroutines cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum NoBirths {
    /// The code that makes goroutines is not what is known of Go 1.21 to 1.27.
    #[error("the runtime makes goroutines in a way that is not known")]
    NotLocated,
    /// The Go code is not the executable's: probes are put into executables only.
    #[error("the Go code is a library in a program of another language, where no probes are put in")]
    InLibrary,
    /// The kernel did not let us.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Begins to watch the births of goroutines of a process whose runtime is attached to.
///
/// # Errors
/// See [`NoBirths`].
pub fn watch(
    ledgers: &mut Ledgers,
    runtime: &mut Runtime,
    file: &dyn ReadAt,
    id: ProcessId,
    bounds: Bounds,
) -> Result<(), NoBirths> {
    if runtime.library_code().is_some() {
        return Err(NoBirths::InLibrary);
    }
    let newproc1 = runtime.push_of(file, "runtime.newproc1").ok_or(NoBirths::NotLocated)?;
    let view = runtime.kernel_view(file, &ProcessMemory::new(id.pid)).map(|view| go_view(&view));
    ledgers.watch_births(id, view, newproc1, bounds)?;
    Ok(())
}

/// Reads who started whom, and makes sure that the process is still the one with this id afterwards. `goroutines` are
/// those that will be asked about. Births of goroutines that have ended, and that have started none that lives, are
/// forgotten where there are many.
pub fn read(
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    process: &ProcessDir,
    id: ProcessId,
    goroutines: impl IntoIterator<Item = CreatingGoroutine>,
) -> Reading<Creators> {
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let memory = ProcessMemory::new(id.pid);
    let snapshot = runtime.goroutines(&file, &memory).ok();
    let (births, stacks) = ledgers.births(id).map_or_else(Default::default, |raw| {
        let stacks = raw.sites.into_iter().map(|(id, site)| (id, site.stack)).collect();
        (raw.things, stacks)
    });
    let asked: Vec<CreatingGoroutine> = goroutines.into_iter().collect();
    let statements = asked.iter().map(|goroutine| goroutine.created_at);
    let creators = Creators::new(&births, &stacks, snapshot.as_ref(), statements, runtime, (&file, &memory));
    if births.len() > FORGET_FROM && !creators.living.is_empty() {
        let needed = creators.needed(asked.iter().chain(creators.living.values()));
        ledgers.retain_births(id, |birth| {
            creators.living.contains_key(&birth.parent.id)
                || needed.contains(&(birth.parent.id, birth.created_at))
        });
    }
    same_program::confirmed(runtime, process, id, Reading::Seen(creators))
}

/// What is known of who started whom in one process.
#[derive(Debug, Default)]
pub struct Creators {
    /// By the goroutine that executed a `go` statement and the statement's address.
    births: HashMap<(u64, u64), Birth>,
    /// Goroutines that live, and how they came to be.
    living: HashMap<u64, CreatingGoroutine>,
    /// The `go` statement's own frames by its address, for those whose birth was not seen.
    statements: HashMap<u64, Arc<[Frame]>>,
}

#[derive(Debug)]
struct Birth {
    /// Who executed the statement.
    parent: CreatingGoroutine,
    /// From where most of them were, the statement's frame first; empty where there was no room to keep it.
    stack: Arc<[Frame]>,
    /// From where others were: which goroutine came from which stack is not noted.
    others: Vec<Arc<[Frame]>>,
}

impl Creators {
    /// Brings together what programs in the kernel have seen, with their stacks, and the goroutines that live.
    /// `statements` are the addresses of further `go` statements that will be asked for.
    fn new(
        births: &[RawBirths],
        stacks: &HashMap<StackId, WalkedStack>,
        snapshot: Option<&GoroutineSnapshot>,
        statements: impl IntoIterator<Item = u64>,
        runtime: &mut Runtime,
        (file, memory): (&dyn ReadAt, &dyn Memory),
    ) -> Creators {
        let living = snapshot.map(living).unwrap_or_default();
        let (symbols, loaded) = runtime.symbols(file, memory);
        let mut frames = Frames::default();
        let mut known: HashMap<StackId, Arc<[Frame]>> = HashMap::new();
        let mut creators = Creators { living, ..Creators::default() };
        for birth in births {
            let mut by_count: Vec<&BirthStack> = birth.stacks.iter().collect();
            by_count.sort_by_key(|stack| std::cmp::Reverse((stack.count, stack.newest)));
            let ids = by_count.into_iter().filter_map(|stack| stack.stack);
            let walked = ids.filter_map(|id| Some((id, stacks.get(&id)?)));
            let mut named = walked.map(|(id, walked)| {
                let stack = known.entry(id).or_insert_with(|| {
                    let stack = walked.sorted(|pc| symbols.is_text(pc));
                    let places: Vec<StackPc> = (0..)
                        .zip(&stack.go)
                        .map(|(index, pc)| StackPc { pc: *pc, is_exact: index == 0 })
                        .collect();
                    let expanded = symbols.expand(&loaded, &places);
                    // The innermost are those of the runtime that make a goroutine.
                    let statement = expanded.iter().position(|frame| !frame.function.starts_with("runtime."));
                    frames.of(statement.map_or(&expanded[..], |statement| &expanded[statement..]))
                });
                Arc::clone(stack)
            });
            let stack = named.next().unwrap_or_default();
            let mut others: Vec<Arc<[Frame]>> = Vec::new();
            for other in named {
                if other != stack && !others.contains(&other) {
                    others.push(other);
                }
            }
            creators.enter(birth, stack, others);
        }
        let wanted: Vec<u64> = statements
            .into_iter()
            .chain(creators.living.values().map(|goroutine| goroutine.created_at))
            .chain(creators.births.keys().map(|(_, created_at)| *created_at))
            .chain(creators.births.values().map(|birth| birth.parent.created_at))
            .filter(|address| *address != 0)
            .collect();
        for address in wanted {
            creators.statements.entry(address).or_insert_with(|| {
                frames.of(&symbols.expand(&loaded, &[StackPc { pc: address, is_exact: false }]))
            });
        }
        symbols.forget_pages();
        creators
    }

    /// Of several functions that were started by one statement, the one whose birth was seen most counts.
    fn enter(&mut self, birth: &RawBirths, stack: Arc<[Frame]>, others: Vec<Arc<[Frame]>>) {
        let new = Birth { parent: birth.parent, stack, others };
        let place = (birth.parent.id, birth.created_at);
        let nothing = || Birth { parent: birth.parent, stack: Arc::default(), others: Vec::new() };
        let known = self.births.entry(place).or_insert_with(nothing);
        if known.stack.is_empty() {
            *known = new;
        }
    }

    /// The births that tell of these goroutines, over as many links as are known.
    fn needed<'a>(&self, goroutines: impl Iterator<Item = &'a CreatingGoroutine>) -> HashSet<(u64, u64)> {
        let mut needed = HashSet::new();
        for goroutine in goroutines {
            let mut current = *goroutine;
            while let Some(parent) = current.parent_id
                && let Some(birth) = self.births.get(&(parent, current.created_at))
                && needed.insert((parent, current.created_at))
            {
                current = birth.parent;
            }
        }
        needed
    }

    /// Any birth was seen.
    pub fn has_births(&self) -> bool {
        !self.births.is_empty()
    }

    /// Whether the birth of this goroutine, or of one that it goes back to, was seen: else there is no more than what
    /// each goroutine tells of itself.
    pub fn tells_of(&self, goroutine: &CreatingGoroutine) -> bool {
        let mut current = *goroutine;
        for _ in 0..MAX_DEPTH {
            let Some(parent) = current.parent_id else { return false };
            if self.births.get(&(parent, current.created_at)).is_some_and(|birth| !birth.stack.is_empty()) {
                return true;
            }
            match self.living.get(&parent) {
                Some(next) => current = *next,
                None => return false,
            }
        }
        false
    }

    /// Further stacks that executed the `go` statement of `goroutine` in the same goroutine: it may have come from each.
    pub fn or_by(&self, goroutine: &CreatingGoroutine) -> &[Arc<[Frame]>] {
        let birth = goroutine.parent_id.and_then(|parent| self.births.get(&(parent, goroutine.created_at)));
        birth.map_or(&[], |birth| &birth.others)
    }

    /// Who started `goroutine`, nearest first: for each the stack at the `go` statement where that was seen, else only
    /// the statement's own frames. Ends with the first that holds code of the program's own.
    pub fn started_by(&self, goroutine: &CreatingGoroutine, main_module: Option<&str>) -> Vec<Arc<[Frame]>> {
        let mut chain = Vec::new();
        let mut current = *goroutine;
        while current.created_at != 0 && chain.len() < MAX_DEPTH {
            let birth = current.parent_id.and_then(|parent| self.births.get(&(parent, current.created_at)));
            let stack = birth.map(|birth| &birth.stack).filter(|stack| !stack.is_empty());
            let Some(stack) = stack.or_else(|| self.statements.get(&current.created_at)) else { break };
            chain.push(Arc::clone(stack));
            let is_reached = stack.iter().any(|frame| owner(&frame.function, main_module) == Owner::Own);
            let parent = birth
                .map(|birth| birth.parent)
                .or_else(|| current.parent_id.and_then(|parent| self.living.get(&parent)).copied());
            match parent {
                Some(parent) if !is_reached => current = parent,
                _ => break,
            }
        }
        chain
    }

    /// How the goroutines that live came to be.
    pub fn living(&self) -> impl Iterator<Item = CreatingGoroutine> {
        self.living.values().copied()
    }
}

/// By id.
fn living(snapshot: &GoroutineSnapshot) -> HashMap<u64, CreatingGoroutine> {
    let living = snapshot.goroutines.iter().filter_map(|goroutine| creation(snapshot, goroutine));
    living.map(|goroutine| (goroutine.id, goroutine)).collect()
}

/// How a goroutine of a snapshot came to be.
pub(crate) fn creation(snapshot: &GoroutineSnapshot, goroutine: &Goroutine) -> Option<CreatingGoroutine> {
    let group = snapshot.groups.get(goroutine.group as usize)?;
    // A frame's address lies within the call; what the runtime keeps is the one behind it.
    let created_at = group.created_by.first().map_or(0, |frame| frame.pc.wrapping_add(1));
    let parent_id = goroutine.parent_id.filter(|parent| *parent != 0);
    Some(CreatingGoroutine { id: goroutine.id, parent_id, created_at })
}

#[cfg(test)]
mod tests {
    use super::{Birth, Creators, RawBirths};
    use crate::vocabulary::frame::Frame;
    use crate::vocabulary::origin::CreatingGoroutine;
    use std::sync::Arc;

    fn stack(functions: &[&str]) -> Arc<[Frame]> {
        functions.iter().map(|function| Frame::new(function, "f.go", 1)).collect()
    }

    fn goroutine(id: u64, parent_id: Option<u64>, created_at: u64) -> CreatingGoroutine {
        CreatingGoroutine { id, parent_id, created_at }
    }

    /// Goroutine 1 is main, which asks; 20 was started by it in net/http, 30 by 20, 31 by 20 elsewhere.
    fn creators() -> Creators {
        let mut creators = Creators::default();
        let birth =
            |parent, functions: &[&str]| Birth { parent, stack: stack(functions), others: Vec::new() };
        let main = goroutine(1, None, 0);
        creators.births.insert(
            (1, 0x100),
            birth(main, &["net/http.(*Transport).queueForDial", "net/http.Get", "main.poll", "main.main"]),
        );
        creators
            .births
            .insert((20, 0x200), birth(goroutine(20, Some(1), 0x100), &["net.(*Dialer).dialParallel"]));
        creators.living.insert(20, goroutine(20, Some(1), 0x100));
        creators.statements.insert(0x100, stack(&["net/http.(*Transport).queueForDial"]));
        creators.statements.insert(0x300, stack(&["net.(*Resolver).lookup"]));
        creators
    }

    fn names(chain: &[Arc<[Frame]>]) -> Vec<Vec<&str>> {
        chain.iter().map(|stack| stack.iter().map(|frame| &*frame.function).collect()).collect()
    }

    impl Creators {
        /// A birth that was seen, of a goroutine of the main one.
        pub(crate) fn enter_birth(&mut self, parent: u64, created_at: u64, functions: &[&str]) {
            let parent_goroutine = goroutine(parent, Some(1), 0x10);
            let birth = Birth { parent: parent_goroutine, stack: stack(functions), others: Vec::new() };
            self.births.insert((parent, created_at), birth);
        }
    }

    #[test]
    fn births_that_somebody_goes_back_to_are_kept_over_all_links() {
        let creators = creators();
        let needed = creators.needed([goroutine(30, Some(20), 0x200), goroutine(9, None, 0)].iter());
        assert_eq!(needed, [(20, 0x200), (1, 0x100)].into());
        assert!(creators.tells_of(&goroutine(30, Some(20), 0x200)));
        assert!(
            creators.tells_of(&goroutine(31, Some(20), 0x300)),
            "of one that lives and whose birth was seen"
        );
        assert!(!creators.tells_of(&goroutine(32, Some(21), 0x300)));
        assert!(!creators.tells_of(&goroutine(20, None, 0x100)));
    }

    #[test]
    fn the_chain_ends_where_it_leaves_the_library() {
        let creators = creators();
        let to_main = ["net/http.(*Transport).queueForDial", "net/http.Get", "main.poll", "main.main"];
        for (what, goroutine, expected) in [
            ("one step", goroutine(20, Some(1), 0x100), vec![to_main.to_vec()]),
            (
                "by way of another",
                goroutine(30, Some(20), 0x200),
                vec![vec!["net.(*Dialer).dialParallel"], to_main.to_vec()],
            ),
            (
                "whose birth nobody saw, of one that lives",
                goroutine(31, Some(20), 0x300),
                vec![vec!["net.(*Resolver).lookup"], to_main.to_vec()],
            ),
            ("of one that is gone", goroutine(32, Some(21), 0x300), vec![vec!["net.(*Resolver).lookup"]]),
            ("before Go 1.21", goroutine(20, None, 0x100), vec![vec!["net/http.(*Transport).queueForDial"]]),
            ("the main goroutine", goroutine(1, None, 0), vec![]),
            ("a statement that nobody knows", goroutine(40, Some(2), 0x900), vec![]),
        ] {
            assert_eq!(names(&creators.started_by(&goroutine, None)), expected, "{what}");
        }
    }

    #[test]
    fn of_several_stacks_at_one_statement_none_is_forgotten() {
        let mut creators = Creators::default();
        let birth = RawBirths {
            parent: goroutine(1, None, 0),
            created_at: 0x100,
            start: 0,
            count: 9,
            stacks: Vec::new(),
        };
        creators.enter(
            &birth,
            stack(&["lib.Start", "main.call"]),
            vec![stack(&["lib.Start", "main.receive"])],
        );
        let child = goroutine(20, Some(1), 0x100);
        assert_eq!(names(creators.or_by(&child)), [["lib.Start", "main.receive"]]);
        assert!(creators.or_by(&goroutine(20, Some(2), 0x100)).is_empty());
    }

    #[test]
    fn a_chain_that_leads_in_a_circle_ends() {
        let mut creators = creators();
        creators.living.insert(50, goroutine(50, Some(51), 0x300));
        creators.living.insert(51, goroutine(51, Some(50), 0x300));
        assert_eq!(creators.started_by(&goroutine(50, Some(51), 0x300), None).len(), super::MAX_DEPTH);
    }
}
