//! Prints how right the judge is on programs with real libraries.

use super::measure::{Run, Subject};
use super::tally::{Judged, Tally};
use super::{Fix, Twin};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What was measured of some subjects.
pub struct Report {
    runs: Vec<Run>,
    failures: Vec<(Subject, String)>,
}

#[derive(Serialize)]
struct One<'a> {
    program: &'a str,
    library: &'a str,
    version: &'a str,
    report: &'a str,
    go: &'a str,
    is_fixed: bool,
    #[serde(flatten)]
    judged: &'a Judged,
}

impl Report {
    /// Of what [`super::measure::measure`] told.
    pub fn of(outcomes: Vec<(Subject, Result<Run, String>)>) -> Report {
        let mut report = Report { runs: Vec::new(), failures: Vec::new() };
        for (subject, outcome) in outcomes {
            match outcome {
                Ok(run) => report.runs.push(run),
                Err(why) => report.failures.push((subject, why)),
            }
        }
        report.runs.sort_by_key(|run| run.subject.name());
        report
    }

    /// Every goal is held, and nothing was left out.
    pub fn is_good(&self) -> bool {
        let goals = self.tally(|_| true).goals();
        self.failures.is_empty() && !self.runs.is_empty() && goals.iter().all(|(_, _, is_met)| *is_met)
    }

    /// For programs. Ends in a newline.
    ///
    /// # Errors
    /// Never, as far as is known.
    pub fn json(&self) -> serde_json::Result<String> {
        let one = |run: &Run| {
            serde_json::to_value(One {
                program: run.subject.program.name,
                library: run.subject.program.library,
                version: run.subject.program.version,
                report: run.subject.program.report,
                go: &run.subject.toolchain.version,
                is_fixed: run.subject.twin == Twin::Fixed,
                judged: &run.judged,
            })
        };
        let runs = self.runs.iter().map(one).collect::<serde_json::Result<Vec<_>>>()?;
        let all = serde_json::json!({
            "schema": "watcher.accuracy.real/1",
            "all": self.tally(|_| true),
            "runs": runs,
            "not_measured": self.failures.iter().map(|(subject, _)| subject.name()).collect::<Vec<_>>(),
        });
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    /// For people. Ends in a newline.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.table(&mut text);
        self.wrong(&mut text);
        text.push_str("\nGoals\n");
        for (goal, reached, is_met) in self.tally(|_| true).goals() {
            let _ = writeln!(text, "  {}  {goal}: {reached}", if is_met { "met   " } else { "MISSED" });
        }
        text
    }

    fn tally(&self, is_meant: impl Fn(&Run) -> bool) -> Tally {
        let meant = self.runs.iter().filter(|run| is_meant(run));
        Tally::of(meant.map(|run| (run.subject.twin, &run.judged)))
    }

    fn table(&self, text: &mut String) {
        let _ = writeln!(text, "{:<12}|{:^46}|{:^27}", "", "as reported", "fixed");
        let _ = writeln!(
            text,
            "{:<12}|{:>8}{:>6}{:>6}{:>9}{:>8}{:>9}|{:>8}{:>9}{:>10}",
            "", "number", "seen", "kind", "line ≤3", "line 1", "healthy", "number", "accused", "undecided"
        );
        let kind = |run: &Run| run.subject.program.kinds[0];
        let kinds: BTreeSet<&str> = self.runs.iter().map(kind).collect();
        for name in kinds {
            line(text, name, &self.tally(|run| kind(run) == name));
        }
        line(text, "all", &self.tally(|_| true));
    }

    fn wrong(&self, text: &mut String) {
        let wrong = self.runs.iter().filter(|run| !run.judged.is_right(run.subject.twin));
        for (number, run) in wrong.enumerate() {
            if number == 0 {
                text.push_str("\nWrong\n");
            }
            let _ = writeln!(text, "  {}", objection(run));
        }
        for (number, (subject, why)) in self.failures.iter().enumerate() {
            if number == 0 {
                text.push_str("\nNot measured\n");
            }
            let _ = writeln!(text, "  {}: {why}", subject.name());
        }
    }
}

/// What is wrong with an answer, in a line.
pub fn objection(run: &Run) -> String {
    let Run { subject, judged, saved, .. } = run;
    let program = subject.program;
    let version = match (subject.twin, program.fix) {
        (Twin::Fixed, Fix::Version(version)) => version,
        _ => program.version,
    };
    let said = match &judged.kind {
        Some(kind) => format!("{kind}: {}", judged.culprits.join(", ")),
        None => judged.verdict.clone(),
    };
    let wanted = match subject.twin {
        Twin::Reported => {
            let lines: Vec<&str> = program.lines.iter().map(|line| line.trim()).collect();
            format!("{} at {}", program.kinds.join(" or "), lines.join(" or "))
        }
        Twin::Fixed => "no leak".to_owned(),
    };
    let others = if judged.others.is_empty() {
        String::new()
    } else {
        format!("; beside it {}", judged.others.join(", "))
    };
    let (library, report) = (program.library, program.report);
    format!(
        "{} ({library} {version}, {report}): want {wanted}; said {said}{others} [{}]",
        subject.name(),
        saved.display()
    )
}

fn line(text: &mut String, name: &str, tally: &Tally) {
    let _ = writeln!(
        text,
        "{name:<12}|{:>8}{:>6}{:>6}{:>9}{:>8}{:>9}|{:>8}{:>9}{:>10}",
        tally.leaks,
        tally.seen,
        tally.right_kind,
        tally.own_line,
        tally.first_line,
        tally.called_healthy,
        tally.fixed,
        tally.accused,
        tally.undecided,
    );
}
