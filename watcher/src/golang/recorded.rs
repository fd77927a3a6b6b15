//! Memory of a process made of bytes, for tests that need no process.

use super::{Memory, Unreadable};
use std::collections::BTreeMap;

/// Regions by address; everything else is unmapped.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    regions: BTreeMap<u64, Vec<u8>>,
}

impl Recorded {
    pub fn new() -> Recorded {
        Recorded::default()
    }

    /// With `bytes` at `address`.
    pub fn with(mut self, address: u64, bytes: &[u8]) -> Recorded {
        self.regions.insert(address, bytes.to_vec());
        self
    }

    /// With these words at `address`.
    pub fn with_words(self, address: u64, words: &[u64]) -> Recorded {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.with(address, &bytes)
    }

    /// With one byte changed, which must be mapped.
    pub fn changed(mut self, address: u64, change: impl FnOnce(u8) -> u8) -> Recorded {
        let (start, bytes) = self.regions.range_mut(..=address).next_back().unwrap();
        let byte = &mut bytes[usize::try_from(address - start).unwrap()];
        *byte = change(*byte);
        self
    }
}

impl Memory for Recorded {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let unreadable = Unreadable { address, length: buffer.len() };
        let (start, bytes) = self.regions.range(..=address).next_back().ok_or(unreadable)?;
        let inside = usize::try_from(address - start).map_err(|_| unreadable)?;
        let source = bytes.get(inside..).and_then(|rest| rest.get(..buffer.len())).ok_or(unreadable)?;
        buffer.copy_from_slice(source);
        Ok(())
    }
}
