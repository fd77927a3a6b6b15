//! The kernel half: programs in the kernel that read its tables and tell of starts and ends of processes.
//!
//! [`Kernel::load`] always gives a [`Kernel`]. What this kernel or these privileges do not allow is a row of
//! [`Kernel::probes`], and the caller takes the lesser route. Nothing is pinned: when the `Kernel` and the
//! [`Lifecycle`] are dropped, or the process dies, all programs are detached and gone.
//!
//! The way of a number: a program of `watcher-ebpf` writes a record, at offsets that `offsets` looked up in the
//! kernel's type information with `btf`; `load` has put the program there; `tables` (or `lifecycle`) reads the
//! record through an `iterator` (or a ring buffer), and `decode` makes a value of the vocabulary of it.

mod btf;
mod decode;
mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iterator;
pub mod ledger;
pub mod lifecycle;
mod load;
mod loaded;
mod memory;
mod object;
mod offsets;
mod opened;
mod passes;
mod pids;
pub mod probes;
mod tables;
mod tracefs;

pub use loaded::Kernel;
