//! The texts that Go itself writes for `/debug/pprof/goroutine?debug=1` and `debug=2`, letter by letter, so that
//! whatever reads those reads ours.

use super::{Goroutines, Group, Member};
use crate::report::stack::Frame;
use std::collections::HashMap;
use std::fmt::Write;

/// As `printCountProfile` in `runtime/pprof/pprof.go` writes it: a count and a stack for each group.
///
/// A goroutine whose stack could not be read appears with the function that it began with.
pub fn debug1(goroutines: &Goroutines) -> String {
    let mut counts: HashMap<String, (u64, Vec<Frame>)> = HashMap::new();
    for group in goroutines.own() {
        let stack = group.known_stack();
        let (count, _) = counts.entry(key(&stack, &group.labels)).or_insert((0, stack));
        *count += group.count();
    }
    let mut counts: Vec<(String, (u64, Vec<Frame>))> = counts.into_iter().collect();
    counts.sort_by(|(key, (count, _)), (other, (more, _))| more.cmp(count).then_with(|| key.cmp(other)));
    let mut text = format!("goroutine profile: total {}\n", goroutines.total());
    for (key, (count, stack)) in counts {
        _ = writeln!(text, "{count} {key}");
        text.push_str(&record(&stack));
        text.push('\n');
    }
    text
}

fn key(stack: &[Frame], labels: &[(String, String)]) -> String {
    let mut key = "@".to_owned();
    for frame in stack {
        _ = write!(key, " {:#x}", behind(frame.address));
    }
    if stack.is_empty() {
        key.push_str(" 0x0");
    }
    if !labels.is_empty() {
        let mut labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key:?}:{value:?}")).collect();
        labels.sort();
        _ = write!(key, "\n# labels: {{{}}}", labels.join(", "));
    }
    key
}

/// Go prints what lies behind a call. A program may say that one begins at any address, the last one included.
fn behind(address: u64) -> u64 {
    address.wrapping_add(1)
}

fn record(stack: &[Frame]) -> String {
    let is_shown = |frame: &&Frame| &*frame.function != "runtime.goexit";
    let without_runtime: Vec<&Frame> =
        stack.iter().skip_while(|frame| frame.is_runtime()).filter(is_shown).collect();
    let shown =
        if without_runtime.is_empty() { stack.iter().filter(is_shown).collect() } else { without_runtime };
    let lines: Vec<Vec<String>> = shown
        .into_iter()
        .map(|frame| {
            let address = format!("{:#x}", frame.address);
            if frame.function.is_empty() {
                return vec!["#".to_owned(), address];
            }
            let inside = frame.address.saturating_sub(frame.entry);
            let place = format!("{}:{}", frame.file, frame.line);
            vec!["#".to_owned(), address, format!("{}+{inside:#x}", frame.function), place]
        })
        .collect();
    aligned(&lines)
}

/// Lines of cells with tabs between them, as `text/tabwriter` with eight columns a tab aligns them: a column is as
/// wide as its widest cell in the lines around that have it too. The last cell of a line belongs to no column.
fn aligned(lines: &[Vec<String>]) -> String {
    const TAB: usize = 8;
    let in_column = |line: &Vec<String>, column: usize| column + 1 < line.len();
    let width = |index: usize, column: usize| {
        let before = lines[..index].iter().rev().take_while(|line| in_column(line, column));
        let behind = lines[index..].iter().take_while(|line| in_column(line, column));
        before.chain(behind).map(|line| line[column].chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    let mut widths: Vec<Option<usize>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if widths.len() <= column {
                widths.resize(column + 1, None);
            }
            if !in_column(line, column) {
                widths[column] = None;
                continue;
            }
            let width = *widths[column].get_or_insert_with(|| width(index, column));
            let cell_width = (width + 1).next_multiple_of(TAB);
            let tabs = (cell_width - cell.chars().count()).div_ceil(TAB);
            text.extend(std::iter::repeat_n('\t', tabs));
        }
        for width in widths.iter_mut().skip(line.len()) {
            *width = None;
        }
        text.push('\n');
    }
    text
}

/// As `runtime.Stack` writes it: every goroutine by itself, by its number. Arguments of functions are not read.
pub fn debug2(goroutines: &Goroutines) -> String {
    let mut all: Vec<(&Group, &Member)> =
        goroutines.own().flat_map(|group| group.members.iter().map(move |member| (group, member))).collect();
    all.sort_by_key(|(_, member)| member.id);
    let mut text = String::new();
    for (index, (group, member)) in all.into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        one(&mut text, group, member);
    }
    text
}

fn one(text: &mut String, group: &Group, member: &Member) {
    let doing = group.wait_reason.as_deref().unwrap_or(group.status);
    _ = write!(text, "goroutine {} [{doing}", member.id);
    let minutes = member.waited.map_or(0, |waited| waited.as_secs() / 60);
    if minutes >= 1 {
        _ = write!(text, ", {minutes} minutes");
    }
    if member.is_locked {
        text.push_str(", locked to thread");
    }
    text.push_str("]:\n");
    if let Some(why) = group.stack_state.why().filter(|_| group.stack.is_empty()) {
        _ = writeln!(text, "\t({why})");
    }
    let shown = group.stack.iter().enumerate().filter(|(depth, frame)| is_shown(frame, *depth));
    for (_, frame) in shown {
        let function = if &*frame.function == "runtime.gopanic" { "panic" } else { &frame.function };
        _ = write!(text, "{function}(...)\n\t{}:{}", frame.file, frame.line);
        let behind = behind(frame.place).saturating_sub(frame.entry);
        if !frame.is_inlined {
            _ = write!(text, " +{behind:#x}");
        }
        text.push('\n');
    }
    // The runtime names the function that was compiled, and the line of what was inlined into it.
    if let (Some(function), Some(line)) = (group.created_by.last(), group.created_by.first()) {
        _ = write!(text, "created by {}", function.function);
        if let Some(parent) = member.parent_id.filter(|parent| *parent != 0) {
            _ = write!(text, " in goroutine {parent}");
        }
        let behind = behind(line.place).saturating_sub(line.entry);
        _ = writeln!(text, "\n\t{}:{} +{behind:#x}", line.file, line.line);
    }
}

/// `showfuncinfo` in `runtime/traceback.go`.
fn is_shown(frame: &Frame, depth: usize) -> bool {
    let name = &*frame.function;
    match name.strip_prefix("runtime.") {
        Some("gopanic") => depth > 0,
        Some("runFinalizers" | "runfinq" | "runCleanups") => true,
        Some(function) => function.starts_with(|first: char| first.is_ascii_uppercase()),
        None => name.contains('.'),
    }
}
