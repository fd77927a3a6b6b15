//! The goroutines of one process: what `watcher goroutines` prints.

mod export;
mod go_text;

pub(super) use export::GroupObject;
pub use export::{json, profile, svg};
pub use go_text::{debug1, debug2};

use super::stack::{self, Frame};
use super::threads::Thread;
use crate::explain::words::{bytes, count, counted, duration};
use crate::vocabulary::process::Target;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// All goroutines of a process at about one moment.
#[derive(Clone, Debug)]
pub struct Goroutines {
    /// Whose.
    pub process: Target,
    /// When they were read.
    pub taken: SystemTime,
    /// Goroutines that are alike, the largest group first.
    pub groups: Vec<Group>,
    /// What it took to read them.
    pub effort: Effort,
    /// What makes them less sure, a sentence each.
    pub remarks: Vec<String>,
    /// The OS threads; `None` where they could not be read.
    pub threads: Option<Vec<Thread>>,
    /// What of the executable is mapped where.
    pub mappings: Vec<super::pprof::Mapping>,
}

/// Goroutines with the same stack, state, origin and labels.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they do, in Go's word: `waiting`, `running`, `syscall`.
    pub status: &'static str,
    /// What they wait for, in the words of their runtime.
    pub wait_reason: Option<Arc<str>>,
    /// Where they are, innermost frame first; empty where that could not be read.
    pub stack: Arc<[Frame]>,
    /// What became of their stacks.
    pub stack_state: StackState,
    /// The `go` statement that created them, innermost first where its function was inlined.
    pub created_by: Arc<[Frame]>,
    /// The function that they were started with.
    pub start: Option<Frame>,
    /// pprof's labels.
    pub labels: Arc<Vec<(String, String)>>,
    /// The runtime's own, which Go's profiles leave out.
    pub is_system: bool,
    /// Each of them.
    pub members: Vec<Member>,
}

/// What became of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackState {
    /// Read to its root.
    Complete,
    /// Read in part.
    Incomplete,
    /// In use by a processor: it cannot be read.
    Running,
    /// It changed each time it was read.
    Torn,
    /// Its memory could not be read.
    Unreadable,
}

impl StackState {
    fn word(self) -> &'static str {
        match self {
            StackState::Complete => "complete",
            StackState::Incomplete => "incomplete",
            StackState::Running => "running",
            StackState::Torn => "changing",
            StackState::Unreadable => "unreadable",
        }
    }

    /// Why there is no stack, or not all of it.
    fn why(self) -> Option<&'static str> {
        match self {
            StackState::Complete => None,
            StackState::Incomplete => Some("its stack could be walked only so far"),
            StackState::Running => Some("it ran, and a stack in use cannot be read"),
            StackState::Torn => Some("its stack changed each time it was read"),
            StackState::Unreadable => Some("its stack could not be read"),
        }
    }
}

/// One goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// `goid`.
    pub id: u64,
    /// The goroutine that created it; `None` before Go 1.21.
    pub parent_id: Option<u64>,
    /// Since a garbage collection first found it waiting as it is.
    pub waited: Option<Duration>,
    /// It is locked to an OS thread.
    pub is_locked: bool,
}

/// What reading took, and what it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Time it took.
    pub elapsed: Duration,
    /// Memory of the process that was read.
    pub bytes_read: u64,
    /// Goroutines that were read again as they changed.
    pub retried: u64,
    /// Those of them of which no consistent copy could be had.
    pub given_up: u64,
    /// Goroutines that ran each time.
    pub running: u64,
    /// Goroutines whose memory could not be read.
    pub unreadable: u64,
    /// Stacks that were walked only in part.
    pub incomplete: u64,
    /// Labels that could not be read.
    pub labels_skipped: u64,
}

impl Group {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.members.len() as u64
    }

    /// The stack, or where there is none the one frame that is known of it: the function it began with.
    fn known_stack(&self) -> Vec<Frame> {
        if self.stack.is_empty() { self.start.iter().cloned().collect() } else { self.stack.to_vec() }
    }

    fn longest_wait(&self) -> Option<Duration> {
        self.members.iter().filter_map(|member| member.waited).max()
    }

    /// `waiting: chan receive`.
    fn doing(&self) -> String {
        match &self.wait_reason {
            Some(reason) => format!("{}: {reason}", self.status),
            None => self.status.to_owned(),
        }
    }
}

impl Goroutines {
    /// Those of the program, without the runtime's own: what `runtime.NumGoroutine` counts.
    pub fn total(&self) -> u64 {
        self.own().map(Group::count).sum()
    }

    fn own(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| !group.is_system)
    }

    fn system(&self) -> u64 {
        self.groups.iter().filter(|group| group.is_system).map(Group::count).sum()
    }
}

/// For people: totals, then at most `shown` groups, largest first.
pub fn text(goroutines: &Goroutines, shown: usize) -> String {
    let mut text = format!("{}\n", super::threads::who(&goroutines.process));
    let total = usize::try_from(goroutines.total()).unwrap_or(usize::MAX);
    _ = writeln!(
        text,
        "{}, and {} of the runtime's own",
        counted(total, "goroutine", "goroutines"),
        goroutines.system()
    );
    let mut by_doing: BTreeMap<String, u64> = BTreeMap::new();
    for group in goroutines.own() {
        *by_doing.entry(group.doing()).or_default() += group.count();
    }
    let mut by_doing: Vec<(String, u64)> = by_doing.into_iter().collect();
    by_doing.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (doing, number) in by_doing {
        _ = writeln!(text, "{:>9}  {doing}", count(number as f64));
    }
    let mut groups: Vec<&Group> = goroutines.own().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count()));
    for group in groups.iter().take(shown) {
        text.push('\n');
        group_text(&mut text, group);
    }
    let hidden = groups.len().saturating_sub(shown);
    if hidden > 0 {
        let in_them: u64 = groups.iter().skip(shown).map(|group| group.count()).sum();
        _ = writeln!(
            text,
            "\nnot shown: {} with {} (-n {} shows all)",
            counted(hidden, "smaller group", "smaller groups"),
            counted(usize::try_from(in_them).unwrap_or(usize::MAX), "goroutine", "goroutines"),
            groups.len()
        );
    }
    _ = writeln!(text, "\n{}", effort(&goroutines.effort));
    for remark in &goroutines.remarks {
        _ = writeln!(text, "{remark}");
    }
    text
}

pub(super) fn group_text(text: &mut String, group: &Group) {
    _ = write!(text, "{:>9}  {}", count(group.count() as f64), group.doing());
    if let Some(wait) = group.longest_wait() {
        _ = write!(text, ", longest {}", duration(wait.as_secs_f64()));
    }
    let locked = group.members.iter().filter(|member| member.is_locked).count();
    if locked > 0 {
        _ = write!(text, ", {locked} locked to a thread");
    }
    text.push('\n');
    if !group.labels.is_empty() {
        let labels: Vec<String> = group.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        _ = writeln!(text, "           labels {}", labels.join(" "));
    }
    if let Some(frame) = group.created_by.first() {
        _ = writeln!(text, "           created by {}  {}", frame.name(), frame.position());
    }
    match group.stack_state.why() {
        Some(why) if group.stack.is_empty() => {
            let start = group.start.as_ref();
            let began = start.map(|frame| format!("; it began with {}  {}", frame.name(), frame.position()));
            _ = writeln!(text, "           {why}{}", began.unwrap_or_default());
        }
        why => {
            for frame in stack::essential(&group.stack) {
                _ = writeln!(text, "           {}  {}", frame.name(), frame.position());
            }
            if let Some(why) = why {
                _ = writeln!(text, "           … {why}");
            }
        }
    }
}

fn effort(effort: &Effort) -> String {
    let mut line = format!(
        "Read {} in {} without stopping it.",
        bytes(effort.bytes_read as f64),
        milliseconds(effort.elapsed)
    );
    let losses = [
        (effort.retried, "read again as they changed"),
        (effort.given_up, "given up as they kept changing"),
        (effort.running, "running (no stack)"),
        (effort.unreadable, "unreadable"),
        (effort.incomplete, "not walked to their root"),
        (effort.labels_skipped, "with labels that were not understood"),
    ];
    let losses: Vec<String> = losses
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(number as f64)))
        .collect();
    if !losses.is_empty() {
        _ = write!(line, " Goroutines: {}.", losses.join(", "));
    }
    line
}

fn milliseconds(elapsed: Duration) -> String {
    match elapsed.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1000.0),
        seconds => duration(seconds),
    }
}

#[cfg(test)]
mod tests;
