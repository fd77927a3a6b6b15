//! One [`Sample`](crate::observed::Sample) per process and beat: no arithmetic, no memory of earlier samples.
//!
//! One file per resource says how it is taken from `source`. [`sweep`] takes the samples of all targets of one beat.
//! The number of mappings comes with a task of the pass over all tasks where the kernel's iterator serves. Otherwise the
//! lines of `/proc/PID/maps` are counted, which costs about a microsecond each, so that processes take turns.

pub mod beat;
pub mod cgroup;
pub mod children;
pub mod connections;
pub mod descriptors;
mod details;
pub mod glance;
mod inode_clock;
pub mod quotas;
pub mod runtime;
pub mod sweep;
mod tasks;
pub mod threads;
mod turns;
