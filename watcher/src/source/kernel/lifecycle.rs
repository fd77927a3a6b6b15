//! Starts and ends of processes, as the kernel tells them.

use super::decode::{NanosPerTick, Record, decode};
use crate::vocabulary::process::ProcessId;
use aya::maps::{MapData, RingBuf};
use aya::programs::tp_btf::BtfTracePointLink;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process came to run a program, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The process now runs another program. Its start time is that of the process, which is older.
    Exec {
        /// Which process.
        process: ProcessId,
        /// When, in time since boot.
        at: Duration,
    },
    /// The last thread of the process exits. The same end may be told more than once.
    Exit {
        /// Which process.
        process: ProcessId,
        /// When, in time since boot.
        at: Duration,
    },
}

/// The stream of [`LifecycleEvent`]s. Dropping it detaches the programs behind it.
///
/// The kernel keeps some 6,500 events for us; what does not fit is counted, see `Kernel::lost_events`.
pub struct Lifecycle {
    events: RingBuf<MapData>,
    waiter: Option<AsyncFd<OwnedFd>>,
    tick: NanosPerTick,
    /// Records that were not understood.
    refused: u64,
    _attached: Vec<BtfTracePointLink>,
}

/// How long to wait before looking again, where waiting for the ring buffer fails.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Lifecycle {
    pub(super) fn new(
        events: RingBuf<MapData>,
        tick: NanosPerTick,
        attached: Vec<BtfTracePointLink>,
    ) -> Self {
        Lifecycle { events, waiter: None, tick, refused: 0, _attached: attached }
    }

    /// The next event; waits for it. Nothing is lost when the future is dropped. Needs a tokio runtime with I/O
    /// and time.
    pub async fn next(&mut self) -> LifecycleEvent {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            if let Err(error) = self.written().await {
                tracing::warn!(%error, "cannot wait for the kernel's events, looking again every second");
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// The next event, if there is one already.
    pub fn take(&mut self) -> Option<LifecycleEvent> {
        loop {
            let record = decode(&self.events.next()?, self.tick);
            match record {
                Ok((Record::Exec(moment), _)) => {
                    return Some(LifecycleEvent::Exec { process: moment.process, at: moment.at });
                }
                Ok((Record::Exit(moment), _)) => {
                    return Some(LifecycleEvent::Exit { process: moment.process, at: moment.at });
                }
                Ok(_) | Err(_) => self.refused += 1,
            }
        }
    }

    /// Records that the kernel programs wrote and this side did not understand; 0 unless there is a bug.
    pub fn refused_records(&self) -> u64 {
        self.refused
    }

    /// Waits until the kernel has written since the last look.
    async fn written(&mut self) -> io::Result<()> {
        // Registered at the first wait, so that no runtime is needed before.
        let waiter = match &self.waiter {
            Some(waiter) => waiter,
            None => {
                let fd = self.events.as_fd().try_clone_to_owned()?;
                #[expect(unsafe_code, reason = "the reactor trusts that the descriptor stays open")]
                // SAFETY: an `OwnedFd` stays open and the same until the `AsyncFd` that holds it is dropped.
                let waiter = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
                self.waiter.insert(waiter)
            }
        };
        // Cleared before the next look: what is written after that look wakes us again.
        waiter.readable().await?.clear_ready();
        Ok(())
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("refused", &self.refused).finish_non_exhaustive()
    }
}
