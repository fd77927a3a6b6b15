//! What the views of ledgers share: who created something, how that was watched, and what is not known.

use super::pprof::{Builder, Function, Label, LabelValue};
use crate::explain::words::{count, duration};
use crate::explain::{Accounts, Frame, Route};
use crate::vocabulary::owner::{self, Owner, owner};
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// No line of the text is longer.
pub(super) const COLUMNS: usize = 100;

/// How a ledger was kept.
#[derive(Clone, Debug)]
pub struct Watch {
    /// For how long.
    pub watched: Duration,
    /// How creations and ends were seen; `None` where they could not be watched.
    pub route: Option<Route>,
    /// What they come to.
    pub accounts: Accounts,
    /// What makes this less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// Who created something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creator {
    /// It was seen.
    Seen {
        /// Its stack, innermost frame first.
        stack: Arc<[Frame]>,
        /// Who started its goroutine, nearest first.
        started_by: Vec<Arc<[Frame]>>,
    },
    /// It was seen, and there is no stack.
    NoStack,
    /// It was not seen, though it came while it was watched.
    Missed,
    /// It came before.
    Before,
    /// It came before, or was missed: which of both is not known of each.
    BeforeOrMissed,
}

impl Creator {
    /// The line to edit. Where all that is known is Go's library, where it was entered: the system call that it ends
    /// in is the same for everybody.
    pub fn culprit(&self, main_module: Option<&str>) -> Option<&Frame> {
        let line = owner::line(self.frames(), |frame| &frame.function, main_module)?;
        let is_of_library = |frame: &&Frame| owner(&frame.function, main_module) == Owner::Standard;
        if is_of_library(&line) { self.frames().filter(is_of_library).last() } else { Some(line) }
    }

    /// Its frames and those of its goroutine's creators, innermost first.
    fn frames(&self) -> impl Iterator<Item = &Frame> {
        let (stack, started_by): (&[Frame], &[Arc<[Frame]>]) = match self {
            Creator::Seen { stack, started_by } => (stack, started_by),
            _ => (&[], &[]),
        };
        stack.iter().chain(started_by.iter().flat_map(|stack| stack.iter()))
    }

    /// In JSON, one word.
    fn word(&self) -> &'static str {
        match self {
            Creator::Seen { .. } => "seen",
            Creator::NoStack => "no_stack",
            Creator::Missed => "missed",
            Creator::Before => "before",
            Creator::BeforeOrMissed => "before_or_missed",
        }
    }

    pub(super) fn stack(&self) -> &[Frame] {
        match self {
            Creator::Seen { stack, .. } => stack,
            _ => &[],
        }
    }

    pub(super) fn started_by(&self) -> &[Arc<[Frame]>] {
        match self {
            Creator::Seen { started_by, .. } => started_by,
            _ => &[],
        }
    }

    /// The locations of its stack in a profile, the creators of its goroutine as its callers. A place of its own
    /// stands for a stack that is not known, so that the values of a profile add up to all there is.
    pub(super) fn locations(&self, builder: &mut Builder, nouns: &Nouns) -> Vec<u32> {
        let mut frames: Vec<(Function, u32)> = self.frames().map(function).collect();
        if frames.is_empty() {
            let name = format!("[{}]", self.unknown(nouns));
            frames.push((Function { name, ..Function::default() }, 0));
        }
        frames.into_iter().map(|frame| builder.location(0, [frame])).collect()
    }

    /// Why its stack is not known, in a few words.
    pub(super) fn unknown(&self, nouns: &Nouns) -> String {
        let created = nouns.created;
        match self {
            Creator::Seen { .. } | Creator::NoStack => format!("{created} by a stack that was not kept"),
            Creator::Missed => format!("{created} unseen while watched"),
            Creator::Before => format!("{created} before watching began"),
            Creator::BeforeOrMissed => format!("{created} before watching began, or unseen"),
        }
    }

    /// The line to edit as text, or why it is not known.
    pub(super) fn line(&self, main_module: Option<&str>, nouns: &Nouns) -> String {
        self.culprit(main_module).map_or_else(|| self.unknown(nouns), place)
    }
}

fn function(frame: &Frame) -> (Function, u32) {
    let named = Function { name: frame.function.to_string(), file: frame.file.to_string(), start_line: None };
    (named, frame.line)
}

/// `main.poll  /src/main.go:42`.
pub(super) fn place(frame: &Frame) -> String {
    match (&*frame.file, frame.line) {
        ("", _) => frame.function.to_string(),
        (file, 0) => format!("{}  {file}", frame.function),
        (file, line) => format!("{}  {file}:{line}", frame.function),
    }
}

/// What the things of a ledger are called.
#[derive(Debug)]
pub(super) struct Nouns {
    /// `descriptor`, `descriptors`
    pub one: &'static str,
    pub many: &'static str,
    /// `opened`, `closed`
    pub created: &'static str,
    pub ended: &'static str,
    /// By which ways they come and go that are no system call of their own.
    pub other_ways: &'static str,
}

impl Nouns {
    /// `no descriptor`, `1 descriptor`, `2 descriptors`.
    pub fn counted(&self, number: u64) -> String {
        match number {
            0 => format!("no {}", self.one),
            1 => format!("1 {}", self.one),
            _ => format!("{} {}", count(number as f64), self.many),
        }
    }
}

/// For how long and how it was watched, and what came of it: one sentence.
pub(super) fn watched(watch: &Watch, nouns: &Nouns) -> String {
    let accounts = &watch.accounts;
    let Some(route) = watch.route else {
        return format!("By whom they were {} could not be watched.", nouns.created);
    };
    format!(
        "Watched for {}, {}: {} {}, {} {}.",
        duration(watch.watched.as_secs_f64()),
        match route {
            Route::Exact => "exactly",
            Route::Allocations => "by the kernel's allocations of open files",
            Route::SystemCalls => "by its system calls",
            Route::Runtime => "by probes in its runtime",
        },
        count(accounts.created as f64),
        nouns.created,
        count(accounts.ended as f64),
        nouns.ended,
    )
}

/// What is not known, a sentence each.
pub(super) fn caveats(watch: &Watch, nouns: &Nouns) -> Vec<String> {
    let Nouns { created, other_ways, many, .. } = nouns;
    let accounts = &watch.accounts;
    let counted = |number| nouns.counted(number);
    let mut sentences = Vec::new();
    let mut say = |number: u64, sentence: String| {
        if number > 0 {
            sentences.push(sentence);
        }
    };
    let were = |number: u64| if number == 1 { "was" } else { "were" };
    say(
        accounts.before,
        format!(
            "{} {} {created} before watching began: by whom was not seen.",
            counted(accounts.before),
            were(accounts.before)
        ),
    );
    say(
        accounts.missed,
        format!(
            "By whom {} that came since {} {created} is not known: {other_ways}.",
            counted(accounts.missed),
            were(accounts.missed)
        ),
    );
    say(accounts.without_stack, format!("Of {} no stack was kept.", counted(accounts.without_stack)));
    say(
        accounts.copies,
        format!(
            "{} {} a file with another one, as copies do: they are listed with whoever opened the file.",
            counted(accounts.copies),
            if accounts.copies == 1 { "shares" } else { "share" }
        ),
    );
    say(
        accounts.corrected,
        format!(
            "{} {} believed to be there still and found to be gone: the numbers are corrected.",
            counted(accounts.corrected),
            were(accounts.corrected)
        ),
    );
    say(
        accounts.lost,
        format!(
            "{} events were lost, as there was no more room for them: too few {many} are shown by line.",
            count(accounts.lost as f64)
        ),
    );
    say(
        u64::from(accounts.one_in.saturating_sub(1)),
        format!(
            "There are so many that only one in {} was looked at: numbers by line are estimates.",
            accounts.one_in
        ),
    );
    sentences.extend(watch.remarks.iter().cloned());
    sentences
}

/// Adds a sentence, broken into lines.
pub(super) fn say(text: &mut String, sentence: &str) {
    for line in textwrap::wrap(sentence, textwrap::Options::new(COLUMNS).subsequent_indent("  ")) {
        _ = writeln!(text, "{line}");
    }
}

/// Adds a line that begins in column `indent` and ends before [`COLUMNS`]: a place that is too long has its file on
/// the next line, and what is still too long loses its beginning, which tells least.
pub(super) fn indented(text: &mut String, indent: usize, line: &str) {
    let room = COLUMNS - indent;
    match line.split_once("  ") {
        Some((function, file)) if line.chars().count() > room => {
            _ = writeln!(text, "{:indent$}{}", "", tail(function, room));
            _ = writeln!(text, "{:indent$}  {}", "", tail(file, room - 2));
        }
        _ => _ = writeln!(text, "{:indent$}{}", "", tail(line, room)),
    }
}

/// The end of a text, in at most `room` letters.
pub(super) fn tail(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    ["…"].into_iter().map(str::to_owned).chain([text.chars().skip(length + 1 - room).collect()]).collect()
}

/// The age of the oldest where it is known, else what is known of it.
pub(super) fn age(creator: &Creator, oldest: Option<Duration>, watch: &Watch) -> String {
    let watched = duration(watch.watched.as_secs_f64());
    match (creator, oldest) {
        (_, Some(oldest)) => duration(oldest.as_secs_f64()),
        (Creator::Before, None) if watch.watched.is_zero() => "-".to_owned(),
        (Creator::Before, None) => format!(">{watched}"),
        (Creator::BeforeOrMissed, None) => "-".to_owned(),
        (_, None) => format!("<{watched}"),
    }
}

/// Adds the frames of a stack, but for the function that all stacks begin with.
pub(super) fn stack(text: &mut String, indent: usize, frames: &[Frame]) {
    for frame in frames.iter().filter(|frame| &*frame.function != "runtime.goexit") {
        indented(text, indent, &place(frame));
    }
}

/// Adds the stack that created something, and those of its goroutine's creators.
pub(super) fn stacks(text: &mut String, indent: usize, creator: &Creator, heading: &str) {
    if creator.stack().is_empty() {
        return;
    }
    indented(text, indent, heading);
    stack(text, indent + 2, creator.stack());
    for starter in creator.started_by().iter().filter(|starter| !starter.is_empty()) {
        indented(text, indent, "in a goroutine started at");
        stack(text, indent + 2, starter);
    }
}

pub(super) fn label(key: &str, value: &str) -> Label {
    Label { key: key.to_owned(), value: LabelValue::Text(value.to_owned()) }
}

/// A frame in JSON.
#[derive(Serialize)]
pub(super) struct FrameObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
}

impl<'a> FrameObject<'a> {
    pub fn of(frame: &'a Frame) -> Self {
        FrameObject { function: &frame.function, file: &frame.file, line: frame.line }
    }

    pub fn all(stack: &'a [Frame]) -> Vec<Self> {
        stack.iter().map(FrameObject::of).collect()
    }
}

/// Who created something, in JSON.
#[derive(Serialize)]
pub(super) struct CreatorObject<'a> {
    /// `seen`, `no_stack`, `missed`, `before` or `before_or_missed`.
    creator: &'static str,
    culprit: Option<FrameObject<'a>>,
    stack: Vec<FrameObject<'a>>,
    started_by: Vec<Vec<FrameObject<'a>>>,
}

impl<'a> CreatorObject<'a> {
    pub fn of(creator: &'a Creator, main_module: Option<&str>) -> Self {
        CreatorObject {
            creator: creator.word(),
            culprit: creator.culprit(main_module).map(FrameObject::of),
            stack: FrameObject::all(creator.stack()),
            started_by: creator.started_by().iter().map(|stack| FrameObject::all(stack)).collect(),
        }
    }
}

/// How it was watched and what is not known, in JSON.
#[derive(Serialize)]
pub(super) struct AccountsObject<'a> {
    watched_seconds: f64,
    /// `exact`, `allocations`, `system_calls` or `runtime`; null where it could not be watched.
    route: Option<&'static str>,
    outstanding: u64,
    created: u64,
    ended: u64,
    before: u64,
    missed: u64,
    without_stack: u64,
    copies: u64,
    corrected: u64,
    lost_events: u64,
    sampled_one_in: u32,
    remarks: &'a [String],
}

impl<'a> AccountsObject<'a> {
    pub fn of(watch: &'a Watch) -> Self {
        let accounts = &watch.accounts;
        AccountsObject {
            watched_seconds: watch.watched.as_secs_f64(),
            route: watch.route.map(route_word),
            outstanding: accounts.outstanding,
            created: accounts.created,
            ended: accounts.ended,
            before: accounts.before,
            missed: accounts.missed,
            without_stack: accounts.without_stack,
            copies: accounts.copies,
            corrected: accounts.corrected,
            lost_events: accounts.lost,
            sampled_one_in: accounts.one_in.max(1),
            remarks: &watch.remarks,
        }
    }
}

/// In JSON, one word.
fn route_word(route: Route) -> &'static str {
    match route {
        Route::Exact => "exact",
        Route::Allocations => "allocations",
        Route::SystemCalls => "system_calls",
        Route::Runtime => "runtime",
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Creator, indented, tail};
    use crate::explain::Frame;
    use expect_test::expect;

    #[test]
    fn long_lines_keep_their_end() {
        let mut text = "Opened by:\n".to_owned();
        let module = "example.com/".to_owned() + &"deep/".repeat(12);
        for line in [
            "main.poll  /src/main.go:42".to_owned(),
            format!("{module}shop.(*Cart).Add  /src/cart.go:7"),
            format!("{module}shop.(*Cart).Add  /build/{module}{module}shop/cart.go:7"),
        ] {
            indented(&mut text, 4, &line);
        }
        expect![[r#"
            Opened by:
                main.poll  /src/main.go:42
                example.com/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/shop.(*Cart).Add
                  /src/cart.go:7
                example.com/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/shop.(*Cart).Add
                  …p/deep/example.com/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/shop/cart.go:7
        "#]]
        .assert_eq(&text);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!((tail("größe", 5).as_str(), tail("größer", 5).as_str()), ("größe", "…ößer"));
    }

    #[test]
    fn the_line_to_edit_is_where_the_library_was_left() {
        let frames = |names: &[&str]| names.iter().map(|name| Frame::new(name, "f.go", 1)).collect();
        let dialled = Creator::Seen {
            stack: frames(&["syscall.Connect", "net.(*netFD).connect", "net/http.(*Transport).dialConn"]),
            started_by: vec![frames(&["net/http.(*Transport).queueForDial", "main.poll", "main.main"])],
        };
        assert_eq!(dialled.culprit(None).map(|frame| &*frame.function), Some("main.poll"));
        assert_eq!(Creator::Before.culprit(None), None);
        let Creator::Seen { stack, .. } = dialled else { panic!("it was seen") };
        let unknown = Creator::Seen { stack, started_by: Vec::new() };
        assert_eq!(
            unknown.culprit(None).map(|frame| &*frame.function),
            Some("net/http.(*Transport).dialConn")
        );
    }
}
