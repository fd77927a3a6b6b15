//! x
pub mod lineage;
