//! A diagnosis for people: one screen. What does not fit on it is shortened, and said where to find in full.

use super::fit;
use crate::explain::diagnosis::{Diagnosis, Finding, Process, Suspected, Undecided, Unseen};
use crate::explain::words::{as_flag, bytes, counted, duration, percent};
use crate::explain::{Kind, Level, MemoryBalance, Unit, Verdict};
use std::fmt::Write;

/// How a page is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Escape sequences for colour.
    pub colour: bool,
    /// Lines are no longer than this.
    pub columns: usize,
}

/// For files, pipes and the logs of services.
const PLAIN_COLUMNS: usize = 100;

/// Narrower than this words are broken, wider than this lines are hard to read.
const TERMINAL_COLUMNS: std::ops::RangeInclusive<usize> = 60..=120;

/// So many lines every terminal has.
const SCREEN_LINES: usize = 24;

impl Layout {
    /// For whatever is no terminal.
    pub const PLAIN: Layout = Layout { colour: false, columns: PLAIN_COLUMNS };

    /// For a terminal of so many columns, where that is known.
    pub fn terminal(columns: Option<u16>, colour: bool) -> Layout {
        let (least, most) = (*TERMINAL_COLUMNS.start(), *TERMINAL_COLUMNS.end());
        let columns = columns.map_or(PLAIN_COLUMNS, |columns| usize::from(columns).clamp(least, most));
        Layout { colour, columns }
    }
}

/// Where the text of a labelled paragraph begins.
const INDENT: usize = 13;

/// One screen about one process, ending in a newline.
pub fn diagnosis(diagnosis: &Diagnosis, layout: Layout) -> String {
    let mut pages =
        [Detail::Reasons, Detail::Short].into_iter().map(|detail| page(diagnosis, layout, detail));
    pages
        .find(|page| page.lines().count() < SCREEN_LINES)
        .unwrap_or_else(|| page(diagnosis, layout, Detail::Least))
}

/// One line about one process: verdict, name, pid, and what there is to say.
pub fn one_line(diagnosis: &Diagnosis) -> String {
    let process = &diagnosis.process;
    let what = match diagnosis.verdict {
        Verdict::Healthy if !diagnosis.near_limit() => String::new(),
        _ => format!(": {}", diagnosis.headline),
    };
    let verdict = verdict(diagnosis.verdict, diagnosis.near_limit(), false);
    format!("{verdict:<12}  {} (pid {}){what}", process.name, process.pid)
}

/// Broken into lines that fit. Ends in a newline.
pub fn fitted(text: &str, layout: Layout) -> String {
    let mut page = Page { text: String::new(), columns: layout.columns };
    page.line(text);
    page.text
}

/// How much is said.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    /// With the reason why each thing was not seen.
    Reasons,
    /// What was not seen by name only, and the strongest evidence.
    Short,
    /// Of a leak what whoever was called needs to know: no more than the strongest evidence and the largest parts of
    /// memory, and nothing of what was ruled out.
    Least,
}

fn page(diagnosis: &Diagnosis, layout: Layout, detail: Detail) -> String {
    let mut page = Page { text: String::new(), columns: layout.columns };
    let kind = diagnosis.findings.first().map(|primary| format!(" ({})", kind_word(primary.kind)));
    let near = diagnosis.near_limit().then(|| " (nearly full)".to_owned());
    let verdict = verdict(diagnosis.verdict, diagnosis.near_limit(), layout.colour);
    page.line(&format!("{verdict}{}  {}", kind.or(near).unwrap_or_default(), diagnosis.headline));
    // Of other verdicts it is in the headline.
    if diagnosis.verdict == Verdict::Leak {
        diagnosis.levels.iter().filter(|level| level.is_near).for_each(|level| page.line(&level.sentence));
    }
    page.line(&who(&diagnosis.process));
    page.line(&format!(
        "watched for {}, {}",
        duration(diagnosis.window_seconds),
        counted(diagnosis.samples, "sample", "samples")
    ));
    if let Some(ended) = &diagnosis.ended {
        page.line(&ended.sentence());
    }
    page.blank();
    if let Some((primary, others)) = diagnosis.findings.split_first() {
        if diagnosis.ended.is_none() {
            time_left(&mut page, primary);
        }
        primary_finding(&mut page, primary, detail);
        match detail {
            Detail::Least => others_together(&mut page, others),
            _ => others.iter().for_each(|other| page.paragraph(also(other), &beside(other))),
        }
    }
    // Where a leak fills the screen, what may leak besides stands in the JSON.
    let beside_it = if detail == Detail::Least && !diagnosis.findings.is_empty() { 0 } else { usize::MAX };
    for one in diagnosis.suspected.iter().take(beside_it) {
        page.paragraph("Suspected", &suspected(one, diagnosis.need_seconds));
    }
    page.labelled_once("Level", levels(diagnosis, detail).iter().map(String::as_str));
    page.paragraph("Restarts", diagnosis.story.as_ref().map_or("", |story| &story.text));
    for text in undecided(&diagnosis.undecided) {
        page.paragraph("Undecided", &text);
    }
    let is_least = detail == Detail::Least && diagnosis.verdict == Verdict::Leak;
    if !is_least {
        page.paragraph("Ruled out", &ruled_out(diagnosis));
        let unnoticed = diagnosis.unnoticed.as_deref().filter(|_| diagnosis.findings.is_empty());
        page.paragraph("Unnoticed", unnoticed.unwrap_or_default());
    }
    if let Some(memory) = &diagnosis.memory {
        page.paragraph("Memory", &balance(memory, if is_least { LARGEST_PARTS } else { usize::MAX }));
    }
    if let Some(used) = diagnosis.endpoint.as_ref().and_then(super::endpoints::paragraph) {
        page.paragraph("Endpoint", &used);
    }
    match detail {
        Detail::Least => page.paragraph("Next", &diagnosis.next_steps.join(" ")),
        _ => page.labelled_once("Next", diagnosis.next_steps.iter().map(String::as_str)),
    }
    not_seen(&mut page, &diagnosis.unseen, detail);
    page.text
}

/// Sentences of evidence on a page that would not fit on a screen otherwise; the others stand in the JSON.
const SHORT_EVIDENCE: usize = 2;

/// Parts of memory where not even all of these have room.
const LARGEST_PARTS: usize = 3;

/// What leaks or rises beside the primary finding, a line each.
fn others_together(page: &mut Page, others: &[Finding]) {
    for label in ["Follows", "Also leaks"] {
        let of_label = others.iter().filter(|other| also(other) == label);
        // What follows goes with its cause; what leaks by itself has a line of its own to look at.
        let line_is_needed = label == "Also leaks";
        let sentence =
            |other: &Finding| if line_is_needed { beside(other) } else { format!("{}.", other.headline) };
        let sentences: Vec<String> = of_label.map(sentence).collect();
        page.labelled_once(label, sentences.iter().map(String::as_str));
    }
}

fn time_left(page: &mut Page, finding: &Finding) {
    page.paragraph(
        "Time left",
        finding.time_left.as_deref().unwrap_or("no limit is known that would end it"),
    );
}

fn primary_finding(page: &mut Page, finding: &Finding, detail: Detail) {
    match &finding.culprits[..] {
        [] => page.paragraph("Line", no_line(finding.kind)),
        culprits => {
            let mut of = " of the growth";
            for culprit in culprits.iter().take(3) {
                let frame = &culprit.frame;
                let line = format!("{}:{}", frame.file, frame.line);
                page.paragraph(
                    "Line",
                    &format!("{line}  {}  {}{of}", frame.function, percent(culprit.share)),
                );
                of = "";
            }
        }
    }
    let by = if finding.culprits.is_empty() { ", by the counts alone: no line was seen" } else { "" };
    page.paragraph("Sure", &format!("{}{by}", percent(finding.confidence)));
    let most = match detail {
        Detail::Reasons => usize::MAX,
        Detail::Short => SHORT_EVIDENCE,
        Detail::Least => 1,
    };
    let evidence: Vec<&str> = finding.evidence.iter().take(most).map(String::as_str).collect();
    page.paragraph("How we know", &evidence.join(" "));
}

/// What was not seen, and why where there is room.
fn not_seen(page: &mut Page, unseen: &[Unseen], detail: Detail) {
    let names: Vec<&str> = unseen.iter().map(|one| one.what.as_str()).collect();
    match detail {
        Detail::Short | Detail::Least if names.is_empty() => {}
        Detail::Short | Detail::Least => {
            // A reason that names what would help is worth its line.
            let told: Vec<String> = unseen
                .iter()
                .map(|one| {
                    if one.why.contains('`') {
                        format!("{}: {}", one.what, one.why)
                    } else {
                        one.what.clone()
                    }
                })
                .collect();
            page.paragraph("Not seen", &format!("{} (all reasons: --format json)", told.join("; ")));
        }
        Detail::Reasons => {
            let mut label = "Not seen";
            for one in unseen {
                page.paragraph(label, &format!("{}: {}", one.what, one.why));
                label = "";
            }
        }
    }
}

/// What may leak, where, how that is known, and what would decide it.
fn suspected(one: &Suspected, need_seconds: Option<f64>) -> String {
    let finding = &one.finding;
    let place = finding.culprits.first().map(|it| format!(": {}:{}", it.frame.file, it.frame.line));
    let evidence = finding.evidence.first().filter(|_| !one.says_why);
    let evidence = evidence.map(|known| format!(" {known}")).unwrap_or_default();
    let decides = need_seconds
        .filter(|_| one.need_seconds.is_some())
        .map(|seconds| format!(" Too few for a verdict; `--duration {}` decides.", as_flag(seconds)));
    format!("{}{}.{evidence}{}", finding.headline, place.unwrap_or_default(), decides.unwrap_or_default())
}

/// Limits on a page that would not fit on a screen otherwise.
const FEW_LEVELS: usize = 2;

/// The fullest limit, and all others that are full enough to be warned of. A host's own is every process's.
fn levels(diagnosis: &Diagnosis, detail: Detail) -> Vec<String> {
    let fullest = diagnosis.levels.iter().position(|level| !level.is_of_host);
    let is_shown = |index, level: &Level| {
        Some(index) == fullest || level.is_near || level.is_full() && !level.is_of_host
    };
    let shown = diagnosis.levels.iter().enumerate().filter(|(index, level)| is_shown(*index, level));
    let shown = shown.map(|(_, level)| level);
    match detail {
        Detail::Least => shown.take(FEW_LEVELS).map(|level| format!("{}.", level.phrase)).collect(),
        Detail::Reasons | Detail::Short => shown.map(|level| format!("{}.", level.with_holders())).collect(),
    }
}

/// Why no line is named.
fn no_line(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "no line: the program records no heap profile, or none was read; see below",
        Kind::Goroutine => "no line: the goroutines could not be read one by one; see below",
        _ => "no line: who opened or started them was not recorded; see below",
    }
}

/// The label of a finding beside the primary one.
fn also(finding: &Finding) -> &'static str {
    match finding.consequence_of {
        Some(_) => "Follows",
        None => "Also leaks",
    }
}

/// What a finding beside the primary one says: what grows, and the line to look at first.
fn beside(finding: &Finding) -> String {
    let Some(culprit) = finding.culprits.first() else { return format!("{}.", finding.headline) };
    let frame = &culprit.frame;
    format!("{}: {}:{}  {}", finding.headline, frame.file, frame.line, frame.function)
}

fn who(process: &Process) -> String {
    let mut who = format!("{} (pid {}", process.name, process.pid);
    if let Some(version) = &process.go_version {
        let _ = write!(who, ", {}", fit::name(version));
    }
    if let Some(module) = &process.module {
        let _ = write!(who, ", {}", fit::name(module));
    }
    if let Some(container) = &process.container {
        let _ = write!(who, ", container {}", super::list::short_id(&container.id));
    }
    if let Some(sampled) = process.sampled
        && let Ok(up) = sampled.duration_since(process.started)
    {
        let _ = write!(who, ", up {}", duration(up.as_secs_f64()));
    }
    if process.restarts > 0 {
        let restarts = usize::try_from(process.restarts).unwrap_or(usize::MAX);
        let _ = write!(who, ", {}", counted(restarts, "restart before it", "restarts before it"));
    }
    who.push(')');
    who
}

/// All that was ruled out, a phrase each; what was judged together is said once.
fn ruled_out(diagnosis: &Diagnosis) -> String {
    let mut phrases: Vec<&str> = Vec::new();
    for one in &diagnosis.ruled_out {
        if !phrases.contains(&one.phrase.as_str()) {
            phrases.push(&one.phrase);
        }
    }
    phrases.join("; ")
}

/// A line for each reason: what lacks the same is named together.
fn undecided(all: &[Undecided]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for one in all {
        if told.contains(&one.reason.as_str()) {
            continue;
        }
        told.push(&one.reason);
        let mut alike: Vec<&str> =
            all.iter().filter(|other| other.reason == one.reason).map(|other| other.phrase).collect();
        // Memory inside the Go heap and outside of it have one phrase.
        alike.dedup();
        lines.push(match alike.len() {
            1 => one.why.clone(),
            _ => format!("{}: {}.", alike.join(", "), one.reason),
        });
    }
    lines
}

/// What resident memory consists of: its `most` largest parts.
fn balance(memory: &MemoryBalance, most: usize) -> String {
    let mut text = format!("{} resident", bytes(memory.rss_bytes as f64));
    let mut sizes: Vec<u64> = memory.parts.iter().map(|part| part.bytes).collect();
    sizes.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
    let least = sizes.get(most.saturating_sub(1)).copied().unwrap_or(0).max(1);
    for part in memory.parts.iter().filter(|part| part.bytes >= least) {
        let _ = write!(text, "; {} {}", part.name, bytes(part.bytes as f64));
    }
    if sizes.iter().any(|bytes| (1..least).contains(bytes)) {
        text += "; smaller parts";
    }
    let rest = if memory.is_measured { "not explained" } else { "not looked into" };
    let _ = write!(text, "; {rest} {}", bytes(memory.unexplained_bytes as f64));
    if memory.swapped_bytes > 0 {
        let _ = write!(text, "; swapped out besides {}", bytes(memory.swapped_bytes as f64));
    }
    text
}

/// A kind in the word that the JSON uses too.
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "heap",
        Kind::Goroutine => "goroutine",
        Kind::Fd => "fd",
        Kind::Connection => "connection",
        Kind::Thread => "thread",
        Kind::Native => "native",
        Kind::Mapping => "mapping",
        Kind::Child => "child",
    }
}

/// A unit in the word that the JSON uses too.
pub fn unit_word(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Goroutines => "goroutines",
        Unit::Fds => "fds",
        Unit::Connections => "connections",
        Unit::Threads => "threads",
        Unit::Mappings => "mappings",
        Unit::Children => "children",
    }
}

fn verdict(verdict: Verdict, near_limit: bool, colour: bool) -> String {
    let (word, code) = match verdict {
        Verdict::Leak => ("LEAK", 31),
        Verdict::Healthy if near_limit => ("HEALTHY", 33),
        Verdict::Healthy => ("HEALTHY", 32),
        Verdict::Inconclusive => ("INCONCLUSIVE", 33),
    };
    if colour { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
}

struct Page {
    text: String,
    columns: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        for line in textwrap::wrap(text, textwrap::Options::new(self.columns).subsequent_indent("  ")) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Paragraphs of which only the first has the label.
    fn labelled_once<'a>(&mut self, label: &str, texts: impl Iterator<Item = &'a str>) {
        let mut label = label;
        for text in texts {
            self.paragraph(label, text);
            label = "";
        }
    }

    /// A label and its text beside it; nothing at all where there is no text.
    fn paragraph(&mut self, label: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let first = format!("{label:<INDENT$}");
        let rest = " ".repeat(INDENT);
        let options = textwrap::Options::new(self.columns).initial_indent(&first).subsequent_indent(&rest);
        for line in textwrap::wrap(text, options) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
