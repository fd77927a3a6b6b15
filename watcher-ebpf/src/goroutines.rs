//! Who executed the `go` statement of a goroutine, with its full stack: the runtime keeps only the statement's address.

use crate::kernel::probe_user;
use crate::ledger::{ON_DEMAND, now_ns, watching};
use crate::probes::hit;
use crate::stacks::origin;
use aya_ebpf::macros::{map, uprobe};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::ProbeContext;
use watcher_ebpf::{BIRTH_STACKS, BirthEntry, BirthKey, BirthStack, LEDGER_BIRTHS, NO_FIELD};

/// Goroutines that start others, by statement: those that serve one connection each are the many.
#[map]
static BIRTHS: HashMap<BirthKey, BirthEntry> = HashMap::with_max_entries(65_536, ON_DEMAND);

/// `runtime.newproc1(fn, callergp, callerpc, ...)`, where it makes its frame: the arguments are in AX, BX and CX. It
/// runs on a stack of the runtime's own, but its frame pointers lead back to that of the caller.
#[uprobe]
pub fn goroutine_born(ctx: ProbeContext) -> u32 {
    let Some(watching) = watching(LEDGER_BIRTHS) else { return 0 };
    if hit(&watching, LEDGER_BIRTHS).is_none() {
        return 0;
    }
    // SAFETY: the context of a uprobe is the registers.
    let registers = unsafe { &*ctx.regs };
    let (function, parent, created_at) = (registers.rax, registers.rbx, registers.rcx);
    let view = &watching.watched.view;
    let field = |offset: u32| probe_user::<u64>(parent.wrapping_add(u64::from(offset))).unwrap_or(0);
    let key = BirthKey {
        tgid: watching.tgid,
        reserved: 0,
        parent: if view.is_known == 0 { 0 } else { field(view.g_goid) },
        created_at,
        start: probe_user::<u64>(function).unwrap_or(0),
    };
    let stack = origin(&ctx, &watching, LEDGER_BIRTHS).stack;
    let newest = BirthStack { stack, count: 1, newest_ns: now_ns() };
    if let Some(entry) = BIRTHS.get_ptr_mut(key) {
        // SAFETY: the entry stays valid until this program ends. A goroutine is on one thread at a time, so that no
        // other program changes it now.
        let entry = unsafe { &mut *entry };
        entry.count += 1;
        enter(&mut entry.stacks, newest);
        return 0;
    }
    let none = BirthStack { stack: 0, count: 0, newest_ns: 0 };
    let (grandparent, parent_created_at) = if view.is_known == 0 {
        (0, 0)
    } else {
        (if view.g_parent == NO_FIELD { 0 } else { field(view.g_parent) }, field(view.g_gopc))
    };
    let entry = BirthEntry { count: 1, grandparent, parent_created_at, stacks: [newest, none, none, none] };
    if BIRTHS.insert(key, entry, 0).is_err() {
        watching.tally(LEDGER_BIRTHS, |tally| &raw const tally.lost);
    }
    0
}

/// Counts one more by this stack; where there is no room, it takes the place of the one that was not seen for
/// longest.
#[inline(always)]
fn enter(stacks: &mut [BirthStack; BIRTH_STACKS], newest: BirthStack) {
    let mut oldest = 0;
    let mut oldest_ns = u64::MAX;
    for (index, known) in stacks.iter_mut().enumerate() {
        if known.stack == newest.stack && known.count != 0 {
            known.count += 1;
            known.newest_ns = newest.newest_ns;
            return;
        }
        if known.newest_ns < oldest_ns {
            (oldest, oldest_ns) = (index, known.newest_ns);
        }
    }
    stacks[oldest & (BIRTH_STACKS - 1)] = newest;
}
