//! Go libraries in programs of other languages: shared libraries that a C or Python program has loaded
//! (`-buildmode=c-shared`), each with a Go runtime of its own.
//!
//! They are met by what a process maps, which is dearer than one `stat`: only programs that are none of Go's are looked
//! at, less and less often, and of very long lists only the beginning. What a mapped file is, is read once per file.

use super::allowance::Allowance;
use crate::golang::binary::buildinfo;
use crate::source::proc::{Mapping, ProcessDir};
use crate::source::reader;
use crate::vocabulary::process::{GoProgram, Library};
use crate::vocabulary::reading::Reading;
use std::collections::HashMap;
use std::sync::Arc;

/// How much is read of the list of mappings of a process that nobody has asked about: some ten thousand of them.
const MOST_BYTES: u64 = 1 << 20;
/// The same for one that somebody has asked about.
const MOST_BYTES_ASKED: u64 = 64 << 20;
/// Files that are remembered. A host has a few thousand libraries.
const MAX_FILES: usize = 16_384;
/// ... and bytes of their names, and of what is known of them.
const MAX_KEPT_BYTES: usize = 8 << 20;

/// A mapped file: device, inode, and name, since inodes come back.
type File = ((u32, u32), u64, String);

/// Mapped files that have been looked at; `None` for those that are none of Go's.
#[derive(Debug, Default)]
pub struct Libraries {
    by_file: HashMap<File, Option<GoProgram>>,
    kept_bytes: usize,
}

/// Not all mapped files could be looked at now: the process is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished;

impl Libraries {
    /// The Go library that a process has loaded, the one at the lowest address where there are several.
    ///
    /// # Errors
    /// Where not all files could be looked at.
    pub fn of(
        &mut self,
        process: &ProcessDir,
        is_asked_for: bool,
        allowance: &Allowance,
    ) -> Result<Option<Arc<GoProgram>>, Unfinished> {
        let most_bytes = if is_asked_for { MOST_BYTES_ASKED } else { MOST_BYTES };
        let files = match process.code_files(most_bytes) {
            Reading::Seen(files) => files,
            Reading::Failed => return Err(Unfinished),
            _ => return Ok(None),
        };
        let mut found: Option<(GoProgram, &Mapping)> = None;
        let mut others = 0;
        for mapping in &files {
            match (self.program(process, mapping, allowance)?, &found) {
                (Some(program), None) => found = Some((program, mapping)),
                (Some(_), Some(_)) => others += 1,
                (None, _) => {}
            }
        }
        Ok(found.map(|(mut program, mapping)| {
            let file = (mapping.device, mapping.inode);
            program.library = Some(Library { path: mapping.name.clone(), file, others });
            Arc::new(program)
        }))
    }

    fn program(
        &mut self,
        process: &ProcessDir,
        mapping: &Mapping,
        allowance: &Allowance,
    ) -> Result<Option<GoProgram>, Unfinished> {
        let key = (mapping.device, mapping.inode, mapping.name.clone());
        if let Some(known) = self.by_file.get(&key) {
            return Ok(known.clone());
        }
        if allowance.is_spent() {
            return Err(Unfinished);
        }
        // What cannot be opened is tried again, what cannot be understood is none that could be read.
        let file = match process.mapped_file(mapping) {
            Reading::Seen(file) => file,
            Reading::Failed => return Err(Unfinished),
            _ => return Ok(None),
        };
        let program = buildinfo::read(&allowance.charged(&file)).ok().flatten();
        if program.is_none() && process.id().seen().is_some_and(|id| reader::silence_of(*id).is_some()) {
            return Ok(None);
        }
        self.keep(key, program.clone());
        Ok(program)
    }

    fn keep(&mut self, key: File, program: Option<GoProgram>) {
        let texts = program.iter().flat_map(|program| {
            let module = program.module.iter().flat_map(|module| [&module.path, &module.version]);
            [&program.version].into_iter().chain(&program.package).chain(&program.revision).chain(module)
        });
        let bytes = key.2.len() + texts.map(String::len).sum::<usize>();
        if self.by_file.len() >= MAX_FILES || self.kept_bytes + bytes > MAX_KEPT_BYTES {
            self.by_file.clear();
            self.kept_bytes = 0;
        }
        self.kept_bytes += bytes;
        self.by_file.insert(key, program);
    }
}

/// When a process that is none of Go's is looked at again: libraries may be loaded at any time, most are at the begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    scans: u64,
    is_unfinished: bool,
}

impl Looks {
    /// Counts a scan; whether this is one to look in: the first, second, fourth, eighth, …
    pub fn is_due(&mut self) -> bool {
        self.scans += 1;
        std::mem::take(&mut self.is_unfinished) || self.scans.is_power_of_two()
    }

    /// The next scan is one to look in, too.
    pub fn again(&mut self) {
        self.is_unfinished = true;
    }
}

#[cfg(test)]
mod tests {
    use super::{Libraries, Looks, MAX_KEPT_BYTES, Unfinished};
    use crate::discover::allowance::Allowance;
    use crate::source::proc::ProcRoot;
    use std::time::Duration;

    #[test]
    fn each_mapped_file_is_looked_at_once_and_ours_are_none_of_gos() {
        let process = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let mut libraries = Libraries::default();
        let (plenty, none) = (Allowance::unlimited(), Allowance::of_scan(Duration::ZERO));
        assert_eq!(libraries.of(&process, false, &none), Err(Unfinished));
        assert_eq!(libraries.of(&process, false, &plenty), Ok(None));
        let files = process.code_files(1 << 20).into_seen().unwrap();
        assert!(files.len() > 1, "the C library at least: {files:?}");
        assert_eq!(libraries.by_file.len(), files.len());
        assert!(libraries.by_file.values().all(Option::is_none));
        assert_eq!(libraries.of(&process, true, &none), Ok(None));
        assert_eq!(libraries.by_file.len(), files.len());
    }

    #[test]
    fn names_without_end_are_not_kept() {
        let mut libraries = Libraries::default();
        for inode in 0..4_000 {
            libraries.keep(((0, 1), inode, "x".repeat(4_000)), None);
            let kept: usize = libraries.by_file.keys().map(|key| key.2.len()).sum();
            assert_eq!(kept, libraries.kept_bytes);
            assert!(kept <= MAX_KEPT_BYTES);
        }
    }

    #[test]
    fn looks_become_rare() {
        let mut looks = Looks::default();
        let due: Vec<u64> = (1..=1000).filter(|_| looks.is_due()).collect();
        assert_eq!(due, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        looks.again();
        assert_eq!([looks.is_due(), looks.is_due()], [true, false]);
    }
}
