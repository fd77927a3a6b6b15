//! Passes over the kernel's own tables, read off the iterators.

use super::decode::{JiffiesPerSecond, Record};
use super::loaded::Kernel;
use super::passes::Reporters;
use super::probes::ProbeName;
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::descriptor::{DescriptorAge, OpenDescriptor};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::Task;
use std::io;

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
