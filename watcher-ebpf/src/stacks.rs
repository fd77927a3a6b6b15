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

/// Who does what the current task does, its stack entered and counted as one creation for `ledger`.
#[inline(always)]
pub fn origin<C: EbpfContext>(ctx: &C, watching: &Watching, ledger: u32) -> Origin {
    let goroutine = Goroutine::find(watching);
    let mut origin =
        Origin { stack: 0, goroutine: 0, parent: 0, created_at: 0, tid: watching.tid(), reserved: 0 };
    if let Some(goroutine) = &goroutine {
        let view = &watching.watched.view;
        origin.goroutine = goroutine.id;
        origin.created_at = goroutine.field(view.g_gopc);
        if view.g_parent != NO_FIELD {
            origin.parent = goroutine.field(view.g_parent);
        }
    }
    origin.stack = match SCRATCH.get_ptr_mut(0) {
        Some(scratch) => taken(ctx, watching, ledger, goroutine.as_ref(), scratch),
        None => 0,
    };
    if origin.stack == 0 {
        watching.tally(ledger, |tally| &raw const tally.created);
    }
    origin
}

/// Counts the end of something that was created `lived_ns` ago.
#[inline(always)]
pub fn ended(watching: &Watching, ledger: u32, origin: &Origin, lived_ns: u64) {
    let Some(record) = STACKS.get_ptr_mut(origin.stack) else {
        watching.tally(ledger, |tally| &raw const tally.ended);
        return;
    };
    // SAFETY: the entry stays valid until this program ends.
    add(unsafe { &raw const (*record).ended }, 1);
    // SAFETY: as above. Where two CPUs meet here, the greater number may be lost: it is a hint.
    let longest_ns = unsafe { &mut (*record).longest_ns };
    if *longest_ns < lived_ns {
        *longest_ns = lived_ns;
    }
}

/// The key of the current stack, which was counted; 0 where it was not kept.
#[inline(always)]
fn taken<C: EbpfContext>(
    ctx: &C,
    watching: &Watching,
    ledger: u32,
    goroutine: Option<&Goroutine>,
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

#[inline(always)]
fn walk<C: EbpfContext>(
    ctx: &C,
    watching: &Watching,
    ledger: u32,
    goroutine: Option<&Goroutine>,
    record: &mut StackRecord,
) -> u64 {
    let walked = &raw mut record.walked;
    // SAFETY: `walked` has room for that many bytes.
    let bytes = unsafe {
        bpf_get_stack(
            ctx.as_ptr(),
            walked.cast(),
            size_of::<[u64; WALKED_FRAMES]>() as u32,
            u64::from(BPF_F_USER_STACK),
        )
    };
    if bytes <= 0 {
        lose(FAILED_STACKS);
        return 0;
    }
    let mut hash = Hash::new(watching.tgid, ledger);
    let count = bytes as usize / size_of::<u64>();
    for index in 0..WALKED_FRAMES {
        if index >= count {
            break;
        }
        // SAFETY: the index is in bounds.
        hash.mix(unsafe { *walked.cast::<u64>().add(index) });
    }
    record.tgid = watching.tgid;
    record.ledger = ledger;
    record.walked_count = count as u32;
    record.resumed_count = match goroutine {
        Some(goroutine) if !goroutine.is_on_its_stack => {
            resume(&watching.watched.view, goroutine, &mut record.resumed, &mut hash)
        }
        _ => 0,
    };
    hash.value()
}

/// Walks the stack that the goroutine has left, from where it left it; the number of addresses.
#[inline(always)]
fn resume(view: &GoView, goroutine: &Goroutine, resumed: &mut [u64; RESUMED_FRAMES], hash: &mut Hash) -> u32 {
    let resumed = (&raw mut *resumed).cast::<u64>();
    let mut pc = goroutine.field(view.g_sched_pc);
    let mut frame = goroutine.field(view.g_sched_bp);
    let mut count = 0;
    for index in 0..RESUMED_FRAMES {
        if pc == 0 {
            break;
        }
        // SAFETY: the index is in bounds.
        unsafe { *resumed.add(index) = pc };
        hash.mix(pc);
        count = index as u32 + 1;
        let Some([outer, return_address]) = probe_user::<[u64; 2]>(frame) else { break };
        pc = return_address;
        // The outermost frame has no other below it; stacks grow down, so that anything else is nonsense.
        if outer <= frame {
            if outer == 0 && pc != 0 && index + 1 < RESUMED_FRAMES {
                // SAFETY: as above.
                unsafe { *resumed.add(index + 1) = pc };
                hash.mix(pc);
                count += 1;
            }
            break;
        }
        frame = outer;
    }
    count
}

/// Counts one more creation of this stack; its key, or 0 where there is no room for it.
#[inline(always)]
fn keep(key: u64, record: &mut StackRecord) -> u64 {
    if let Some(known) = STACKS.get_ptr(key) {
        // SAFETY: the entry stays valid until this program ends.
        add(unsafe { &raw const (*known).created }, 1);
        return key;
    }
    record.created = 0;
    record.ended = 0;
    record.longest_ns = 0;
    // Where another CPU was faster, its entry stays.
    let _ = STACKS.insert(key, &*record, u64::from(BPF_NOEXIST));
    match STACKS.get_ptr(key) {
        Some(known) => {
            // SAFETY: as above.
            add(unsafe { &raw const (*known).created }, 1);
            key
        }
        None => {
            lose(LOST_STACKS);
            0
        }
    }
}

/// The goroutine on whose behalf the current thread runs.
struct Goroutine {
    address: u64,
    id: u64,
    /// It runs on its own stack, not on that of the thread.
    is_on_its_stack: bool,
}

impl Goroutine {
    #[inline(always)]
    fn find(watching: &Watching) -> Option<Self> {
        let view = &watching.watched.view;
        if view.is_known == 0 {
            return None;
        }
        let place = TASK_FS_BASE.of(watching.task).wrapping_add_signed(i64::from(view.g_from_fs_base));
        let here = probe_user::<u64>(place)?;
        let id = probe_user::<u64>(here.wrapping_add(u64::from(view.g_goid)))?;
        if id != 0 {
            return Some(Goroutine { address: here, id, is_on_its_stack: true });
        }
        // Those that belong to the thread itself have no id.
        let thread = probe_user::<u64>(here.wrapping_add(u64::from(view.g_m)))?;
        let address = probe_user::<u64>(thread.wrapping_add(u64::from(view.m_curg)))?;
        let id = probe_user::<u64>(address.wrapping_add(u64::from(view.g_goid)))?;
        (id != 0).then_some(Goroutine { address, id, is_on_its_stack: false })
    }

    /// A field of its `g`; 0 where it cannot be read.
    #[inline(always)]
    fn field(&self, offset: u32) -> u64 {
        probe_user(self.address.wrapping_add(u64::from(offset))).unwrap_or(0)
    }
}

/// FNV-1a over whole words, with the upper half folded down so that all bits of an address count.
struct Hash(u64);

impl Hash {
    #[inline(always)]
    fn new(tgid: u32, ledger: u32) -> Self {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        hash.mix(u64::from(tgid) << 32 | u64::from(ledger));
        hash
    }

    #[inline(always)]
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    /// Never 0, which means that there is no stack.
    #[inline(always)]
    fn value(&self) -> u64 {
        self.0 | 1
    }
}
