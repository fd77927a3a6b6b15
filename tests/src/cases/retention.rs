//! The retention profile of programs that record no heap profile, for each version and way to link.

use crate::build::Variant;
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::retention;
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

const CHECKS: [Check; 6] = [
    ("the_line_that_keeps_holds_what_stays", retention::the_line_that_keeps_holds_what_stays, &ROWS),
    ("what_makes_room_does_not_pile_up", retention::what_makes_room_does_not_pile_up, &ONE_ROW),
    ("large_objects_are_followed_one_by_one", retention::large_objects_are_followed_one_by_one, &ONE_ROW),
    ("probes_leave_in_time", retention::probes_leave_in_time, &ONE_ROW),
    ("probes_leave_with_who_is_killed", retention::probes_leave_with_who_is_killed, &ONE_ROW),
    ("the_program_survives", retention::the_program_survives, &ONE_ROW),
];

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let rows = ROWS.into_iter().chain(ONE_ROW);
    rows.filter_map(|(minor, variant)| Some(("mosaic", Toolchain::minor(minor)?, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let each = CHECKS.iter().flat_map(|(name, check, rows)| rows.iter().map(move |row| (name, check, *row)));
    each.map(|(name, check, (minor, variant))| {
        let needs = [Need::Root, Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        let name = format!("retention::{name}::go1_{minor}_{}", variant.name());
        let case = move || check(Toolchain::minor(minor).context("the toolchain is here")?, variant);
        Case::new(name, needs, case).busy()
    })
    .collect()
}
