//! Arithmetic of series: trends, shapes, growth, and since when.

pub mod growth;
pub(crate) mod ramp;
pub mod shape;
pub(crate) mod since;
pub mod trend;
