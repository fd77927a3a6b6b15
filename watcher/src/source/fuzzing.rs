//! What fuzz targets call: hostile bytes go in, nothing comes out.

use super::{pprof, sockdiag};

/// What others answer: whoever listens where an endpoint was looked for, and the kernel about its sockets.
pub fn answers(bytes: &[u8]) {
    pprof::understand(bytes);
    sockdiag::understand(bytes);
}
