//! Open descriptors in groups: by stack, type or peer.

use super::opened::{FdKind, Fds, INDENT, Site, oldest};
use crate::explain::words::{count, counted, duration};
use crate::report::ledger::{self, Creator, indented, place, say, tail};
use crate::vocabulary::owner;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of a kind that a group shows before it says how many more there are.
const SHOWN: usize = 8;
/// Creators of creators that are named where stacks are not shown.
const SHOWN_CREATORS: usize = 2;

/// How the text puts descriptors together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// By type, state, peer and opener.
    None,
    /// By the stack that opened them.
    Stack {
        /// Show the stacks.
        whole: bool,
    },
    /// By type.
    Type,
    /// By peer.
    Peer,
}

/// A group for each stack. Gives how many groups there are, how many of them are not shown, and what is in those.
pub(super) fn by_stack(text: &mut String, fds: &Fds, whole: bool, shown: usize) -> (usize, usize, u64) {
    let mut sites: Vec<&Site> = fds.sites.iter().filter(|site| site.outstanding > 0).collect();
    sites.sort_by_key(|site| Reverse(site.outstanding));
    for site in sites.iter().take(shown) {
        text.push('\n');
        head(text, fds, &[site], site.outstanding, "open");
        indented(text, INDENT, &fds.line(site));
        kinds(text, site);
        if whole {
            ledger::stacks(text, INDENT, &site.creator, "opened at");
        } else {
            creators(text, fds, site);
        }
        waiting(text, fds, site, whole);
        if let Some(longest) = site.longest_ended {
            let longest = duration(longest.as_secs_f64());
            indented(text, INDENT, &format!("none of the closed ones was open for longer than {longest}"));
        }
    }
    let hidden = sites.get(shown..).unwrap_or_default();
    (sites.len(), hidden.len(), hidden.iter().map(|site| site.outstanding).sum())
}

/// A group for each `key`, with the lines that opened them. Gives the same.
pub(super) fn by_kind(
    text: &mut String,
    fds: &Fds,
    key: impl Fn(&FdKind) -> String,
    shown: usize,
) -> (usize, usize, u64) {
    let mut groups: BTreeMap<String, Vec<(&Site, &FdKind, u64)>> = BTreeMap::new();
    for site in &fds.sites {
        for (kind, number) in &site.kinds {
            groups.entry(key(kind)).or_default().push((site, kind, *number));
        }
    }
    let total = |members: &[(&Site, &FdKind, u64)]| members.iter().map(|(_, _, number)| number).sum::<u64>();
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| Reverse(total(members)));
    for (name, members) in groups.iter().take(shown) {
        text.push('\n');
        let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, kind, number) in members {
            if let Some(state) = kind.state {
                *by_state.entry(state).or_default() += number;
            }
        }
        head(text, fds, &sites_of(members), total(members), name);
        let mut by_state: Vec<(&str, u64)> = by_state.into_iter().collect();
        by_state.sort_by_key(|(_, number)| Reverse(*number));
        let states: Vec<String> =
            by_state.iter().map(|(state, number)| format!("{} {state}", count(*number as f64))).collect();
        if !states.is_empty() {
            indented(text, INDENT, &states.join(", "));
        }
        openers(text, fds, members);
    }
    // What a stack has opened and closed again may have been of any kind.
    let memberships: usize = groups.iter().map(|(_, members)| sites_of(members).len()).sum();
    if memberships > fds.sites.iter().filter(|site| !site.kinds.is_empty()).count() {
        text.push('\n');
        say(
            text,
            "A stack that opened members of several groups has all that it opened and closed counted in each.",
        );
    }
    let hidden = groups.get(shown..).unwrap_or_default();
    (groups.len(), hidden.len(), hidden.iter().map(|(_, members)| total(members)).sum())
}

/// The sites that the members of a group come from, which are in the order of the sites.
fn sites_of<'a>(members: &[(&'a Site, &FdKind, u64)]) -> Vec<&'a Site> {
    let mut sites: Vec<&Site> = members.iter().map(|(site, _, _)| *site).collect();
    sites.dedup_by(|a, b| std::ptr::eq(*a, *b));
    sites
}

/// `    180  open, oldest 9 s; 398 opened, 218 closed`.
fn head(text: &mut String, fds: &Fds, sites: &[&Site], number: u64, name: &str) {
    let (created, ended) =
        sites.iter().fold((0, 0), |(created, ended), site| (created + site.created, ended + site.ended));
    _ = write!(text, "{:>7}  {}, oldest {}", count(number as f64), tail(name, 50), oldest(fds, sites));
    if created > 0 {
        _ = write!(text, "; {} opened, {} closed", count(created as f64), count(ended as f64));
    }
    text.push('\n');
}

/// The lines that opened the members of a group, those of most first.
fn openers(text: &mut String, fds: &Fds, members: &[(&Site, &FdKind, u64)]) {
    let mut by_line: BTreeMap<(String, bool), u64> = BTreeMap::new();
    for (site, _, number) in members {
        let is_known = !site.creator.stack().is_empty();
        *by_line.entry((fds.line(site), is_known)).or_default() += number;
    }
    let mut by_line: Vec<((String, bool), u64)> = by_line.into_iter().collect();
    by_line.sort_by_key(|(_, number)| Reverse(*number));
    for ((line, is_known), number) in by_line.iter().take(SHOWN) {
        let by = if *is_known { "by " } else { "" };
        match by_line.len() {
            1 => indented(text, INDENT, line),
            _ => indented(text, INDENT, &format!("{} {by}{line}", count(*number as f64))),
        }
    }
    more(text, by_line.len(), "line", "lines");
}

fn kinds(text: &mut String, site: &Site) {
    for (kind, number) in site.kinds.iter().take(SHOWN) {
        let words = kind.words();
        let words = if site.kinds.len() == 1 { words } else { format!("{} {words}", count(*number as f64)) };
        indented(text, INDENT, &words);
    }
    more(text, site.kinds.len(), "kind", "kinds");
}

/// Who started the goroutine, and who that one's.
fn creators(text: &mut String, fds: &Fds, site: &Site) {
    let Creator::Seen { started_by, .. } = &site.creator else { return };
    let culprit = site.creator.culprit(fds.main_module());
    for starter in started_by.iter().take(SHOWN_CREATORS) {
        let line = owner::line(starter.iter(), |frame| &frame.function, fds.main_module());
        match line {
            Some(frame) if Some(frame) == culprit => indented(text, INDENT, "in a goroutine started there"),
            Some(frame) => indented(text, INDENT, &format!("in a goroutine started by {}", place(frame))),
            None => {}
        }
    }
}

fn waiting(text: &mut String, fds: &Fds, site: &Site, whole: bool) {
    for (stack, number) in site.waiting.iter().take(SHOWN) {
        let goroutines = counted(usize::try_from(*number).unwrap_or(usize::MAX), "goroutine", "goroutines");
        let verb = if *number == 1 { "waits" } else { "wait" };
        let at = owner::line(stack.iter(), |frame| &frame.function, fds.main_module());
        let at = at.map(|frame| format!(" in {}", place(frame))).unwrap_or_default();
        indented(text, INDENT, &format!("{goroutines} {verb} on them{at}"));
        if whole {
            ledger::stack(text, INDENT + 2, stack);
        }
    }
    more(text, site.waiting.len(), "place where goroutines wait", "places where goroutines wait");
}

fn more(text: &mut String, number: usize, one: &str, many: &str) {
    let more = number.saturating_sub(SHOWN);
    if more > 0 {
        let what = if more == 1 { one } else { many };
        indented(text, INDENT, &format!("and {} more {what}", count(more as f64)));
    }
}
