//! Who sits on what is open: goroutines that wait for descriptors now.

use crate::capture::frames::Frames;
use crate::golang::binary::symbols;
use crate::golang::goroutines::GoroutineSnapshot;
use crate::golang::goroutines::poll::{self, Waiting};
use crate::golang::runtime::Runtime;
use crate::golang::{Memory, ReadAt};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Goroutines that wait for descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sitters {
    /// Where those are that wait for a descriptor, by its number; innermost frame first.
    pub stacks: HashMap<i32, Vec<Arc<[Frame]>>>,
    /// How many others wait for some descriptor; `None` where goroutines could not be read.
    pub unknown: Option<u64>,
}

impl Sitters {
    /// Those of a process, of which these are open.
    pub fn read<'a>(
        runtime: &mut Runtime,
        (file, memory): (&dyn ReadAt, &dyn Memory),
        open: impl Iterator<Item = &'a OpenDescriptor> + Clone,
    ) -> Sitters {
        // The poller takes others too, as terminals, but a process without any of these spares itself the reading.
        let is_waited_for =
            |it: &OpenDescriptor| matches!(it.kind, DescriptorType::Socket | DescriptorType::Pipe);
        if !open.clone().any(is_waited_for) {
            return Sitters { unknown: Some(0), ..Sitters::default() };
        }
        let Ok(snapshot) = runtime.goroutines(file, memory) else { return Sitters::default() };
        let numbers: HashSet<i32> = open.map(|it| it.fd).collect();
        let waiting = poll::waiting(memory, &snapshot, |number| numbers.contains(&number));
        Sitters::of(&snapshot, &waiting)
    }

    fn of(snapshot: &GoroutineSnapshot, waiting: &Waiting) -> Sitters {
        let mut frames = Frames::default();
        let mut by_group: HashMap<u32, Arc<[Frame]>> = HashMap::new();
        // Groups also differ in what is not shown here: the same stack is kept once.
        let mut known: HashSet<Arc<[Frame]>> = HashSet::new();
        let mut sitters = Sitters { unknown: Some(waiting.unknown), ..Sitters::default() };
        for (index, descriptor) in &waiting.found {
            let Some(goroutine) = snapshot.goroutines.get(*index) else { continue };
            let Some(group) = snapshot.groups.get(goroutine.group as usize) else { continue };
            let stack = by_group.entry(goroutine.group).or_insert_with(|| {
                let stack = frames.of(without_runtime(&group.frames));
                known.get(&stack).cloned().unwrap_or_else(|| {
                    known.insert(Arc::clone(&stack));
                    stack
                })
            });
            sitters.stacks.entry(*descriptor).or_default().push(Arc::clone(stack));
        }
        sitters
    }

    /// Where the goroutines are that wait for the descriptor of this number.
    pub fn of_descriptor(&self, number: i32) -> &[Arc<[Frame]>] {
        self.stacks.get(&number).map(Vec::as_slice).unwrap_or_default()
    }
}

/// How the runtime parks a goroutine is the same for all of them; Go's own traces leave it out.
fn without_runtime(frames: &[symbols::Frame]) -> &[symbols::Frame] {
    let own = frames.iter().position(|frame| !frame.function.starts_with("runtime."));
    own.and_then(|own| frames.get(own..)).unwrap_or(frames)
}
