//! What is read of one process on suspicion, because it costs more than a total: goroutines, heap, resident memory,
//! data files, and who created what, each at one moment.

pub mod anatomy;
pub mod creators;
pub mod data_files;
pub mod doubts;
pub mod frames;
pub mod go_code;
pub mod goroutines;
pub mod heap_sites;
pub mod named;
pub mod same_program;
pub mod starters;
pub mod waiters;
