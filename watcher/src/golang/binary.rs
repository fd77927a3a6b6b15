//! Executables: what Go writes into them, and which code is where.

pub mod buildinfo;
mod frames;
pub mod image;
pub mod loaded;
pub(crate) mod modinfo;
pub mod moduledata;
pub mod pclntab;
pub mod program;
pub mod prologue;
pub mod symbols;
