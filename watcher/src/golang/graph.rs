//! The heap of a Go process as a graph: objects, what points to what, and from where they are reached.
//!
//! Pure over [`Memory`]: it runs on live memory while the program goes on, and on memory that was kept. So that a
//! program that runs cannot hide what it holds, roots are read before the heap (what is reachable when they are read is
//! reachable from what they hold then, unless it moves), every slot is gone through, and spans that came meanwhile are
//! read as well.
//!
//! ```text
//! spans ─> objects (numbers of slots, page map)        roots: globals, stacks (frames), specials
//!             └─> scan (masks) ─> edges ──────────────────┴─> walk (who holds what), leaked (who waits for ever)
//! ```

pub mod code;
pub mod globals;
pub mod holders;
pub mod layout;
pub mod leaked;
pub mod sightings;
pub mod types;
pub mod typing;
pub mod variables;
pub mod walk;

mod bits;
mod edges;
mod error;
mod frames;
mod ground;
mod load;
mod masks;
mod model;
mod objects;
mod scan;
mod spans;
mod specials;
mod stacks;
mod statics;
mod type_info;
mod waiters;
mod witness;

pub use edges::Edge;
pub use error::GraphError;
pub use frames::FrameMaps;
pub use ground::Ground;
pub use model::{BYTES_PER_OBJECT, Effort, Graph, Order, Root, RootKind};
pub use objects::{At, ObjectId, Objects};
pub use scan::ScanEffort;
pub use spans::{MAX_SLOTS, Span};
pub use stacks::Holder;
pub use witness::Witness;

use crate::golang::heap::HeapError;

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::golang) use garbage::go_through;

/// What tests and fuzz targets do with types that may be garbage.
#[cfg(any(test, feature = "fuzzing"))]
mod garbage {
    use super::super::binary::image::{Image, Machine};
    use super::super::binary::loaded::Loaded;
    use super::super::runtime::layouts::Minor;
    use super::super::{Memory, Unreadable};
    use super::types::{TypeId, Types};

    const START: u64 = 0x50_0000;

    /// The bytes are all there is in memory.
    struct Only<'a>(&'a [u8]);

    impl Memory for Only<'_> {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            let unreadable = Unreadable { address, length: buffer.len() };
            let inside = address.checked_sub(START).and_then(|inside| usize::try_from(inside).ok());
            let bytes = inside.and_then(|inside| self.0.get(inside..inside.checked_add(buffer.len())?));
            buffer.copy_from_slice(bytes.ok_or(unreadable)?);
            Ok(())
        }
    }

    /// Asks everything of all types that `bytes` describe.
    pub(in crate::golang) fn go_through(bytes: &[u8], minor: u32) {
        let image = Image::without_segments(Machine::X86_64);
        let memory = Only(bytes);
        let nothing: &[u8] = &[];
        let loaded = Loaded { file: &nothing, image: &image, bias: 0, memory: &memory };
        let mut types = Types::of_bytes(START, bytes.to_vec(), Some(Minor(minor)));
        for offset in (0..bytes.len() as u64).step_by(8) {
            types.held_by_interface(&loaded, START + offset);
            let Some(id) = types.at(START + offset) else { continue };
            types.qualified_name(id);
            types.mask(&loaded, id);
            types.pointee(id);
        }
        types.meet_all();
        for index in 0..types.count().min(256) {
            let id = TypeId(u32::try_from(index).unwrap_or(0));
            for offset in [0, 8, 16, 24, 40, 1 << 20, u64::MAX - 7] {
                let lead = types.lead(id, offset);
                types.path(id, offset);
                types.settle(lead, offset == 0);
            }
        }
    }
}
