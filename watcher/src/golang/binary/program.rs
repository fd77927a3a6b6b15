//! What is the same in all processes that run one executable: found out for the first, and shared by the others.
//!
//! Only what follows from the executable's file is kept, under the addresses that the file has. Where a process says
//! that its tables lie elsewhere than in the first, nothing is shared with it: its memory is its own, and may say
//! anything.

use super::frames::{FunctionIds, Located, StackPc};
use super::image::Image;
use super::moduledata::Module;
use crate::golang::runtime::places::Places;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Resolved addresses that are kept; a program has a few thousand that ever show up in stacks.
const MAX_FRAMES: usize = 65_536;
/// What they and their texts may take; those of a few thousand take one or two MiB.
const MAX_RESOLVED_BYTES: usize = 32 << 20;
/// The same for plugins, which each process has for itself.
const MAX_PLUGIN_FRAMES: usize = 16_384;
const MAX_PLUGIN_BYTES: usize = 8 << 20;
/// What an entry of a map and the block behind it take besides.
const ENTRY_BYTES: usize = 96;
/// Names of functions that were looked up; a few dozen are.
const MAX_NAMES: usize = 1024;

/// One executable. Whoever attaches to a process of it passes it on to the next.
#[derive(Default)]
pub struct Program {
    facts: Mutex<Facts>,
}

/// What is known of it so far.
#[derive(Default)]
pub(in crate::golang) struct Facts {
    /// Headers, and the version in the build information.
    pub head: Option<(Arc<Image>, Arc<str>)>,
    pub tables: Option<Tables>,
    /// Where the first process had the variables, without bias: a guess that is checked.
    pub places: Places,
    /// Numbers of functions by name; `None` for those that the program does not have.
    functions: HashMap<Box<str>, Option<u64>>,
    pub resolved: Resolved,
}

/// Addresses that were resolved and their texts, each kept once. Where they become too much all are forgotten: frames
/// keep texts, so that neither alone would free anything.
pub(in crate::golang) struct Resolved {
    frames: HashMap<StackPc, Arc<[Located]>>,
    texts: HashMap<Vec<u8>, Arc<str>>,
    bytes: usize,
    max_frames: usize,
    max_bytes: usize,
}

/// Where the symbols lie, without bias.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::golang) struct Tables {
    pub module: Module,
    pub function_data: Option<u64>,
    pub ids: FunctionIds,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let facts = self.facts();
        f.debug_struct("Program")
            .field("functions", &facts.functions.len())
            .field("frames", &facts.resolved.frames.len())
            .finish_non_exhaustive()
    }
}

impl Program {
    pub(in crate::golang) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many addresses were resolved so far.
    #[cfg(test)]
    pub(in crate::golang) fn resolved(&self) -> usize {
        self.facts().resolved.frames.len()
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
}

/// For the addresses of an executable.
impl Default for Resolved {
    fn default() -> Resolved {
        Resolved::with_room(MAX_FRAMES, MAX_RESOLVED_BYTES)
    }
}

impl Resolved {
    /// For the addresses of a process's plugins.
    pub fn of_plugins() -> Resolved {
        Resolved::with_room(MAX_PLUGIN_FRAMES, MAX_PLUGIN_BYTES)
    }

    fn with_room(max_frames: usize, max_bytes: usize) -> Resolved {
        Resolved { frames: HashMap::new(), texts: HashMap::new(), bytes: 0, max_frames, max_bytes }
    }

    pub fn frames(&self, place: StackPc) -> Option<Arc<[Located]>> {
        self.frames.get(&place).map(Arc::clone)
    }

    pub fn learn_frames(&mut self, place: StackPc, frames: Arc<[Located]>) {
        if self.frames.len() >= self.max_frames {
            self.forget();
        }
        self.make_room(ENTRY_BYTES + size_of_val(&*frames));
        self.frames.insert(place, frames);
    }

    /// The same text, kept once.
    pub fn text(&mut self, bytes: Vec<u8>, print: impl FnOnce(&[u8]) -> String) -> Arc<str> {
        if let Some(known) = self.texts.get(&bytes) {
            return Arc::clone(known);
        }
        let text: Arc<str> = print(&bytes).into();
        self.make_room(ENTRY_BYTES + bytes.capacity() + text.len());
        self.texts.insert(bytes, Arc::clone(&text));
        text
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes.saturating_add(bytes) > self.max_bytes {
            self.forget();
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn forget(&mut self) {
        self.frames.clear();
        self.texts.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRY_BYTES, Resolved};
    use crate::golang::binary::frames::StackPc;
    use std::sync::Arc;

    fn print(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn what_is_kept_is_bounded_by_its_bytes() {
        let mut resolved = Resolved::with_room(1000, 64 << 10);
        let first = resolved.text(b"main.first".to_vec(), print);
        resolved.learn_frames(StackPc { pc: 1, is_exact: false }, [].into());
        assert!(Arc::ptr_eq(&first, &resolved.text(b"main.first".to_vec(), print)));
        for index in 0..1000 {
            let name = format!("{index:04}{}", "x".repeat(1000)).into_bytes();
            resolved.text(name, print);
            assert!(resolved.bytes <= 64 << 10);
            // One of them is short.
            assert!((resolved.texts.len() - 1) * (2000 + ENTRY_BYTES) <= 64 << 10);
        }
        assert_eq!(resolved.frames.len(), 0, "they went with the texts that they had");
        assert!(!Arc::ptr_eq(&first, &resolved.text(b"main.first".to_vec(), print)));
    }

    #[test]
    fn what_is_kept_is_bounded_in_number() {
        let mut resolved = Resolved::with_room(10, 64 << 10);
        for pc in 0..25 {
            resolved.text(pc.to_string().into_bytes(), print);
            resolved.learn_frames(StackPc { pc, is_exact: false }, [].into());
            assert!(resolved.frames.len() <= 10);
        }
        assert!(resolved.texts.len() <= 11, "{}", resolved.texts.len());
    }
}
