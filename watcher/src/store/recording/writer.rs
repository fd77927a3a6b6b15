//! Writes a recording: compressed, beat by beat, up to a size.

use super::{Ending, Entry, Header, HostUse};
use crate::store::place::create_named;
use crate::vocabulary::process::printable;
use crate::vocabulary::reading::Moment;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A recording that is being written.
///
/// At the end of each beat all of it is in the file: whoever is killed leaves a recording up to the last beat. What is
/// still in memory when a writer is dropped is given to the system, not waited for.
#[derive(Debug)]
pub struct Writer {
    encoder: GzEncoder<Counted<File>>,
    path: PathBuf,
    most_bytes: u64,
}

/// Why a recording could not be written on.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The file could not be made.
    #[error("cannot record into {path}: {error}")]
    Create {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file could not be written to.
    #[error("cannot write on to {path}: {error}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It has become as large as it may.
    #[error("{path} has reached {most_bytes} bytes, the most that it may have")]
    Full {
        /// Which.
        path: PathBuf,
        /// How large it may be.
        most_bytes: u64,
    },
}

impl Writer {
    /// Begins a recording. Only its owner may read the file: stacks, names and addresses tell much of a program. A file
    /// that is there already is replaced.
    ///
    /// # Errors
    /// Where the file cannot be made or written to.
    pub fn create(path: &Path, header: &Header, most_bytes: u64) -> Result<Writer, WriterError> {
        let file = create_named(path, 0o600)
            .map_err(|error| WriterError::Create { path: path.to_owned(), error })?;
        let encoder = GzEncoder::new(Counted { inner: file, bytes: 0 }, Compression::new(6));
        let mut writer = Writer { encoder, path: path.to_owned(), most_bytes };
        writer.line(header)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// Where the file cannot be written to.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), WriterError> {
        self.line(entry)
    }

    /// Ends a beat: all that was added is in the file then.
    ///
    /// # Errors
    /// Where the file cannot be written to, and where it has become too large. What it holds stays readable.
    pub fn end_beat(&mut self, at: Moment, host: HostUse) -> Result<(), WriterError> {
        self.line(&Entry::Beat { at, host })?;
        self.flush()?;
        if self.encoder.get_ref().bytes >= self.most_bytes {
            self.line(&Entry::End { because: Ending::Full })?;
            self.flush()?;
            return Err(WriterError::Full { path: self.path.clone(), most_bytes: self.most_bytes });
        }
        Ok(())
    }

    /// Ends the recording. Gives its size in bytes.
    ///
    /// # Errors
    /// Where the file cannot be written to.
    pub fn finish(mut self) -> Result<u64, WriterError> {
        self.line(&Entry::End { because: Ending::Done })?;
        let path = self.path;
        let file = self.encoder.finish().and_then(|file| file.inner.sync_data().map(|()| file.bytes));
        file.map_err(|error| WriterError::Write { path, error })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), WriterError> {
        let mut line = to_line(value).map_err(io::Error::from).map_err(|error| self.failed(error))?;
        line.push(b'\n');
        self.encoder.write_all(&line).map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> Result<(), WriterError> {
        // All of it can be unpacked after this, though the stream goes on.
        self.encoder.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> WriterError {
        WriterError::Write { path: self.path.clone(), error }
    }
}

/// One line without its end.
pub(super) fn to_line(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut line, Harmless))?;
    Ok(line)
}

/// Writes texts so that a line shows on a terminal as what it is, wherever they come from.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let text = printable(fragment.as_bytes());
        // What it escapes it escapes with a backslash, which JSON escapes too.
        let text = if text == fragment { text } else { text.replace('\\', "\\\\") };
        writer.write_all(text.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let control = match escape {
            CharEscape::Backspace => '\u{8}',
            CharEscape::FormFeed => '\u{c}',
            CharEscape::LineFeed => '\n',
            CharEscape::CarriageReturn => '\r',
            CharEscape::Tab => '\t',
            CharEscape::AsciiControl(byte) => char::from(byte),
            other => return CompactFormatter.write_char_escape(writer, other),
        };
        write!(writer, "\\{}", control.escape_default())
    }
}

/// Counts what is written.
#[derive(Debug)]
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
