//! pprof's labels of a goroutine (`runtime/pprof/label.go`).
//!
//! Up to Go 1.23 `g.labels` points to a `map[string]string`, from Go 1.24 on to a slice of pairs.

use crate::golang::binary::loaded::Loaded;
use crate::golang::bytes::u64_at;
use crate::vocabulary::process::printable;

const MAX_LABELS: u64 = 64;
const MAX_TEXT_BYTES: u64 = 256;
/// `bucketCnt` in `runtime/map.go` of Go 1.23.
const BUCKET_PAIRS: u64 = 8;
/// Eight hash bytes, eight keys, eight values, the address of the next bucket.
const BUCKET_BYTES: u64 = 8 + BUCKET_PAIRS * 32 + 8;
/// `minTopHash`: lower ones mark slots that are empty.
const SMALLEST_HASH: u8 = 5;

/// Labels by key.
pub type Labels = Vec<(String, String)>;

/// Reads the labels at `address`, sorted by key; `None` where neither form makes sense there.
pub(in crate::golang) fn read(loaded: &Loaded, address: u64) -> Option<Labels> {
    let mut labels = slice(loaded, address).or_else(|| map(loaded, address))?;
    labels.sort();
    Some(labels)
}

fn slice(loaded: &Loaded, address: u64) -> Option<Labels> {
    let pointer = loaded.word(address)?;
    let length = loaded.word(address + 8)?;
    let capacity = loaded.word(address + 16)?;
    if length == 0 || length > capacity || length > MAX_LABELS {
        return None;
    }
    (0..length)
        .map(|index| {
            let pair = pointer.checked_add(index * 32)?;
            Some((text(loaded, pair)?, text(loaded, pair + 16)?))
        })
        .collect()
}

/// A `labelMap`: a pointer to the map's header (`runtime.hmap`).
fn map(loaded: &Loaded, address: u64) -> Option<Labels> {
    const LARGEST_LOG2: u8 = 4;
    let header = loaded.word(address)?;
    let mut bytes = [0; 24];
    loaded.memory.read(header, &mut bytes).ok()?;
    let (count, log2_buckets) = (u64_at(&bytes, 0)?, bytes[9]);
    if count == 0 || count > MAX_LABELS || log2_buckets > LARGEST_LOG2 {
        return None;
    }
    let buckets = u64_at(&bytes, 16)?;
    let mut labels = Labels::new();
    for index in 0..1_u64 << log2_buckets {
        let mut bucket = buckets.checked_add(index * BUCKET_BYTES)?;
        let mut overflows = 0;
        while bucket != 0 && overflows < MAX_LABELS {
            let mut hashes = [0; 8];
            loaded.memory.read(bucket, &mut hashes).ok()?;
            for (slot, _) in hashes.iter().enumerate().filter(|(_, hash)| **hash >= SMALLEST_HASH) {
                let key = bucket + 8 + slot as u64 * 16;
                labels.push((text(loaded, key)?, text(loaded, key + BUCKET_PAIRS * 16)?));
            }
            bucket = loaded.word(bucket + BUCKET_BYTES - 8)?;
            overflows += 1;
        }
    }
    (labels.len() as u64 == count).then_some(labels)
}

fn text(loaded: &Loaded, address: u64) -> Option<String> {
    let pointer = loaded.word(address)?;
    let length = loaded.word(address + 8)?;
    let mut bytes = vec![0; usize::try_from(length.min(MAX_TEXT_BYTES)).ok()?];
    if !bytes.is_empty() {
        loaded.memory.read(pointer, &mut bytes).ok()?;
    }
    Some(printable(&bytes))
}
