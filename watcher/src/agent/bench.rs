//! `watcher bench-sweep`: what one sweep over a set of processes costs.

use super::observer::Observer;
use crate::config;
use crate::source::clock;
use anyhow::bail;
use std::time::Duration;

/// CPU time of each of `sweeps` sweeps over the processes named `name`, and how many those are. A sweep is
/// everything that a beat does: samples of all of them, pushed into their windows.
///
/// # Errors
/// Where no process has that name.
pub fn sweep(name: &str, sweeps: u32, use_kernel: bool) -> anyhow::Result<(usize, Vec<Duration>)> {
    let mut observer = Observer::start(config::selection(None, Some(name))?, 64)?;
    if !use_kernel {
        observer.without_kernel_tables();
    }
    observer.discover();
    if observer.targets().is_empty() {
        bail!("no process is named {name:?}");
    }
    let cost = (0..sweeps)
        .map(|_| {
            let before = clock::thread_cpu_time();
            observer.beat();
            clock::thread_cpu_time().saturating_sub(before)
        })
        .collect();
    Ok((observer.targets().len(), cost))
}
