//! `watcher bench-sweep`: what one sweep over a set of processes costs.

use super::observer::Observer;
use crate::config;
use crate::source::{clock, reader};
use anyhow::bail;
use std::time::Duration;

/// More beats than this are not spent on getting ready.
const MAX_BEATS_TO_SETTLE: usize = 200;

/// What sweeping some processes costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// How many processes.
    pub processes: usize,
    /// CPU time until every runtime is attached to, once per process, spread over as many beats as that takes.
    pub settling: Duration,
    /// CPU time of each sweep after that.
    pub sweeps: Vec<Duration>,
}

/// Measures sweeps over the processes named `name`. A sweep is everything that a beat does: samples of all of them,
/// pushed into their windows.
///
/// # Errors
/// Where no process has that name.
pub fn sweep(name: &str, sweeps: u32, use_kernel: bool) -> anyhow::Result<Cost> {
    let mut observer = Observer::start(config::selection(None, Some(name))?, 64)?;
    if !use_kernel {
        observer.without_kernel_tables();
    }
    observer.discover();
    if observer.targets().is_empty() {
        bail!("no process is named {name:?}");
    }
    let mut beat = || {
        let cost = || clock::thread_cpu_time() + reader::cost().0;
        let before = cost();
        observer.beat();
        let spent = cost().saturating_sub(before);
        (spent, observer.is_settled())
    };
    let mut settling = Duration::ZERO;
    for _ in 0..MAX_BEATS_TO_SETTLE {
        let (cost, settled) = beat();
        settling += cost;
        if settled {
            break;
        }
    }
    let sweeps = (0..sweeps).map(|_| beat().0).collect();
    Ok(Cost { processes: observer.targets().len(), settling, sweeps })
}
