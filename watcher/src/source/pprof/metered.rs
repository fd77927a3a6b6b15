//! A connection of which no more is taken than an answer may have, whatever of it is called head, body or padding.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes before the status of an answer is known: its head, the announcements before it (`100 Continue` and the like,
/// which the HTTP library passes over however many there are), and what was read ahead.
const HEAD_BYTES: usize = 128 << 10;

/// A connection that ends in an error where more comes than was allowed.
pub(super) struct Metered<S> {
    stream: S,
    taken: usize,
    allowed: Allowed,
}

/// How many bytes may come.
#[derive(Clone, Debug)]
pub(super) struct Allowed(Arc<AtomicUsize>);

impl Allowed {
    /// Lets so much of a body come as well, with what sending it in pieces adds.
    pub(super) fn add_body(&self, bytes: usize) {
        self.0.fetch_add(bytes.saturating_add(bytes / 4), Ordering::Relaxed);
    }
}

impl<S> Metered<S> {
    /// Lets no more than the head of an answer come.
    pub(super) fn new(stream: S) -> (Metered<S>, Allowed) {
        let allowed = Allowed(Arc::new(AtomicUsize::new(HEAD_BYTES)));
        (Metered { stream, taken: 0, allowed: allowed.clone() }, allowed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.taken = self.taken.saturating_add(buffer.filled().len() - before);
        let allowed = self.allowed.0.load(Ordering::Relaxed);
        if self.taken > allowed {
            return Poll::Ready(Err(io::Error::other(format!(
                "more than {allowed} bytes came without an end"
            ))));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
