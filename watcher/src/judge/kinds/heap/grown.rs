//! What stacks hold more of than before.

use super::lines::Kept;
use crate::judge::kinds::heap::collected::OF_ONE_SIZE;
use crate::observed::heap::HeapSite;
use crate::vocabulary::frame::Frame;
use std::collections::HashMap;

/// What each stack has in use beyond what it had, all sizes together: a slice that is appended to has another size
/// each time. Those that keep most come first.
pub(in crate::judge) fn grown<'a>(before: &[HeapSite], now: &'a [HeapSite]) -> Vec<Kept<'a>> {
    let before = by_stack(before);
    let grown = by_stack(now).into_iter().map(|(stack, has)| {
        let had = before.get(stack);
        let (bytes, objects) = has.total();
        let (bytes_before, objects_before) = had.map(Sizes::total).unwrap_or_default();
        let bytes = bytes.saturating_sub(bytes_before);
        let object_bytes =
            has.most_grown(had).filter(|(_, grown)| *grown as f64 >= OF_ONE_SIZE * bytes as f64);
        Kept {
            stack,
            bytes,
            objects: objects.saturating_sub(objects_before),
            object_bytes: object_bytes.map(|(size, _)| size),
        }
    });
    let mut grown: Vec<Kept> = grown.filter(|kept| kept.bytes > 0).collect();
    grown.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.stack.cmp(b.stack)));
    grown
}

/// Bytes and objects in use by the size of the objects.
#[derive(Default)]
pub(in crate::judge) struct Sizes(HashMap<u64, (u64, u64)>);

impl Sizes {
    pub(in crate::judge) fn total(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |sum, (bytes, objects)| (sum.0 + bytes, sum.1 + objects))
    }

    /// The size that grew by most bytes, and by how many.
    pub(in crate::judge) fn most_grown(&self, before: Option<&Sizes>) -> Option<(u64, u64)> {
        let had = |size: &u64| before.and_then(|before| Some(before.0.get(size)?.0)).unwrap_or(0);
        let grown = self.0.iter().map(|(size, (bytes, _))| (*size, bytes.saturating_sub(had(size))));
        grown.max_by_key(|(size, grown)| (*grown, *size))
    }
}

pub(in crate::judge) fn by_stack(sites: &[HeapSite]) -> HashMap<&[Frame], Sizes> {
    let mut by_stack: HashMap<&[Frame], Sizes> = HashMap::new();
    for site in sites {
        let (bytes, objects) =
            by_stack.entry(&site.stack).or_default().0.entry(site.object_bytes).or_default();
        *bytes += site.bytes;
        *objects += site.objects;
    }
    by_stack
}
