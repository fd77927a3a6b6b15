//! Arguments of `watcher record` and `watcher replay`.

use super::{Format, Pprof, Which, duration};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// `watcher record`.
#[derive(Debug, Args)]
pub struct Record {
    /// Which processes.
    #[command(flatten)]
    pub which: Which,
    /// How long to watch; Ctrl-C keeps what was seen so far.
    #[arg(short, long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub duration: Duration,
    /// Time between two samples.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// Write to this file, which is replaced: gzip, one JSON object a line.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// End the recording when the file has this size.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    pub max_size: u64,
    /// What may be asked of pprof endpoints.
    #[command(flatten)]
    pub pprof: Pprof,
}

/// `watcher replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// What `watcher record` or `watcher diagnose --record` has written.
    pub file: PathBuf,
    /// Only the process that had this id.
    #[arg(short, long)]
    pub pid: Option<i32>,
    /// Judge as though a limit were this: nofile, nproc or maps of each process; memory or pids of its cgroup;
    /// host-memory or host-tasks. Such as nofile=1024 or memory=512M; may be given several times.
    #[arg(long, value_name = "LIMIT=VALUE", value_parser = limit)]
    pub limit: Vec<(Limit, u64)>,
    /// Judge what was recorded up to this time after the begin.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub until: Option<Duration>,
    /// Judge each time so much has passed, and tell when the verdict became what it is in the end.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub every: Option<Duration>,
    /// text for people, json for programs: one object a line and process.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A limit that can be another in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Limit {
    /// RLIMIT_NOFILE of each process.
    Nofile,
    /// RLIMIT_NPROC of each process.
    Nproc,
    /// `vm.max_map_count`.
    Maps,
    /// `memory.max` of the cgroup.
    Memory,
    /// `pids.max` of the cgroup.
    Pids,
    /// Memory of the host.
    HostMemory,
    /// Tasks that the host can hold.
    HostTasks,
}

/// Reads `4096`, `64K`, `512M` or `2G`: units of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" => 1,
        "K" | "KiB" => 1_u64 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(format!("unknown unit {unit:?}: use K, M, G or T")),
    };
    let number: u64 =
        number.parse().map_err(|_| "expected a whole number, such as 1024 or 512M".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "it is too large".to_owned())
}

/// Reads `nofile=1024`.
pub(super) fn limit(text: &str) -> Result<(Limit, u64), String> {
    let (name, value) = text.split_once('=').ok_or("expected a limit and its value, such as nofile=1024")?;
    let names = || Limit::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let limit = Limit::from_str(name, false).map_err(|_| {
        let names: Vec<String> = names().map(|name| name.get_name().to_owned()).collect();
        format!("unknown limit {name:?}: there are {}", names.join(", "))
    })?;
    Ok((limit, size(value)?))
}
