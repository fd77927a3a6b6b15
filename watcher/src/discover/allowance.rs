//! How much a scan may spend on files that nobody has looked at yet.
//!
//! What a file is, is read once. Whoever starts programs decides how many files that are, and how large; but while we
//! read them nobody is watched. What does not fit is put off to the next scan, which begins with it.

use crate::golang::ReadAt;
use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

/// For one scan. The data of a Go program is found within some hundred KiB of its file.
const MAX_BYTES: u64 = 512 << 20;

/// What is left of it.
#[derive(Debug)]
pub struct Allowance {
    until: Option<Instant>,
    bytes: Cell<u64>,
}

impl Allowance {
    /// For one scan, from now on.
    pub fn of_scan(time: Duration) -> Allowance {
        Allowance::within(Instant::now().checked_add(time), MAX_BYTES)
    }

    /// Without an end, for what somebody has asked about. The bounds of a single file hold all the same.
    pub fn unlimited() -> Allowance {
        Allowance::within(None, u64::MAX)
    }

    fn within(until: Option<Instant>, bytes: u64) -> Allowance {
        Allowance { until, bytes: Cell::new(bytes) }
    }

    /// Nothing more is to be begun. What was begun is ended.
    pub fn is_spent(&self) -> bool {
        self.bytes.get() == 0 || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// The file, with what is read of it taken out of the allowance.
    pub fn charged<'a, F: ReadAt + ?Sized>(&'a self, file: &'a F) -> impl ReadAt + 'a {
        Charged { file, bytes: &self.bytes }
    }
}

struct Charged<'a, F: ?Sized> {
    file: &'a F,
    bytes: &'a Cell<u64>,
}

impl<F: ReadAt + ?Sized> ReadAt for Charged<'_, F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.set(self.bytes.get().saturating_sub(buffer.len() as u64));
        self.file.read_at(offset, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::Allowance;
    use crate::golang::ReadAt;
    use std::time::Duration;

    #[test]
    fn bytes_and_time_end_it() {
        let allowance = Allowance::within(None, 100);
        let file = vec![7_u8; 64];
        let mut buffer = [0; 60];
        assert!(matches!(allowance.charged(&file).read_at(0, &mut buffer), Ok(60)));
        assert!(!allowance.is_spent());
        assert!(
            matches!(allowance.charged(&file).read_at(8, &mut buffer), Ok(56)),
            "what was begun is ended"
        );
        assert!(allowance.is_spent());
        assert!(Allowance::of_scan(Duration::ZERO).is_spent());
        assert!(!Allowance::unlimited().is_spent());
    }
}
