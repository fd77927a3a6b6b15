//! What each executable file is: read once per file, however many processes run it.

use crate::golang::buildinfo;
use crate::process::GoProgram;
use crate::reading::Reading;
use crate::source::proc::FileIdentity;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

/// The executables that have been read.
#[derive(Debug, Default)]
pub struct Executables {
    by_file: HashMap<FileIdentity, Entry>,
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a program that is not Go, and for one that could not be understood.
    program: Option<Arc<GoProgram>>,
    last_used: u64,
}

/// An executable that no scan has met for so many scans is forgotten.
const KEPT_SCANS: u64 = 60;

impl Executables {
    /// The Go program in a file; `None` where it is not Go, or has left before it could be read.
    ///
    /// # Errors
    /// Why it could not be understood, the first time that it is tried.
    pub fn program(
        &mut self,
        identity: FileIdentity,
        open: impl FnOnce() -> Reading<File>,
    ) -> Result<Option<Arc<GoProgram>>, String> {
        if let Some(entry) = self.by_file.get_mut(&identity) {
            entry.last_used = self.generation;
            return Ok(entry.program.clone());
        }
        let Reading::Seen(file) = open() else { return Ok(None) };
        let read = buildinfo::read(&file).map(|program| program.map(Arc::new));
        let program = read.as_ref().ok().cloned().flatten();
        self.by_file.insert(identity, Entry { program: program.clone(), last_used: self.generation });
        read.map_err(|error| error.to_string())
    }

    /// Ends a scan, and forgets executables that have long not been met.
    pub fn forget_unused(&mut self) {
        self.generation += 1;
        let generation = self.generation;
        self.by_file.retain(|_, entry| generation - entry.last_used <= KEPT_SCANS);
    }
}

#[cfg(test)]
mod tests {
    use super::{Executables, KEPT_SCANS};
    use crate::reading::Reading;
    use crate::source::proc::FileIdentity;
    use std::fs::File;

    fn own_executable() -> Reading<File> {
        File::open("/proc/self/exe").into()
    }

    #[test]
    fn each_file_is_read_once() {
        let mut executables = Executables::default();
        let identity = FileIdentity::of(&own_executable().into_seen().unwrap()).unwrap();
        assert_eq!(executables.program(identity, own_executable), Ok(None));
        assert_eq!(executables.program(identity, || unreachable!("it was read before")), Ok(None));
    }

    #[test]
    fn a_file_that_could_not_be_opened_is_tried_again() {
        let mut executables = Executables::default();
        let identity = FileIdentity::of(&own_executable().into_seen().unwrap()).unwrap();
        assert_eq!(executables.program(identity, || Reading::Denied), Ok(None));
        let mut opened = false;
        let _ = executables.program(identity, || {
            opened = true;
            own_executable()
        });
        assert!(opened);
    }

    #[test]
    fn what_is_not_met_is_forgotten() {
        let mut executables = Executables::default();
        let identity = FileIdentity::of(&own_executable().into_seen().unwrap()).unwrap();
        let _ = executables.program(identity, own_executable);
        for _ in 0..=KEPT_SCANS {
            executables.forget_unused();
        }
        assert!(executables.by_file.is_empty());
    }
}
