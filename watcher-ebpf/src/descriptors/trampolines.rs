//! Descriptors where the kernel changes its tables: `fd_install` puts a file at a number, `do_dup2` also where there
//! was one, and whatever takes one away then flushes it.

use super::sweep::find;
use super::{Table, address};
use crate::kernel::{File, Files, Pointer, REGISTERS_CALL, REGISTERS_FIRST, TASK_FILES, registers};
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

/// Numbers of system calls on x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl`).
const CLOSE: u64 = 3;
const DUP2: u64 = 33;
const EXECVE: u64 = 59;
const DUP3: u64 = 292;
const EXECVEAT: u64 = 322;
const CLOSE_RANGE: u64 = 436;

/// `fd_install(unsigned int fd, struct file *file)`, at its entry: nobody can close what is not there yet, so that
/// no closing can be seen before the opening.
#[fentry(function = "fd_install")]
pub fn file_installed(ctx: FEntryContext) -> i32 {
    if let Some(table) = Table::current() {
        table.enter(&ctx, ctx.arg(0), Some(Pointer::from_ptr(ctx.arg(1))));
    }
    0
}

/// `do_dup2(struct files_struct *files, struct file *file, unsigned fd, unsigned flags)`, at its entry.
#[fentry(function = "do_dup2")]
pub fn file_replaces(ctx: FEntryContext) -> i32 {
    let files: Pointer<Files> = Pointer::from_ptr(ctx.arg(0));
    if let Some(table) = Table::current()
        && table.files == files
    {
        table.enter(&ctx, ctx.arg(2), Some(Pointer::from_ptr(ctx.arg(1))));
    }
    0
}

/// The same at its return: it fails where the number is about to be given to somebody else.
#[fexit(function = "do_dup2")]
pub fn file_not_replaced(ctx: FExitContext) -> i32 {
    let result: i32 = ctx.arg(4);
    if result < 0
        && let Some(table) = Table::current()
    {
        let file: u64 = ctx.arg(1);
        table.leave(ctx.arg(2), |believed| believed == file);
    }
    0
}

/// `filp_flush(struct file *filp, fl_owner_t id)`, or before Linux 6.7 `filp_close`, which then had that in it:
/// runs once for each file that leaves a table, when it has left. At that instant the number may belong to another
/// file already, even to the same file anew.
#[fentry(function = "filp_flush")]
pub fn file_closes(ctx: FEntryContext) -> i32 {
    let Some(table) = Table::current() else { return 0 };
    // The kernel closes files of its own, and a process that exits has let go of its table before.
    let owner: u64 = ctx.arg(1);
    if owner == 0 || owner != TASK_FILES.of(table.watching.task).as_ptr() as u64 {
        return 0;
    }
    let file: u64 = ctx.arg::<*const File>(0) as u64;
    let registers = registers(table.watching.task);
    match REGISTERS_CALL.of(registers) {
        CLOSE => {
            let fd = REGISTERS_FIRST.of(registers) as u32;
            if table.slot(fd).map_or(0, address) != file {
                table.leave(fd, |believed| believed == file);
            }
        }
        // What was there has been forgotten when `do_dup2` began.
        DUP2 | DUP3 => {}
        // Compared when they are through.
        CLOSE_RANGE | EXECVE | EXECVEAT => {}
        // io_uring, and whatever else there may be.
        _ => find(&table, file),
    }
    0
}
