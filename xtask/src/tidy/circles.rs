//! Files that name each other in a circle: none of them can be read, tried or moved without the others.

use super::imports;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// A module's path from `crate` on.
type Module = Vec<String>;

/// Files of the agent and what each names, tests aside.
#[derive(Debug, Default)]
pub struct Files {
    files: BTreeMap<Module, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Paths that it names, from `crate` on where it could be told.
    named: Vec<Module>,
    /// What it hands on under a name of its own: `pub use sample::Sample`.
    hands_on: HashMap<String, Module>,
}

impl Files {
    /// Adds a file; `inside` is its path below `watcher/src`.
    pub fn add(&mut self, inside: &Path, file: &syn::File) {
        let is_test =
            inside.ends_with("tests.rs") || inside.iter().any(|part| part == "tests" || part == "fixture");
        if is_test || inside.ends_with("main.rs") {
            return;
        }
        let module = imports::module_of(inside);
        let hands_on = imports::handed_on(file, module.clone());
        let is_handed_on = |path: &Module| hands_on.values().any(|real| real.ends_with(path));
        let named = imports::named(file, module.clone()).into_iter().map(|it| it.path);
        let named = named.filter(|path| !is_handed_on(path)).collect();
        self.files.insert(module, File { path: inside.to_owned(), named, hands_on });
    }

    /// Every circle, as the files in it.
    pub fn circles(&self) -> Vec<Vec<PathBuf>> {
        let edges: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.iter().map(|(module, file)| (module, self.names(module, file))).collect();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            edges.keys().map(|from| (*from, reach(from, &edges))).collect();
        let mut circles: BTreeSet<BTreeSet<&Module>> = BTreeSet::new();
        for (module, from_here) in &reached {
            if from_here.contains(module) {
                circles
                    .insert(from_here.iter().copied().filter(|it| reached[*it].contains(module)).collect());
            }
        }
        let path = |module: &Module| self.files[module].path.clone();
        circles.into_iter().map(|circle| circle.into_iter().map(path).collect()).collect()
    }

    /// What is wrong.
    pub fn complaints(&self) -> Vec<String> {
        let circles = self.circles();
        circles.iter().map(|circle| format!("files name each other in a circle: {}", names(circle))).collect()
    }

    fn names(&self, module: &Module, file: &File) -> BTreeSet<&Module> {
        let targets = file.named.iter().filter_map(|path| self.file_of(module, path));
        targets.filter(|target| *target != module).collect()
    }

    /// The file that has what `path` names; `None` for a module itself, and for what is none of ours.
    fn file_of(&self, from: &Module, path: &Module) -> Option<&Module> {
        let mut path = path.clone();
        if path.first().is_some_and(|first| first != "crate") {
            // `use kinds::memory` in `judge.rs`.
            path = from.iter().cloned().chain(path).collect();
            if !self.files.contains_key(path.get(..=from.len())?) {
                return None;
            }
        }
        // What is handed on is handed on seldom more than twice.
        for _ in 0..4 {
            let length = (1..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
            let (module, file) = self.files.get_key_value(&path[..length])?;
            let item = path.get(length)?;
            match file.hands_on.get(item) {
                Some(real) if real != &path => {
                    path = real.iter().chain(&path[length + 1..]).cloned().collect();
                }
                _ => return Some(module),
            }
        }
        None
    }
}

fn names(circle: &[PathBuf]) -> String {
    let names: Vec<String> = circle.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

/// All that can be reached from a file along what files name.
fn reach<'a>(from: &Module, edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&Module> = edges.get(from).into_iter().flatten().copied().collect();
    while let Some(next) = waiting.pop() {
        if reached.insert(next) {
            waiting.extend(edges.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::Files;
    use std::path::{Path, PathBuf};

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<PathBuf>> {
        let mut all = Files::default();
        for (inside, text) in files {
            all.add(Path::new(inside), &syn::parse_file(text).unwrap());
        }
        all.circles()
    }

    #[test]
    fn a_circle_is_found_and_a_ladder_is_none() {
        let ladder = [
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c.rs", "pub struct C;"),
        ];
        assert!(circles(&ladder).is_empty());
        let circle = [ladder[0], ladder[1], ("c.rs", "use crate::a; fn f() { a::g() } pub struct C;")];
        let all: Vec<PathBuf> = ["a.rs", "b.rs", "c.rs"].map(PathBuf::from).into();
        assert_eq!(circles(&circle), [all]);
    }

    #[test]
    fn what_is_handed_on_counts_where_it_is_written() {
        let files = [
            ("a.rs", "mod x; mod y; pub use x::X; pub use y::Y;"),
            ("a/x.rs", "pub struct X;"),
            ("a/y.rs", "use super::X; pub struct Y;"),
        ];
        assert!(circles(&files).is_empty());
        let parent =
            [("a.rs", "mod x; pub struct A; fn f() { x::g() }"), ("a/x.rs", "use super::A; pub fn g() {}")];
        assert_eq!(circles(&parent).len(), 1);
    }

    #[test]
    fn a_module_that_is_only_gone_through_is_not_named() {
        let files = [
            ("a.rs", "pub mod b; use crate::c::C;"),
            ("a/b.rs", "pub struct B;"),
            ("c.rs", "use crate::a; type T = a::b::B; pub struct C;"),
        ];
        assert!(circles(&files).is_empty());
    }
}
