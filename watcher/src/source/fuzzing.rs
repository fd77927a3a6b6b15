//! What fuzz targets call: hostile bytes go in, nothing comes out.

use super::{native_symbols, pprof, sockdiag};

/// What others answer: whoever listens where an endpoint was looked for, and the kernel about its sockets.
pub fn answers(bytes: &[u8]) {
    pprof::understand(bytes);
    sockdiag::understand(bytes);
}

/// A library that a process has mapped, with its symbol tables.
pub fn library(bytes: &[u8]) {
    native_symbols::understand(bytes);
}
