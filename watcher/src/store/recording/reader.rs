//! Reads a recording that anybody may have written: bounded in memory and in time, refused with a line's number.

use super::{Ending, Entry, Header, SCHEMA};
use crate::vocabulary::process::printable;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// A message repeats no more of a line than this.
const MAX_QUOTED_CHARS: usize = 160;

/// How much a recording may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// No line is longer.
    pub line_bytes: usize,
    /// Readings resemble each other, but not more than this: so many bytes come of one that is packed...
    pub ratio: u64,
    /// ... beyond the first ones.
    pub free_bytes: u64,
}

impl Default for Bounds {
    /// A line has room for 65,536 goroutines one by one and their stacks.
    fn default() -> Self {
        Bounds { line_bytes: 64 << 20, ratio: 300, free_bytes: 64 << 20 }
    }
}

/// A recording that is being read.
pub struct Reader<R> {
    lines: BufReader<GzDecoder<Counted<R>>>,
    bounds: Bounds,
    header: Header,
    line: u64,
    line_bytes: usize,
    unpacked: u64,
    ended: Option<Ending>,
    is_over: bool,
}

/// Why a file cannot be judged. Messages begin after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// Another kind of file, or one of which not even the first line can be read.
    #[error("it is no recording of watcher, or its beginning is damaged")]
    NoRecording,
    /// Nothing of it was written.
    #[error("the recording is empty: its recorder ended before the first line was written")]
    Empty,
    /// Another version of recordings.
    #[error(
        "it is a recording of form {schema:?}, and this watcher reads {SCHEMA:?} only: use watcher {watcher}"
    )]
    OtherVersion {
        /// Its schema.
        schema: String,
        /// What wrote it.
        watcher: String,
    },
    /// A line that cannot be.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// Part of a sentence, printable form.
        why: String,
    },
}

impl Reader<File> {
    /// Opens the recording at `path`.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Reader::new(File::open(path).map_err(RecordingError::Read)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Where it is no recording, or none of this version.
    pub fn new(recording: R) -> Result<Self, RecordingError> {
        Reader::within(recording, Bounds::default())
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn within(recording: R, bounds: Bounds) -> Result<Self, RecordingError> {
        let unpacked = GzDecoder::new(Counted { inner: recording, bytes: 0 });
        let mut reader = Reader {
            lines: BufReader::new(unpacked),
            bounds,
            header: Header {
                schema: String::new(),
                watcher: String::new(),
                began: crate::vocabulary::reading::Stamped::<()>::not_read().at,
                interval: std::time::Duration::ZERO,
                captures_every: None,
                host: super::HostFacts::default(),
            },
            line: 0,
            line_bytes: 0,
            unpacked: 0,
            ended: None,
            is_over: false,
        };
        let line = match reader.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Err(RecordingError::Empty),
            Err(RecordingError::Read(error)) => return Err(RecordingError::Read(error)),
            Err(_) => return Err(RecordingError::NoRecording),
        };
        reader.header = header(&line)?;
        Ok(reader)
    }

    /// What the first line says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Its length.
    pub fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// Why it ends, where its recorder was done; known after the last entry.
    pub fn ended(&self) -> Option<Ending> {
        self.ended
    }

    /// The next entry; `None` behind the last one, or where the file is cut off.
    ///
    /// # Errors
    /// Where a line cannot be what it pretends to be.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'static>>, RecordingError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let Some(line) = self.next_line()? else { return Ok(None) };
        let entry: Entry<'static> =
            serde_json::from_str(&line).map_err(|error| self.refused(reason(&error)))?;
        if let Entry::End { because } = &entry {
            self.ended = Some(*because);
        }
        Ok(Some(entry))
    }

    /// What is wrong with the line that was read last.
    pub fn refused(&self, why: impl Into<String>) -> RecordingError {
        self.refused_at(self.line, why)
    }

    /// What is wrong with a line.
    pub fn refused_at(&self, line: u64, why: impl Into<String>) -> RecordingError {
        let mut why: String = why.into();
        let own = env!("CARGO_PKG_VERSION");
        if !self.header.watcher.is_empty() && self.header.watcher != own {
            why = format!("{why} (watcher {} wrote it, and this is {own})", self.header.watcher);
        }
        RecordingError::Line { line, why }
    }

    /// The next line, without its end. One that has no end was cut off and is left out.
    fn next_line(&mut self) -> Result<Option<String>, RecordingError> {
        if self.is_over {
            return Ok(None);
        }
        let mut line = Vec::new();
        self.line += 1;
        loop {
            let available = match self.lines.fill_buf() {
                Ok(available) => available,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::UnexpectedEof => &[],
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                        return Err(self.refused("what is packed here is damaged"));
                    }
                    _ => return Err(RecordingError::Read(error)),
                },
            };
            if available.is_empty() {
                self.is_over = true;
                return Ok(None);
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.map_or(available.len(), |end| end + 1);
            line.extend_from_slice(&available[..taken]);
            self.lines.consume(taken);
            self.unpacked += taken as u64;
            let packed = self.lines.get_ref().get_ref().bytes;
            let most = self.bounds.free_bytes.saturating_add(packed.saturating_mul(self.bounds.ratio));
            if self.unpacked > most {
                return Err(self.refused("it unpacks to more than any recording does"));
            }
            if line.len() > self.bounds.line_bytes {
                return Err(self.refused("it is longer than any line of a recording"));
            }
            if end.is_some() {
                line.pop();
                break;
            }
        }
        self.line_bytes = line.len();
        let line = String::from_utf8(line).map_err(|_| self.refused("it is no text"))?;
        if !is_harmless(&line) {
            return Err(self.refused("it holds characters that none is written with"));
        }
        Ok(Some(line))
    }
}

fn header(line: &str) -> Result<Header, RecordingError> {
    /// What every version's first line has.
    #[derive(Deserialize)]
    struct Version {
        schema: String,
        watcher: String,
    }
    let Version { schema, watcher } = serde_json::from_str(line).map_err(|_| RecordingError::NoRecording)?;
    if schema != SCHEMA {
        let is_recording = schema.starts_with("watcher.recording/");
        let other = RecordingError::OtherVersion { schema: quoted(&schema), watcher: quoted(&watcher) };
        return Err(if is_recording { other } else { RecordingError::NoRecording });
    }
    serde_json::from_str(line).map_err(|error| RecordingError::Line { line: 1, why: reason(&error) })
}

/// What is written has no control characters and nothing that turns a terminal's text around, escaped or not, so that
/// what is read may be shown.
fn is_harmless(line: &str) -> bool {
    let mut escaped = false;
    for c in line.chars() {
        if std::mem::take(&mut escaped) {
            if !matches!(c, '"' | '\\' | '/') {
                return false;
            }
        } else if c == '\\' {
            escaped = true;
        }
    }
    !escaped && printable(line.as_bytes()) == line
}

/// What the parser says, without the line's number, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line 1").next().unwrap_or_default();
    quoted(text)
}

fn quoted(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_QUOTED_CHARS).chain(['…']).collect()
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
