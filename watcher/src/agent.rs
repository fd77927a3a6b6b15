//! The loop, and the commands that are made of it: the only module that knows every stage.

mod announcing;
mod beats;
pub mod bench;
mod bounds;
pub mod checks;
pub mod diagnose;
mod endings;
mod escalation;
mod ledgers;
mod looks;
mod nearing;
pub mod observer;
pub mod progress;
pub mod pulls;
pub mod record;
pub mod replay;
pub mod run;
mod rush;
mod telling;
mod terms;
mod told;
pub mod views;
mod watched;

use anyhow::Context;
use observer::Observer;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work` on a thread that may block, and hands the observer back with the result. A read of `/proc` can hang
/// behind a lock of the process that it is about; the loop must go on to listen meanwhile.
async fn blocking<T: Send + 'static>(
    mut observer: Observer,
    work: impl FnOnce(&mut Observer) -> T + Send + 'static,
) -> anyhow::Result<(Observer, T)> {
    tokio::task::spawn_blocking(move || {
        let result = work(&mut observer);
        (observer, result)
    })
    .await
    .context("a sweep ended in a panic")
}

/// Ends when somebody asks us to: SIGINT, SIGTERM or SIGHUP. It listens from the call on, not from the first poll.
fn interruption() -> impl Future<Output = ()> + Send {
    let streams = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    async move {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = streams else {
            tracing::warn!("cannot listen for signals: they end watcher at once, without a last verdict");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
