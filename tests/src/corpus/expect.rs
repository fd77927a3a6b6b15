//! Compares what was said of a program with what had to be said.

use super::{Leaks, Peer, Root, Row};
use crate::answer::{Diagnosis, Finding};
use crate::program::Style;
use anyhow::{Result, ensure};

/// As many culprits as a reader looks at.
pub const FIRST: usize = 3;
/// A rate is right within this share of the true one.
const RATE_WITHIN: f64 = 0.05;
/// ... or by so many pieces in the whole window: what the program does beside holds one or two of its own for a moment.
const OTHER_PIECES: f64 = 3.0;

/// What is true of a program, by its own count.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// How fast what it holds grew; `None` where it does not count that.
    pub rate_per_second: Option<f64>,
    /// How many it held at the end.
    pub held: Option<u64>,
    /// Where its peer serves, if that is the one that does.
    pub server: Option<String>,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// What it is about.
    pub about: About,
    /// A sentence that says what was wanted and what was said.
    pub sentence: String,
}

/// What an objection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A leak was not seen, and not even doubted.
    Missed,
    /// Nothing was decided.
    Undecided,
    /// A leak was seen where there is none.
    FalseAlarm,
    /// Another kind is called the cause.
    Kind,
    /// A line is not among the first culprits.
    Line,
    /// Anything else that is said of it.
    Detail,
}

/// What is wrong with `diagnosis` of the twin `style` of `row`, built with Go 1.`minor`.
///
/// # Errors
/// Where a line of the row is not in its sources.
pub fn objections(
    row: &Row,
    style: Style,
    minor: u32,
    diagnosis: &Diagnosis,
    truth: &Truth,
) -> Result<Vec<Objection>> {
    let mut found = Objections::default();
    match row.guilt(style, minor) {
        Some(kind) => guilty(&mut found, row, kind, minor, diagnosis, truth)?,
        None => innocent(&mut found, row, diagnosis),
    }
    Ok(found.0)
}

/// The place of the first of the row's lines among the culprits, from 0.
///
/// # Errors
/// Where a line of the row is not in its sources.
pub fn rank(row: &Row, finding: &Finding) -> Result<Option<usize>> {
    let places = row.lines.iter().map(|text| place(row, text, finding)).collect::<Result<Vec<_>>>()?;
    Ok(places.into_iter().flatten().min())
}

/// Whether each line of the row is among the first culprits.
///
/// # Errors
/// Where a line of the row is not in its sources.
pub fn names_lines(row: &Row, finding: &Finding) -> Result<bool> {
    for text in row.lines {
        if place(row, text, finding)?.is_none_or(|place| place >= FIRST) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fails with all that was said unless the verdict is `healthy`.
pub fn expect_healthy(diagnosis: &Diagnosis) -> Result<()> {
    ensure!(diagnosis.verdict == "healthy", "want a healthy process: {diagnosis:#?}");
    ensure!(diagnosis.findings.is_empty(), "a healthy process has no findings: {diagnosis:#?}");
    Ok(())
}

/// Fails unless the rate is within 5 % of the true one.
pub fn expect_rate(finding: &Finding, truth: f64) -> Result<()> {
    let said = finding.rate_per_second;
    ensure!(is_near(said, truth), "said {said:.2} per second, in truth {truth:.2}: {finding:#?}");
    Ok(())
}

fn innocent(found: &mut Objections, row: &Row, diagnosis: &Diagnosis) {
    match &*diagnosis.verdict {
        // A twin has no name of its own: what its row says is said of the one that leaks.
        "healthy" => found.want(
            row.leaks != Leaks::Never || diagnosis.steady.iter().any(|it| it.why.contains(row.says)),
            || format!("want {:?} among the reasons: {:?}", row.says, diagnosis.steady),
        ),
        "leak" => found.note(About::FalseAlarm, format!("innocent, and said to leak {}", accused(diagnosis))),
        verdict => found.note(About::Undecided, format!("innocent, and said to be {verdict}")),
    }
    if diagnosis.verdict != "leak" && !diagnosis.findings.is_empty() {
        found.note(About::FalseAlarm, format!("no leak, and yet it has findings: {}", accused(diagnosis)));
    }
}

fn guilty(
    found: &mut Objections,
    row: &Row,
    kind: &str,
    minor: u32,
    diagnosis: &Diagnosis,
    truth: &Truth,
) -> Result<()> {
    let primary = match (&*diagnosis.verdict, diagnosis.primary()) {
        ("leak", Some(primary)) => primary,
        ("inconclusive", _) => {
            found.note(About::Undecided, format!("leaks {kind}, and said to be inconclusive"));
            return Ok(());
        }
        (verdict, _) => {
            found.note(About::Missed, format!("leaks {kind}, and said to be {verdict}"));
            return Ok(());
        }
    };
    if primary.kind != kind {
        let said = accused(diagnosis);
        found.note(About::Kind, format!("leaks {kind}, and said to leak {said}"));
        return Ok(());
    }
    let unit = unit_of(kind);
    found.want(primary.unit == unit, || format!("want {unit}, said {}", primary.unit));
    for other in diagnosis.findings.iter().filter(|finding| !finding.primary) {
        let explained = other.consequence_of.as_deref() == Some(kind);
        found.want(explained, || format!("{} is not explained by the {kind}", other.kind));
    }
    let others = diagnosis.findings.len() - 1;
    found.want(!row.is_alone || others == 0, || format!("want it alone, said {}", accused(diagnosis)));
    let state = primary.detail.state.as_deref();
    found.want(state == row.state, || format!("want state {:?}, said {state:?}", row.state));
    found.want(!primary.evidence.is_empty(), || "it does not say how it knows".to_owned());
    let shares = primary.culprits.iter().all(|it| (0.0..=1.0).contains(&it.share));
    found.want(shares, || "a culprit's share is no share".to_owned());
    if let Some(rate) = truth.rate_per_second {
        let said = primary.rate_per_second;
        let pieces = (said - rate).abs() * diagnosis.window_seconds;
        let right = is_near(said, rate) || pieces <= OTHER_PIECES;
        found.want(right, || format!("said {said:.2} per second, in truth {rate:.2}"));
    }
    exhaustion(found, row, primary, truth);
    if row.root != Root::ForOrigin || nix::unistd::geteuid().is_root() {
        origin(found, row, minor, diagnosis, primary, truth)?;
    }
    Ok(())
}

/// Who did it and with whom.
fn origin(
    found: &mut Objections,
    row: &Row,
    minor: u32,
    diagnosis: &Diagnosis,
    primary: &Finding,
    truth: &Truth,
) -> Result<()> {
    for text in row.lines {
        if place(row, text, primary)?.is_none_or(|place| place >= FIRST) {
            let (file, line) = row.line(text)?;
            let text = text.trim();
            let sentence = format!("want {file}:{line} ({text}) among the first {FIRST}: {}", said(primary));
            found.note(About::Line, sentence);
        }
    }
    let words = row.words(minor);
    let says = primary.evidence.iter().any(|it| it.contains(words));
    found.want(says, || format!("want {words:?} in the evidence: {:?}", primary.evidence));
    if primary.kind == "connection" {
        let peer = primary.detail.peer.as_deref();
        let right = match &truth.server {
            Some(server) => peer == Some(server),
            // Both ends are in the program, and it is the client that does not close its own.
            None if row.peer == Peer::None => peer.is_some_and(|peer| !peer.starts_with("client ")),
            None => peer.is_some_and(|peer| peer.starts_with("client ")),
        };
        found.want(right, || format!("want the peer {:?}, said {peer:?}", truth.server));
    }
    if let Some((kind, each)) = row.brings.filter(|_| minor >= row.brings_from_go) {
        let follows = diagnosis.findings.iter().find(|finding| finding.kind == kind);
        let each_said = follows.map(|it| it.rate_per_second / primary.rate_per_second);
        let right = each_said.is_some_and(|said| each.is_none_or(|each| is_near(said, each)));
        let wanted = each.map_or_else(|| "some".to_owned(), |each| each.to_string());
        found.want(right, || format!("want {wanted} of {kind} for each, said {each_said:.2?}"));
    }
    Ok(())
}

fn exhaustion(found: &mut Objections, row: &Row, primary: &Finding, truth: &Truth) {
    let (Some(limit), Some(most), Some(held)) = (row.exhausts, row.descriptor_limit, truth.held) else {
        return;
    };
    let Some(exhausts) = &primary.exhausts else {
        found.note(About::Detail, format!("it runs into {limit}, which is not said"));
        return;
    };
    found.want(exhausts.limit == limit, || format!("it runs into {limit}, said {}", exhausts.limit));
    let true_seconds = most.saturating_sub(held) as f64 / primary.rate_per_second;
    let said = exhausts.in_seconds;
    found.want(is_near(said, true_seconds), || format!("{limit} in {true_seconds:.0} s, said {said:.0} s"));
}

/// The place of a line among the culprits, from 0.
fn place(row: &Row, text: &str, finding: &Finding) -> Result<Option<usize>> {
    let (file, line) = row.line(text)?;
    let file = format!("/{}/{file}", row.program);
    Ok(finding.culprits.iter().position(|it| it.file.ends_with(&file) && it.line == line))
}

fn is_near(said: f64, truth: f64) -> bool {
    (said - truth).abs() <= RATE_WITHIN * truth
}

fn unit_of(kind: &str) -> String {
    match kind {
        "heap" | "native" => "bytes".to_owned(),
        "child" => "children".to_owned(),
        _ => format!("{kind}s"),
    }
}

/// The kinds of which a process is accused, with their lines, in words.
pub fn accused(diagnosis: &Diagnosis) -> String {
    let one = |finding: &Finding| {
        let of = finding.consequence_of.as_ref().map(|of| format!(" (of {of})")).unwrap_or_default();
        format!("{}{of} at {:.2}: {}", finding.kind, finding.confidence, said(finding))
    };
    diagnosis.findings.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The first culprits, in words.
fn said(finding: &Finding) -> String {
    let line = |culprit: &crate::answer::Culprit| {
        let file = culprit.file.rsplit('/').next().unwrap_or_default();
        format!("{} {file}:{}", culprit.function, culprit.line)
    };
    let lines: Vec<String> = finding.culprits.iter().take(FIRST).map(line).collect();
    if lines.is_empty() { "no line".to_owned() } else { lines.join(", ") }
}

#[derive(Default)]
struct Objections(Vec<Objection>);

impl Objections {
    fn note(&mut self, about: About, sentence: String) {
        self.0.push(Objection { about, sentence });
    }

    fn want(&mut self, is_right: bool, sentence: impl FnOnce() -> String) {
        if !is_right {
            self.note(About::Detail, sentence());
        }
    }
}

#[cfg(test)]
mod tests;
