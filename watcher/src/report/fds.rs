//! The open descriptors of one process by who opened them: what `watcher fds` prints.

mod export;
mod groups;
mod opened;

pub use export::{json, profile, svg};
pub use groups::Grouping;
pub use opened::{Example, FdKind, Fds, Site};

use self::opened::{INDENT, NOUNS};
use super::ledger::{Creator, age, caveats, indented, say, tail, watched};
use super::list::{plain_table, without_trailing_blanks};
use super::threads::who;
use crate::explain::words::{count, duration};
use comfy_table::CellAlignment;
use std::cmp::Reverse;
use std::fmt::Write;

/// Widest peer of the table: an IPv6 address with its port fits.
const PEER_COLUMNS: usize = 47;

/// For people: how it was watched, then at most `shown` groups, those with most open first.
pub fn text(fds: &Fds, grouping: Grouping, shown: usize) -> String {
    let mut text = format!("{}\n\n", who(&fds.process));
    _ = match fds.total() {
        0 => writeln!(text, "No descriptor is open."),
        1 => writeln!(text, "1 descriptor is open."),
        total => writeln!(text, "{} are open.", NOUNS.counted(total)),
    };
    say(&mut text, &watched(&fds.watch, &NOUNS));
    let (groups, hidden, in_them) = match grouping {
        Grouping::None => table(&mut text, fds, shown),
        Grouping::Stack { whole } => groups::by_stack(&mut text, fds, whole, shown),
        Grouping::Type => groups::by_kind(&mut text, fds, FdKind::title, shown),
        Grouping::Peer => {
            let peer = |kind: &FdKind| kind.peer.clone().unwrap_or_else(|| "no peer".to_owned());
            groups::by_kind(&mut text, fds, peer, shown)
        }
    };
    if hidden > 0 {
        let one_or_many = if hidden == 1 { "group" } else { "groups" };
        _ = writeln!(
            text,
            "\nnot shown: {} smaller {one_or_many} with {} (-n {groups} shows all)",
            count(hidden as f64),
            NOUNS.counted(in_them)
        );
    }
    all_closed(&mut text, fds);
    let caveats = caveats(&fds.watch, &NOUNS);
    if !caveats.is_empty() {
        text.push('\n');
    }
    for sentence in caveats {
        say(&mut text, &sentence);
    }
    text
}

/// What was opened and has all been closed again: siblings of what stays.
fn all_closed(text: &mut String, fds: &Fds) {
    let closed = || fds.sites.iter().filter(|site| site.outstanding == 0 && site.created > 0);
    let (stacks, opened) = (closed().count(), closed().map(|site| site.created).sum::<u64>());
    if stacks == 0 {
        return;
    }
    let longest = closed().filter_map(|site| site.longest_ended).max();
    let longest = longest.map(|longest| match longest.as_secs_f64() {
        longest if longest < 1.0 => ", each within a second".to_owned(),
        longest => format!(", each within {}", duration(longest)),
    });
    let stacks = if stacks == 1 {
        "1 other stack opened".to_owned()
    } else {
        format!("{} other stacks opened", count(stacks as f64))
    };
    text.push('\n');
    say(
        text,
        &format!("{stacks} {} and closed all of them{}.", NOUNS.counted(opened), longest.unwrap_or_default()),
    );
}

/// A row for each type, state, peer and opener, with the opener beneath it.
fn table(text: &mut String, fds: &Fds, shown: usize) -> (usize, usize, u64) {
    let kinds = |site: &'_ Site| site.kinds.len();
    let mut rows: Vec<(&Site, &FdKind, u64)> = Vec::with_capacity(fds.sites.iter().map(kinds).sum());
    for site in &fds.sites {
        rows.extend(site.kinds.iter().map(|(kind, number)| (site, kind, *number)));
    }
    rows.sort_by_key(|(_, kind, number)| (Reverse(*number), *kind));
    if rows.is_empty() {
        return (0, 0, 0);
    }
    let mut table = plain_table();
    table.set_header(["OPEN", "TYPE", "STATE", "PEER", "OLDEST"]);
    for (site, kind, number) in rows.iter().take(shown) {
        table.add_row([
            format!("{:>7}", count(*number as f64)),
            kind.title(),
            kind.state.unwrap_or("-").to_owned(),
            kind.peer.as_deref().map_or("-".to_owned(), |peer| tail(peer, PEER_COLUMNS)),
            age(&site.creator, site.oldest, &fds.watch),
        ]);
    }
    for right_aligned in [0, 4] {
        if let Some(column) = table.column_mut(right_aligned) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = without_trailing_blanks(&table);
    let mut lines = lines.lines();
    _ = writeln!(text, "\n{}", lines.next().unwrap_or_default());
    for (line, (site, kind, _)) in lines.zip(&rows) {
        _ = writeln!(text, "{line}");
        // Below the table stands how many these are.
        if site.creator != Creator::Before {
            indented(text, INDENT, &fds.line(site));
        }
        if let Some(examples) = examples(site, kind) {
            indented(text, INDENT, &examples);
        }
    }
    let hidden = rows.get(shown..).unwrap_or_default();
    (rows.len(), hidden.len(), hidden.iter().map(|(_, _, number)| number).sum())
}

/// "number 3 /dev/null, 5 /etc/hosts, …": what some of a row refer to; `None` where nothing is known of them.
fn examples(site: &Site, kind: &FdKind) -> Option<String> {
    let of_kind = || site.examples.iter().filter(|example| example.kind == *kind);
    of_kind().find(|example| example.what.is_some())?;
    let named = of_kind().map(|example| match &example.what {
        Some(what) => format!("{} {what}", example.fd),
        None => example.fd.to_string(),
    });
    let named: Vec<String> = named.collect();
    let all = site.kinds.iter().find(|(it, _)| it == kind).map_or(0, |(_, number)| *number);
    let more = if all > named.len() as u64 { ", …" } else { "" };
    Some(format!("number {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests;
