//! Processes of which something does not answer: who, what, since when, and when it is worth asking again.

use crate::vocabulary::process::ProcessId;
use std::collections::HashMap;
use std::time::Duration;

/// Remembered at most; the oldest makes way.
const MAX_SILENT: usize = 1024;
/// Between the first two attempts; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Readers that one user's processes may hold up at the same time.
pub const MAX_STUCK_PER_USER: usize = 3;
/// Readers that may be stuck at the same time.
pub const MAX_STUCK: usize = 8;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its memory.
    Memory,
    /// A file of it: the executable, a library, or one of the kernel's files about it.
    File,
}

/// A process of which something did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Which process.
    pub id: ProcessId,
    /// Its name, printable form.
    pub name: String,
    /// What did not answer.
    pub asked: Asked,
    /// Type of the file system that is thought to be the cause, and where it is mounted (`fuse at /mnt/x`), printable
    /// form; `None` where that is not known.
    pub place: Option<String>,
}

impl Silent {
    /// One sentence without the process.
    pub fn why(&self) -> String {
        let what = match self.asked {
            Asked::Memory => "a page of it",
            Asked::File => "a file of it",
        };
        let place = self.place.as_deref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("could not be read: {what} does not answer{place}")
    }
}

/// Those that are known.
#[derive(Debug, Default)]
pub struct Silences {
    known: HashMap<ProcessId, Entry>,
}

#[derive(Debug)]
struct Entry {
    silent: Silent,
    since: Duration,
    retry_at: Duration,
    pause: Duration,
}

impl Silences {
    /// Whether nobody is known to be silent.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a process with this pid, whichever it is, is known.
    pub fn has_pid(&self, pid: i32) -> bool {
        self.known.keys().any(|id| id.pid == pid)
    }

    /// Whether this process is known, and it is too early to ask it again. `now` is the time since boot.
    pub fn is_silent(&self, id: ProcessId, now: Duration) -> bool {
        self.known.get(&id).is_some_and(|entry| now < entry.retry_at)
    }

    /// Takes note that it did not answer.
    pub fn note(&mut self, silent: Silent, now: Duration) {
        if self.known.len() >= MAX_SILENT
            && !self.known.contains_key(&silent.id)
            && let Some(oldest) = self.known.iter().min_by_key(|(_, entry)| entry.since).map(|(id, _)| *id)
        {
            self.known.remove(&oldest);
        }
        let before = self.known.get(&silent.id);
        let pause = before.map_or(FIRST_PAUSE, |entry| (entry.pause * 2).min(LONGEST_PAUSE));
        let since = before.map_or(now, |entry| entry.since);
        self.known.insert(silent.id, Entry { silent, since, retry_at: now.saturating_add(pause), pause });
    }

    /// Takes note that it answered.
    pub fn answered(&mut self, id: ProcessId) {
        self.known.remove(&id);
    }

    /// Takes note that whatever held the reader up is over: it may be asked again at once.
    pub fn released(&mut self, id: ProcessId) {
        if let Some(entry) = self.known.get_mut(&id) {
            entry.retry_at = Duration::ZERO;
        }
    }

    /// Forgets those that are no longer there.
    pub fn keep(&mut self, is_there: impl Fn(ProcessId) -> bool) {
        self.known.retain(|id, _| is_there(*id));
    }

    /// All of them, by pid.
    pub fn all(&self) -> Vec<Silent> {
        let mut all: Vec<Silent> = self.known.values().map(|entry| entry.silent.clone()).collect();
        all.sort_by_key(|silent| silent.id);
        all
    }

    /// One of them.
    pub fn of(&self, id: ProcessId) -> Option<&Silent> {
        self.known.get(&id).map(|entry| &entry.silent)
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, FIRST_PAUSE, LONGEST_PAUSE, MAX_SILENT, Silences, Silent};
    use crate::vocabulary::process::ProcessId;
    use std::time::Duration;

    fn silent(pid: i32) -> Silent {
        let id = ProcessId { pid, start_ticks: 7 };
        Silent { id, name: "shop".to_owned(), asked: Asked::Memory, place: Some("fuse at /mnt/x".to_owned()) }
    }

    #[test]
    fn who_does_not_answer_is_asked_ever_more_seldom() {
        let mut silences = Silences::default();
        let mut now = Duration::from_secs(1000);
        let id = silent(1).id;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            silences.note(silent(1), now);
            let begin = now;
            while silences.is_silent(id, now) {
                now += Duration::from_secs(1);
            }
            pauses.push(now - begin);
        }
        assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
        silences.note(silent(1), now);
        silences.released(id);
        assert!(!silences.is_silent(id, now), "it may answer now");
        assert_eq!(silences.all(), [silent(1)], "but has not yet");
        silences.answered(id);
        assert!(silences.is_empty());
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_silent() {
        let mut silences = Silences::default();
        silences.note(silent(1), Duration::ZERO);
        let other = ProcessId { pid: 1, start_ticks: 8 };
        assert!(silences.has_pid(1) && !silences.is_silent(other, Duration::ZERO));
        silences.keep(|id| id == other);
        assert!(silences.is_empty());
    }

    #[test]
    fn they_are_bounded_and_the_oldest_goes_first() {
        let mut silences = Silences::default();
        for pid in 0..=i32::try_from(MAX_SILENT).unwrap() {
            silences.note(silent(pid), Duration::from_secs(u64::from(pid.unsigned_abs())));
        }
        let all = silences.all();
        assert_eq!((all.len(), all[0].id.pid), (MAX_SILENT, 1));
    }

    #[test]
    fn the_sentence_names_what_is_known() {
        assert_eq!(silent(1).why(), "could not be read: a page of it does not answer (fuse at /mnt/x)");
        let file = Silent { asked: Asked::File, place: None, ..silent(1) };
        assert_eq!(file.why(), "could not be read: a file of it does not answer");
    }
}
