//! Brings Go toolchains into the cache and builds every program of the tests with them, so that no test waits for
//! the network or competes with a compiler.
//!
//! It never fails: what could not be brought is said here, and again by each test that lacks it.

use std::io::{self, Write};
use tests::build::build;
use tests::cases::{
    births, causes, churn, descriptor_ledger, detection, fixtures, graph_types, healthy, heap, heap_leaks,
    innocents, leaked, leaks, ledger, levels, limits, mapping_ledger, modules, pace, pulls, retention,
    shapes, strange, turnover, unanswering, views, waiting,
};
use tests::toolchain::{Toolchain, fetch_all};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (version, fetched) in fetch_all() {
        match fetched {
            Ok(place) => writeln!(out, "Go {version} is in {}", place.display())?,
            Err(error) => writeln!(out, "Go {version} is missing: {error:#}")?,
        }
    }
    let newest = Toolchain::newest();
    let healthy = newest.into_iter().flat_map(healthy::builds);
    let fixtures = newest.into_iter().flat_map(fixtures::builds);
    let pulls = newest.into_iter().flat_map(pulls::builds);
    let strange = newest.into_iter().flat_map(strange::builds);
    let of_all = detection::builds()
        .chain(views::builds())
        .chain(heap::builds())
        .chain(graph_types::builds())
        .chain(leaked::builds())
        .chain(leaks::builds())
        .chain(heap_leaks::builds());
    let slow = newest.into_iter().flat_map(pace::builds).chain(newest.into_iter().flat_map(causes::builds));
    let churn = newest.into_iter().flat_map(churn::builds);
    let limits = newest.into_iter().flat_map(limits::builds);
    let levels = newest.into_iter().flat_map(levels::builds);
    let of_one = healthy.chain(fixtures).chain(pulls).chain(strange).chain(limits).chain(levels).chain(churn);
    let of_one = of_one.chain(slow).chain(newest.into_iter().flat_map(unanswering::builds));
    let of_all = of_all
        .chain(ledger::builds())
        .chain(turnover::builds())
        .chain(births::builds())
        .chain(retention::builds());
    let of_all = of_all.chain(waiting::builds()).chain(shapes::builds()).chain(innocents::builds());
    let of_all = of_all.chain(descriptor_ledger::builds()).chain(mapping_ledger::builds());
    for (name, toolchain, variant) in of_one.chain(of_all) {
        if let Err(error) = build(name, toolchain, variant) {
            writeln!(out, "{error:#}")?;
        }
    }
    if let Err(error) = modules::prepare() {
        writeln!(out, "{error:#}")?;
    }
    Ok(())
}
