//! What the resident memory of one process is made of: the kernel's list of mappings against the runtime's books.

use crate::agent::views::subject::{Part, Subject, ViewError};
use crate::capture::anatomy;
use crate::explain;
use crate::explain::words::bytes;
use crate::observed::anatomy::Anatomy;
use crate::report::memory::Memory;
use crate::source::clock;
use crate::vocabulary::process::Target;
use crate::vocabulary::reading::Reading;
use std::time::SystemTime;

/// Reads the memory of the process with this pid, Go or not.
///
/// # Errors
/// See [`ViewError`].
pub fn memory(pid: i32) -> Result<Memory, ViewError> {
    let subject = Subject::open(pid)?;
    let process = subject.target.clone();
    let taken = clock::now().wall;
    if process.go.is_none() {
        let anatomy = seen(anatomy::of_any(&subject.process), &process)?;
        subject.verify()?;
        let remark = "It is no Go program: what its anonymous memory is used for cannot be told.".to_owned();
        return Ok(shown(process, taken, anatomy, vec![remark]));
    }
    let mut subject = subject.attach()?;
    let anatomy = anatomy::of_go(&mut subject.runtime, &subject.file, &subject.subject.process);
    let anatomy = seen(anatomy, &process)?;
    subject.subject.verify()?;
    let remarks = subject.remarks(&[Part::Heap]);
    Ok(shown(process, taken, anatomy, remarks))
}

fn seen(anatomy: Reading<Anatomy>, process: &Target) -> Result<Anatomy, ViewError> {
    let who = crate::agent::views::subject::who(process);
    match anatomy {
        Reading::Seen(anatomy) => Ok(anatomy),
        Reading::Gone => Err(ViewError::Left { who }),
        Reading::Denied => Err(ViewError::Denied { who }),
        Reading::Unsupported => Err(ViewError::NoMappings { who }),
        Reading::Failed => Err(ViewError::Lacking { who }),
    }
}

fn shown(process: Target, taken: SystemTime, anatomy: Anatomy, mut remarks: Vec<String>) -> Memory {
    const MUCH_BYTES: u64 = 1 << 20;
    remarks.extend(anatomy.remarks.iter().cloned());
    if anatomy.absent >= MUCH_BYTES {
        let size = bytes(anatomy.absent as f64);
        remarks.push(format!(
            "{size} of the heap's spans in use are not resident: never touched, or swapped out."
        ));
    }
    if anatomy.lazily_freed > 0 {
        let size = bytes(anatomy.lazily_freed as f64);
        remarks.push(format!(
            "{size} of it were freed lazily (MADV_FREE) and go as soon as the system needs memory."
        ));
    }
    let balance = explain::anatomy(&anatomy);
    Memory {
        process,
        taken,
        rss_bytes: balance.rss_bytes,
        parts: balance.parts,
        unexplained_bytes: balance.unexplained_bytes,
        swapped_bytes: balance.swapped_bytes,
        remarks,
    }
}
