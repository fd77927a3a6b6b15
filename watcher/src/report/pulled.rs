//! What came from endpoints: where they are, and a pulled profile with what it took.

use super::pprof::Profile;
use super::{folded, json};
use crate::explain::{EndpointUse, words};
use crate::vocabulary::process::{ProcessId, Target};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The endpoints of some processes.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    by_process: HashMap<ProcessId, Endpoint>,
}

/// What is known of a process's endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is; `None` where there is none that answers.
    pub address: Option<String>,
    /// Why there is none, part of a sentence; `None` where there is one, and where it was not looked for.
    pub why: Option<String>,
}

impl Endpoints {
    /// Nobody's endpoint was looked for.
    pub fn is_empty(&self) -> bool {
        self.by_process.is_empty()
    }

    /// That of one process; `None` where it was not looked for.
    pub fn of(&self, id: ProcessId) -> Option<&Endpoint> {
        self.by_process.get(&id)
    }
}

impl FromIterator<(ProcessId, Endpoint)> for Endpoints {
    fn from_iter<T: IntoIterator<Item = (ProcessId, Endpoint)>>(endpoints: T) -> Self {
        Endpoints { by_process: endpoints.into_iter().collect() }
    }
}

/// A profile that came.
#[derive(Clone, Copy, Debug)]
pub struct Pulled<'a> {
    /// Which profile.
    pub name: &'static str,
    /// Where it came from.
    pub endpoint: &'a str,
    /// What it says.
    pub profile: &'a Profile,
    /// Bytes that came.
    pub bytes: usize,
    /// Whose it is.
    pub target: &'a Target,
    /// When it had come.
    pub taken: SystemTime,
    /// From connecting to the last byte.
    pub took: Duration,
    /// CPU time that the process used meanwhile, its own work included.
    pub target_cpu: Option<Duration>,
    /// Where it is kept, or why it is not.
    pub kept: &'a Result<PathBuf, String>,
}

/// For people: where it came from, what it took, and its most important functions.
pub fn text(pulled: &Pulled<'_>, rows: usize) -> String {
    let value = pulled.profile.value_index(None).unwrap_or(0);
    let shown = pulled.profile.sample_types.get(value).map_or("", |each| each.kind.as_str());
    let kept = match pulled.kept {
        Ok(path) => format!("kept as {}", path.display()),
        Err(why) => format!("not kept: {why}"),
    };
    let functions = match pulled.profile.samples.is_empty() {
        true => empty(pulled.name).to_owned(),
        false => format!("{shown}\n{}", folded::top(pulled.profile, value, rows)),
    };
    format!(
        "{} of {} (pid {}), from {}\n{}\n{kept}\n\n{functions}",
        pulled.name,
        pulled.target.name,
        pulled.target.id.pid,
        pulled.endpoint,
        cost(pulled.bytes as u64, pulled.took, pulled.target_cpu),
    )
}

/// What it means that a profile holds nothing.
fn empty(profile: &str) -> &'static str {
    match profile {
        "block" => {
            "The profile is empty: nothing has blocked, or the program does not record it (runtime.SetBlockProfileRate).\n"
        }
        "mutex" => {
            "The profile is empty: no lock was contended, or the program does not record it \
             (runtime.SetMutexProfileFraction).\n"
        }
        _ => "The profile is empty.\n",
    }
}

/// What a pull took, in one line.
pub fn cost(bytes: u64, took: Duration, target_cpu: Option<Duration>) -> String {
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let cpu = match target_cpu {
        Some(cpu) => {
            format!("the process used {} of CPU meanwhile, its own work included", milliseconds(cpu))
        }
        None => "what CPU time the process used for it is not known".to_owned(),
    };
    format!("{} in {}; {cpu}", words::bytes(bytes as f64), milliseconds(took))
}

/// As one object on one line (`watcher.pull/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that a profile can cause; what serde reports is passed on.
pub fn json(pulled: &Pulled<'_>) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a, P: Serialize> {
        schema: &'static str,
        process: P,
        taken: Option<String>,
        pid: i32,
        name: &'a str,
        profile: &'static str,
        endpoint: &'a str,
        bytes: usize,
        seconds: f64,
        target_cpu_seconds: Option<f64>,
        file: Option<String>,
        not_kept: Option<&'a str>,
        stacks: usize,
        totals: Vec<Total<'a>>,
    }
    #[derive(Serialize)]
    struct Total<'a> {
        kind: &'a str,
        unit: &'a str,
        value: i64,
    }
    let totals = pulled.profile.sample_types.iter().enumerate().map(|(index, each)| {
        let values = pulled.profile.samples.iter().filter_map(|sample| sample.values.get(index));
        let value = values.fold(0_i64, |sum, value| sum.saturating_add(*value));
        Total { kind: &each.kind, unit: &each.unit, value }
    });
    let object = Object {
        schema: "watcher.pull/1",
        process: json::target(pulled.target),
        taken: json::timestamp(pulled.taken),
        pid: pulled.target.id.pid,
        name: &pulled.target.name,
        profile: pulled.name,
        endpoint: pulled.endpoint,
        bytes: pulled.bytes,
        seconds: pulled.took.as_secs_f64(),
        target_cpu_seconds: pulled.target_cpu.map(|cpu| cpu.as_secs_f64()),
        file: pulled.kept.as_ref().ok().map(|path| path.display().to_string()),
        not_kept: pulled.kept.as_ref().err().map(String::as_str),
        stacks: pulled.profile.samples.len(),
        totals: totals.collect(),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

/// The endpoint of a diagnosis in JSON.
#[derive(Serialize)]
pub(super) struct EndpointObject<'a> {
    address: Option<&'a str>,
    pulls: Vec<PullObject<'a>>,
    failures: &'a [String],
}

#[derive(Serialize)]
struct PullObject<'a> {
    profile: &'static str,
    bytes: u64,
    seconds: f64,
    target_cpu_seconds: Option<f64>,
    file: Option<&'a str>,
}

impl<'a> EndpointObject<'a> {
    pub(super) fn of(used: &'a EndpointUse) -> Self {
        EndpointObject {
            address: used.address.as_deref(),
            pulls: used
                .pulls
                .iter()
                .map(|pull| PullObject {
                    profile: pull.profile,
                    bytes: pull.bytes,
                    seconds: pull.took.as_secs_f64(),
                    target_cpu_seconds: pull.target_cpu.map(|cpu| cpu.as_secs_f64()),
                    file: pull.file.as_deref(),
                })
                .collect(),
            failures: &used.failures,
        }
    }
}

/// The endpoint of a diagnosis in one paragraph; `None` where no profile came.
pub(super) fn paragraph(used: &EndpointUse) -> Option<String> {
    let address = used.address.as_deref().filter(|_| !used.pulls.is_empty())?;
    let mut names: Vec<&str> = used.pulls.iter().map(|pull| pull.profile).collect();
    names.sort_unstable();
    names.dedup();
    // Whoever wrote down what they took: the sum of all is never more than the most there is.
    let bytes = used.pulls.iter().fold(0, |sum: u64, pull| sum.saturating_add(pull.bytes));
    let took = used.pulls.iter().fold(Duration::ZERO, |sum, pull| sum.saturating_add(pull.took));
    let target_cpu = used.pulls.iter().try_fold(Duration::ZERO, |sum, pull| {
        let cpu = pull.target_cpu?;
        Some(sum.saturating_add(cpu))
    });
    Some(format!(
        "{address}: {} ({}), {}",
        words::counted(used.pulls.len(), "pull", "pulls"),
        names.join(", "),
        cost(bytes, took, target_cpu)
    ))
}
