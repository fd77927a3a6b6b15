//! A few descriptors of each kind by number, and what each refers to: the path of a file, the address of a listener.

use crate::agent::views::subject::Subject;
use crate::report::fds::{Example, FdKind};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::process::printable;
use crate::vocabulary::socket::SocketState;

/// So many of each kind are named.
const MOST: usize = 4;

/// Adds a descriptor to the examples of its site, unless there are enough of its kind.
pub(super) fn add(
    examples: &mut Vec<Example>,
    subject: &Subject,
    kind: &FdKind,
    descriptor: &OpenDescriptor,
) {
    if examples.iter().filter(|example| example.kind == *kind).count() < MOST {
        let what = what(subject, descriptor);
        examples.push(Example { kind: kind.clone(), fd: descriptor.fd, what });
    }
}

/// What it refers to, where that says more than its kind. The number may be another's by now: then the other's is said,
/// as the table shows what is open at about one moment.
fn what(subject: &Subject, descriptor: &OpenDescriptor) -> Option<String> {
    match descriptor.kind {
        DescriptorType::File
        | DescriptorType::Directory
        | DescriptorType::CharDevice
        | DescriptorType::BlockDevice => {
            let pid = subject.target.id.pid.to_string();
            let link = subject.proc.path().join(pid).join("fd").join(descriptor.fd.to_string());
            let path = std::fs::read_link(link).ok()?;
            Some(printable(path.as_os_str().as_encoded_bytes()))
        }
        DescriptorType::Socket => {
            let socket = descriptor.socket.as_ref().filter(|socket| socket.state == SocketState::Listen)?;
            Some(format!("listens on {}", socket.local?))
        }
        _ => None,
    }
}
