//! What each executable file is: read once per file, however many processes run it.

use super::allowance::Allowance;
use crate::golang::binary::buildinfo::{self, BuildInfoError};
use crate::golang::binary::image::ImageError;
use crate::source::proc::FileIdentity;
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::GoProgram;
use crate::vocabulary::reading::Reading;
use std::collections::{HashMap, HashSet};
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

/// Why nothing is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The scan has no time left for it: a later one has.
    PutOff,
    /// We could not, see [`Reading::Failed`]. It is tried again.
    Failed,
    /// It could not be understood: why. Told once per file.
    NotUnderstood(String),
}

/// That a file is none of Go's is remembered for so many scans after the last that met it: short programs are started
/// over and over. What is Go's goes with its last process.
const KEPT_SCANS: u64 = 60;
/// Files that are remembered: a host has a few hundred programs.
const MAX_FILES: usize = 16_384;

impl Executables {
    /// The Go program in a file; `None` where it is not Go, or has left before it could be read.
    ///
    /// # Errors
    /// Why nothing is known.
    pub fn program(
        &mut self,
        identity: FileIdentity,
        open: impl FnOnce() -> Reading<TargetFile>,
        allowance: &Allowance,
    ) -> Result<Option<Arc<GoProgram>>, Unread> {
        if let Some(entry) = self.by_file.get_mut(&identity) {
            entry.last_used = self.generation;
            return Ok(entry.program.clone());
        }
        if allowance.is_spent() {
            return Err(Unread::PutOff);
        }
        let file = match open() {
            Reading::Seen(file) => file,
            Reading::Failed => return Err(Unread::Failed),
            _ => return Ok(None),
        };
        let read = buildinfo::read(&allowance.charged(&file)).map(|program| program.map(Arc::new));
        if read.as_ref().is_err_and(has_failed) {
            return Err(Unread::Failed);
        }
        let program = read.as_ref().ok().cloned().flatten();
        if self.by_file.len() >= MAX_FILES {
            self.by_file.clear();
        }
        self.by_file.insert(identity, Entry { program: program.clone(), last_used: self.generation });
        read.map_err(|error| Unread::NotUnderstood(error.to_string()))
    }

    /// Forgets what was read of a file: it did not answer to the end.
    pub fn forget(&mut self, identity: FileIdentity) {
        self.by_file.remove(&identity);
    }

    /// Ends a scan, and forgets executables that no process runs.
    pub fn forget_unused(&mut self, in_use: &HashSet<FileIdentity>) {
        self.generation += 1;
        let generation = self.generation;
        self.by_file.retain(|identity, entry| {
            if in_use.contains(identity) {
                entry.last_used = generation;
            }
            let kept_scans = if entry.program.is_some() { 0 } else { KEPT_SCANS };
            generation - entry.last_used <= kept_scans
        });
    }
}

fn has_failed(error: &BuildInfoError) -> bool {
    match error {
        BuildInfoError::Image(ImageError::Read { source, .. }) => {
            Reading::<()>::from_error(source).has_failed()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Entry, Executables, KEPT_SCANS, Unread};
    use crate::source::proc::{FileIdentity, ProcRoot};
    use crate::source::target_file::TargetFile;
    use crate::vocabulary::process::GoProgram;
    use crate::vocabulary::reading::Reading;
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::Duration;

    fn own_executable() -> Reading<TargetFile> {
        let proc = ProcRoot::host().unwrap();
        proc.open(std::process::id().cast_signed()).and_then(|process| process.executable())
    }

    fn own_identity() -> FileIdentity {
        own_executable().into_seen().unwrap().identity()
    }

    #[test]
    fn each_file_is_read_once() {
        let (mut executables, plenty) = (Executables::default(), Allowance::unlimited());
        let identity = own_identity();
        assert_eq!(executables.program(identity, own_executable, &plenty), Ok(None));
        let none = Allowance::of_scan(Duration::ZERO);
        assert_eq!(executables.program(identity, || unreachable!("it was read before"), &none), Ok(None));
    }

    #[test]
    fn a_file_that_could_not_be_opened_is_tried_again() {
        let (mut executables, plenty) = (Executables::default(), Allowance::unlimited());
        let identity = own_identity();
        assert_eq!(executables.program(identity, || Reading::Denied, &plenty), Ok(None));
        assert_eq!(executables.program(identity, || Reading::Failed, &plenty), Err(Unread::Failed));
        let none = Allowance::of_scan(Duration::ZERO);
        let put_off = executables.program(identity, || unreachable!("there is no time"), &none);
        assert_eq!(put_off, Err(Unread::PutOff));
        let mut opened = false;
        let _ = executables.program(
            identity,
            || {
                opened = true;
                own_executable()
            },
            &plenty,
        );
        assert!(opened);
    }

    #[test]
    fn what_is_not_met_is_forgotten_and_what_is_gos_at_once() {
        let mut executables = Executables::default();
        let (identity, nobody) = (own_identity(), HashSet::new());
        let _ = executables.program(identity, own_executable, &Allowance::unlimited());
        for _ in 0..KEPT_SCANS {
            executables.forget_unused(&nobody);
        }
        assert_eq!(executables.by_file.len(), 1);
        executables.forget_unused(&nobody);
        assert!(executables.by_file.is_empty());

        let program = Some(Arc::new(GoProgram::default()));
        executables.by_file.insert(identity, Entry { program, last_used: executables.generation });
        executables.forget_unused(&HashSet::from([identity]));
        assert_eq!(executables.by_file.len(), 1, "a process runs it");
        executables.forget_unused(&nobody);
        assert!(executables.by_file.is_empty());
    }
}
