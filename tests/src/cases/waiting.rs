//! Which goroutine waits for which descriptor, for each version and way to link.

use crate::build::Variant;
use crate::case::Case;
use crate::lobby;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::Toolchain;
use anyhow::Context;

const MINORS: [u32; 7] = [21, 22, 23, 24, 25, 26, 27];
const VARIANTS: [Variant; 2] = [Variant::STRIPPED, Variant::CGO];

fn rows() -> impl Iterator<Item = (u32, Variant)> {
    MINORS.into_iter().flat_map(|minor| VARIANTS.map(|variant| (minor, variant)))
}

/// What has to be built for them.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    rows().filter_map(|(minor, variant)| Some(("lobby", Toolchain::minor(minor)?, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |(minor, variant): (u32, Variant)| {
        let needs = [Need::Root, Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        let name = format!("waiting::who_waits_for_what::go1_{minor}_{}", variant.name());
        Case::new(name, needs, move || {
            lobby::who_waits_for_what(Toolchain::minor(minor).context("the toolchain is here")?, variant)
        })
    };
    rows().map(case).collect()
}
