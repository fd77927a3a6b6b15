//! Package variables: what they are called, and what they hold.
//!
//! With a symbol table a variable has its own name. Without one it is named by the functions that fill it, else by
//! those that use it. What it points to is known from the code (see [`super::code`]); values that the linker laid out
//! itself (`var store = &Store{}`) are named by the variable that points to them.

use super::super::binary::loaded::Loaded;
use super::super::binary::pclntab::Pclntab;
use super::super::binary::symbols::Symbols;
use super::super::bytes::u64_at;
use super::super::runtime::locate::Places;
use super::code::{self, Claim, CodeFacts};
use super::types::{TypeId, Types};
use super::variables::{self, Variable};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Variables of programs take a few MiB at most.
const MAX_VARIABLE_BYTES: u64 = 64 << 20;
/// A variable whose size is not known is taken to be no larger.
const MAX_UNKNOWN_BYTES: u64 = 512;
/// How many functions name a variable.
const NAMED_USERS: usize = 2;
const MAX_DEPTH: usize = 4;

/// The package variables of a module.
#[derive(Default)]
pub struct Globals {
    bias: u64,
    facts: CodeFacts,
    named: Vec<Variable>,
    /// What each variable's first word points to.
    points: HashMap<u64, TypeId>,
    /// Variables, and values laid out by the linker, whose own type is known.
    values: BTreeMap<u64, TypeId>,
    /// Variables by what they pointed to among other variables.
    holders: BTreeMap<u64, u64>,
    /// Of the executable, by their number in it.
    functions: HashMap<u32, Arc<str>>,
    runtime: BTreeMap<u64, &'static str>,
}

impl Globals {
    /// Finds the variables of the executable by its code, its symbol table if it has one, and what they hold now.
    pub fn find(loaded: &Loaded, symbols: &mut Symbols, types: &mut Types, places: &Places) -> Globals {
        let runtime = [
            (places.allgs, "list of goroutines"),
            (places.allm, "list of threads"),
            (places.mbuckets, "memory profile"),
        ];
        let runtime = runtime.into_iter().filter_map(|(place, name)| Some((place?.address, name)));
        let globals =
            symbols.executable().map(|table| Globals::of_module(loaded, table, types, runtime.collect()));
        symbols.forget_pages();
        globals.unwrap_or_default()
    }

    fn of_module(
        loaded: &Loaded,
        table: &mut Pclntab,
        types: &mut Types,
        runtime: BTreeMap<u64, &'static str>,
    ) -> Globals {
        let facts = code::analyse(loaded, table, types);
        let ranges = [table.module.data.clone(), table.module.bss.clone()];
        let as_linked =
            |range: &Range<u64>| range.start.wrapping_sub(loaded.bias)..range.end.wrapping_sub(loaded.bias);
        let mut globals = Globals {
            bias: loaded.bias,
            named: variables::read(loaded.file, &ranges.each_ref().map(as_linked)),
            runtime,
            ..Globals::default()
        };
        (globals.points, globals.values) = settle(&facts.claims);
        globals.facts = facts;
        globals.find_holders(loaded, &ranges, types);
        globals.name_functions(loaded, table);
        globals
    }

    /// What the pointer in the word at `address` leads to.
    pub fn type_at(&self, types: &mut Types, address: u64) -> TypeId {
        if let Some(id) = self.points.get(&address) {
            return *id;
        }
        let held = self.values.range(..=address).next_back();
        let held = held.filter(|(start, id)| address - **start < types.info(**id).size);
        held.map_or(TypeId::UNKNOWN, |(start, id)| types.lead(*id, address - start))
    }

    /// The variable that the word at `address` belongs to, as one calls it in a sentence, and the field within it:
    /// `package variable main.sessions`, `package variable that main.(*Sessions).Put fills`.
    pub fn name_at(&self, types: &mut Types, address: u64) -> (String, String) {
        let (base, field) = self.place(types, address, 0);
        (self.describe(base), field)
    }

    /// Where the variable begins that the word at `address` belongs to: one name for all its words.
    pub fn base_of(&self, types: &mut Types, address: u64) -> u64 {
        self.place(types, address, 0).0
    }

    /// Whether only the runtime uses the variable that the word at `address` belongs to.
    pub fn is_runtimes(&self, types: &mut Types, address: u64) -> bool {
        let base = self.base_of(types, address);
        let mut users = users_of(&self.facts.uses, base).peekable();
        self.runtime.contains_key(&base)
            || (users.peek().is_some() && users.all(|user| self.name_of(user).is_some_and(is_runtimes)))
    }

    /// The type that a function value captures, by the address of its code; unknown where the code does not tell.
    pub fn captures(&self, code: u64) -> TypeId {
        self.facts.closures.get(&code).copied().unwrap_or_default()
    }

    /// What the code told.
    pub fn facts(&self) -> &CodeFacts {
        &self.facts
    }

    /// How many variables' contents are known.
    pub fn typed(&self) -> usize {
        self.points.len() + self.values.len()
    }

    fn place(&self, types: &mut Types, address: u64, depth: usize) -> (u64, String) {
        let inside = |types: &mut Types, base: u64| {
            let value = self.values.get(&base).copied().unwrap_or_default();
            if value.is_known() { types.path(value, address - base) } else { String::new() }
        };
        if let Some(variable) = self.symbol(address)
            && !is_made_up(&variable.name)
        {
            let base = variable.address.wrapping_add(self.bias);
            return (base, inside(types, base));
        }
        // A value that the linker laid out, where nothing begins between it and the word.
        let used = first_at_or_before(&self.facts.uses, address);
        let held = self.holders.range(..=address).next_back();
        let held = held.filter(|(start, _)| {
            let size = self.values.get(start).map_or(0, |id| types.info(*id).size).max(MAX_UNKNOWN_BYTES);
            address - **start < size && used.is_none_or(|used| used <= **start || self.is_init_only(used))
        });
        if let Some((start, holder)) = held
            && depth < MAX_DEPTH
            && holder != start
        {
            let field = inside(types, *start);
            let (base, outer) = self.place(types, *holder, depth + 1);
            return (base, outer + &field);
        }
        let value = self.values.range(..=address).next_back();
        let value = value.filter(|(start, id)| address - **start < types.info(**id).size);
        let base = value.map(|(start, _)| *start).or(used).unwrap_or(address);
        (base, inside(types, base))
    }

    fn symbol(&self, address: u64) -> Option<&Variable> {
        let linked = address.wrapping_sub(self.bias);
        let until = self.named.partition_point(|variable| variable.address <= linked);
        self.named[..until].last().filter(|it| linked - it.address < it.bytes.max(1))
    }

    fn is_init_only(&self, variable: u64) -> bool {
        users_of(&self.facts.uses, variable)
            .all(|user| self.name_of(user).is_some_and(|name| is_init(name) || is_runtimes(name)))
    }

    fn name_of(&self, function: u32) -> Option<&str> {
        self.functions.get(&function).map(|name| &**name)
    }

    fn describe(&self, base: u64) -> String {
        if let Some(variable) = self.symbol(base).filter(|it| !is_made_up(&it.name)) {
            return format!("package variable {}", variable.name);
        }
        if let Some(name) = self.runtime.get(&base) {
            return format!("the runtime's {name}");
        }
        let best = |places: &[(u64, u32)]| {
            let mut names: Vec<&str> =
                users_of(places, base).filter_map(|function| self.name_of(function)).collect();
            names.sort_by_key(|name| rank(name));
            names.dedup();
            let kept = names.first().map_or(0, |first| rank(first));
            names.retain(|name| rank(name) == kept);
            (kept, names.iter().take(NAMED_USERS).copied().collect::<Vec<_>>().join(" and "), names.len())
        };
        let (fill_rank, fillers, fill_count) = best(&self.facts.fills);
        let (use_rank, users, use_count) = best(&self.facts.uses);
        let more = |count: usize| match count.saturating_sub(NAMED_USERS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match () {
            () if !fillers.is_empty() && fill_rank <= use_rank && fill_rank < RANK_INIT => {
                let fill = if fill_count == 1 { "fills" } else { "fill" };
                format!("package variable that {fillers}{} {fill}", more(fill_count))
            }
            () if !users.is_empty() && use_rank < RANK_RUNTIME => {
                format!("package variable used by {users}{}", more(use_count))
            }
            () if !users.is_empty() => format!("variable of the runtime, used by {users}"),
            () => format!("package variable at {base:#x}"),
        }
    }

    /// Finds which variables point to other variables, and so what those are.
    fn find_holders(&mut self, loaded: &Loaded, ranges: &[Range<u64>], types: &mut Types) {
        const CHUNK_BYTES: u64 = 64 << 10;
        let is_variable = |address: u64| ranges.iter().any(|range| range.contains(&address));
        let mut left = MAX_VARIABLE_BYTES;
        for range in ranges {
            let mut start = range.start.next_multiple_of(8);
            while start < range.end {
                let end = range.end.min(start.saturating_add(CHUNK_BYTES));
                let Some(rest) = left.checked_sub(end - start) else { return };
                left = rest;
                let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
                if !loaded.memory.is_untouched(start..end) && loaded.memory.read(start, &mut bytes).is_ok() {
                    for offset in (0..bytes.len() / 8 * 8).step_by(8) {
                        let target = u64_at(&bytes, offset).unwrap_or(0);
                        let holder = start + offset as u64;
                        let is_used = || first_at_or_before(&self.facts.uses, holder) == Some(holder);
                        if target.is_multiple_of(8) && is_variable(target) && is_used() {
                            self.holders.entry(target).or_insert(holder);
                        }
                    }
                }
                start = end;
            }
        }
        for (target, holder) in &self.holders {
            let id = self.points.get(holder).copied().unwrap_or_default();
            if types.info(id).size > 0 {
                self.values.entry(*target).or_insert(id);
            }
        }
    }

    fn name_functions(&mut self, loaded: &Loaded, table: &mut Pclntab) {
        for (_, function) in self.facts.uses.iter().chain(&self.facts.fills) {
            if self.functions.contains_key(function) {
                continue;
            }
            let name =
                table.function(loaded, u64::from(*function)).and_then(|it| table.name(loaded, it.name));
            let name = name.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default();
            self.functions.insert(*function, name.into());
        }
    }
}

const RANK_INIT: usize = 3;
const RANK_RUNTIME: usize = 4;

/// Whose function tells a reader most: the program's own, a dependency's, the standard library's.
fn rank(name: &str) -> usize {
    let first = name.split(['/', '(']).next().unwrap_or(name);
    match () {
        () if is_runtimes(name) => RANK_RUNTIME,
        () if is_init(name) => RANK_INIT,
        () if name.starts_with("main.") => 0,
        () if name.contains('/') && first.contains('.') => 1,
        () => 2,
    }
}

fn is_init(name: &str) -> bool {
    name.ends_with(".init") || name.contains(".init.")
}

fn is_runtimes(name: &str) -> bool {
    ["runtime.", "internal/runtime/", "runtime/internal/"].iter().any(|prefix| name.starts_with(prefix))
}

/// What the compiler lays out and nobody named: `main..stmp_0`.
fn is_made_up(name: &str) -> bool {
    name.contains("..")
}

fn users_of(places: &[(u64, u32)], variable: u64) -> impl Iterator<Item = u32> {
    let begin = places.partition_point(|(address, _)| *address < variable);
    places[begin..].iter().take_while(move |(address, _)| *address == variable).map(|(_, function)| *function)
}

fn first_at_or_before(places: &[(u64, u32)], address: u64) -> Option<u64> {
    let until = places.partition_point(|(variable, _)| *variable <= address);
    places[..until].last().map(|(variable, _)| *variable)
}

/// What is claimed of each variable most often, unless something else is claimed half as often.
fn settle(claims: &HashMap<(u64, Claim), u32>) -> (HashMap<u64, TypeId>, BTreeMap<u64, TypeId>) {
    let mut by_place: HashMap<(u64, bool), Vec<(u32, TypeId)>> = HashMap::new();
    for ((variable, claim), times) in claims {
        let (is_pointer, id) = match claim {
            Claim::Points(id) => (true, *id),
            Claim::Is(id) => (false, *id),
        };
        by_place.entry((*variable, is_pointer)).or_default().push((*times, id));
    }
    let (mut points, mut values) = (HashMap::new(), BTreeMap::new());
    for ((variable, is_pointer), mut claimed) in by_place {
        claimed.sort_unstable_by_key(|(times, id)| (std::cmp::Reverse(*times), *id));
        let Some((times, id)) = claimed.first().copied() else { continue };
        if claimed.get(1).is_some_and(|(second, _)| second.saturating_mul(2) > times) {
            continue;
        }
        if is_pointer {
            points.insert(variable, id);
        } else {
            values.insert(variable, id);
        }
    }
    (points, values)
}
