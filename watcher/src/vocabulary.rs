//! The words that all parts share: plain values that know nothing of where they come from.
//!
//! Processes, descriptors, sockets, tasks, and whether a value could be read at all.

pub mod descriptor;
pub mod frame;
pub mod health;
pub mod holders;
pub mod kind;
pub mod origin;
pub mod owner;
pub mod process;
pub mod reading;
pub mod signal;
pub mod socket;
pub mod task;
