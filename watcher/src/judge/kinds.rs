//! One pure function per kind of leak: what its totals and captures say by themselves.

pub mod children;
pub(crate) mod collector;
pub mod composition;
pub mod connections;
pub mod descriptors;
pub mod goroutines;
pub mod heap;
pub(crate) mod load;
pub mod mappings;
pub mod memory;
pub mod threads;
