//! Customers of the real servers: `programs/patrons` calls one of them in all the ways that its clients do.

use crate::http::Address;
use crate::program;
use crate::running::Running;
use crate::servers::{Debian, Server};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Servers that have customers.
pub const CALLED: [Debian; 5] =
    [Debian::Prometheus, Debian::Etcd, Debian::Nats, Debian::Caddy, Debian::Influx];

/// Customers that call until their time is over or this is dropped.
pub struct Load {
    running: Running,
    told: Arc<Mutex<Told>>,
}

/// What the customers have done so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Told {
    /// Calls that came to an end.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// What the last failure was.
    pub last_failure: String,
}

impl Load {
    /// Begins to call `server` so many times a second on average, for `life`; where `storing`, half of the calls give
    /// it something to keep.
    pub fn start(kind: Debian, server: &Server, rate: f64, life: Duration, storing: bool) -> Result<Load> {
        let (Address::Tcp(address), Address::Tcp(admin)) = (&server.address, &server.profiles) else {
            bail!("{kind:?} has no customers");
        };
        let mut command = Command::new(program::shipped("patrons")?);
        command.args(["-server", &kind.name(), "-address", address, "-admin", admin]);
        command.arg("-directory").arg(server.directory()).arg(format!("-rate={rate}"));
        command.arg(format!("-for={}s", life.as_secs()));
        command.args(storing.then_some("-storing"));
        let told = Arc::new(Mutex::new(Told::default()));
        let teller = Arc::clone(&told);
        let running = Running::start_heard(&mut command, move |line| {
            if let Ok(line) = serde_json::from_str(line) {
                *teller.lock().unwrap_or_else(PoisonError::into_inner) = line;
            }
        })?;
        Ok(Load { running, told })
    }

    /// What they have done so far.
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until their time is over.
    pub fn finish(mut self) -> Result<Told> {
        self.running.wait().context("wait for customers")?;
        Ok(self.told())
    }
}

impl Told {
    /// Fails unless the server did its work. A hundredth of the calls may fail, as where it shuts out who is slow.
    pub fn expect_served(&self) -> Result<()> {
        ensure!(self.requests > 0, "nobody called");
        ensure!(self.failures * 100 <= self.requests, "calls fail: {self:?}");
        Ok(())
    }
}
