//! Who made each open file, where the kernel allocates it.
//!
//! Files come from a slab cache, and the tracepoint of its allocations sees each of them when it is made, in the task
//! that makes it, whatever call does it. The entry is kept by the file's address and written in place by whoever was
//! just given that address, its only writer. Nothing is removed when a file is closed: what is open is asked of the
//! tables of descriptors (`tables::opened`).
//!
//! Which cache it is, and where it serves others as well which places in the kernel ask for files, user space learns by
//! opening some while `allocation_learned` is attached.

use super::Table;
use crate::kernel::{
    CACHE_NAME, CACHE_USERS, Cache, FILE_FLAGS, FILE_MODE, FILE_PRIVATE, File, MPTCP_FIRST, Pointer,
    REGISTERS_CALL, REGISTERS_FIRST, SOCK_BACKLOG, SOCK_FAMILY, SOCK_PROTOCOL, SOCK_QUEUED, SOCKET_SOCK,
    current, probe_read, registers,
};
use crate::ledger::{ON_DEMAND, Watching, coarse_now_ns, now_ns, watching_process};
use crate::stacks::{self, write_origin};
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_kernel_str};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::BtfTracePointContext;
use aya_ebpf::{EbpfContext, Global};
use core::ffi::c_void;
use watcher_ebpf::{
    Allocation, CACHE, CACHE_OF_FILES, FILE_UNCERTAIN, FileEntry, LEARNER, LEDGER_DESCRIPTORS, MAX_SITES,
    Origin, REMAINS_OF_OPENED, REMAINS_TELL, SITES,
};

/// As many as there is room for in the map of the other routes. An address stays until watching of its maker ends, and
/// is used again and again: it is bounded by how many files were ever open at once.
#[map]
static FILES: HashMap<u64, FileEntry> = HashMap::with_max_entries(262_144, ON_DEMAND);

/// Which allocations are of files.
#[map]
static FILE_CACHE: Array<u64> = Array::with_max_entries(SITES + MAX_SITES, 0);

/// What the thread that learns has allocated.
#[map]
static ALLOCATIONS: HashMap<u64, Allocation> = HashMap::with_max_entries(4096, ON_DEMAND);

/// `include/linux/fs.h`.
const FMODE_OPENED: u32 = 0x8_0000;
/// `include/uapi/asm-generic/fcntl.h`.
const O_NONBLOCK: u32 = 0o4000;
/// Numbers of system calls on x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl`).
const ACCEPT: u64 = 43;
const ACCEPT4: u64 = 288;
const AF_UNIX: u16 = 1;
const IPPROTO_MPTCP: u16 = 262;

/// `kmem_cache_alloc(unsigned long call_site, const void *ptr, struct kmem_cache *s, ...)`. Before Linux 6.0 the size
/// of the object is in the place of its cache, which with the call's place tells as well.
#[btf_tracepoint(function = "kmem_cache_alloc")]
pub fn file_allocated(ctx: BtfTracePointContext) -> i32 {
    let (cache, of_files): (u64, u64) = (ctx.arg(2), word(CACHE));
    if cache != of_files || of_files == 0 {
        return 0;
    }
    let (site, file): (u64, u64) = (ctx.arg(0), allocated(&ctx));
    if file == 0 || !is_site_of_files(site) {
        return 0;
    }
    let known = FILES.get_ptr_mut(file);
    let Some(table) = Table::current() else {
        if let Some(known) = known {
            // SAFETY: the entry stays valid until this program ends; whoever was given the address is its only writer.
            let entry = unsafe { &mut *known };
            if let Some(watching) = watching_process(current(), entry.tgid, LEDGER_DESCRIPTORS) {
                end(file, entry, &watching, coarse_now_ns());
            }
            entry.tgid = 0;
        }
        return 0;
    };
    enter(&ctx, &table, file, known);
    0
}

/// Somebody waits, or may wait.
const MANY: u32 = 1;

#[inline(always)]
fn enter(ctx: &BtfTracePointContext, table: &Table, file: u64, mut known: Option<*mut FileEntry>) {
    let watching = &table.watching;
    let now_ns = coarse_now_ns();
    if let Some(known) = known {
        // SAFETY: as above.
        let entry = unsafe { &mut *known };
        if entry.tgid == watching.tgid {
            end(file, entry, watching, now_ns);
        } else if let Some(other) = watching_process(watching.task, entry.tgid, LEDGER_DESCRIPTORS) {
            end(file, entry, &other, now_ns);
        }
        // What is not whole is nobody's.
        entry.tgid = 0;
    } else {
        let none = Origin { stack: 0, goroutine: 0, parent: 0, created_at: 0, tid: 0, reserved: 0 };
        let empty = FileEntry { origin: none, at_ns: 0, seen_ns: 0, tgid: 0, flags: 0 };
        let _ = FILES.insert(file, empty, u64::from(BPF_NOEXIST));
        known = FILES.get_ptr_mut(file);
    }
    let Some(entry) = known else {
        watching.tally(LEDGER_DESCRIPTORS, |tally| &raw const tally.lost);
        return;
    };
    let is_uncertain = is_uncertain(table);
    // SAFETY: as above.
    let entry = unsafe { &mut *entry };
    write_origin(ctx, watching, LEDGER_DESCRIPTORS, &raw mut entry.origin, u32::from(!is_uncertain));
    entry.at_ns = now_ns;
    entry.seen_ns = 0;
    entry.flags = if is_uncertain { FILE_UNCERTAIN } else { 0 };
    entry.tgid = watching.tgid;
}

/// What had this address before has ended, made by the process `watching`. When, nobody saw: at the latest as long after
/// it was seen last as there ever lies between two looks.
#[inline(always)]
fn end(file: u64, entry: &FileEntry, watching: &Watching, now_ns: u64) {
    if entry.flags & FILE_UNCERTAIN != 0 {
        return;
    }
    let remains: Pointer<File> = Pointer::from_ptr(file as *const File);
    if word(REMAINS_TELL) != 0 && FILE_MODE.probe(remains).is_some_and(|mode| mode & FMODE_OPENED == 0) {
        stacks::failed(watching, LEDGER_DESCRIPTORS, &entry.origin);
        return;
    }
    let since_scan = now_ns.saturating_sub(watching.watched.scanned_ns);
    let longest_gap = watching.watched.scan_gap_ns;
    let gap = if since_scan > longest_gap { since_scan } else { longest_gap };
    let known = if entry.seen_ns > entry.at_ns { entry.seen_ns } else { entry.at_ns };
    let latest = known.wrapping_add(gap);
    let ended = if latest < now_ns { latest } else { now_ns };
    stacks::ended(watching, LEDGER_DESCRIPTORS, &entry.origin, ended.saturating_sub(entry.at_ns));
}

/// A file at `file` is among the descriptors of the process: what is known of it, where that process has made it.
#[inline(always)]
pub fn seen(file: u64, tgid: u32) -> Option<&'static FileEntry> {
    let entry = FILES.get_ptr_mut(file)?;
    // SAFETY: the entry stays valid until this program ends, and nobody is given the address while the file is held.
    let entry = unsafe { &mut *entry };
    if entry.tgid != tgid {
        return None;
    }
    entry.seen_ns = now_ns();
    if entry.flags & FILE_UNCERTAIN != 0 {
        entry.flags = 0;
        if let Some(watching) = watching_process(current(), tgid, LEDGER_DESCRIPTORS) {
            stacks::again(&watching, LEDGER_DESCRIPTORS, &entry.origin, 1);
        }
    }
    Some(entry)
}

/// The call accepts a connection where none waits, without waiting for one: the file that it makes before it looks is
/// most likely given back. Where this cannot be told it is taken for certain.
#[inline(always)]
fn is_uncertain(table: &Table) -> bool {
    let registers = registers(table.watching.task);
    if !matches!(REGISTERS_CALL.of(registers), ACCEPT | ACCEPT4) {
        return false;
    }
    waiting(table, REGISTERS_FIRST.of(registers) as u32) == 0
}

/// How many connections wait at a socket that does not block; [`MANY`] for others, and where it cannot be told.
///
/// A number and no `Option`: of one the compiler compares the content also where there is none, and the verifier
/// refuses to read what nobody wrote.
#[inline(always)]
fn waiting(table: &Table, fd: u32) -> u32 {
    let Some(listener) = table.slot(fd) else { return MANY };
    let Some(flags) = FILE_FLAGS.probe(listener) else { return MANY };
    if flags & O_NONBLOCK == 0 {
        return MANY;
    }
    let Some(socket) = FILE_PRIVATE.probe(listener) else { return MANY };
    let Some(sock) = SOCKET_SOCK.probe(socket) else { return MANY };
    let Some(family) = SOCK_FAMILY.probe(sock) else { return MANY };
    if family == AF_UNIX {
        let Some(queued) = SOCK_QUEUED.probe(sock) else { return MANY };
        return queued;
    }
    let Some(protocol) = SOCK_PROTOCOL.probe(sock) else { return MANY };
    let mut holder = sock;
    if protocol == IPPROTO_MPTCP {
        let Some(first) = MPTCP_FIRST.probe(sock) else { return MANY };
        holder = first;
    }
    let Some(backlog) = SOCK_BACKLOG.probe(holder) else { return MANY };
    backlog
}

/// What was allocated.
#[inline(always)]
fn allocated(ctx: &BtfTracePointContext) -> u64 {
    if TELLS_POINTERS.load() != 0 {
        return ctx.arg(1);
    }
    let mut address = 0u64;
    // What a tracepoint tells lies there one word after the other.
    let place = ctx.as_ptr().cast::<u8>().wrapping_add(8);
    if probe_read((&raw mut address).cast(), 8, place) { 0 } else { address }
}

/// 1 where the verifier lets programs look at arguments of type `const void *`, Linux 6.16 and newer; before, they are
/// copied. The loader knows.
#[unsafe(no_mangle)]
pub static TELLS_POINTERS: Global<u32> = Global::new(0);

#[inline(always)]
fn is_site_of_files(site: u64) -> bool {
    let first = word(SITES);
    first == 0 || first == site || (1..MAX_SITES).any(|index| word(SITES + index) == site)
}

#[inline(always)]
fn word(index: u32) -> u64 {
    FILE_CACHE.get(index).copied().unwrap_or(0)
}

/// What one thread of ours allocates while it opens files.
#[btf_tracepoint(function = "kmem_cache_alloc")]
pub fn allocation_learned(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: takes nothing.
    let thread = unsafe { bpf_get_current_pid_tgid() } & u64::from(u32::MAX);
    if thread != word(LEARNER) {
        return 0;
    }
    let (site, address, cache): (u64, u64, u64) = (ctx.arg(0), allocated(&ctx), ctx.arg(2));
    let remains: Pointer<File> = Pointer::from_ptr(address as *const File);
    let was_open = FILE_MODE.probe(remains).is_some_and(|mode| mode & FMODE_OPENED != 0);
    let flags = if is_of_files(Pointer::from_ptr(cache as *const Cache)) { CACHE_OF_FILES } else { 0 }
        | if was_open { REMAINS_OF_OPENED } else { 0 };
    let _ = ALLOCATIONS.insert(address, Allocation { cache, site, flags }, 0);
    0
}

/// The cache is called `filp`, as that of files in every version, and has one user.
#[inline(always)]
fn is_of_files(cache: Pointer<Cache>) -> bool {
    let Some(name) = CACHE_NAME.probe(cache) else { return false };
    let mut letters = [0u8; 8];
    // SAFETY: the buffer has that many bytes; the helper survives any address.
    unsafe { bpf_probe_read_kernel_str(letters.as_mut_ptr().cast(), 8, name.cast::<c_void>()) };
    letters == *b"filp\0\0\0\0" && CACHE_USERS.probe(cache) == Some(1)
}
