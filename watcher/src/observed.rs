//! What was read of processes: plain values, which are what is recorded.
//!
//! The parts that read (`source`, `golang`, `capture`, `sample`, `ledger`) make them; the parts that think (`store`,
//! `judge`, `explain`) know nothing else of those.

pub mod ages;
pub mod anatomy;
pub mod cgroup;
pub mod children;
pub mod connections;
pub mod data_files;
pub mod descriptors;
pub mod doubts;
pub mod go_counters;
pub mod goroutines;
pub mod heap;
pub mod ledger;
pub mod memory;
pub mod pulls;
pub mod quotas;
mod sample;
pub mod threads;
pub mod totals;

pub use sample::Sample;
