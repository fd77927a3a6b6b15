//! From the bytes of the kernel programs to the vocabulary; nothing beyond this file sees the bytes.

mod age;
mod descriptor;
mod raw;

use super::opened::{self, RawDescriptor};
use crate::vocabulary::descriptor::OpenDescriptor;
use crate::vocabulary::process::{ProcessId, printable};
use crate::vocabulary::task::{Task, ThreadState};
pub(super) use age::{JiffiesPerSecond, RawAge};
pub(super) use raw::{DecodeError, read};
use std::time::Duration;
use watcher_ebpf::{
    AgeRecord, DESCRIPTOR, DESCRIPTOR_AGE, DESCRIPTOR_INET, DESCRIPTOR_NAMED, DESCRIPTOR_OF_THREAD,
    DESCRIPTOR_OPENED, DESCRIPTOR_SOCKET, DESCRIPTOR_UNIX, DescriptorRecord, EXEC, EXIT, Header,
    LifecycleRecord, OPENED_HERE, OpenRecord, TASK, TASK_HAS_MEMORY, TASK_KERNEL_THREAD, TaskRecord,
};

/// One record, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Task(Task),
    Descriptor {
        descriptor: OpenDescriptor,
        /// The thread that reported it, where the leader has let go of the table and every thread reports it.
        reported_by: Option<i32>,
    },
    Age {
        age: RawAge,
        /// As of a descriptor.
        reported_by: Option<i32>,
    },
    Opened {
        /// Who opened it; `None` where nobody saw.
        descriptor: Option<RawDescriptor>,
        /// Its process, as the kernel counts them.
        pid: i32,
        /// Its number.
        fd: i32,
        /// Its file, as long as it is open.
        file: u64,
        /// As of a descriptor.
        reported_by: Option<i32>,
    },
    Exec(Moment),
    Exit(Moment),
}

/// Whose life changed, and when, in time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) process: ProcessId,
    pub(super) at: Duration,
}

/// Nanoseconds per clock tick, the unit of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NanosPerTick(pub(super) u64);

impl NanosPerTick {
    /// As the kernel does it: `nsec_to_clock_t`, `kernel/time/time.c`.
    fn ticks(self, nanos: u64) -> u64 {
        nanos / self.0.max(1)
    }
}

/// The first record of `bytes` and its size.
pub(super) fn decode(bytes: &[u8], tick: NanosPerTick) -> Result<(Record, usize), DecodeError> {
    let header: Header = read(bytes, 0)?;
    let size = header.size as usize;
    let body_size = match header.kind {
        TASK => size_of::<TaskRecord>(),
        kind @ (DESCRIPTOR | DESCRIPTOR_NAMED | DESCRIPTOR_SOCKET | DESCRIPTOR_INET | DESCRIPTOR_UNIX) => {
            size_of::<DescriptorRecord>() + descriptor::tail_size(kind)
        }
        DESCRIPTOR_AGE => size_of::<AgeRecord>(),
        DESCRIPTOR_OPENED => size_of::<OpenRecord>(),
        EXEC | EXIT => size_of::<LifecycleRecord>(),
        kind => return Err(DecodeError::Kind { kind }),
    };
    if size != body_size {
        return Err(DecodeError::Size { kind: header.kind, size: header.size });
    }
    let bytes = bytes.get(..size).ok_or(DecodeError::Short)?;
    let record = match header.kind {
        TASK => Record::Task(task(&read(bytes, 0)?, tick)),
        EXEC => Record::Exec(moment(&read(bytes, 0)?, tick)),
        EXIT => Record::Exit(moment(&read(bytes, 0)?, tick)),
        DESCRIPTOR_AGE => {
            let record: AgeRecord = read(bytes, 0)?;
            Record::Age {
                age: RawAge::decode(&record),
                reported_by: (record.flags & DESCRIPTOR_OF_THREAD != 0).then_some(record.tid.cast_signed()),
            }
        }
        DESCRIPTOR_OPENED => {
            let record: OpenRecord = read(bytes, 0)?;
            Record::Opened {
                descriptor: (record.flags & OPENED_HERE != 0).then(|| opened::descriptor(&record)),
                pid: record.tgid.cast_signed(),
                fd: record.fd.cast_signed(),
                file: record.file,
                reported_by: (record.flags & DESCRIPTOR_OF_THREAD != 0).then_some(record.tid.cast_signed()),
            }
        }
        _ => {
            let record: DescriptorRecord = read(bytes, 0)?;
            Record::Descriptor {
                descriptor: descriptor::decode(&record, bytes)?,
                reported_by: (record.flags & DESCRIPTOR_OF_THREAD != 0).then_some(record.tid.cast_signed()),
            }
        }
    };
    Ok((record, size))
}

fn task(record: &TaskRecord, tick: NanosPerTick) -> Task {
    let name = record.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    Task {
        pid: record.tgid.cast_signed(),
        tid: record.tid.cast_signed(),
        parent_pid: record.parent_tgid.cast_signed(),
        start_ticks: tick.ticks(record.start_ns),
        last_run_nanos: (record.last_run_ns != 0).then_some(record.last_run_ns),
        name: printable(name),
        state: thread_state(record.state, record.exit_state),
        kernel_thread: record.flags & TASK_KERNEL_THREAD != 0,
        mappings: (record.flags & TASK_HAS_MEMORY != 0).then_some(u64::from(record.map_count)),
    }
}

/// As the kernel does it for the letter in `/proc/PID/stat`: `__task_state_index`, `include/linux/sched.h`.
fn thread_state(state: u32, exit_state: u32) -> ThreadState {
    const INTERRUPTIBLE: u32 = 0x1;
    const UNINTERRUPTIBLE: u32 = 0x2;
    const STOPPED: u32 = 0x4;
    const TRACED: u32 = 0x8;
    const EXIT_DEAD: u32 = 0x10;
    const EXIT_ZOMBIE: u32 = 0x20;
    const PARKED: u32 = 0x40;
    const NOLOAD: u32 = 0x400;
    const RTLOCK_WAIT: u32 = 0x1000;
    const FROZEN: u32 = 0x8000;
    const REPORT: u32 = INTERRUPTIBLE | UNINTERRUPTIBLE | STOPPED | TRACED | EXIT_DEAD | EXIT_ZOMBIE | PARKED;
    const IDLE: u32 = UNINTERRUPTIBLE | NOLOAD;
    if state & IDLE == IDLE {
        return ThreadState::Other;
    }
    if state & (RTLOCK_WAIT | FROZEN) != 0 {
        return ThreadState::DiskSleep;
    }
    // The kernel reports the highest bit.
    match ((state | exit_state) & REPORT).checked_ilog2().map(|bit| 1 << bit) {
        None => ThreadState::Running,
        Some(INTERRUPTIBLE) => ThreadState::Sleeping,
        Some(UNINTERRUPTIBLE) => ThreadState::DiskSleep,
        Some(STOPPED | TRACED) => ThreadState::Stopped,
        Some(EXIT_DEAD | EXIT_ZOMBIE) => ThreadState::Dead,
        Some(_) => ThreadState::Other,
    }
}

fn moment(record: &LifecycleRecord, tick: NanosPerTick) -> Moment {
    Moment {
        process: ProcessId { pid: record.tgid.cast_signed(), start_ticks: tick.ticks(record.start_ns) },
        at: Duration::from_nanos(record.at_ns),
    }
}

#[cfg(test)]
mod tests;
