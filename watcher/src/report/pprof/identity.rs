//! Whose profile it is: a comment that our own profiles carry, so that no difference is computed across a restart.

use super::Profile;
use crate::vocabulary::process::{ProcessId, printable};

const BEGINS: &str = "process ";

/// `process 812 (parcels), started at tick 4711 after boot`.
pub fn identity_comment(name: &str, id: ProcessId) -> String {
    let name = printable(name.as_bytes());
    format!("{BEGINS}{} ({name}), started at tick {} after boot", id.pid, id.start_ticks)
}

/// Whose profile this is, where it says so.
pub fn identity(profile: &Profile) -> Option<ProcessId> {
    profile.comments.iter().find_map(|comment| {
        let (pid, rest) = comment.strip_prefix(BEGINS)?.split_once(' ')?;
        // The name is the process's own choice and may hold anything, the same words included.
        let (_, ticks) = rest.rsplit_once("), started at tick ")?;
        let start_ticks = ticks.strip_suffix(" after boot")?.parse().ok()?;
        Some(ProcessId { pid: pid.parse().ok()?, start_ticks })
    })
}

#[cfg(test)]
mod tests {
    use super::{identity, identity_comment};
    use crate::report::pprof::Profile;
    use crate::vocabulary::process::ProcessId;

    #[test]
    fn a_profile_tells_whose_it_is() {
        let id = ProcessId { pid: 812, start_ticks: 4711 };
        for name in ["parcels", "x), started at tick 1 after boot", ""] {
            let comments = vec!["first".to_owned(), identity_comment(name, id)];
            assert_eq!(identity(&Profile { comments, ..Profile::default() }), Some(id), "{name}");
        }
        assert_eq!(identity(&Profile::default()), None);
    }
}
