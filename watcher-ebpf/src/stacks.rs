//! Call stacks, kept once however often they come, with what each has created.
//!
//! Go keeps frame pointers, so the kernel's own walk gives the whole stack of a goroutine. A thread in C code, or on
//! a stack of the runtime's own, is different: C may keep no frame pointers and the walk ends there. Then the walk
//! goes on from where the goroutine left its own stack. Which of the two to believe is user space's affair.

use crate::kernel::{TASK_FS_BASE, probe_user};
use crate::ledger::{ON_DEMAND, Watching, add, lose};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_USER_STACK, BPF_NOEXIST};
use aya_ebpf::helpers::generated::bpf_get_stack;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use core::ffi::c_void;
use core::ptr::write_volatile;
use watcher_ebpf::{
    BUSY_STACKS, FAILED_STACKS, GoView, LOST_STACKS, NO_FIELD, Origin, RESUMED_FRAMES, StackRecord,
    WALKED_FRAMES,
};

/// By hash. 4,096 distinct stacks at once have room, and the hash table is not full then.
#[map]
static STACKS: HashMap<u64, StackRecord> = HashMap::with_max_entries(8192, ON_DEMAND);

/// Where a stack is put together: it is too large for a program's own stack.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[repr(C)]
struct Scratch {
    /// A program on this CPU is at it. Another may interrupt it there.
    busy: u64,
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
    let mut origin =
        Origin { stack: 0, goroutine: 0, parent: 0, created_at: 0, tid: watching.tid(), reserved: 0 };
    fill(ctx.as_ptr(), watching, ledger, &mut origin, weight);
    origin
}

/// A function of its own also for the kernel: it is long, and many programs call it, some more than once.
#[inline(never)]
fn fill(ctx: *mut c_void, watching: &Watching, ledger: u32, origin: &mut Origin, weight: u32) {
    let goroutine = Goroutine::find(watching);
    if goroutine.id != 0 {
        let view = &watching.watched.view;
        origin.goroutine = goroutine.id;
        origin.created_at = goroutine.field(view.g_gopc);
        if view.g_parent != NO_FIELD {
            origin.parent = goroutine.field(view.g_parent);
        }
    }
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        origin.stack = taken(ctx, watching, ledger, &goroutine, scratch);
    }
    again(watching, ledger, origin, weight);
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

/// The key of the current stack, which was counted; 0 where it was not kept.
#[inline(always)]
fn taken(
    ctx: *mut c_void,
    watching: &Watching,
    ledger: u32,
    goroutine: &Goroutine,
    scratch: *mut Scratch,
) -> u64 {
    // SAFETY: the slot of this CPU, which programs share by means of this flag.
    let busy = unsafe { &mut (*scratch).busy };
    if *busy != 0 {
        lose(BUSY_STACKS);
        return 0;
    }
    *busy = 1;
    // SAFETY: ours while the flag is set.
    let record = unsafe { &mut (*scratch).record };
    let key = walk(ctx, watching, ledger, goroutine, record);
    let key = if key == 0 { 0 } else { keep(key, record) };
    *busy = 0;
    key
}

/// Takes the stack; its key, or 0 where it could not be walked.
///
/// Numbers that a loop ends with go through the record in memory. There the verifier forgets what it knows of them,
/// and what follows the loop is checked once instead of once for each number of rounds.
#[inline(always)]
fn walk(
    ctx: *mut c_void,
    watching: &Watching,
    ledger: u32,
    goroutine: &Goroutine,
    record: &mut StackRecord,
) -> u64 {
    record.tgid = watching.tgid;
    record.ledger = ledger;
    record.resumed_count = 0;
    if goroutine.has_left_its_stack != 0 {
        resume(&watching.watched.view, goroutine, record);
    }
    let walked = &raw mut record.walked;
    // SAFETY: `walked` has room for that many bytes.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            walked.cast(),
            size_of::<[u64; WALKED_FRAMES]>() as u32,
            u64::from(BPF_F_USER_STACK),
        )
    };
    if bytes <= 0 {
        lose(FAILED_STACKS);
        return 0;
    }
    forget(&mut record.walked_count, bytes as u32 / size_of::<u64>() as u32);
    hash(record)
}

/// The key of a stack: never 0, which means that there is none.
#[inline(always)]
fn hash(record: &StackRecord) -> u64 {
    let mut hash = mix(FNV_BASIS, u64::from(record.tgid) << 32 | u64::from(record.ledger));
    let walked = (&raw const record.walked).cast::<u64>();
    for index in 0..WALKED_FRAMES {
        if index as u32 >= record.walked_count {
            break;
        }
        // SAFETY: the index is in bounds.
        hash = mix(hash, unsafe { *walked.wrapping_add(index) });
    }
    let resumed = (&raw const record.resumed).cast::<u64>();
    for index in 0..RESUMED_FRAMES {
        if index as u32 >= record.resumed_count {
            break;
        }
        // SAFETY: the index is in bounds.
        hash = mix(hash, unsafe { *resumed.wrapping_add(index) });
    }
    hash | 1
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over whole words, with the upper half folded down so that all bits of an address count.
#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    hash ^ hash >> 29
}

/// Walks the stack that the goroutine has left, from where it left it.
#[inline(always)]
fn resume(view: &GoView, goroutine: &Goroutine, record: &mut StackRecord) {
    let resumed = (&raw mut record.resumed).cast::<u64>();
    let mut pc = goroutine.field(view.g_sched_pc);
    let mut frame = goroutine.field(view.g_sched_bp);
    for index in 0..RESUMED_FRAMES {
        if pc == 0 {
            break;
        }
        // SAFETY: the index is in bounds.
        unsafe { *resumed.wrapping_add(index) = pc };
        forget(&mut record.resumed_count, index as u32 + 1);
        // The outermost frame has no other below it. Stacks grow down: anything else is nonsense.
        if frame == 0 {
            break;
        }
        let Some([outer, return_address]) = probe_user::<[u64; 2]>(frame) else { break };
        pc = return_address;
        frame = if outer > frame { outer } else { 0 };
    }
}

/// Writes a number that the verifier shall know nothing of.
#[inline(always)]
fn forget(place: &mut u32, number: u32) {
    // SAFETY: a place in a map.
    unsafe { write_volatile(place, number) };
}

/// Keeps this stack unless it is kept already; its key, or 0 where there is no room for it.
#[inline(always)]
fn keep(key: u64, record: &mut StackRecord) -> u64 {
    if STACKS.get_ptr(key).is_some() {
        return key;
    }
    record.created = 0;
    record.ended = 0;
    record.longest_ns = 0;
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "a program's own stack has no room for a record"
    )]
    let inserted = STACKS.insert(key, &*record, u64::from(BPF_NOEXIST));
    match inserted {
        // Or another CPU was faster.
        Ok(()) | Err(EXISTS) => key,
        Err(_) => {
            lose(LOST_STACKS);
            0
        }
    }
}

/// `-EEXIST`, as the helper returns it.
const EXISTS: i32 = -17;

/// The goroutine on whose behalf the current thread runs. Plain numbers and no options: where there is none, the
/// compiler would leave the rest undefined, and the verifier does not let undefined numbers pass.
struct Goroutine {
    address: u64,
    /// 0 where there is none.
    id: u64,
    /// It runs on the thread's own stack.
    has_left_its_stack: u64,
}

impl Goroutine {
    #[inline(always)]
    fn find(watching: &Watching) -> Self {
        const NONE: Goroutine = Goroutine { address: 0, id: 0, has_left_its_stack: 0 };
        let view = &watching.watched.view;
        if view.is_known == 0 {
            return NONE;
        }
        let place = TASK_FS_BASE.of(watching.task).wrapping_add_signed(i64::from(view.g_from_fs_base));
        let here = word(place);
        if here == 0 {
            return NONE;
        }
        let id = word(here.wrapping_add(u64::from(view.g_goid)));
        if id != 0 {
            return Goroutine { address: here, id, has_left_its_stack: 0 };
        }
        // Those that belong to the thread itself have no id.
        let thread = word(here.wrapping_add(u64::from(view.g_m)));
        let address = word(thread.wrapping_add(u64::from(view.m_curg)));
        let id = word(address.wrapping_add(u64::from(view.g_goid)));
        Goroutine { address, id, has_left_its_stack: u64::from(id != 0) }
    }

    /// A field of its `g`; 0 where it cannot be read.
    #[inline(always)]
    fn field(&self, offset: u32) -> u64 {
        word(self.address.wrapping_add(u64::from(offset)))
    }
}

/// A word of the current process; 0 where it cannot be read.
#[inline(always)]
fn word(address: u64) -> u64 {
    probe_user(address).unwrap_or(0)
}
