//! Passes over the kernel's own tables, read off the iterators.

use super::decode::{DecodeError, JiffiesPerSecond, NanosPerTick, Record, decode};
use super::iterator::Table;
use super::{Kernel, probes::ProbeName};
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::descriptor::{DescriptorAge, OpenDescriptor};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::Task;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// A pass that takes longer is given up. The largest hosts take a tenth of a second; a process whose leader has
/// exited, with thousands of threads that share a large table, can make the kernel walk that table once for each.
const LONGEST_PASS: Duration = Duration::from_secs(10);

/// More than the 32 KiB that the kernel hands out at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// A hardened kernel may show some processes to no program, although `/proc` has them. A pass over all processes
/// then leaves them out; asked for alone, they are `Denied`.
impl KernelTables for Kernel {
    fn tasks(&mut self, each: &mut dyn FnMut(Task)) -> Reading<()> {
        let Some(tasks) = &self.tasks else { return self.without(ProbeName::Tasks) };
        let pass = tasks.open().and_then(|file| {
            self.passes.read(file, &mut |record| {
                if let Record::Task(task) = record {
                    each(task);
                }
            })
        });
        finish("tasks", pass)
    }

    fn descriptors(&mut self, scope: Scope, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()> {
        let Some(descriptors) = &self.descriptors else { return self.without(ProbeName::Descriptors) };
        let (file, wanted) = match scope {
            Scope::AllProcesses => (descriptors.open(), None),
            Scope::Process(pid) if self.one_process => (descriptors.open_for(pid), Some(pid)),
            Scope::Process(pid) => (descriptors.open(), Some(pid)),
        };
        let mut reporters = Reporters::default();
        let mut visited = false;
        let pass = file.and_then(|file| {
            self.passes.read(file, &mut |record| {
                if let Record::Descriptor { descriptor, reported_by } = record
                    && wanted.is_none_or(|pid| pid == descriptor.pid)
                    && reporters.accept(descriptor.pid, reported_by)
                {
                    visited = true;
                    each(descriptor);
                }
            })
        });
        match (wanted, pass) {
            // No descriptors, no such process, and a process that the kernel shows to no program look alike.
            (Some(pid), Ok(())) if !visited => self.without_descriptors(pid),
            (_, pass) => finish("descriptors", pass),
        }
    }

    fn descriptor_ages(&mut self, scope: Scope, each: &mut dyn FnMut(DescriptorAge)) -> Reading<()> {
        let Some(ages) = &self.ages else { return self.without(ProbeName::Ages) };
        let (file, wanted) = match scope {
            Scope::AllProcesses => (ages.open(), None),
            Scope::Process(pid) if self.one_process => (ages.open_for(pid), Some(pid)),
            Scope::Process(pid) => (ages.open(), Some(pid)),
        };
        let mut reporters = Reporters::default();
        let mut pace = None;
        let pass = file.and_then(|file| {
            self.passes.read(file, &mut |record| {
                if let Record::Age { age, reported_by } = record
                    && wanted.is_none_or(|pid| pid == age.pid())
                    && reporters.accept(age.pid(), reported_by)
                {
                    let pace = *pace
                        .get_or_insert_with(|| JiffiesPerSecond::of(age.now_jiffies(), clock::monotonic()));
                    each(age.in_seconds(pace));
                }
            })
        });
        finish("ages", pass)
    }
}

impl Kernel {
    /// What it means that no descriptor of a process was visited.
    fn without_descriptors(&mut self, pid: i32) -> Reading<()> {
        if !exists(pid) {
            return Reading::Gone;
        }
        let Some(tasks) = &self.tasks else { return Reading::Unsupported };
        let mut shown = false;
        let file = if self.one_process { tasks.open_for(pid) } else { tasks.open() };
        let pass = file.and_then(|file| {
            self.passes
                .read(file, &mut |record| shown |= matches!(record, Record::Task(task) if task.pid == pid))
        });
        match pass {
            Ok(()) if !shown && exists(pid) => Reading::Denied,
            Ok(()) if !shown => Reading::Gone,
            pass => finish("tasks", pass),
        }
    }

    fn without<T>(&self, name: ProbeName) -> Reading<T> {
        if self.outcome(name).is_some_and(super::probes::Outcome::is_refused) {
            Reading::Denied
        } else {
            Reading::Unsupported
        }
    }
}

fn finish(table: &'static str, pass: io::Result<()>) -> Reading<()> {
    match pass {
        Ok(()) => Reading::Seen(()),
        Err(error) => {
            tracing::warn!(table, %error, "pass over a kernel table failed");
            match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Reading::Denied,
                _ if Reading::<()>::from_error(&error).has_failed() => Reading::Failed,
                _ => Reading::Unsupported,
            }
        }
    }
}

fn exists(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

/// Takes each process's table once. Where the leader has exited, every remaining thread reports the table; the
/// first one that does is believed for the rest of the pass.
#[derive(Default)]
pub(super) struct Reporters {
    by_process: HashMap<i32, i32>,
}

impl Reporters {
    pub(super) fn accept(&mut self, pid: i32, reported_by: Option<i32>) -> bool {
        reported_by.is_none_or(|tid| *self.by_process.entry(pid).or_insert(tid) == tid)
    }
}

/// Reads the output of iterators, one after the other.
#[derive(Debug)]
pub(super) struct Passes {
    buffer: Box<[u8]>,
    tick: NanosPerTick,
}

impl Passes {
    pub(super) fn new(tick: NanosPerTick) -> Self {
        Passes { buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), tick }
    }

    /// Reads a pass to its end.
    pub(super) fn read(&mut self, mut file: File, each: &mut dyn FnMut(Record)) -> io::Result<()> {
        let started = Instant::now();
        // Bytes at the front of the buffer that belong to a record whose end has not come yet.
        let mut kept = 0;
        loop {
            if started.elapsed() > LONGEST_PASS {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the pass took too long"));
            }
            let room = self.buffer.get_mut(kept..).unwrap_or_default();
            let read = match file.read(room) {
                Ok(0) if kept == 0 => return Ok(()),
                Ok(0) => return Err(invalid(&DecodeError::Short)),
                Ok(read) => read,
                // After a million objects without output the kernel wants to be asked again.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => continue,
                Err(error) => return Err(error),
            };
            let filled = kept + read;
            let used = self.decode_all(filled, each)?;
            self.buffer.copy_within(used..filled, 0);
            kept = filled - used;
        }
    }

    /// Decodes all whole records of the first `filled` bytes; returns how many bytes those are.
    fn decode_all(&self, filled: usize, each: &mut dyn FnMut(Record)) -> io::Result<usize> {
        let mut rest = self.buffer.get(..filled).unwrap_or_default();
        loop {
            match decode(rest, self.tick) {
                Ok((record, size)) => {
                    each(record);
                    rest = rest.get(size..).unwrap_or_default();
                }
                Err(DecodeError::Short) => return Ok(filled - rest.len()),
                Err(error) => return Err(invalid(&error)),
            }
        }
    }
}

fn invalid(error: &DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}

/// Whether the kernel can restrict the pass over descriptors to one process.
pub(super) fn restricts(descriptors: &Table, passes: &mut Passes, pid: i32) -> io::Result<bool> {
    let mut only_own = true;
    let file = descriptors.open_for(pid)?;
    passes.read(file, &mut |record| {
        if let Record::Descriptor { descriptor, .. } = record {
            only_own &= descriptor.pid == pid;
        }
    })?;
    Ok(only_own)
}

#[cfg(test)]
mod tests {
    use super::Reporters;

    #[test]
    fn a_table_without_leader_is_taken_from_one_thread() {
        let mut reporters = Reporters::default();
        for (pid, reported_by, expected) in [
            (1, None, true),
            (7, Some(8), true),
            (7, Some(9), false),
            (7, Some(8), true),
            (1, None, true),
            (20, Some(9), true),
        ] {
            assert_eq!(reporters.accept(pid, reported_by), expected, "{pid} {reported_by:?}");
        }
    }
}
