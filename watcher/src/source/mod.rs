//! The rim: everything that touches the system, and nothing else does.

pub mod kernel;
pub mod proc;
