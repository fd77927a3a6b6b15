//! The cases, by what they are about. A file here is a list of cases and what they do.

pub mod births;
pub mod blemishes;
pub mod bounds;
pub mod calibration;
pub mod causes;
pub mod churn;
pub mod command;
pub mod descriptor_ledger;
pub mod detection;
pub mod entrances;
pub mod faults;
pub mod fds;
pub mod fixtures;
pub mod graph_types;
pub mod healthy;
pub mod heap;
pub mod heap_leaks;
pub mod holders;
pub mod innocents;
pub mod kernel;
pub mod leaked;
pub mod leaks;
pub mod ledger;
pub mod levels;
pub mod limits;
pub mod lines;
pub mod mapped;
pub mod mapping_ledger;
pub mod modules;
pub mod pace;
pub mod privileges;
pub mod pulls;
pub mod real;
pub mod retention;
pub mod sampling;
pub mod servers;
pub mod shapes;
pub mod strange;
pub mod symbols;
pub mod task_ledger;
pub mod torment;
pub mod turnover;
pub mod unanswering;
pub mod views;
pub mod waiting;
pub mod watching;

use crate::build::Variant;
use crate::case::Case;
use crate::toolchain::Toolchain;

/// Every case.
pub fn all() -> Vec<Case> {
    [
        descriptor_ledger::cases(),
        detection::cases(),
        entrances::cases(),
        leaks::cases(),
        levels::cases(),
        limits::cases(),
        lines::cases(),
        mapped::cases(),
        mapping_ledger::cases(),
        modules::cases(),
        healthy::cases(),
        faults::cases(),
        fds::cases(),
        fixtures::cases(),
        graph_types::cases(),
        leaked::cases(),
        privileges::cases(),
        pulls::cases(),
        real::cases(),
        command::cases(),
        heap::cases(),
        heap_leaks::cases(),
        holders::cases(),
        innocents::cases(),
        kernel::cases(),
        ledger::cases(),
        views::cases(),
        waiting::cases(),
        watching::cases(),
        sampling::cases(),
        servers::cases(),
        shapes::cases(),
        strange::cases(),
        symbols::cases(),
        task_ledger::cases(),
        torment::cases(),
        turnover::cases(),
        unanswering::cases(),
        births::cases(),
        blemishes::cases(),
        bounds::cases(),
        calibration::cases(),
        churn::cases(),
        retention::cases(),
        pace::cases(),
        causes::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Those that the virtual machines run: what depends on the kernel and on little else.
pub fn guest() -> Vec<Case> {
    kernel::cases().into_iter().chain(ledger::cases()).collect()
}

/// The Go programs that must be there for [`guest`], and how they are built. The virtual machines have no toolchain.
pub fn guest_programs() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ledger::builds()
}
