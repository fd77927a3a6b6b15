//! Where processes can be asked, and what was pulled from there for a diagnosis.

use crate::explain::{EndpointUse, words};
use crate::vocabulary::process::ProcessId;
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

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
