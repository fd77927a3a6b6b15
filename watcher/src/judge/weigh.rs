//! The kinds weighed against each other: causes and consequences, evidence, doubts, reasons, limits.

pub(crate) mod answers;
pub mod attribute;
pub(crate) mod cause;
pub mod corroborate;
pub mod culprit;
pub mod doubts;
pub(crate) mod evidence;
pub mod exhaustion;
pub(crate) mod few;
pub(crate) mod follows;
pub mod gaps;
pub(crate) mod in_use;
pub(crate) mod kin;
pub mod readings;
pub(crate) mod reasons;
pub mod standing;
pub mod standstill;
pub mod story;
pub(crate) mod survivors;
