//! What came from endpoints: where they are, and a pulled profile with what it took.

use super::endpoints::cost;
use super::pprof::Profile;
use super::{folded, json};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

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
