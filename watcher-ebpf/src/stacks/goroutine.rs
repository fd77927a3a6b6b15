//! The goroutine on whose behalf the current thread runs.

use super::walk::{get, put};
use crate::kernel::{Pointer, REGISTERS_GOROUTINE, REGISTERS_STACK, Registers, TASK_FS_BASE, probe_user};
use crate::ledger::Watching;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::ffi::c_void;
use core::ptr::read_volatile;
use watcher_ebpf::{GoView, NO_FIELD};

/// Words of a `g` that are copied at once: a read of user memory costs as much as walking twenty frames. It has about
/// sixty words; what lies further back is read by itself.
pub const G_WORDS: usize = 64;

/// `g.stack` is its first member in every version: where its stack begins, and where it ends.
const STACK_BOTTOM: usize = 0;
const STACK_TOP: usize = 1;
/// `gobuf.g` lies behind `gobuf.pc` in every version. From the birth of a goroutine on it is the address of its `g`.
const SCHED_G_FROM_PC: u32 = 8;

/// It lies in a map and is written as numbers that the verifier knows nothing of: then what follows is checked once, and
/// not once for each way in which it was found.
#[repr(C)]
pub struct Goroutine {
    address: u64,
    /// 0 where there is none.
    pub id: u64,
    /// It runs on the thread's own stack.
    pub has_left_its_stack: u64,
    /// Where its own stack ends.
    pub stack_top: u64,
}

impl Goroutine {
    /// Finds it and copies the beginning of its `g` to `g`.
    #[inline(always)]
    pub fn find(&mut self, watching: &Watching, registers: Pointer<Registers>, g: &mut [u64; G_WORDS]) {
        self.set(0, 0, 0, 0);
        let view = &watching.watched.view;
        if view.is_known == 0 {
            return;
        }
        // All Go code has it in R14, the stub that enters the kernel included. That `g` refers to itself and that
        // the thread is on its stack proves it: C has anything there.
        let (here, stack) = (REGISTERS_GOROUTINE.of(registers), REGISTERS_STACK.of(registers));
        if here != 0 && here & 7 == 0 && copy(here, g) {
            let id = word(g, here, view.g_goid);
            let refers_to_itself = word(g, here, view.g_sched_pc.wrapping_add(SCHED_G_FROM_PC)) == here;
            if refers_to_itself && id != 0 && g[STACK_BOTTOM] <= stack && stack < g[STACK_TOP] {
                self.set(here, id, 0, g[STACK_TOP]);
                return;
            }
        }
        let place = TASK_FS_BASE.of(watching.task).wrapping_add_signed(i64::from(view.g_from_fs_base));
        let here = user_word(place);
        if here == 0 || !copy(here, g) {
            return;
        }
        let id = word(g, here, view.g_goid);
        if id != 0 {
            self.set(here, id, 0, g[STACK_TOP]);
            return;
        }
        // Those that belong to the thread itself have no id.
        let thread = word(g, here, view.g_m);
        let address = user_word(thread.wrapping_add(u64::from(view.m_curg)));
        if address == 0 || !copy(address, g) {
            return;
        }
        let id = word(g, address, view.g_goid);
        self.set(address, id, u64::from(id != 0), g[STACK_TOP]);
    }

    #[inline(always)]
    fn set(&mut self, address: u64, id: u64, has_left_its_stack: u64, stack_top: u64) {
        put(&raw mut self.address, address);
        put(&raw mut self.id, id);
        put(&raw mut self.has_left_its_stack, has_left_its_stack);
        put(&raw mut self.stack_top, stack_top);
    }

    /// A field of its `g`; 0 where it cannot be read.
    #[inline(always)]
    pub fn field(&self, g: &[u64; G_WORDS], offset: u32) -> u64 {
        word(g, get(&raw const self.address), offset)
    }

    /// Which goroutine started it, 0 where unknown, and the address behind the `go` statement.
    #[inline(always)]
    pub fn birth(&self, watching: &Watching, g: &[u64; G_WORDS]) -> (u64, u64) {
        let view: &GoView = &watching.watched.view;
        let parent = if view.g_parent == NO_FIELD { 0 } else { self.field(g, view.g_parent) };
        (parent, self.field(g, view.g_gopc))
    }
}

/// Whether the beginning of the `g` at `address` could be copied.
#[inline(always)]
fn copy(address: u64, g: &mut [u64; G_WORDS]) -> bool {
    // SAFETY: there is room for as many bytes; the helper survives any address.
    unsafe {
        bpf_probe_read_user(
            (&raw mut *g).cast(),
            size_of::<[u64; G_WORDS]>() as u32,
            address as *const c_void,
        ) == 0
    }
}

/// The word at `offset` of the `g` at `address`, of which `g` is a copy of the beginning; 0 where it cannot be read.
#[inline(always)]
fn word(g: &[u64; G_WORDS], address: u64, offset: u32) -> u64 {
    let index = (offset >> 3) as usize;
    if offset & 7 != 0 || index >= G_WORDS {
        return user_word(address.wrapping_add(u64::from(offset)));
    }
    // The compiler knows that the mask changes nothing and would leave it out; the verifier needs it.
    // SAFETY: a number of our own.
    let index = unsafe { read_volatile(&raw const index) } & (G_WORDS - 1);
    // SAFETY: the index is in bounds.
    unsafe { *(&raw const *g).cast::<u64>().wrapping_add(index) }
}

/// A word of the current process; 0 where it cannot be read.
#[inline(always)]
fn user_word(address: u64) -> u64 {
    probe_user(address).unwrap_or(0)
}
