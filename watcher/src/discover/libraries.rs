//! Go libraries in programs of other languages: shared libraries that a C or Python program has loaded
//! (`-buildmode=c-shared`), each with a Go runtime of its own.
//!
//! They are met by what a process maps, which is dearer than one `stat`: only programs that are none of Go's are looked
//! at, less and less often, and of very long lists only the beginning. What a mapped file is, is read once per file.

use crate::golang::buildinfo;
use crate::process::{GoProgram, Library};
use crate::source::proc::{Mapping, ProcessDir};
use std::collections::HashMap;
use std::sync::Arc;

/// How much is read of the list of mappings of a process that nobody has asked about: some ten thousand of them.
const MOST_BYTES: u64 = 1 << 20;
/// The same for one that somebody has asked about.
const MOST_BYTES_ASKED: u64 = 64 << 20;
/// Files that are remembered. A host has a few thousand libraries.
const MAX_FILES: usize = 16_384;

/// A mapped file: device, inode, and name, since inodes come back.
type File = ((u32, u32), u64, String);

/// Mapped files that have been looked at; `None` for those that are none of Go's.
#[derive(Debug, Default)]
pub struct Libraries {
    by_file: HashMap<File, Option<GoProgram>>,
}

impl Libraries {
    /// The Go library that a process has loaded, the one at the lowest address where there are several.
    pub fn of(&mut self, process: &ProcessDir, is_asked_for: bool) -> Option<Arc<GoProgram>> {
        let most_bytes = if is_asked_for { MOST_BYTES_ASKED } else { MOST_BYTES };
        let files = process.code_files(most_bytes).into_seen()?;
        let mut programs = files.iter().filter_map(|mapping| {
            let program = self.program(process, mapping)?;
            Some((program, mapping))
        });
        let (mut program, mapping) = programs.next()?;
        let others = programs.count();
        let file = (mapping.device, mapping.inode);
        program.library = Some(Library { path: mapping.name.clone(), file, others });
        Some(Arc::new(program))
    }

    fn program(&mut self, process: &ProcessDir, mapping: &Mapping) -> Option<GoProgram> {
        let key = (mapping.device, mapping.inode, mapping.name.clone());
        if let Some(known) = self.by_file.get(&key) {
            return known.clone();
        }
        // What cannot be opened is tried again, what cannot be understood is none that could be read.
        let file = process.mapped_file(mapping).into_seen()?;
        let program = buildinfo::read(&file).ok().flatten();
        if self.by_file.len() >= MAX_FILES {
            self.by_file.clear();
        }
        self.by_file.insert(key, program.clone());
        program
    }
}

/// When a process that is none of Go's is looked at again: libraries may be loaded at any time, most are at the begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    scans: u64,
}

impl Looks {
    /// Counts a scan; whether this is one to look in: the first, second, fourth, eighth, …
    pub fn is_due(&mut self) -> bool {
        self.scans += 1;
        self.scans.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::{Libraries, Looks};
    use crate::source::proc::ProcRoot;

    #[test]
    fn each_mapped_file_is_looked_at_once_and_ours_are_none_of_gos() {
        let process = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let mut libraries = Libraries::default();
        assert!(libraries.of(&process, false).is_none());
        let files = process.code_files(1 << 20).into_seen().unwrap();
        assert!(files.len() > 1, "the C library at least: {files:?}");
        assert_eq!(libraries.by_file.len(), files.len());
        assert!(libraries.by_file.values().all(Option::is_none));
        assert!(libraries.of(&process, true).is_none());
        assert_eq!(libraries.by_file.len(), files.len());
    }

    #[test]
    fn looks_become_rare() {
        let mut looks = Looks::default();
        let due: Vec<u64> = (1..=1000).filter(|_| looks.is_due()).collect();
        assert_eq!(due, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
