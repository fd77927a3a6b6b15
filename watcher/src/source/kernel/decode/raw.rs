//! Records are copied out of the bytes that the kernel programs wrote.

use watcher_ebpf::Plain;

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::source::kernel) enum DecodeError {
    /// The rest of the record may still come.
    #[error("the record is cut short")]
    Short,
    /// Where the next record begins is not known.
    #[error("a record of {size} bytes and kind {kind}: its kind has another size")]
    Size { kind: u32, size: u32 },
    #[error("a record of unknown kind {kind}")]
    Kind { kind: u32 },
}

/// The `T` that begins at `offset`.
pub(in crate::source::kernel) fn read<T: Plain>(bytes: &[u8], offset: usize) -> Result<T, DecodeError> {
    let source =
        bytes.get(offset..).and_then(|bytes| bytes.get(..size_of::<T>())).ok_or(DecodeError::Short)?;
    #[expect(unsafe_code, reason = "records are copied out of the kernel's bytes")]
    // SAFETY: as many bytes as `T` has are there, and `Plain` says that any bytes make a `T`.
    let value = unsafe { source.as_ptr().cast::<T>().read_unaligned() };
    Ok(value)
}
