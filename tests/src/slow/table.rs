//! What came of looks, as tables for people.

use super::tally::{Tally, due_after, first_naming};
use super::{Cell, Look, Measured, Told};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// A time as one types it.
pub(super) fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds > 0 && seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

/// One table of leaks and one of innocents for each moment.
pub(super) fn by_look(text: &mut String, cells: &[Cell]) {
    let afters: BTreeSet<Duration> = cells.iter().map(|cell| cell.look.after).collect();
    for after in afters {
        let of = |window: Duration| cells.iter().filter(move |cell| cell.look == Look { after, window });
        let windows: BTreeSet<Duration> =
            cells.iter().filter(|cell| cell.look.after == after).map(|cell| cell.look.window).collect();
        let _ = writeln!(text, "\nafter {} of work", short(after));
        let _ = writeln!(
            text,
            "  {:<26}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>10}{:>9}",
            "leaks", "number", "named", "line", "susp.", "place", "other", "undecided", "HEALTHY"
        );
        for window in &windows {
            leaks(text, &format!("watched for {}", short(*window)), &Tally::of(of(*window)));
            let kinds: BTreeSet<&str> = of(*window).filter_map(|cell| cell.subject.guilt()).collect();
            for kind in kinds {
                let those = of(*window).filter(|cell| cell.subject.guilt() == Some(kind));
                leaks(text, &format!("  {kind}"), &Tally::of(those));
            }
        }
        let _ = writeln!(
            text,
            "  {:<26}{:>7}{:>9}{:>9}{:>7}{:>11}{:>9}",
            "innocents", "number", "ACCUSED", "filling", "susp.", "undecided", "healthy"
        );
        for window in &windows {
            let tally = Tally::of(of(*window));
            let _ = writeln!(
                text,
                "  {:<26}{:>7}{:>9}{:>9}{:>7}{:>11}{:>9}",
                format!("watched for {}", short(*window)),
                tally.innocents,
                tally.accused,
                tally.accused_filling,
                tally.innocents_suspected,
                tally.innocents_undecided,
                tally.acquitted
            );
        }
    }
}

fn leaks(text: &mut String, name: &str, tally: &Tally) {
    let _ = writeln!(
        text,
        "  {name:<26}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>10}{:>9}",
        tally.leaks,
        tally.named,
        tally.with_line,
        tally.suspected,
        tally.with_place,
        tally.other,
        tally.undecided,
        tally.healthy
    );
}

/// A line for each of the nine leaks, a column for each look.
pub(super) fn of_the_nine(text: &mut String, cells: &[Cell]) {
    let nine: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.subject.slow.is_of_the_nine && cell.subject.guilt().is_some())
        .collect();
    if nine.is_empty() {
        return;
    }
    let looks: BTreeSet<Look> = nine.iter().map(|cell| cell.look).collect();
    let names: BTreeSet<String> = nine.iter().map(|cell| cell.subject.name()).collect();
    let _ = write!(text, "\n{:<34}", "The nine");
    for look in &looks {
        let _ = write!(text, "{:>16}", format!("{}, {}", short(look.after), short(look.window)));
    }
    text.push('\n');
    for name in names {
        let _ = write!(text, "  {name:<32}");
        for look in &looks {
            let cell = nine.iter().find(|cell| cell.subject.name() == name && cell.look == *look);
            let _ = write!(text, "{:>16}", cell.map_or("-", |cell| cell.answer.words()));
        }
        text.push('\n');
    }
}

/// What `run` told, and when.
pub(super) fn of_run(text: &mut String, measured: &Measured) {
    let Some(watched) = measured.told.iter().map(|told| told.watched).max() else { return };
    let _ = writeln!(text, "\n`run` for {}", short(watched));
    for told in measured.told.iter().filter(|told| told.subject.guilt().is_some()) {
        let due = due_after(told).map(|due| format!("due after {}", short(due))).unwrap_or_default();
        let _ = writeln!(text, "  {:<34}{:<34}{due}", told.subject.name(), told_words(told));
    }
}

fn told_words(told: &Told) -> String {
    if let Some((at, has_line)) = first_naming(told) {
        let line = if has_line { "with its line" } else { "without its line" };
        return format!("named after {} s, {line}", at.as_secs());
    }
    match told.said.last() {
        Some((at, answer)) => format!("{} since {} s", answer.words(), at.as_secs()),
        None => "nothing".to_owned(),
    }
}
