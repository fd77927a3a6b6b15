//! Real Go servers from Debian, on loopback ports that are free and in directories of their own.

use crate::http::Address;
use crate::need::{Need, find_program};
use crate::running::Running;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that answers, with the directory that it may fill.
pub struct Server {
    /// The process.
    pub running: Running,
    /// Where it listens for what it is made for.
    pub address: Address,
    /// Where its profiles are asked for.
    pub profiles: Address,
    // Removed when the server is dropped, after it.
    directory: TempDir,
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
    /// Package caddy.
    Caddy,
    /// Package influxdb.
    Influx,
    /// Package containerd.
    Containerd,
}

/// How a server is started, and where it then listens.
struct Start {
    command: Command,
    address: Address,
    profiles: Address,
}

impl Debian {
    /// All of them.
    pub const ALL: [Debian; 6] =
        [Debian::Prometheus, Debian::Etcd, Debian::Nats, Debian::Caddy, Debian::Influx, Debian::Containerd];

    /// Its name in tests and tables.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// What its cases need.
    pub fn need(self) -> Need {
        let (program, package) = match self {
            Debian::Prometheus => ("prometheus", "prometheus"),
            Debian::Etcd => ("etcd", "etcd-server"),
            Debian::Nats => ("nats-server", "nats-server"),
            Debian::Caddy => ("caddy", "caddy"),
            Debian::Influx => ("influxd", "influxdb"),
            Debian::Containerd => ("containerd", "containerd"),
        };
        Need::Program { program, package }
    }

    /// The main module that its executable names.
    pub fn module(self) -> &'static str {
        match self {
            Debian::Prometheus => "github.com/prometheus/prometheus",
            Debian::Etcd => "go.etcd.io/etcd",
            Debian::Nats => "github.com/nats-io/nats-server",
            Debian::Caddy => "github.com/caddyserver/caddy",
            Debian::Influx => "github.com/influxdata/influxdb",
            Debian::Containerd => "github.com/containerd/containerd",
        }
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Result<Server> {
        let directory = tempfile::tempdir().context("create a directory for a server")?;
        let data = directory.path();
        let Need::Program { program, .. } = self.need() else { bail!("a server is a program") };
        let command = Command::new(find_program(program).with_context(|| format!("{program} is missing"))?);
        let mut start = match self {
            Debian::Prometheus => prometheus(command, data),
            Debian::Etcd => etcd(command, data),
            Debian::Nats => nats(command, data),
            Debian::Caddy => caddy(command, data),
            Debian::Influx => influx(command, data),
            Debian::Containerd => containerd(command, data),
        }?;
        // Nothing of it may end up elsewhere.
        start.command.env("HOME", data).env("XDG_DATA_HOME", data).env("XDG_CONFIG_HOME", data);
        let running = Running::start(start.command.current_dir(data).stderr(Stdio::null()))?;
        let Start { address, profiles, .. } = start;
        let mut server = Server { running, address, profiles, directory };
        server.wait_until_it_answers()?;
        Ok(server)
    }
}

fn prometheus(mut command: Command, data: &Path) -> Result<Start> {
    let (config, address) = (data.join("p.yml"), free_address()?);
    let itself = format!("{{job_name: self, static_configs: [{{targets: ['{address}']}}]}}");
    let others = format!(
        "{{job_name: load, file_sd_configs: [{{files: ['{}']}}]}}",
        data.join("targets.json").display()
    );
    let rules = data.join("rules.yml");
    fs::write(
        &rules,
        "groups:\n- name: load\n  rules:\n  - {record: 'shop:orders:rate', expr: 'sum by (shop) (rate(orders_total[1m]))'}\n\
         \x20 - {alert: Quiet, expr: 'rate(orders_total[1m]) < 0.1', for: 10s}\n",
    )?;
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 5s}}\nrule_files: ['{}']\n\
             scrape_configs: [{itself}, {others}]\n",
            rules.display()
        ),
    )?;
    command.args(["--web.enable-lifecycle", "--web.enable-remote-write-receiver"]);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", data.join("tsdb").display()));
    command.arg(format!("--web.listen-address={address}"));
    let address = Address::Tcp(address);
    Ok(Start { command, profiles: address.clone(), address })
}

fn etcd(mut command: Command, data: &Path) -> Result<Start> {
    let address = free_address()?;
    let (client, peer) = (format!("http://{address}"), format!("http://{}", free_address()?));
    command.arg("--data-dir").arg(data.join("etcd")).arg("--enable-pprof");
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    let address = Address::Tcp(address);
    Ok(Start { command, profiles: address.clone(), address })
}

fn nats(mut command: Command, data: &Path) -> Result<Start> {
    let (config, address, profiles) = (data.join("nats.conf"), free_address()?, free_address()?);
    let port = |address: &str| address.split_once(':').map_or(String::new(), |(_, port)| port.to_owned());
    let ports = format!("port: {}\nprof_port: {}\n", port(&address), port(&profiles));
    // Who does not keep up is shut out early, so that a short test sees it.
    let patience = "max_pending: 1MB\nwrite_deadline: \"2s\"\n";
    let streams = format!("jetstream {{ store_dir: '{}' }}\n", data.join("streams").display());
    fs::write(&config, format!("host: 127.0.0.1\n{ports}{patience}{streams}"))?;
    command.arg("-c").arg(config);
    Ok(Start { command, address: Address::Tcp(address), profiles: Address::Tcp(profiles) })
}

fn caddy(mut command: Command, data: &Path) -> Result<Start> {
    let (config, address, profiles) = (data.join("Caddyfile"), free_address()?, free_address()?);
    fs::write(
        &config,
        format!("{{\n\tadmin {profiles}\n\tauto_https off\n}}\nhttp://{address} {{\n\trespond hello\n}}\n"),
    )?;
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
    Ok(Start { command, address: Address::Tcp(address), profiles: Address::Tcp(profiles) })
}

fn influx(mut command: Command, data: &Path) -> Result<Start> {
    let (config, address, backup) = (data.join("influx.conf"), free_address()?, free_address()?);
    let directory = |name: &str| data.join(name).display().to_string();
    let (meta, shards, log) = (directory("meta"), directory("shards"), directory("log"));
    fs::write(
        &config,
        format!(
            "reporting-disabled = true\nbind-address = '{backup}'\n[meta]\ndir = '{meta}'\n[data]\n\
             dir = '{shards}'\nwal-dir = '{log}'\n[http]\nbind-address = '{address}'\n"
        ),
    )?;
    command.args(["run", "-config"]).arg(config);
    let address = Address::Tcp(address);
    Ok(Start { command, profiles: address.clone(), address })
}

/// Without the plugins that would want a kernel of their own or a network: it runs no containers.
fn containerd(mut command: Command, data: &Path) -> Result<Start> {
    let (config, place) = (data.join("c.toml"), |name: &str| data.join(name));
    let [root, state, service, calls, debug] = ["root", "state", "grpc.sock", "ttrpc.sock", "debug.sock"]
        .map(|name| place(name).display().to_string());
    fs::write(
        &config,
        format!(
            "version = 2\nroot = '{root}'\nstate = '{state}'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{service}'\n[ttrpc]\n\
             address = '{calls}'\n[debug]\naddress = '{debug}'\n"
        ),
    )?;
    command.arg("--config").arg(config);
    Ok(Start { command, address: Address::Unix(service.into()), profiles: Address::Unix(debug.into()) })
}

impl Server {
    /// The directory that it may fill, and that holds its settings.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        for address in [&self.address, &self.profiles] {
            while address.connect().is_err() {
                if Instant::now() > deadline {
                    bail!("process {} does not listen on {address:?} after 30 s", self.running.pid());
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.to_string())
}
