//! `watcher record`, and `watcher diagnose --record`: writes down what the observer sees while it sees it.

use super::observer::Observer;
use crate::config::Config;
use crate::source::clock;
use crate::store::recording::{Entry, Header, Journal, SCHEMA, Writer, WriterError};
use crate::vocabulary::process::{ProcessId, Target};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything is captured this often, so that a verdict can be had for any moment between.
pub(super) const CAPTURES_EVERY: Duration = Duration::from_secs(5);

/// Where to record to, and how much.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// Its size, at most; it is exceeded by no more than one beat.
    pub most_bytes: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Recorded {
    /// Processes that were watched at the end.
    pub processes: usize,
    /// From the first beat to the last.
    pub seconds: f64,
    /// Size of the file.
    pub bytes: u64,
    /// One sentence per process that left.
    pub left: Vec<String>,
}

/// Writes a recording beat by beat, until it cannot.
#[derive(Debug)]
pub(super) struct Recorder {
    journal: Journal,
    /// `None` once it has failed.
    writer: Option<Writer>,
    failure: Option<WriterError>,
}

impl Recorder {
    /// Begins a recording of what `observer` sees. With `captures_every` everything is captured so often.
    pub fn create(
        recording: &Recording,
        observer: &Observer,
        config: &Config,
        captures_every: Option<Duration>,
    ) -> Result<Recorder, WriterError> {
        let header = Header {
            schema: SCHEMA.to_owned(),
            watcher: env!("CARGO_PKG_VERSION").to_owned(),
            began: clock::now(),
            interval: config.interval,
            captures_every,
            host: observer.host_facts(),
        };
        let writer = Writer::create(Path::new(&recording.path), &header, recording.most_bytes)?;
        Ok(Recorder { journal: Journal::default(), writer: Some(writer), failure: None })
    }

    /// Writes what is new of these processes.
    pub fn note<'a>(&mut self, observer: &Observer, processes: impl Iterator<Item = &'a Target>) {
        let Recorder { journal, writer, .. } = self;
        let Some(writer) = writer else { return };
        let written = processes
            .filter_map(|target| Some((target, observer.window(target.id)?)))
            .flat_map(|(target, window)| journal.news(target, window))
            .try_for_each(|entry| writer.add(&entry))
            .and_then(|()| writer.end_beat(clock::now(), observer.host_use()));
        self.keep(written);
    }

    /// Writes that a process is there no longer.
    pub fn note_left(&mut self, process: ProcessId, became_another: bool) {
        let Some(writer) = &mut self.writer else { return };
        if self.journal.forget(process) {
            let left = Entry::Left { process, at: clock::now(), became_another };
            let written = writer.add(&left);
            self.keep(written);
        }
    }

    /// It could not be written on.
    pub fn has_failed(&self) -> bool {
        self.writer.is_none()
    }

    /// Ends the recording and gives its size.
    pub fn finish(self) -> Result<u64, WriterError> {
        match (self.writer, self.failure) {
            (_, Some(failure)) => Err(failure),
            (Some(writer), None) => writer.finish(),
            (None, None) => Ok(0),
        }
    }

    fn keep(&mut self, written: Result<(), WriterError>) {
        if let Err(failure) = written {
            self.writer = None;
            self.failure = Some(failure);
        }
    }
}
