//! Who waits on what, and which of the runtime's own objects hold nothing by themselves.
//!
//! A goroutine that waits on a channel or a semaphore has a `sudog` for each (`runtime/runtime2.go`). They are found by
//! what they look like, since before Go 1.26 nothing leads from a goroutine that waits on a semaphore to its own: an
//! object of their size whose first word points to a goroutine.

use super::Holder;
use super::ground::Ground;
use super::objects::ObjectId;
use crate::golang::bytes::u64_at;
use crate::golang::graph::bits::{is_set, set};
use crate::golang::graph::model::Graph;
use std::collections::HashMap;

/// `sudog`s in one read.
const BATCH: usize = 1024;

/// Where the fields of a `sudog` lie.
#[derive(Clone, Copy)]
struct Layout {
    /// Size of its slot.
    slot_bytes: u64,
    bytes: usize,
    /// `elem`: for semaphores, the address of the semaphore.
    element: usize,
    wait_link: usize,
    channel: usize,
}

/// From Go 1.26 on `elem` and `c` are pairs, of which the second word is always set.
fn layout(minor: u32) -> Layout {
    if minor >= 26 {
        Layout { slot_bytes: 112, bytes: 104, element: 32, wait_link: 72, channel: 96 }
    } else {
        Layout { slot_bytes: 96, bytes: 88, element: 24, wait_link: 64, channel: 80 }
    }
}

/// A `sudog`: that a goroutine waits on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub address: u64,
    /// Address of the goroutine.
    pub goroutine: u64,
    /// `elem`.
    pub element: u64,
    /// `waitlink`: the next of the same goroutine.
    pub next: u64,
    /// `c`: the channel; 0 where it waits on a semaphore.
    pub channel: u64,
}

impl Graph {
    /// Finds what is the runtime's own: the list of goroutines, their structures, and who waits where.
    pub(super) fn close_books(&mut self, list: u64) {
        let layout = layout(self.minor);
        let goroutines: Vec<ObjectId> =
            self.goroutines.iter().filter_map(|holder| self.objects.object_at(holder.address)).collect();
        self.opaque = vec![0; self.objects.len().div_ceil(64)];
        let mut is_goroutine = vec![0_u64; self.opaque.len()];
        for id in &goroutines {
            set(&mut is_goroutine, *id);
            set(&mut self.opaque, *id);
        }
        if let Some(list) = self.objects.object_at(list) {
            set(&mut self.opaque, list);
        }
        let spans: Vec<_> = self
            .objects
            .spans()
            .iter()
            .filter(|span| span.slot_bytes == layout.slot_bytes && span.has_pointers)
            .map(|span| span.base..span.base + span.slots)
            .collect();
        for id in spans.into_iter().flatten() {
            let first = self.edges.of(id).next();
            let is_waiter = first.is_some_and(|edge| {
                edge.offset == 0 && !edge.is_interior && is_set(&is_goroutine, edge.target)
            });
            if is_waiter {
                set(&mut self.opaque, id);
                self.waiters.push(id);
            }
        }
    }

    /// Reads all waiters as they are now, by address, and which each goroutine has, by its address.
    pub(super) fn read_waiters(&self, ground: &Ground) -> (HashMap<u64, Waiter>, HashMap<u64, Vec<Waiter>>) {
        let layout = layout(self.minor);
        let (mut by_address, mut by_goroutine): (HashMap<_, _>, HashMap<u64, Vec<Waiter>>) =
            Default::default();
        let mut readable = Vec::new();
        for batch in self.waiters.chunks(BATCH) {
            let ranges: Vec<(u64, usize)> =
                batch.iter().map(|id| (self.objects.address(*id), layout.bytes)).collect();
            let mut buffer = vec![0; ranges.len() * layout.bytes];
            ground.loaded.memory.read_many(&ranges, &mut buffer, &mut readable);
            let read = ranges.iter().zip(buffer.chunks_exact(layout.bytes)).zip(&readable);
            for (((address, _), bytes), is_readable) in read {
                let word = |offset: usize| u64_at(bytes, offset).unwrap_or(0);
                if !is_readable || word(0) == 0 {
                    continue;
                }
                let waiter = Waiter {
                    address: *address,
                    goroutine: word(0),
                    element: word(layout.element),
                    next: word(layout.wait_link),
                    channel: word(layout.channel),
                };
                by_address.insert(*address, waiter);
                by_goroutine.entry(waiter.goroutine).or_default().push(waiter);
            }
        }
        (by_address, by_goroutine)
    }

    /// The goroutine is as it was in the other reading of this graph: it has not run in between.
    pub(super) fn stays(&self, holder: &Holder) -> bool {
        let other = self.other_states.binary_search_by_key(&holder.address, |other| other.address);
        holder.is_settled && other.is_ok_and(|index| self.other_states[index].is_as(holder))
    }
}
