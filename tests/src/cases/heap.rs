//! The Go heap as it is read from outside, for each version and way to link.

use crate::build::Variant;
use crate::case::Case;
use crate::golang_heap;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result};

const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];

/// A check and its name.
type Check = (&'static str, fn(&Toolchain, Variant) -> Result<()>);

const CHECKS: [Check; 4] = [
    ("counters_equal_memstats", golang_heap::counters_equal_memstats),
    ("profile_equals_endpoint", golang_heap::profile_equals_endpoint),
    ("programs_without_profile_are_named", golang_heap::programs_without_profile_are_named),
    ("an_unknown_version_is_calibrated", golang_heap::an_unknown_version_is_calibrated),
];

/// Needs no more than one old and one new version: rates have always been kept in the same way.
const RATES: Check = ("other_rates_equal_endpoint", golang_heap::other_rates_equal_endpoint);

/// What they run; `cellar` has no heap profile.
const PROGRAMS: [&str; 2] = ["vault", "cellar"];

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let variants = Toolchain::all().iter().flat_map(|toolchain| VARIANTS.map(|variant| (toolchain, variant)));
    variants.flat_map(|(toolchain, variant)| PROGRAMS.map(|program| (program, toolchain, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let rates = [19, 27].map(|minor| case(RATES, minor, Variant::STRIPPED));
    let rows = MINORS.into_iter().flat_map(|minor| VARIANTS.map(|variant| (minor, variant)));
    rows.flat_map(|(minor, variant)| CHECKS.map(|check| case(check, minor, variant))).chain(rates).collect()
}

fn case((name, check): Check, minor: u32, variant: Variant) -> Case {
    let needs = [Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
    Case::new(format!("heap::{name}::go1_{minor}_{}", variant.name()), needs, move || {
        check(Toolchain::minor(minor).context("the toolchain is here")?, variant)
    })
}
