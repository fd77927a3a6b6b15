//! Open descriptors of a process by type.

use crate::observed::connections::Connections;
use crate::observed::descriptors::DescriptorTypes;
use crate::sample::connections;
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::socket::{Socket, Transport};
use std::collections::HashSet;

/// More sockets of one process than this are counted and not looked at.
pub const MAX_SOCKETS: usize = 100_000;

/// Takes in the descriptors of one process.
#[derive(Debug, Default)]
pub struct Collector {
    types: DescriptorTypes,
    sockets: Vec<Option<Socket>>,
    sockets_beyond: u64,
}

impl Collector {
    /// Adds one descriptor.
    pub fn add(&mut self, descriptor: OpenDescriptor) {
        *self.types.counts.entry(descriptor.kind).or_default() += 1;
        if descriptor.kind != DescriptorType::Socket {
            return;
        }
        if self.sockets.len() < MAX_SOCKETS {
            self.sockets.push(descriptor.socket);
        } else {
            self.sockets_beyond += 1;
        }
    }

    /// The ports on which the process listens.
    pub fn listening_ports(&self) -> impl Iterator<Item = (Transport, u16)> {
        connections::listening_ports(self.sockets.iter().flatten())
    }

    /// Sockets that were not looked at.
    pub fn sockets_beyond(&self) -> u64 {
        self.sockets_beyond
    }

    /// Types and connections; `listens` are the ports on which others listen in the same network namespace.
    pub fn finish(self, listens: &HashSet<(Transport, u16)>) -> (DescriptorTypes, Connections) {
        let connections = connections::group(&self.sockets, self.sockets_beyond, listens);
        (self.types, connections)
    }
}

#[cfg(test)]
mod tests {
    use super::{Collector, MAX_SOCKETS};
    use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
    use std::collections::HashSet;

    fn descriptor(fd: i32, kind: DescriptorType) -> OpenDescriptor {
        OpenDescriptor { pid: 1, fd, kind, inode: 0, socket: None }
    }

    #[test]
    fn sockets_beyond_the_bound_are_counted() {
        let mut collector = Collector::default();
        let sockets = MAX_SOCKETS as u64 + 23;
        for fd in 0..sockets {
            collector.add(descriptor(fd as i32, DescriptorType::Socket));
        }
        collector.add(descriptor(0, DescriptorType::File));
        assert_eq!(collector.sockets_beyond(), 23);
        let (types, connections) = collector.finish(&HashSet::new());
        assert_eq!((types.total(), types.without_sockets()), (sockets + 1, 1));
        assert_eq!((connections.total(), connections.ungrouped), (sockets, 23));
    }
}
