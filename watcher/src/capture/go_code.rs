//! The file that holds the Go code of a process: its executable, or a Go library that a program of another language has
//! loaded.

use crate::golang::binary::image::Image;
use crate::golang::runtime::Runtime;
use crate::source::memory::entry_address;
use crate::source::proc::{Mapping, ProcessDir};
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::{GoProgram, ProcessId};
use crate::vocabulary::reading::Reading;
use std::path::Path;

/// How much is read of the list of mappings.
const MOST_BYTES: u64 = 64 << 20;
const PAGE_BYTES: u64 = 4096;

/// The Go code of a process, to attach to.
pub struct GoCode {
    /// The file.
    pub file: TargetFile,
    /// Where the entry point that its headers name lies in the process. A library is not entered there, but all its
    /// addresses are moved as far.
    pub entry: u64,
    /// An address of the file's code that can be read if any can.
    pub readable: u64,
}

/// Finds the code of `program` in a process that runs it.
pub fn find(proc: &Path, id: ProcessId, process: &ProcessDir, program: &GoProgram) -> Reading<GoCode> {
    let Some(library) = &program.library else {
        return process.executable().and_then(|file| {
            entry_address(proc, id.pid).map(|entry| GoCode { file, entry, readable: entry })
        });
    };
    process.code_files(MOST_BYTES).and_then(|mappings| {
        let mapping = mappings.into_iter().find(|it| (it.device, it.inode) == library.file);
        let Some(mapping) = mapping else { return Reading::Unsupported };
        process.mapped_file(&mapping).and_then(|file| match entry_in_library(&file, &mapping) {
            Some(entry) => Reading::Seen(GoCode { file, entry, readable: mapping.range.start }),
            None => Reading::Unsupported,
        })
    })
}

/// The file of a runtime that is attached to, opened anew.
pub fn reopen(runtime: &Runtime, process: &ProcessDir) -> Reading<TargetFile> {
    let Some(code) = runtime.library_code() else { return process.executable() };
    process.code_files(MOST_BYTES).and_then(|mappings| {
        match mappings.into_iter().find(|mapping| mapping.range.contains(&code)) {
            Some(mapping) => process.mapped_file(&mapping),
            None => Reading::Unsupported,
        }
    })
}

fn entry_in_library(file: &TargetFile, mapping: &Mapping) -> Option<u64> {
    let image = Image::read(file).ok()?;
    let bias = bias(&image, mapping)?;
    Some(image.entry.wrapping_add(bias))
}

/// How far the addresses of `image` are moved where its code is mapped so. Segments are mapped by whole pages.
fn bias(image: &Image, mapping: &Mapping) -> Option<u64> {
    let holds = |start: u64, bytes: u64| {
        let first = start / PAGE_BYTES * PAGE_BYTES;
        first <= mapping.file_offset && mapping.file_offset < start.saturating_add(bytes)
    };
    let mut code = image.segments.iter().filter(|segment| segment.executable);
    let segment = code.find(|segment| holds(segment.file_offset, segment.file_bytes))?;
    let offset_in_memory =
        segment.address.wrapping_sub(segment.file_offset).wrapping_add(mapping.file_offset);
    Some(mapping.range.start.wrapping_sub(offset_in_memory))
}

#[cfg(test)]
mod tests {
    use super::entry_in_library;
    use crate::source::memory::entry_address;
    use crate::source::proc::ProcRoot;

    #[test]
    fn where_code_is_mapped_tells_where_the_entry_is() {
        let (proc, pid) = (ProcRoot::host().unwrap(), std::process::id().cast_signed());
        let process = proc.open(pid).into_seen().unwrap();
        let exe = process.exe().into_seen().unwrap();
        let mappings = process.code_files(1 << 20).into_seen().unwrap();
        let own = mappings.iter().find(|mapping| exe.path.as_os_str() == mapping.name.as_str()).unwrap();
        let entry = entry_in_library(&process.executable().into_seen().unwrap(), own);
        assert_eq!(entry, entry_address(proc.path(), pid).into_seen());
    }
}
