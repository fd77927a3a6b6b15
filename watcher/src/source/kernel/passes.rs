//! How the output of the kernel's iterators is read: one pass, record by record.

use super::decode::{DecodeError, NanosPerTick, Record, decode};
use super::iterator::Table;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// A pass that takes longer is given up. The largest hosts take a tenth of a second; a process whose leader has
/// exited, with thousands of threads that share a large table, can make the kernel walk that table once for each.
const LONGEST_PASS: Duration = Duration::from_secs(10);

/// More than the 32 KiB that the kernel hands out at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Takes each process's table once. Where the leader has exited, every remaining thread reports the table; the
/// first one that does is believed for the rest of the pass.
#[derive(Default)]
pub(super) struct Reporters {
    by_process: HashMap<i32, i32>,
}

impl Reporters {
    pub(super) fn accept(&mut self, pid: i32, reported_by: Option<i32>) -> bool {
        reported_by.is_none_or(|tid| *self.by_process.entry(pid).or_insert(tid) == tid)
    }
}

/// Reads the output of iterators, one after the other.
#[derive(Debug)]
pub(super) struct Passes {
    buffer: Box<[u8]>,
    tick: NanosPerTick,
}

impl Passes {
    pub(super) fn new(tick: NanosPerTick) -> Self {
        Passes { buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), tick }
    }

    /// Reads a pass to its end.
    pub(super) fn read(&mut self, mut file: File, each: &mut dyn FnMut(Record)) -> io::Result<()> {
        let started = Instant::now();
        // Bytes at the front of the buffer that belong to a record whose end has not come yet.
        let mut kept = 0;
        loop {
            if started.elapsed() > LONGEST_PASS {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the pass took too long"));
            }
            let room = self.buffer.get_mut(kept..).unwrap_or_default();
            let read = match file.read(room) {
                Ok(0) if kept == 0 => return Ok(()),
                Ok(0) => return Err(invalid(&DecodeError::Short)),
                Ok(read) => read,
                // After a million objects without output the kernel wants to be asked again.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => continue,
                Err(error) => return Err(error),
            };
            let filled = kept + read;
            let used = self.decode_all(filled, each)?;
            self.buffer.copy_within(used..filled, 0);
            kept = filled - used;
        }
    }

    /// Decodes all whole records of the first `filled` bytes; returns how many bytes those are.
    fn decode_all(&self, filled: usize, each: &mut dyn FnMut(Record)) -> io::Result<usize> {
        let mut rest = self.buffer.get(..filled).unwrap_or_default();
        loop {
            match decode(rest, self.tick) {
                Ok((record, size)) => {
                    each(record);
                    rest = rest.get(size..).unwrap_or_default();
                }
                Err(DecodeError::Short) => return Ok(filled - rest.len()),
                Err(error) => return Err(invalid(&error)),
            }
        }
    }
}

fn invalid(error: &DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.clone())
}

/// Whether the kernel can restrict the pass over descriptors to one process.
pub(super) fn restricts(descriptors: &Table, passes: &mut Passes, pid: i32) -> io::Result<bool> {
    let mut only_own = true;
    let file = descriptors.open_for(pid)?;
    passes.read(file, &mut |record| {
        if let Record::Descriptor { descriptor, .. } = record {
            only_own &= descriptor.pid == pid;
        }
    })?;
    Ok(only_own)
}

#[cfg(test)]
mod tests {
    use super::Reporters;

    #[test]
    fn a_table_without_leader_is_taken_from_one_thread() {
        let mut reporters = Reporters::default();
        for (pid, reported_by, expected) in [
            (1, None, true),
            (7, Some(8), true),
            (7, Some(9), false),
            (7, Some(8), true),
            (1, None, true),
            (20, Some(9), true),
        ] {
            assert_eq!(reporters.accept(pid, reported_by), expected, "{pid} {reported_by:?}");
        }
    }
}
