//! Births of goroutines as probes see them, for each version and way to link.

use crate::births;
use crate::build::Variant;
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};

/// The oldest in which functions push their frame pointer first, one between and the newest, each linked in another
/// way.
const ROWS: [Row; 3] = [(21, Variant::STRIPPED), (24, Variant::CGO), (27, Variant::PIE)];
/// Enough for what does not depend on version or linking.
const ONE_ROW: [Row; 1] = [(26, Variant::STRIPPED)];

/// A minor version of Go and how the program is linked.
type Row = (u32, Variant);

/// A check and its name.
type Check = (&'static str, fn(&Toolchain, Variant) -> Result<()>, &'static [Row]);

const CHECKS: [Check; 3] = [
    ("births_equal_the_programs_count", births::births_equal_the_programs_count, &ROWS),
    ("the_chain_leads_to_who_asked", births::the_chain_leads_to_who_asked, &ROWS),
    ("the_program_survives", births::the_program_survives, &ONE_ROW),
];

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let rows = ROWS.into_iter().chain(ONE_ROW);
    rows.filter_map(|(minor, variant)| Some(("roster", Toolchain::minor(minor)?, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let each = CHECKS.iter().flat_map(|(name, check, rows)| rows.iter().map(move |row| (name, check, *row)));
    each.map(|(name, check, (minor, variant))| {
        let needs = [Need::Root, Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        let name = format!("births::{name}::go1_{minor}_{}", variant.name());
        let case = move || check(Toolchain::minor(minor).context("the toolchain is here")?, variant);
        Case::new(name, needs, case).busy()
    })
    .collect()
}
