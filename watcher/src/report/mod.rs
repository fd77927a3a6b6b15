//! What people and programs are given to read.

pub mod folded;
pub mod pprof;
