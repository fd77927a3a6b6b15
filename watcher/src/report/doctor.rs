//! The table of `watcher doctor`.

use crate::explain::words::counted;
use crate::vocabulary::health::{Check, CheckState, all_essential_work};
use textwrap::Options;

/// Lines are no longer than this.
const COLUMNS: usize = 100;
/// Width of the first column: the longest word for a state, and two blanks.
const STATE_COLUMNS: usize = 11;

/// A row for each check, what is missing explained below its row, and a sentence that sums them up. Escape
/// sequences for colour only where `colour` asks.
pub fn table(checks: &[Check], colour: bool) -> String {
    let mut text = format!("{:STATE_COLUMNS$}WHAT\n", "STATE");
    for check in checks {
        let word = check.state.word();
        let padding = " ".repeat(STATE_COLUMNS.saturating_sub(word.len()));
        text.push_str(&format!("{}{padding}{}\n", painted(word, check, colour), check.name));
        let Some(why) = check.state.why() else { continue };
        for (label, sentence) in [("why", why), ("lost", &check.lost), ("needs", &check.needs)] {
            text.push_str(&detail(label, sentence));
        }
    }
    text.push('\n');
    text.push_str(&textwrap::fill(&summary(checks), COLUMNS));
    text.push('\n');
    text
}

fn detail(label: &str, sentence: &str) -> String {
    let indent = " ".repeat(STATE_COLUMNS);
    let first = format!("{indent}{:7}", format!("{label}:"));
    let next = " ".repeat(first.len());
    textwrap::fill(sentence, Options::new(COLUMNS).initial_indent(&first).subsequent_indent(&next)) + "\n"
}

fn painted(word: &str, check: &Check, colour: bool) -> String {
    let code = match (&check.state, check.essential) {
        _ if !colour => return word.to_owned(),
        (CheckState::Works, _) => 32,
        (CheckState::Partly { .. }, _) | (_, false) => 33,
        (_, true) => 31,
    };
    format!("\x1b[{code}m{word}\x1b[0m")
}

fn summary(checks: &[Check]) -> String {
    let works = |check: &&Check| matches!(check.state, CheckState::Works | CheckState::Partly { .. });
    let missing = checks.len() - checks.iter().filter(works).count();
    if checks.iter().all(|check| check.state == CheckState::Works) {
        return "Everything that watcher uses works here.".to_owned();
    }
    let partly = checks.iter().filter(|check| matches!(check.state, CheckState::Partly { .. })).count();
    let also = match partly {
        0 => String::new(),
        _ => format!(", and {} only in part", counted(partly, "row works", "rows work")),
    };
    let rows = counted(missing, "row does", "rows do");
    if all_essential_work(checks) {
        format!(
            "Everything that verdicts need works. {rows} not work{also}: nothing but what they name is lost."
        )
    } else {
        let essential: Vec<&str> = checks
            .iter()
            .filter(|check| check.essential && !works(check))
            .map(|check| check.name.as_str())
            .collect();
        format!("Verdicts lack something they need: {}. In all {rows} not work{also}.", essential.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::vocabulary::health::{Check, CheckState};
    use expect_test::expect;

    fn checks(essential_works: bool) -> Vec<Check> {
        let refused = || CheckState::Refused { why: "28 of 31 processes may not be read.".to_owned() };
        vec![
            Check {
                name: "executables and descriptors of all processes".to_owned(),
                essential: true,
                state: if essential_works { CheckState::Works } else { refused() },
                lost: "Whether those processes are Go stays unknown.".to_owned(),
                needs: "Root, or CAP_SYS_PTRACE.".to_owned(),
            },
            Check {
                name: "descriptor counts in one call".to_owned(),
                essential: false,
                state: CheckState::Absent { why: "This kernel does not tell it.".to_owned() },
                lost: "Speed: descriptors are counted by listing them.".to_owned(),
                needs: "Linux 6.2 or newer.".to_owned(),
            },
        ]
    }

    #[test]
    fn what_is_lost_is_said_only_where_something_is() {
        expect![[r#"
            STATE      WHAT
            works      executables and descriptors of all processes
            absent     descriptor counts in one call
                       why:   This kernel does not tell it.
                       lost:  Speed: descriptors are counted by listing them.
                       needs: Linux 6.2 or newer.

            Everything that verdicts need works. 1 row does not work: nothing but what they name is lost.
        "#]]
        .assert_eq(&table(&checks(true), false));
    }

    #[test]
    fn what_verdicts_need_is_named_when_it_is_missing() {
        expect![[r#"
            STATE      WHAT
            refused    executables and descriptors of all processes
                       why:   28 of 31 processes may not be read.
                       lost:  Whether those processes are Go stays unknown.
                       needs: Root, or CAP_SYS_PTRACE.
            absent     descriptor counts in one call
                       why:   This kernel does not tell it.
                       lost:  Speed: descriptors are counted by listing them.
                       needs: Linux 6.2 or newer.

            Verdicts lack something they need: executables and descriptors of all processes. In all 2 rows do
            not work.
        "#]]
        .assert_eq(&table(&checks(false), false));
    }

    #[test]
    fn colour_is_only_there_when_asked_for_and_moves_nothing() {
        let coloured = table(&checks(false), true);
        assert!(coloured.contains("\x1b[31mrefused\x1b[0m") && coloured.contains("\x1b[33mabsent\x1b[0m"));
        let mut plain = coloured;
        for code in ["\x1b[31m", "\x1b[33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, table(&checks(false), false));
    }
}
