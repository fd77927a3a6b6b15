//! The kernel's tables as `/proc` and sock_diag show them: the fallback, and the oracle of the tests.

use super::{ProcRoot, ProcessDir};
use crate::source::sockdiag::{self, Namespace, Sockets};
use crate::source::{KernelTables, Scope};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::Task;
use std::collections::HashMap;

/// Walks `/proc`, process by process, and asks sock_diag what the sockets are.
///
/// A task's number of mappings is left out: it costs more than all the rest.
#[derive(Debug)]
pub struct ProcTables {
    root: ProcRoot,
    own_namespace: Option<u64>,
    /// Sockets by network namespace, as they were at the first question of this pass. Not `Seen` where the
    /// namespace could not be asked.
    sockets: HashMap<u64, Reading<Sockets>>,
}

impl ProcTables {
    /// Walks this `/proc`.
    pub fn new(root: ProcRoot) -> Self {
        // Through /proc/self and not by our pid, which is another one where /proc is of another pid namespace.
        let own = root.open_self().and_then(|own| own.network_namespace());
        ProcTables { root, own_namespace: own.into_seen(), sockets: HashMap::new() }
    }

    /// Forgets the sockets. Until the next time each network namespace is asked once, however many of its
    /// processes are visited.
    pub fn begin_pass(&mut self) {
        self.sockets.clear();
    }

    /// The `/proc` that is walked.
    pub fn root(&self) -> &ProcRoot {
        &self.root
    }

    fn descriptors_of(&mut self, process: &ProcessDir, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()> {
        // Sockets are looked up when all of them are known: what the dump lacks then is in no table at all, or
        // younger than a dump from earlier in this pass.
        let mut unresolved = Vec::new();
        let visited = process.descriptors(&mut |descriptor| match descriptor.kind {
            DescriptorType::Socket => unresolved.push(descriptor),
            _ => each(descriptor),
        });
        if unresolved.is_empty() {
            return visited;
        }
        let sockets = match self.sockets_of(process) {
            Reading::Seen(sockets) => Some(sockets),
            Reading::Failed => return Reading::Failed,
            _ => None,
        };
        for mut descriptor in unresolved {
            descriptor.socket = sockets.and_then(|sockets| sockets.get(&descriptor.inode)).cloned();
            each(descriptor);
        }
        visited
    }

    fn sockets_of(&mut self, process: &ProcessDir) -> Reading<&Sockets> {
        let inode = match process.network_namespace() {
            Reading::Seen(inode) => inode,
            other => return other.and_then(|_| Reading::Unsupported),
        };
        let own = self.own_namespace == Some(inode);
        let dump = || {
            if own {
                return sockdiag::dump(Namespace::Own);
            }
            process.open_network_namespace().and_then(|other| sockdiag::dump(Namespace::Other(other)))
        };
        self.sockets.entry(inode).or_insert_with(dump).as_ref()
    }
}

impl KernelTables for ProcTables {
    fn tasks(&mut self, each: &mut dyn FnMut(Task)) -> Reading<()> {
        self.each_process(&mut |_, process| process.tasks(each))
    }

    /// Of the processes of others an ordinary user sees none: they are left out of a pass over all, and the pass
    /// is `Denied` where nothing is left.
    fn descriptors(&mut self, scope: Scope, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()> {
        match scope {
            Scope::AllProcesses => {
                self.begin_pass();
                self.each_process(&mut |tables, process| tables.descriptors_of(process, each))
            }
            Scope::Process(pid) => {
                self.root.open(pid).and_then(|process| self.descriptors_of(&process, each))
            }
        }
    }
}

impl ProcTables {
    /// Goes to every process, one at a time, and leaves out those that leave meanwhile or may not be read. The
    /// answer is that of the first process where no process could be read.
    fn each_process(&mut self, visit: &mut dyn FnMut(&mut Self, &ProcessDir) -> Reading<()>) -> Reading<()> {
        let pids = match self.root.pids() {
            Ok(pids) => pids,
            Err(error) => return Reading::from_error(&error),
        };
        let mut refused = None;
        let mut visited = false;
        for pid in pids {
            let process = match self.root.open(pid) {
                Reading::Seen(process) => process,
                Reading::Failed => return Reading::Failed,
                _ => continue,
            };
            match visit(self, &process) {
                Reading::Seen(()) => visited = true,
                Reading::Gone => {}
                // What is missing would look like absence.
                Reading::Failed => return Reading::Failed,
                reading => refused = refused.or(Some(reading)),
            }
        }
        match refused {
            Some(reading) if !visited => reading,
            _ => Reading::Seen(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ProcTables;
    use crate::source::proc::ProcRoot;
    use crate::source::{KernelTables, Scope};
    use crate::vocabulary::descriptor::DescriptorType;
    use crate::vocabulary::reading::Reading;
    use crate::vocabulary::socket::SocketState;
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::fd::AsRawFd;

    fn tables() -> ProcTables {
        ProcTables::new(ProcRoot::host().unwrap())
    }

    fn own_pid() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn sockets_are_resolved() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut found = None;
        let seen = tables().descriptors(Scope::Process(own_pid()), &mut |descriptor| {
            if descriptor.fd == listener.as_raw_fd() {
                found = Some(descriptor);
            }
        });
        assert_eq!(seen, Reading::Seen(()));
        let found = found.unwrap();
        assert_eq!(found.kind, DescriptorType::Socket);
        let socket = found.socket.unwrap();
        assert_eq!(socket.state, SocketState::Listen);
        assert_eq!(socket.local, Some(listener.local_addr().unwrap()));
    }

    #[test]
    fn own_threads_are_among_all_tasks() {
        let tid = nix::unistd::gettid().as_raw();
        let (mut leaders, mut own) = (0, None);
        let seen = tables().tasks(&mut |task| {
            leaders += usize::from(task.is_leader());
            if task.tid == tid {
                own = Some(task);
            }
        });
        assert_eq!(seen, Reading::Seen(()));
        assert_eq!(own.unwrap().pid, own_pid());
        assert!(leaders > 1);
    }

    #[test]
    fn nobody_has_this_pid() {
        assert_eq!(tables().descriptors(Scope::Process(i32::MAX), &mut |_| {}), Reading::Gone);
    }
}
