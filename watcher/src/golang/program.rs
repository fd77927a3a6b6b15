//! What is the same in all processes that run one executable: found out for the first, and shared by the others.
//!
//! Only what follows from the executable's file is kept, under the addresses that the file has. Where a process says
//! that its tables lie elsewhere than in the first, nothing is shared with it: its memory is its own, and may say
//! anything.

use super::image::Image;
use super::locate::Places;
use super::moduledata::Module;
use super::symbols::{FunctionIds, Located, StackPc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Resolved addresses that are kept; a program has a few thousand that ever show up in stacks.
const MAX_FRAMES: usize = 65_536;
/// Names of functions that were looked up; a few dozen are.
const MAX_NAMES: usize = 1024;

/// One executable. Whoever attaches to a process of it passes it on to the next.
#[derive(Default)]
pub struct Program {
    facts: Mutex<Facts>,
}

/// What is known of it so far.
#[derive(Default)]
pub(super) struct Facts {
    /// Headers, and the version in the build information.
    pub head: Option<(Arc<Image>, Arc<str>)>,
    pub tables: Option<Tables>,
    /// Where the first process had the variables, without bias: a guess that is checked.
    pub places: Places,
    /// Numbers of functions by name; `None` for those that the program does not have.
    functions: HashMap<Box<str>, Option<u64>>,
    frames: HashMap<StackPc, Arc<[Located]>>,
    texts: HashMap<Vec<u8>, Arc<str>>,
}

/// Where the symbols lie, without bias.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub module: Module,
    pub function_data: Option<u64>,
    pub ids: FunctionIds,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let facts = self.facts();
        f.debug_struct("Program")
            .field("functions", &facts.functions.len())
            .field("frames", &facts.frames.len())
            .finish_non_exhaustive()
    }
}

impl Program {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many addresses were resolved so far.
    #[cfg(test)]
    pub(super) fn resolved(&self) -> usize {
        self.facts().frames.len()
    }
}

impl Facts {
    pub fn function(&self, name: &str) -> Option<Option<u64>> {
        self.functions.get(name).copied()
    }

    pub fn learn_function(&mut self, name: &str, index: Option<u64>) {
        if self.functions.len() < MAX_NAMES {
            self.functions.insert(name.into(), index);
        }
    }

    pub fn frames(&self, place: StackPc) -> Option<Arc<[Located]>> {
        self.frames.get(&place).map(Arc::clone)
    }

    pub fn learn_frames(&mut self, place: StackPc, frames: Arc<[Located]>) {
        if self.frames.len() >= MAX_FRAMES {
            self.frames.clear();
            self.texts.clear();
        }
        self.frames.insert(place, frames);
    }

    /// The same text, kept once.
    pub fn text(&mut self, bytes: Vec<u8>, print: impl FnOnce(&[u8]) -> String) -> Arc<str> {
        if let Some(known) = self.texts.get(&bytes) {
            return Arc::clone(known);
        }
        let text: Arc<str> = print(&bytes).into();
        self.texts.insert(bytes, Arc::clone(&text));
        text
    }
}
