//! The cases, by what they are about. A file here is a list of cases and what they do.

pub mod command;
pub mod detection;
pub mod entrances;
pub mod faults;
pub mod fixtures;
pub mod goroutines;
pub mod healthy;
pub mod heap;
pub mod kernel;
pub mod leaks;
pub mod privileges;
pub mod sampling;
pub mod servers;
pub mod views;

use crate::case::Case;

/// Every case.
pub fn all() -> Vec<Case> {
    [
        detection::cases(),
        entrances::cases(),
        leaks::cases(),
        healthy::cases(),
        faults::cases(),
        fixtures::cases(),
        goroutines::cases(),
        privileges::cases(),
        command::cases(),
        heap::cases(),
        kernel::cases(),
        views::cases(),
        sampling::cases(),
        servers::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
