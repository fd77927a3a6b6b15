//! The retention profile of programs that record no heap profile, for each version and way to link.

use crate::build::Variant;
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::retention;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};

/// Those in which functions push their frame pointer first.
const MINORS: [u32; 7] = [21, 22, 23, 24, 25, 26, 27];
const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];

/// A check and its name.
type Check = (&'static str, fn(&Toolchain, Variant) -> Result<()>);

const CHECKS: [Check; 6] = [
    ("the_line_that_keeps_holds_what_stays", retention::the_line_that_keeps_holds_what_stays),
    ("what_makes_room_does_not_pile_up", retention::what_makes_room_does_not_pile_up),
    ("large_objects_are_followed_one_by_one", retention::large_objects_are_followed_one_by_one),
    ("probes_leave_in_time", retention::probes_leave_in_time),
    ("probes_leave_with_who_is_killed", retention::probes_leave_with_who_is_killed),
    ("the_program_survives", retention::the_program_survives),
];

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let toolchains = MINORS.into_iter().filter_map(Toolchain::minor);
    toolchains.flat_map(|toolchain| VARIANTS.map(|variant| ("mosaic", toolchain, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let rows = MINORS.into_iter().flat_map(|minor| VARIANTS.map(|variant| (minor, variant)));
    rows.flat_map(|(minor, variant)| {
        CHECKS.map(|(name, check)| {
            let needs =
                [Need::Root, Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
            Case::new(format!("retention::{name}::go1_{minor}_{}", variant.name()), needs, move || {
                check(Toolchain::minor(minor).context("the toolchain is here")?, variant)
            })
        })
    })
    .collect()
}
