//! Births of goroutines as probes see them, for each version and way to link.

use crate::births;
use crate::build::Variant;
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};

/// Those in which functions push their frame pointer first.
const MINORS: [u32; 7] = [21, 22, 23, 24, 25, 26, 27];
const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];

/// A check and its name.
type Check = (&'static str, fn(&Toolchain, Variant) -> Result<()>);

const CHECKS: [Check; 3] = [
    ("births_equal_the_programs_count", births::births_equal_the_programs_count),
    ("the_chain_leads_to_who_asked", births::the_chain_leads_to_who_asked),
    ("the_program_survives", births::the_program_survives),
];

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let toolchains = MINORS.into_iter().filter_map(Toolchain::minor);
    toolchains.flat_map(|toolchain| VARIANTS.map(|variant| ("roster", toolchain, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let rows = MINORS.into_iter().flat_map(|minor| VARIANTS.map(|variant| (minor, variant)));
    rows.flat_map(|(minor, variant)| {
        CHECKS.map(|(name, check)| {
            let needs =
                [Need::Root, Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
            Case::new(format!("births::{name}::go1_{minor}_{}", variant.name()), needs, move || {
                check(Toolchain::minor(minor).context("the toolchain is here")?, variant)
            })
        })
    })
    .collect()
}
