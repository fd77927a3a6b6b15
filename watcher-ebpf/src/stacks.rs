//! Call stacks, kept once however often they come, with what each has created.
//!
//! Go keeps frame pointers, so following them gives the whole stack of a goroutine. A thread in C code, or on
//! a stack of the runtime's own, is different: C may keep no frame pointers and the walk ends there. Then the walk
//! goes on from where the goroutine left its own stack. Which of the two to believe is user space's affair.

mod goroutine;
mod slow;
mod walk;

use crate::kernel::{Pointer, REGISTERS_FRAME, REGISTERS_PLACE, Registers, registers};
use crate::ledger::{ON_DEMAND, Watching, add, lose};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{read_volatile, write_volatile};
use goroutine::{G_WORDS, Goroutine};
use walk::{Copied, HAS_LOOPS, Start, get, get_number, put, put_number};
use watcher_ebpf::{BUSY_STACKS, FAILED_STACKS, LOST_STACKS, Origin, StackRecord};

/// By hash. 4,096 distinct stacks at once have room, and the hash table is not full then.
#[map]
static STACKS: HashMap<u64, StackRecord> = HashMap::with_max_entries(8192, ON_DEMAND);

/// Where a stack is put together: it is too large for a program's own stack.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
struct Scratch {
    /// Which thread's program on this CPU is at it, and 0 for none. Another may interrupt it there, and where kernels
    /// let programs be preempted, take its turn.
    busy: u64,
    /// The beginning of the `g` that is looked at.
    g: [u64; G_WORDS],
    goroutine: Goroutine,
    copied: Copied,
    record: StackRecord,
}

/// Who does what the current task does, its stack kept and one creation counted for `ledger`.
#[inline(always)]
pub fn origin<C: EbpfContext>(ctx: &C, watching: &Watching, ledger: u32) -> Origin {
    origin_of(ctx, watching, ledger, 1)
}

/// The same for something that stands for `weight` of its kind.
#[inline(always)]
pub fn origin_of<C: EbpfContext>(ctx: &C, watching: &Watching, ledger: u32, weight: u32) -> Origin {
    let mut origin = MaybeUninit::uninit();
    write_origin(ctx, watching, ledger, origin.as_mut_ptr(), weight);
    // SAFETY: it was written just now.
    unsafe { origin.assume_init() }
}

/// The same, written to its place.
#[inline(always)]
pub fn write_origin<C: EbpfContext>(ctx: &C, watching: &Watching, ledger: u32, to: *mut Origin, weight: u32) {
    fill(ctx.as_ptr(), watching, ledger, to, weight);
}

/// A function of its own also for the kernel: it is long, and many programs call it, some more than once.
#[inline(never)]
fn fill(ctx: *mut c_void, watching: &Watching, ledger: u32, to: *mut Origin, weight: u32) {
    let mut found = Found { stack: 0, goroutine: 0, parent: 0, created_at: 0 };
    let tid = watching.tid();
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        found = take(ctx, watching, ledger, tid, weight, scratch);
    }
    if found.stack == 0 {
        watching.tally_of(ledger, weight, |tally| &raw const tally.created);
    }
    // SAFETY: there is room for an `Origin`, which consists of integers.
    let origin = unsafe { &mut *to };
    // One by one: of zeros side by side the compiler would make a loop over bytes.
    put(&raw mut origin.stack, found.stack);
    put(&raw mut origin.goroutine, found.goroutine);
    put(&raw mut origin.parent, found.parent);
    put(&raw mut origin.created_at, found.created_at);
    put_number(&raw mut origin.tid, tid);
    put_number(&raw mut origin.reserved, 0);
}

/// What was found of who does it.
struct Found {
    stack: u64,
    goroutine: u64,
    parent: u64,
    created_at: u64,
}

/// Counts one more creation by the same origin, for those who create several things at once.
#[inline(always)]
pub fn again(watching: &Watching, ledger: u32, origin: &Origin, weight: u32) {
    match STACKS.get_ptr(origin.stack) {
        // SAFETY: the entry stays valid until this program ends.
        Some(record) => add(unsafe { &raw const (*record).created }, u64::from(weight)),
        None => watching.tally_of(ledger, weight, |tally| &raw const tally.created),
    }
}

/// Counts the end of something that was created `lived_ns` ago.
#[inline(always)]
pub fn ended(watching: &Watching, ledger: u32, origin: &Origin, lived_ns: u64) {
    ended_of(watching, ledger, origin, lived_ns, 1);
}

/// The same for something that stood for `weight` of its kind.
#[inline(always)]
pub fn ended_of(watching: &Watching, ledger: u32, origin: &Origin, lived_ns: u64, weight: u32) {
    let Some(record) = STACKS.get_ptr_mut(origin.stack) else {
        watching.tally_of(ledger, weight, |tally| &raw const tally.ended);
        return;
    };
    // SAFETY: the entry stays valid until this program ends.
    add(unsafe { &raw const (*record).ended }, u64::from(weight));
    // SAFETY: as above. Where two CPUs meet here, the greater number may be lost: it is a hint.
    let longest_ns = unsafe { &mut (*record).longest_ns };
    if *longest_ns < lived_ns {
        *longest_ns = lived_ns;
    }
}

/// One creation less of this stack: it turned out to have failed.
#[inline(always)]
pub fn failed(watching: &Watching, ledger: u32, origin: &Origin) {
    match STACKS.get_ptr(origin.stack) {
        // SAFETY: the entry stays valid until this program ends.
        Some(record) => add(unsafe { &raw const (*record).created }, u64::MAX),
        None => watching.tally_of_amount(ledger, u64::MAX, |tally| &raw const tally.created),
    }
}

/// Finds the goroutine, takes and keeps the stack and counts what it has created; without a stack where that was not
/// possible.
#[inline(always)]
fn take(
    ctx: *mut c_void,
    watching: &Watching,
    ledger: u32,
    tid: u32,
    weight: u32,
    scratch: *mut Scratch,
) -> Found {
    let mut found = Found { stack: 0, goroutine: 0, parent: 0, created_at: 0 };
    // SAFETY: the slot of this CPU, which programs share by means of this mark.
    let busy = unsafe { &raw mut (*scratch).busy };
    let mine = u64::from(tid) | TAKEN;
    // SAFETY: as above.
    if unsafe { read_volatile(busy) } != 0 {
        lose(BUSY_STACKS);
        return found;
    }
    // SAFETY: as above.
    unsafe { write_volatile(busy, mine) };
    // SAFETY: ours while the mark is set.
    let held = unsafe { &mut *scratch };
    let registers = registers(watching.task);
    held.goroutine.find(watching, registers, &mut held.g);
    found.goroutine = get(&raw const held.goroutine.id);
    if found.goroutine != 0 {
        (found.parent, found.created_at) = held.goroutine.birth(watching, &held.g);
    }
    let key = walk(ctx, watching, ledger, registers, held);
    // SAFETY: as above.
    if key != 0 && unsafe { read_volatile(busy) } == mine {
        found.stack = keep(key, &mut held.record, weight);
    } else {
        lose(if key == 0 { FAILED_STACKS } else { BUSY_STACKS });
    }
    // SAFETY: as above.
    unsafe { write_volatile(busy, 0) };
    found
}

/// Thread ids have no such bit.
const TAKEN: u64 = 1 << 63;

/// Takes the stack; its key, or 0 where it could not be walked.
///
/// Numbers that a loop ends with go through the record in memory. There the verifier forgets what it knows of them,
/// and what follows the loop is checked once instead of once for each number of rounds.
#[inline(always)]
fn walk(
    ctx: *mut c_void,
    watching: &Watching,
    ledger: u32,
    registers: Pointer<Registers>,
    scratch: &mut Scratch,
) -> u64 {
    let record = &mut scratch.record;
    record.tgid = watching.tgid;
    record.ledger = ledger;
    put_number(&raw mut record.resumed_count, 0);
    put_number(&raw mut record.walked_count, 0);
    let view = &watching.watched.view;
    let mut hash = mix(FNV_BASIS, u64::from(record.tgid) << 32 | u64::from(record.ledger));
    // Programs of which nothing is known may be of 32 bits.
    if HAS_LOOPS.load() == 0 || view.is_known == 0 {
        hash = slow::walked(ctx, hash, record);
    } else {
        let has_left = get(&raw const scratch.goroutine.has_left_its_stack) != 0;
        let here = Start {
            pc: REGISTERS_PLACE.of(registers),
            frame: REGISTERS_FRAME.of(registers),
            top: if has_left { 0 } else { get(&raw const scratch.goroutine.stack_top) },
        };
        hash = walk::walked(scratch, &here, hash);
    }
    if get_number(&raw const scratch.record.walked_count) == 0 {
        return 0;
    }
    if get(&raw const scratch.goroutine.has_left_its_stack) != 0 {
        let left = Start {
            pc: scratch.goroutine.field(&scratch.g, view.g_sched_pc),
            frame: scratch.goroutine.field(&scratch.g, view.g_sched_bp),
            top: get(&raw const scratch.goroutine.stack_top),
        };
        hash = if HAS_LOOPS.load() == 0 {
            slow::resumed(&left, hash, &mut scratch.record)
        } else {
            walk::resumed(scratch, &left, hash)
        };
    }
    // Never 0, which means that there is none.
    hash | 1
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over whole words, with the upper half folded down so that all bits of an address count.
#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    hash ^ hash >> 29
}

/// Keeps this stack unless it is kept already, and counts what it has created; its key, or 0 where there is no room for
/// it.
#[inline(always)]
fn keep(key: u64, record: &mut StackRecord, weight: u32) -> u64 {
    if is_counted(key, weight) {
        return key;
    }
    record.created = u64::from(weight);
    record.ended = 0;
    record.longest_ns = 0;
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "a program's own stack has no room for a record"
    )]
    let inserted = STACKS.insert(key, &*record, u64::from(BPF_NOEXIST));
    // Another CPU may have been faster.
    if inserted.is_ok() || inserted == Err(EXISTS) && is_counted(key, weight) {
        return key;
    }
    lose(LOST_STACKS);
    0
}

/// Counts what a stack has created, if that stack is kept.
#[inline(always)]
fn is_counted(key: u64, weight: u32) -> bool {
    let Some(record) = STACKS.get_ptr(key) else { return false };
    // SAFETY: the entry stays valid until this program ends.
    add(unsafe { &raw const (*record).created }, u64::from(weight));
    true
}

/// `-EEXIST`, as the helper returns it.
const EXISTS: i32 = -17;
