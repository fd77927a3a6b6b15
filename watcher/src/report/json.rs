//! The JSON that programs read: schemas `watcher.diagnosis/1`, `watcher.list/1` and `watcher.doctor/1`.
//!
//! These structs are the promise; they say nothing else than the values they are made of. Fields are only ever
//! added. Every object fits on one line.

pub(super) use super::numbers::{rounded, timestamp};

use super::endpoints::{EndpointObject, Endpoints};
use super::levels::LevelObject;
use super::text::{kind_word, unit_word};
use crate::explain::diagnosis::Diagnosis;
use crate::explain::{self, Verdict};
use crate::vocabulary::health::{self, CheckState};
use crate::vocabulary::process::{Target, printable};
use serde::Serialize;
use std::path::Path;
use std::time::SystemTime;

/// A diagnosis as one object on one line, ending in a newline.
///
/// # Errors
/// None that a diagnosis can cause; what serde reports is passed on.
pub fn diagnosis_line(diagnosis: &Diagnosis) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&DiagnosisObject::of(diagnosis))? + "\n")
}

/// All processes of `watcher list` as one object (`watcher.list/1`), ending in a newline.
///
/// # Errors
/// As for [`diagnosis_line`].
pub fn list(targets: &[&Target], endpoints: &Endpoints) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct List<'a> {
        schema: &'static str,
        processes: Vec<Listed<'a>>,
    }
    #[derive(Serialize)]
    struct Listed<'a> {
        #[serde(flatten)]
        target: TargetObject<'a>,
        endpoint: Option<&'a str>,
        no_endpoint: Option<&'a str>,
    }
    let listed = |target: &&'_ Target| {
        let endpoint = endpoints.of(target.id);
        (endpoint.and_then(|it| it.address.as_deref()), endpoint.and_then(|it| it.why.as_deref()))
    };
    let processes = targets
        .iter()
        .map(|target| {
            let (endpoint, no_endpoint) = listed(target);
            Listed { target: TargetObject::of(target), endpoint, no_endpoint }
        })
        .collect();
    Ok(serde_json::to_string(&List { schema: "watcher.list/1", processes })? + "\n")
}

/// One process, to be put into another object.
pub fn target(target: &Target) -> impl Serialize {
    TargetObject::of(target)
}

/// One suspicion of a process, for one of the lines that `watcher run` prints.
pub(super) fn suspicion<'a>(
    process: &'a explain::Process,
    suspected: &'a explain::Suspected,
    decided_by: Option<SystemTime>,
) -> impl Serialize {
    #[derive(Serialize)]
    struct Suspicion<'a> {
        process: ProcessObject<'a>,
        suspected: SuspectedObject<'a>,
        decided_by: Option<String>,
    }
    Suspicion {
        process: ProcessObject::of(process),
        suspected: SuspectedObject {
            finding: FindingObject::of(&suspected.finding, Vec::new()),
            decides_in_seconds: suspected.need_seconds.map(rounded),
        },
        decided_by: decided_by.and_then(timestamp),
    }
}

/// All rows of `watcher doctor` as one object (`watcher.doctor/1`), ending in a newline.
///
/// # Errors
/// As for [`diagnosis_line`].
pub fn checks(checks: &[health::Check]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Doctor<'a> {
        schema: &'static str,
        all_essential_work: bool,
        checks: Vec<CheckObject<'a>>,
    }
    let doctor = Doctor {
        schema: "watcher.doctor/1",
        all_essential_work: health::all_essential_work(checks),
        checks: checks.iter().map(CheckObject::of).collect(),
    };
    Ok(serde_json::to_string(&doctor)? + "\n")
}

#[derive(Serialize)]
pub(super) struct DiagnosisObject<'a> {
    schema: &'static str,
    process: ProcessObject<'a>,
    window_seconds: f64,
    samples: usize,
    verdict: &'static str,
    headline: &'a str,
    findings: Vec<FindingObject<'a>>,
    suspected: Vec<SuspectedObject<'a>>,
    steady: Vec<SteadyObject<'a>>,
    readings: Vec<ReadingObject>,
    undecided: Vec<UndecidedObject<'a>>,
    memory: Option<MemoryObject>,
    endpoint: Option<EndpointObject<'a>>,
    unseen: Vec<UnseenObject<'a>>,
    need_seconds: Option<f64>,
    next_steps: &'a [String],
    story: Option<StoryObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<EndedObject>,
    near_limit: bool,
    levels: Vec<LevelObject<'a>>,
}

/// How a process came to its end while it was watched; absent of one that was there to the last.
#[derive(Serialize)]
struct EndedObject {
    after_seconds: f64,
    of_seconds: Option<f64>,
    runs_another_program: bool,
}

#[derive(Serialize)]
pub(super) struct ProcessObject<'a> {
    pid: i32,
    start_time: Option<String>,
    name: &'a str,
    exe: Option<String>,
    go_version: Option<&'a str>,
    module: Option<&'a str>,
    container: Option<&'a str>,
    restarts: u32,
}

#[derive(Serialize)]
struct FindingObject<'a> {
    kind: &'static str,
    primary: bool,
    consequence_of: Option<&'static str>,
    confidence: f64,
    rate_per_second: f64,
    unit: &'static str,
    exhausts: Option<ExhaustsObject>,
    detail: DetailObject<'a>,
    culprits: Vec<CulpritObject<'a>>,
    evidence: &'a [String],
    ruled_out: Vec<WhyObject<'a>>,
}

/// What may leak: the fields of a finding, and the window that should decide it.
#[derive(Serialize)]
struct SuspectedObject<'a> {
    #[serde(flatten)]
    finding: FindingObject<'a>,
    decides_in_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ExhaustsObject {
    limit: &'static str,
    in_seconds: f64,
    low: f64,
    high: Option<f64>,
}

impl ExhaustsObject {
    fn of(exhausts: &explain::Exhaustion) -> Self {
        ExhaustsObject {
            limit: exhausts.limit,
            in_seconds: rounded(exhausts.in_seconds),
            low: rounded(exhausts.low_seconds),
            high: exhausts.high_seconds.map(rounded),
        }
    }
}

#[derive(Serialize)]
struct StoryObject<'a> {
    text: &'a str,
    total: &'static str,
    typical_seconds: f64,
    rate_per_second: f64,
    exhausts: Option<ExhaustsObject>,
    changed_since: Option<String>,
    lives: Vec<LifeObject>,
}

#[derive(Serialize)]
struct LifeObject {
    start_time: Option<String>,
    seconds: f64,
    from: f64,
    to: f64,
    rate_per_second: Option<f64>,
}

impl<'a> StoryObject<'a> {
    fn of(story: &'a explain::Story) -> Self {
        let life = |life: &explain::Life| LifeObject {
            start_time: timestamp(life.started),
            seconds: rounded(life.seconds),
            from: life.from,
            to: life.to,
            rate_per_second: life.rate_per_second.map(rounded),
        };
        StoryObject {
            text: &story.text,
            total: story.total,
            typical_seconds: rounded(story.typical_seconds),
            rate_per_second: rounded(story.rate_per_second),
            exhausts: story.exhausts.as_ref().map(ExhaustsObject::of),
            changed_since: story.changed_since.and_then(timestamp),
            lives: story.lives.iter().map(life).collect(),
        }
    }
}

#[derive(Serialize)]
struct DetailObject<'a> {
    state: Option<&'static str>,
    peer: Option<&'a str>,
    fd_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
}

#[derive(Serialize)]
struct CulpritObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
    share: f64,
    stack: Vec<FrameObject<'a>>,
}

#[derive(Serialize)]
struct FrameObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
}

#[derive(Serialize)]
struct WhyObject<'a> {
    kind: &'static str,
    why: &'a str,
}

#[derive(Serialize)]
struct UndecidedObject<'a> {
    kind: &'static str,
    why: &'a str,
    need_seconds: Option<f64>,
}

/// What does not leak, in words and numbers.
#[derive(Serialize)]
struct SteadyObject<'a> {
    kind: &'static str,
    why: &'a str,
    #[serde(flatten)]
    reading: Option<Numbers>,
}

/// One kind in the window.
#[derive(Serialize)]
struct ReadingObject {
    kind: &'static str,
    #[serde(flatten)]
    numbers: Numbers,
}

/// In the unit of the kind; `unnoticed` is the fastest leak that may not have shown, `null` where the kind was not ruled
/// out.
#[derive(Serialize)]
struct Numbers {
    unit: &'static str,
    first: f64,
    last: f64,
    low: f64,
    high: f64,
    unnoticed_per_hour: Option<f64>,
    unnoticed_per_day: Option<f64>,
}

impl Numbers {
    fn of(reading: &explain::Reading) -> Numbers {
        let unnoticed = |seconds: f64| reading.unnoticed_per_second.map(|rate| rounded(rate * seconds));
        Numbers {
            unit: unit_word(reading.kind.unit()),
            first: reading.first,
            last: reading.last,
            low: reading.low,
            high: reading.high,
            unnoticed_per_hour: unnoticed(3_600.0),
            unnoticed_per_day: unnoticed(86_400.0),
        }
    }
}

#[derive(Serialize)]
struct MemoryObject {
    rss_bytes: u64,
    parts: Vec<PartObject>,
    unexplained_bytes: u64,
    not_resident_bytes: u64,
    swapped_bytes: u64,
}

#[derive(Serialize)]
struct PartObject {
    name: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct UnseenObject<'a> {
    what: &'a str,
    why: &'a str,
}

impl<'a> DiagnosisObject<'a> {
    pub(super) fn of(diagnosis: &'a Diagnosis) -> Self {
        let ruled_out = || {
            let why = |one: &'a explain::RuledOut| WhyObject { kind: kind_word(one.kind), why: &one.why };
            diagnosis.ruled_out.iter().map(why).collect::<Vec<_>>()
        };
        DiagnosisObject {
            schema: "watcher.diagnosis/1",
            process: ProcessObject::of(&diagnosis.process),
            window_seconds: rounded(diagnosis.window_seconds),
            samples: diagnosis.samples,
            verdict: match diagnosis.verdict {
                Verdict::Leak => "leak",
                Verdict::Healthy => "healthy",
                Verdict::Inconclusive => "inconclusive",
            },
            headline: &diagnosis.headline,
            findings: diagnosis.findings.iter().map(|one| FindingObject::of(one, ruled_out())).collect(),
            suspected: diagnosis
                .suspected
                .iter()
                .map(|one| SuspectedObject {
                    finding: FindingObject::of(&one.finding, ruled_out()),
                    decides_in_seconds: one.need_seconds.map(rounded),
                })
                .collect(),
            steady: diagnosis
                .ruled_out
                .iter()
                .map(|one| SteadyObject {
                    kind: kind_word(one.kind),
                    why: &one.why,
                    reading: diagnosis.readings.iter().find(|it| it.kind == one.kind).map(Numbers::of),
                })
                .collect(),
            readings: diagnosis
                .readings
                .iter()
                .map(|one| ReadingObject { kind: kind_word(one.kind), numbers: Numbers::of(one) })
                .collect(),
            undecided: diagnosis
                .undecided
                .iter()
                .map(|one| UndecidedObject {
                    kind: kind_word(one.kind),
                    why: &one.why,
                    need_seconds: one.need_seconds.map(rounded),
                })
                .collect(),
            memory: diagnosis.memory.as_ref().map(|memory| MemoryObject {
                rss_bytes: memory.rss_bytes,
                parts: memory
                    .parts
                    .iter()
                    .map(|part| PartObject { name: part.name, bytes: part.bytes })
                    .collect(),
                unexplained_bytes: memory.unexplained_bytes,
                not_resident_bytes: memory.not_resident_bytes,
                swapped_bytes: memory.swapped_bytes,
            }),
            endpoint: diagnosis.endpoint.as_ref().map(EndpointObject::of),
            unseen: diagnosis
                .unseen
                .iter()
                .map(|one| UnseenObject { what: &one.what, why: &one.why })
                .collect(),
            need_seconds: diagnosis.need_seconds.map(rounded),
            next_steps: &diagnosis.next_steps,
            story: diagnosis.story.as_ref().map(StoryObject::of),
            ended: diagnosis.ended.as_ref().map(|ended| EndedObject {
                after_seconds: rounded(ended.after_seconds),
                of_seconds: ended.of_seconds.map(rounded),
                runs_another_program: ended.runs_another,
            }),
            near_limit: diagnosis.near_limit(),
            levels: diagnosis.levels.iter().map(LevelObject::of).collect(),
        }
    }
}

impl<'a> ProcessObject<'a> {
    pub(super) fn of(process: &'a explain::Process) -> Self {
        ProcessObject {
            pid: process.pid,
            start_time: timestamp(process.started),
            name: &process.name,
            exe: process.exe.as_deref().map(path),
            go_version: process.go_version.as_deref(),
            module: process.module.as_deref(),
            container: process.container.as_ref().map(|container| container.id.as_str()),
            restarts: process.restarts,
        }
    }
}

impl<'a> FindingObject<'a> {
    fn of(finding: &'a explain::Finding, ruled_out: Vec<WhyObject<'a>>) -> Self {
        FindingObject {
            kind: kind_word(finding.kind),
            primary: finding.primary,
            consequence_of: finding.consequence_of.map(kind_word),
            confidence: (finding.confidence * 100.0).round() / 100.0,
            rate_per_second: rounded(finding.rate_per_second),
            unit: unit_word(finding.kind.unit()),
            exhausts: finding.exhausts.as_ref().map(ExhaustsObject::of),
            detail: DetailObject {
                state: finding.state,
                peer: finding.peer.as_deref(),
                fd_type: finding.descriptor_type,
                family: finding.family,
            },
            culprits: finding
                .culprits
                .iter()
                .map(|culprit| CulpritObject {
                    function: &culprit.frame.function,
                    file: &culprit.frame.file,
                    line: culprit.frame.line,
                    share: culprit.share,
                    stack: culprit
                        .stack
                        .iter()
                        .map(|frame| FrameObject {
                            function: &frame.function,
                            file: &frame.file,
                            line: frame.line,
                        })
                        .collect(),
                })
                .collect(),
            evidence: &finding.evidence,
            ruled_out,
        }
    }
}

#[derive(Serialize)]
struct TargetObject<'a> {
    pid: i32,
    start_time: Option<String>,
    name: &'a str,
    exe: Option<String>,
    exe_deleted: bool,
    uid: Option<u32>,
    go_version: Option<&'a str>,
    module: Option<&'a str>,
    module_version: Option<&'a str>,
    package: Option<&'a str>,
    /// The Go library that a program of another language has loaded, by its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    library: Option<&'a str>,
    container: Option<&'a str>,
    container_runtime: Option<&'static str>,
    restarts: u32,
}

impl<'a> TargetObject<'a> {
    fn of(target: &'a Target) -> Self {
        let go = target.go.as_deref();
        let module = go.and_then(|go| go.module.as_ref());
        let container = target.container.as_ref();
        TargetObject {
            pid: target.id.pid,
            start_time: timestamp(target.started),
            name: &target.name,
            exe: target.exe.as_deref().map(path),
            exe_deleted: target.exe_deleted,
            uid: target.uid,
            go_version: go.map(|go| go.version.as_str()),
            module: go.and_then(|go| go.module_path()),
            module_version: module.map(|module| module.version.as_str()),
            package: go.and_then(|go| go.package.as_deref()),
            library: go.and_then(|go| go.library.as_ref()).map(|library| library.path.as_str()),
            container: container.map(|container| container.id.as_str()),
            container_runtime: container.and_then(|container| container.runtime),
            restarts: target.lineage.restarts,
        }
    }
}

#[derive(Serialize)]
struct CheckObject<'a> {
    what: &'a str,
    works: bool,
    essential: bool,
    state: &'static str,
    why: Option<&'a str>,
    lost: Option<&'a str>,
    needs: Option<&'a str>,
}

impl<'a> CheckObject<'a> {
    fn of(check: &'a health::Check) -> Self {
        let works = matches!(check.state, CheckState::Works | CheckState::Partly { .. });
        let is_whole = check.state == CheckState::Works;
        CheckObject {
            what: &check.name,
            works,
            essential: check.essential,
            state: check.state.word(),
            why: check.state.why(),
            lost: (!is_whole).then_some(check.lost.as_str()),
            needs: (!is_whole).then_some(check.needs.as_str()),
        }
    }
}

/// A path as people read it.
fn path(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests;
