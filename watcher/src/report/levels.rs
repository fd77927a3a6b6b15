//! How full limits are, in the JSON of a diagnosis and of an event.

use super::numbers::rounded;
use crate::explain::{Holder, Level};
use serde::Serialize;

/// One limit: what counts against it, of how much, whether that is near, and who holds it.
#[derive(Serialize)]
pub(super) struct LevelObject<'a> {
    limit: &'static str,
    unit: &'static str,
    value: u64,
    of: u64,
    share: f64,
    /// What the process itself holds of a limit that others draw on as well.
    own: Option<u64>,
    near: bool,
    held_by: Vec<HolderObject<'a>>,
}

#[derive(Serialize)]
struct HolderObject<'a> {
    what: &'a str,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    count: u64,
    share: f64,
}

impl<'a> LevelObject<'a> {
    pub(super) fn of(level: &'a Level) -> Self {
        LevelObject {
            limit: level.limit,
            unit: level.unit,
            value: level.value,
            of: level.of,
            share: rounded(level.share),
            own: level.own,
            near: level.is_near,
            held_by: level.held_by.iter().map(HolderObject::of).collect(),
        }
    }
}

impl<'a> HolderObject<'a> {
    fn of(holder: &'a Holder) -> Self {
        let frame = holder.frame.as_ref();
        HolderObject {
            what: &holder.what,
            function: frame.map(|frame| &*frame.function),
            file: frame.map(|frame| &*frame.file),
            line: frame.map(|frame| frame.line),
            count: holder.count,
            share: rounded(holder.share),
        }
    }
}
