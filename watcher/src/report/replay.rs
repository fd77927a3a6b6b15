//! How a verdict came to be in the course of a recording: schema `watcher.replay/1`.
//!
//! One object a line and process, in which fields are only ever added:
//! `schema`; `process` as in a diagnosis; `recorded_seconds`; `cut_off`: the recorder was killed; `steps`: each verdict
//! on the way with `seconds` (since the begin of the recording), `verdict`, the `kind` of the primary finding, its
//! `confidence` and the first `line` that is named for it (`function`, `file`, `line`), each `null` where there is none;
//! `first_seconds`: the first step with the verdict and the kind of the last; `since_seconds`: from which step on they
//! stayed; `line_since_seconds`: from which step on its line was named as well, `null` where none is; and `diagnosis`,
//! the last in full (`watcher.diagnosis/1`).

use super::json::{DiagnosisObject, ProcessObject, rounded};
use super::text::{Layout, diagnosis as diagnosis_text, kind_word};
use crate::explain::diagnosis::Diagnosis;
use crate::explain::{Frame, Kind, Verdict};
use serde::Serialize;
use std::fmt::Write;

/// One process of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Verdicts on the way and the last; empty where only the last was asked for.
    pub steps: Vec<Step>,
    /// The last verdict.
    pub diagnosis: Diagnosis,
}

/// A verdict on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Seconds since the begin of the recording.
    pub seconds: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Kind of the primary finding.
    pub kind: Option<Kind>,
    /// How sure we were of it.
    pub confidence: Option<f64>,
    /// The first line that was named for it.
    pub line: Option<Frame>,
}

impl Step {
    /// What a diagnosis comes to.
    pub fn of(seconds: f64, diagnosis: &Diagnosis) -> Step {
        let primary = diagnosis.findings.iter().find(|finding| finding.primary);
        Step {
            seconds,
            verdict: diagnosis.verdict,
            kind: primary.map(|finding| finding.kind),
            confidence: primary.map(|finding| finding.confidence),
            line: primary.and_then(|finding| finding.culprits.first()).map(|culprit| culprit.frame.clone()),
        }
    }

    fn says_the_same_as(&self, other: &Step) -> bool {
        (self.verdict, self.kind) == (other.verdict, other.kind)
    }

    /// Such as `leak (goroutine)`.
    fn words(&self) -> String {
        let verdict = verdict_word(self.verdict);
        self.kind.map_or(verdict.to_owned(), |kind| format!("{verdict} ({})", kind_word(kind)))
    }
}

impl Course {
    /// When the verdict was first what it is in the end.
    fn first(&self) -> Option<f64> {
        let last = self.steps.last()?;
        self.steps.iter().find(|step| step.says_the_same_as(last)).map(|step| step.seconds)
    }

    /// Since when it was.
    fn since(&self) -> Option<f64> {
        let last = self.steps.last()?;
        self.steps.iter().rev().take_while(|step| step.says_the_same_as(last)).last().map(|step| step.seconds)
    }

    /// Since when its line was named too.
    fn line_since(&self) -> Option<f64> {
        let last = self.steps.last()?;
        last.line.as_ref()?;
        let same = |step: &&Step| step.says_the_same_as(last) && step.line == last.line;
        self.steps.iter().rev().take_while(same).last().map(|step| step.seconds)
    }
}

/// For people: what the verdict was on the way, wherever it changed, and the last in full.
pub fn text(course: &Course, layout: Layout) -> String {
    let mut text = String::new();
    let Some(last) = course.steps.last() else { return diagnosis_text(&course.diagnosis, layout) };
    let process = &course.diagnosis.process;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} (pid {}), verdicts on the way:", process.name, process.pid);
    let mut before: Option<&Step> = None;
    for step in &course.steps {
        if before.is_none_or(|before| !before.says_the_same_as(step) || before.line != step.line) {
            let _ = write!(text, "  {:>6.0} s  {}", step.seconds, step.words());
            if let Some(line) = &step.line {
                let _ = write!(text, "  {} {}:{}", line.function, line.file, line.line);
            }
            text.push('\n');
        }
        before = Some(step);
    }
    let (first, since) = (course.first().unwrap_or(0.0), course.since().unwrap_or(0.0));
    let _ = write!(text, "{} after {first:.0} s", last.words());
    if since > first {
        let _ = write!(text, ", to stay after {since:.0} s");
    }
    let _ = writeln!(text, ", judged {} times.\n", course.steps.len());
    text + &diagnosis_text(&course.diagnosis, layout)
}

/// For programs: one object on one line, ending in a newline.
///
/// # Errors
/// None that a course can cause; what serde reports is passed on.
pub fn json_line(course: &Course, recorded_seconds: f64, cut_off: bool) -> serde_json::Result<String> {
    let steps = course.steps.iter().map(|step| StepObject {
        seconds: rounded(step.seconds),
        verdict: verdict_word(step.verdict),
        kind: step.kind.map(kind_word),
        confidence: step.confidence.map(|confidence| (confidence * 100.0).round() / 100.0),
        line: step.line.as_ref().map(|line| LineObject {
            function: &line.function,
            file: &line.file,
            line: line.line,
        }),
    });
    let object = CourseObject {
        schema: "watcher.replay/1",
        process: ProcessObject::of(&course.diagnosis.process),
        recorded_seconds: rounded(recorded_seconds),
        cut_off,
        steps: steps.collect(),
        first_seconds: course.first().map(rounded),
        since_seconds: course.since().map(rounded),
        line_since_seconds: course.line_since().map(rounded),
        diagnosis: DiagnosisObject::of(&course.diagnosis),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct CourseObject<'a> {
    schema: &'static str,
    process: ProcessObject<'a>,
    recorded_seconds: f64,
    cut_off: bool,
    steps: Vec<StepObject<'a>>,
    first_seconds: Option<f64>,
    since_seconds: Option<f64>,
    line_since_seconds: Option<f64>,
    diagnosis: DiagnosisObject<'a>,
}

#[derive(Serialize)]
struct StepObject<'a> {
    seconds: f64,
    verdict: &'static str,
    kind: Option<&'static str>,
    confidence: Option<f64>,
    line: Option<LineObject<'a>>,
}

#[derive(Serialize)]
struct LineObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Leak => "leak",
        Verdict::Healthy => "healthy",
        Verdict::Inconclusive => "inconclusive",
    }
}

#[cfg(test)]
mod tests;
