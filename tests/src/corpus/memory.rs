//! Memory of the Go heap that stays.

use super::{BASE, Count, Root, Row};

/// A heap must grow by much more than the rest of the program breathes.
const HEAP: Row = Row {
    kind: "heap",
    rate_per_second: 113.0,
    says: "collections found",
    count: Count::No,
    root: Root::ForNothing,
    ..BASE
};

#[rustfmt::skip]
pub(super) const ROWS: [Row; 1] = [
    Row { situations: &[8], program: "catalog", lines: &["strings.Repeat(", "descriptions[number] = describe(number)"], also: &[22], ..HEAP },
];
