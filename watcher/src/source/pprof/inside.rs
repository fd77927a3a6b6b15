//! Work inside the network namespace of another process.

use super::fault::Fault;
use crate::source::proc::ProcessDir;
use crate::vocabulary::reading::Reading;
use nix::sched::{CloneFlags, setns};
use std::os::unix::fs::MetadataExt;

/// Does `work` in the network namespace of the process. It may block.
///
/// # Errors
/// Where the namespace may not be entered: that takes CAP_SYS_ADMIN.
pub fn in_network_namespace<T: Send>(
    process: &ProcessDir,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Fault> {
    const WHAT: &str = "its network namespace";
    let denied = Fault::Denied { what: WHAT };
    let theirs = match process.network_namespace() {
        Reading::Seen(inode) => inode,
        Reading::Gone => return Err(Fault::Gone),
        Reading::Failed => return Err(Fault::Lacking),
        Reading::Denied | Reading::Unsupported => return Err(denied),
    };
    let own = std::fs::metadata("/proc/thread-self/ns/net").map(|file| file.ino());
    if own.is_ok_and(|own| own == theirs) {
        return Ok(work());
    }
    let namespace = match process.open_network_namespace() {
        Reading::Seen(file) => file,
        Reading::Gone => return Err(Fault::Gone),
        Reading::Failed => return Err(Fault::Lacking),
        Reading::Denied | Reading::Unsupported => return Err(denied),
    };
    // A namespace is entered by a thread, and this one ends with the work: no other is ever moved.
    std::thread::scope(|scope| {
        let inside = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|_| Fault::Denied { what: WHAT })?;
            Ok(work())
        });
        let thread = inside.map_err(|error| Fault::Unreachable { why: error.to_string() })?;
        thread.join().unwrap_or(Err(Fault::Unreachable { why: "the thread for it broke off".to_owned() }))
    })
}
