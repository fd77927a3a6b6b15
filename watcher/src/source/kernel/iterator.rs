//! BPF iterators: the two system calls that turn a loaded program into a file with its output.
//!
//! aya makes iterators over everything; restricting one to a process takes `bpf_iter_link_info`, which it does
//! not pass on.

#![expect(unsafe_code, reason = "bpf(2) has no wrapper that restricts an iterator to one process")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `enum bpf_cmd`, `include/uapi/linux/bpf.h`.
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
/// `enum bpf_attach_type`.
const BPF_TRACE_ITER: u32 = 28;

/// The part of `union bpf_attr` that BPF_LINK_CREATE reads for an iterator.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_bytes: u32,
    reserved: u32,
}

/// The part of `union bpf_attr` that BPF_ITER_CREATE reads.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

/// `bpf_iter_link_info.task`: Linux 6.1 and newer.
#[repr(C)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pidfd: u32,
}

/// An iterator program that the kernel has loaded.
#[derive(Debug)]
pub(super) struct Table {
    program: OwnedFd,
    /// Over everything; made once, each pass opens it anew.
    whole: OwnedFd,
}

impl Table {
    pub(super) fn new(program: BorrowedFd<'_>) -> io::Result<Self> {
        let program = program.try_clone_to_owned()?;
        let whole = link(program.as_fd(), None)?;
        Ok(Table { program, whole })
    }

    /// Another one of the same program.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Table { program: self.program.try_clone()?, whole: self.whole.try_clone()? })
    }

    /// A file whose content is the pass over everything.
    pub(super) fn open(&self) -> io::Result<File> {
        open(self.whole.as_fd())
    }

    /// A file whose content is the pass over one thread group.
    ///
    /// Kernels before 6.1 refuse with E2BIG or ignore the restriction: the reader filters all the same.
    pub(super) fn open_for(&self, pid: i32) -> io::Result<File> {
        let info = TaskInfo { tid: 0, pid: pid.cast_unsigned(), pidfd: 0 };
        open(link(self.program.as_fd(), Some(&info))?.as_fd())
    }
}

fn link(program: BorrowedFd<'_>, info: Option<&TaskInfo>) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: number(program),
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        info: info.map_or(0, |info| (&raw const *info).addr() as u64),
        info_bytes: info.map_or(0, |_| size_of::<TaskInfo>() as u32),
        reserved: 0,
    };
    bpf(BPF_LINK_CREATE, &attributes)
}

fn open(link: BorrowedFd<'_>) -> io::Result<File> {
    bpf(BPF_ITER_CREATE, &IterCreate { link: number(link), flags: 0 }).map(File::from)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// bpf(2) for the commands that return a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are initialised, as long as we say, and borrow what they point at.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    let fd = i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us alone; it is closed on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
