//! A program of the corpus at work, with the peer that it needs.

use crate::corpus::expect::Truth;
use crate::corpus::{Count, Peer, Row};
use crate::program::{self, Style};
use crate::running::Running;
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

/// Start-up is over by then, and what is given back after three seconds is in balance.
pub const WARM_UP: Duration = Duration::from_secs(6);
/// Programs live this much longer than they are to be watched: a busy machine takes its time.
const SPARE: Duration = Duration::from_secs(100);

/// A program at work; dropping it ends it and its peer.
pub struct Scene {
    // Dropped in this order: whoever calls ends before the one who is called, and complains of nothing.
    _caller: Option<Running>,
    program: Running,
    server: Option<Server>,
}

/// A peer that serves.
struct Server {
    address: String,
    _running: Running,
}

/// How a scene is to be set.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// What is run as the program that is watched.
    pub executable: &'a Path,
    /// What is run as its peer: the same program, perhaps under another name.
    pub peer: &'a Path,
    /// How long both live.
    pub life: Duration,
    /// What both are told besides.
    pub more: &'a [&'a str],
}

impl Scene {
    /// Starts one of the twins of `row`, whose executable is given, so that it can be watched for `watched`, and waits
    /// until it is in its stride.
    pub fn start(row: &Row, style: Style, executable: &Path, watched: Duration) -> Result<Scene> {
        let life = WARM_UP + watched + SPARE;
        let mut scene = Scene::begin(row, style, Setting { executable, peer: executable, life, more: &[] })?;
        match row.count {
            Count::Reached(count) if style == Style::Round => {
                scene.program.holding(count)?;
            }
            _ => thread::sleep(WARM_UP),
        }
        Ok(scene)
    }

    /// Starts one of the twins of `row` and does not wait for anything but the address of who serves.
    pub fn begin(row: &Row, style: Style, setting: Setting<'_>) -> Result<Scene> {
        let command = |executable, style| command(row, executable, style, setting.life);
        let start = |style, more: &[&str]| {
            let mut command = command(setting.executable, style);
            Running::start(command.args(more).args(row.arguments).args(setting.more))
        };
        let aside = |more: &[&str]| {
            Running::start(command(setting.peer, Style::Square).args(more).args(setting.more))
        };
        let (caller, program, server) = match row.peer {
            Peer::None => (None, start(style, &[])?, None),
            Peer::Caller | Peer::Visitor => {
                let mut program = start(style, &[])?;
                let address = program.address()?;
                let url = format!("http://{address}/");
                let told = if row.peer == Peer::Caller { ["-call", &*address] } else { ["-url", &*url] };
                (Some(aside(&told)?), program, None)
            }
            Peer::Server => {
                let mut running = aside(&[])?;
                let address = running.address()?;
                let url = format!("http://{address}/");
                (None, start(style, &["-url", &url])?, Some(Server { address, _running: running }))
            }
        };
        Ok(Scene { _caller: caller, program, server })
    }

    /// The program's pid.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Where its peer serves, if that is the one that does.
    pub fn server(&self) -> Option<String> {
        self.server.as_ref().map(|server| server.address.clone())
    }

    /// What is true of it, to compare an answer with that was found between two moments.
    pub fn truth(&self, row: &Row, from: SystemTime, to: SystemTime) -> Result<Truth> {
        let rate_per_second = match row.count {
            Count::Grows => Some(self.program.rate_per_second(from, to)?),
            Count::Reached(_) => Some(0.0),
            Count::No => None,
        };
        let held = self.program.held_at(to).map(|held| held.count);
        Ok(Truth { rate_per_second, held, server: self.server() })
    }
}

fn command(row: &Row, executable: &Path, style: Style, life: Duration) -> Command {
    let rate = row.rate_per_second;
    let mut command = match row.descriptor_limit {
        Some(limit) => program::command_with_descriptor_limit(executable, style, rate, life, limit),
        None => program::command(executable, style, rate, life),
    };
    if !row.collects {
        command.env("GOGC", "off");
    }
    command
}
