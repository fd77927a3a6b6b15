//! What fuzz targets call: hostile bytes go in, nothing comes out.

use super::btf::Btf;
use super::decode::{NanosPerTick, decode};
use super::ledger;
use super::offsets::OFFSETS;

/// Every question that is asked of the kernel's type information.
pub fn type_information(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for offset in OFFSETS {
        let _ = offset.resolve(&btf);
    }
}

/// Records of the kernel programs, one behind the other.
pub fn records(mut bytes: &[u8]) {
    while let Ok((_, size)) = decode(bytes, NanosPerTick(10_000_000)) {
        // A record of no size would be read for ever.
        assert!(size > 0);
        bytes = &bytes[size..];
    }
}

/// Entries of the ledgers' maps, each kind from the same bytes.
pub fn entries(bytes: &[u8]) {
    ledger::understand(bytes);
}
