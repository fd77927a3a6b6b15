//! A line on standard error that tells how far a long watch is, for people at a terminal and nobody else.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

/// Shorter waits need no explanation.
const SHORTEST_SHOWN: Duration = Duration::from_secs(1);

/// The line.
#[derive(Debug)]
pub struct Progress {
    label: String,
    on_interrupt: &'static str,
    wanted: Duration,
    shown: bool,
    at_terminal: bool,
}

impl Progress {
    /// A line that begins with `label`, counts up to `wanted`, and tells what Ctrl-C does with what was seen so far:
    /// `judges` it, or `shows` it.
    pub fn new(label: String, on_interrupt: &'static str, wanted: Duration) -> Self {
        Progress { label, on_interrupt, wanted, shown: false, at_terminal: stderr().is_terminal() }
    }

    /// Shows how much of it has passed.
    pub fn show(&mut self, elapsed: Duration) {
        if self.at_terminal && elapsed >= SHORTEST_SHOWN {
            self.shown = true;
            // Nobody is left to tell where standard error is closed.
            let _ = write!(
                stderr(),
                "\r\x1b[K{}: {:.0} of {:.0} s (Ctrl-C {} what was seen so far)",
                self.label,
                elapsed.as_secs_f64(),
                self.wanted.as_secs_f64(),
                self.on_interrupt
            );
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
