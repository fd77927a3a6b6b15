//! What most of the descriptors or mappings of a process refer to, by path.

use super::Mapping;
use super::descriptors::kind_of;
use super::file::{open_directory, read_link};
use crate::vocabulary::process::printable;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

/// Descriptors that are looked at of one process, about two microseconds each. The numbers are dense, so those of a
/// process that holds more are taken at even distances.
const MOST_LOOKED_AT: u64 = 32_768;

/// Paths that are kept apart.
const MOST_PATHS: usize = 65_536;

/// Paths that are given back, those that occur most often first.
const MOST_TOLD: usize = 4;

/// What occurs less often than this among all is no crowd.
const LEAST_PART: f64 = 0.1;

/// Paths and how often each occurs, most often first. Where all differ, the directories in which they lie, each with
/// `/*` behind it.
pub type Crowds = Vec<(String, u64)>;

/// Paths that descriptors refer to, of `count` that are open.
pub(super) fn of_descriptors(process: &OwnedFd, count: u64) -> io::Result<Crowds> {
    let fds = open_directory(process, "fd")?;
    let step = count.div_ceil(MOST_LOOKED_AT).max(1);
    let mut paths = Paths::default();
    let mut found = 0;
    for number in (0..count).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        // A number that is free, or that was closed meanwhile.
        let Ok(link) = read_link(&fds, &number.to_string()) else { continue };
        found += 1;
        if kind_of(&link).is_none() {
            paths.add(&link);
        }
    }
    // Of those that were not looked at as many are taken to be the same.
    Ok(paths.crowds(found, if step == 1 { 1.0 } else { count as f64 / found.max(1) as f64 }))
}

/// Names of mappings.
pub(super) fn of_mappings(mappings: &[Mapping]) -> Crowds {
    let mut paths = Paths::default();
    mappings.iter().for_each(|mapping| paths.add(mapping.name.as_bytes()));
    paths.crowds(mappings.len() as u64, 1.0)
}

/// Counts paths.
#[derive(Debug, Default)]
pub(super) struct Paths {
    counts: HashMap<Vec<u8>, u64>,
}

impl Paths {
    pub(super) fn add(&mut self, path: &[u8]) {
        if let Some(count) = self.counts.get_mut(path) {
            *count += 1;
        } else if self.counts.len() < MOST_PATHS {
            self.counts.insert(path.to_owned(), 1);
        }
    }

    /// Those that occur most often among `all`, or the directories, with their numbers times `scale`.
    pub(super) fn crowds(self, all: u64, scale: f64) -> Crowds {
        let crowds = largest(&self.counts, all, scale);
        if !crowds.is_empty() {
            return crowds;
        }
        let mut directories: HashMap<Vec<u8>, u64> = HashMap::new();
        for (path, count) in &self.counts {
            let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            *directories.entry([&path[..end], b"/*"].concat()).or_default() += count;
        }
        largest(&directories, all, scale)
    }
}

fn largest(counts: &HashMap<Vec<u8>, u64>, all: u64, scale: f64) -> Crowds {
    let mut largest: Vec<_> =
        counts.iter().filter(|(_, count)| **count as f64 >= LEAST_PART * all.max(1) as f64).collect();
    largest.sort_unstable_by(|one, other| other.1.cmp(one.1).then_with(|| one.0.cmp(other.0)));
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a count is small and not negative"
    )]
    let scaled = |count: u64| (count as f64 * scale).round() as u64;
    largest.into_iter().take(MOST_TOLD).map(|(path, count)| (printable(path), scaled(*count))).collect()
}

#[cfg(test)]
mod tests {
    use super::Paths;
    use crate::source::proc::ProcRoot;

    fn crowds(paths: impl Iterator<Item = String>) -> Vec<(String, u64)> {
        let mut all = Paths::default();
        let mut count = 0;
        for path in paths {
            all.add(path.as_bytes());
            count += 1;
        }
        all.crowds(count, 1.0)
    }

    #[test]
    fn the_path_of_most_comes_first_and_few_are_no_crowd() {
        let paths = (0..100).map(|n| match n {
            0..60 => "/etc/hosts".to_owned(),
            60..90 => "/var/x (deleted)".to_owned(),
            _ => format!("/tmp/{n}"),
        });
        assert_eq!(crowds(paths), [("/etc/hosts".to_owned(), 60), ("/var/x (deleted)".to_owned(), 30)]);
    }

    #[test]
    fn where_all_paths_differ_their_directory_is_told() {
        let uploads = (0..50).map(|n| format!("/tmp/uploads/{n}"));
        assert_eq!(crowds(uploads), [("/tmp/uploads/*".to_owned(), 50)]);
        assert_eq!(crowds(std::iter::empty()), []);
        assert_eq!(crowds(["\n".to_owned()].into_iter()), [("\\n".to_owned(), 1)]);
    }

    #[test]
    fn own_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open: Vec<_> = (0..200).map(|_| file.reopen().unwrap()).collect();
        let own = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let count = own.descriptor_count().into_seen().unwrap();
        let told = own.descriptor_paths(count).into_seen().unwrap();
        let path = file.path().to_string_lossy();
        assert!(told.iter().any(|(told, count)| *told == path && *count >= 100), "{told:?} {}", open.len());
    }
}
