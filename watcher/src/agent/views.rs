//! One process, read once: opened, identified, attached to, read, and identified again, since a pid alone says
//! nothing about whose memory was read.

mod births;
mod examples;
mod fds;
mod goroutines;
mod growing;
mod heap;
mod holders;
mod leaked;
mod mappings;
mod memory;
mod stacks;
mod subject;
mod threads;
mod watching;

pub use fds::fds;
pub use goroutines::{goroutines, goroutines_repeatedly};
pub use growing::growing;
pub use heap::heap;
pub use holders::holders;
pub use leaked::leaked;
pub use mappings::mappings;
pub use memory::memory;
pub use subject::{GoSubject, Subject, ViewError};
