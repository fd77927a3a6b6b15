//! Following frame pointers in a copy of the stack.
//!
//! A read of user memory costs some 100 ns whatever its size, a frame in a copy 5: so pieces of the stack are copied at
//! once. Where the walk stands lies in memory: the verifier knows nothing of it there, and checks each round once and not
//! for every way that led to it. Kernels before 5.17 were not tried; there the kernel's own walk is taken.

use super::{Scratch, mix};
use aya_ebpf::Global;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::ffi::c_void;
use core::ptr::{read_volatile, write_volatile};
use watcher_ebpf::{RESUMED_FRAMES, WALKED_FRAMES};

/// 1 where the kernel has `bpf_loop`, Linux 5.17 and newer: the loader knows.
#[unsafe(no_mangle)]
pub static HAS_LOOPS: Global<u32> = Global::new(0);

/// Words of a copy.
const WORDS: usize = 512;
/// Its bytes, less a word: the greatest number that a mask lets through.
const MASK: u64 = 0xff8;
/// A frame pointer and a return address.
const FRAME_BYTES: u64 = 16;
const PAGE_BYTES: u64 = 4096;

/// A piece of a stack, and where the walk stands.
#[repr(C)]
pub struct Copied {
    /// The frame that is next.
    frame: u64,
    /// Where the piece begins.
    base: u64,
    /// How far from there the last whole frame lies.
    last: u64,
    /// Where the stack ends; 0 where that is not known.
    top: u64,
    hash: u64,
    words: [u64; WORDS],
}

/// Where a walk begins.
pub struct Start {
    /// Where the code is.
    pub pc: u64,
    /// Its frame pointer.
    pub frame: u64,
    /// Where the stack ends; 0 where that is not known.
    pub top: u64,
}

/// Walks from where the thread is; the hash of what came before and of all addresses.
#[inline(always)]
pub fn walked(scratch: &mut Scratch, start: &Start, hash: u64) -> u64 {
    let Scratch { copied, record, .. } = scratch;
    let kept = Kept {
        count: &raw mut record.walked_count,
        addresses: (&raw mut record.walked).cast(),
        room: WALKED_FRAMES,
    };
    // The thread's own stack leads on to that of a goroutine, which may lie anywhere.
    follow(copied, start, hash, &kept, |_, outer| outer)
}

/// Walks from where the goroutine left its stack, likewise.
#[inline(always)]
pub fn resumed(scratch: &mut Scratch, start: &Start, hash: u64) -> u64 {
    let Scratch { copied, record, .. } = scratch;
    let kept = Kept {
        count: &raw mut record.resumed_count,
        addresses: (&raw mut record.resumed).cast(),
        room: RESUMED_FRAMES,
    };
    // Stacks grow down: anything else is nonsense.
    follow(copied, start, hash, &kept, |frame, outer| if outer > frame { outer } else { 0 })
}

/// Where the addresses of a walk are kept.
struct Kept {
    count: *mut u32,
    addresses: *mut u64,
    room: usize,
}

/// `next` tells from a frame and the one that it names as its caller's where to go on, 0 for nowhere.
///
/// A loop of so many rounds and no call of the kernel's own loop: that one costs as much again for each frame.
#[inline(always)]
fn follow(copied: &mut Copied, start: &Start, hash: u64, kept: &Kept, next: impl Fn(u64, u64) -> u64) -> u64 {
    if start.pc == 0 {
        return hash;
    }
    // SAFETY: there is room for more than one.
    unsafe { *kept.addresses = start.pc };
    put_number(kept.count, 1);
    put(&raw mut copied.hash, mix(hash, start.pc));
    put(&raw mut copied.top, start.top);
    put(&raw mut copied.frame, start.frame);
    // Nothing is copied yet: wherever the frame is, it lies further.
    put(&raw mut copied.base, start.frame.wrapping_add(1));
    put(&raw mut copied.last, 0);
    for index in 1..kept.room {
        let frame = get(&raw const copied.frame);
        if !copied.reach(frame) {
            break;
        }
        let (outer, return_address) = copied.frame_at(frame);
        // SAFETY: the index is in bounds.
        unsafe { write_volatile(kept.addresses.wrapping_add(index), return_address) };
        put_number(kept.count, index as u32 + 1);
        put(&raw mut copied.frame, next(frame, outer));
    }
    get(&raw const copied.hash)
}

impl Copied {
    /// Whether this frame is in the copy, or could be brought there. The outermost frame has no other below it.
    #[inline(always)]
    fn reach(&mut self, frame: u64) -> bool {
        if frame == 0 || frame & 7 != 0 {
            return false;
        }
        frame.wrapping_sub(get(&raw const self.base)) <= get(&raw const self.last) || self.fetch(frame)
    }

    /// The frame that called this one, and to where it returns; counted in the hash.
    #[inline(always)]
    fn frame_at(&mut self, frame: u64) -> (u64, u64) {
        let at = (frame.wrapping_sub(get(&raw const self.base)) >> 3) as usize;
        let (outer, return_address) = (self.word(at), self.word(at.wrapping_add(1)));
        let hash = get(&raw const self.hash);
        put(&raw mut self.hash, mix(hash, return_address));
        (outer, return_address)
    }

    /// Copies the stack from `frame` on, up to its end, or where that is not known or not all of it is in memory, up to
    /// the end of the page.
    #[inline(always)]
    fn fetch(&mut self, frame: u64) -> bool {
        put(&raw mut self.base, frame);
        let top = get(&raw const self.top);
        let left = top.wrapping_sub(frame);
        let page = PAGE_BYTES - (frame & (PAGE_BYTES - 1));
        if top > frame && left >= FRAME_BYTES {
            let wanted = if left > MASK { MASK } else { left };
            if self.copy(frame, wanted) {
                return true;
            }
            if page >= wanted {
                return false;
            }
        }
        // A frame may lie across two pages.
        let wanted = if page < FRAME_BYTES {
            FRAME_BYTES
        } else if page > MASK {
            MASK
        } else {
            page
        };
        self.copy(frame, wanted)
    }

    #[inline(always)]
    fn copy(&mut self, from: u64, bytes: u64) -> bool {
        put(&raw mut self.last, bytes.wrapping_sub(FRAME_BYTES));
        let words = (&raw mut self.words).cast::<c_void>();
        // SAFETY: there is room for as many bytes as the mask lets through; the helper survives any address.
        unsafe { bpf_probe_read_user(words, (bytes & MASK) as u32, from as *const c_void) == 0 }
    }

    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: the index is in bounds.
        unsafe { *(&raw const self.words).cast::<u64>().wrapping_add(index & (WORDS - 1)) }
    }
}

/// Reads a number of which the compiler shall know nothing.
#[inline(always)]
pub fn get(place: *const u64) -> u64 {
    // SAFETY: a place in a map.
    unsafe { read_volatile(place) }
}

/// Writes a number of which the verifier shall know nothing.
#[inline(always)]
pub fn put(place: *mut u64, number: u64) {
    // SAFETY: a place in a map.
    unsafe { write_volatile(place, number) };
}

/// The same of a shorter one.
#[inline(always)]
pub fn get_number(place: *const u32) -> u32 {
    // SAFETY: a place in a map.
    unsafe { read_volatile(place) }
}

/// The same of a shorter one.
#[inline(always)]
pub fn put_number(place: *mut u32, number: u32) {
    // SAFETY: a place in a map.
    unsafe { write_volatile(place, number) };
}
