//! Real Go servers from Debian, on loopback ports that are free.

use crate::need::{Need, find_program};
use crate::running::Running;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that answers, with the directory that it may fill.
pub struct Server {
    /// The process.
    pub running: Running,
    /// Where it listens.
    pub address: String,
    // Removed when the server is dropped, after it.
    _directory: TempDir,
}

/// Debian's servers that the tests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debian {
    /// Package prometheus.
    Prometheus,
    /// Package etcd-server.
    Etcd,
    /// Package nats-server.
    Nats,
}

impl Debian {
    /// All of them.
    pub const ALL: [Debian; 3] = [Debian::Prometheus, Debian::Etcd, Debian::Nats];

    /// What its cases need.
    pub fn need(self) -> Need {
        let (program, package) = match self {
            Debian::Prometheus => ("prometheus", "prometheus"),
            Debian::Etcd => ("etcd", "etcd-server"),
            Debian::Nats => ("nats-server", "nats-server"),
        };
        Need::Program { program, package }
    }

    /// The main module that its executable names.
    pub fn module(self) -> &'static str {
        match self {
            Debian::Prometheus => "github.com/prometheus/prometheus",
            Debian::Etcd => "go.etcd.io/etcd",
            Debian::Nats => "github.com/nats-io/nats-server",
        }
    }

    /// Starts it and waits until it accepts connections.
    pub fn start(self) -> Result<Server> {
        let directory = tempfile::tempdir().context("create a directory for a server")?;
        let data = directory.path();
        let (address, second) = (free_address()?, free_address()?);
        let Need::Program { program, .. } = self.need() else { bail!("a server is a program") };
        let mut command =
            Command::new(find_program(program).with_context(|| format!("{program} is missing"))?);
        match self {
            Debian::Prometheus => {
                let config = data.join("p.yml");
                let job = format!("{{job_name: self, static_configs: [{{targets: ['{address}']}}]}}");
                fs::write(&config, format!("global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n"))?;
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", data.join("tsdb").display()));
                command.arg(format!("--web.listen-address={address}"));
            }
            Debian::Etcd => {
                let (client, peer) = (format!("http://{address}"), format!("http://{second}"));
                command.arg("--data-dir").arg(data.join("etcd"));
                command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
                command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
                command.args(["--initial-cluster", &format!("default={peer}")]);
            }
            Debian::Nats => {
                let (host, port) = address.split_once(':').context("an address has a port")?;
                command.args(["-a", host, "-p", port]);
            }
        }
        let running = Running::start(command.stderr(Stdio::null()))?;
        let mut server = Server { running, address, _directory: directory };
        server.wait_until_it_answers()?;
        Ok(server)
    }
}

impl Server {
    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&self.address).is_err() {
            if Instant::now() > deadline {
                bail!("process {} does not listen on {} after 30 s", self.running.pid(), self.address);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.to_string())
}
