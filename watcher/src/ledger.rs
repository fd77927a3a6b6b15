//! What became of what each stack created: what the kernel half noted, held against what is there now.
//!
//! A *book* keeps what was noted of one process, a *ledger* is what a scan makes of it.

pub mod descriptor_book;
pub mod descriptor_ledger;
mod extents;
pub mod mapping_book;
pub mod mapping_ledger;
pub mod span_ledger;
pub mod task_ledger;
