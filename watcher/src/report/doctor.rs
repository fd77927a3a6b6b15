//! The table of `watcher doctor`.

use super::list::{plain_table, without_trailing_blanks};
use crate::explain::words::counted;
use crate::health::{Check, CheckState, all_essential_work};
use comfy_table::{ColumnConstraint, ContentArrangement};

/// Lines are no longer than this.
const COLUMNS: u16 = 100;

/// A row for each check and a sentence that sums them up. Escape sequences for colour only where `colour` asks.
pub fn table(checks: &[Check], colour: bool) -> String {
    let mut table = plain_table();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS);
    table.set_header(["STATE", "WHAT", "WHY NOT", "LOST WITHOUT IT", "WHAT WOULD BRING IT"]);
    if let Some(state) = table.column_mut(0) {
        state.set_constraint(ColumnConstraint::ContentWidth);
    }
    for check in checks {
        let works = check.state == CheckState::Works;
        let only_if_missing = |text: &str| if works { String::new() } else { text.to_owned() };
        table.add_row([
            check.state.word().to_owned(),
            check.name.clone(),
            check.state.why().unwrap_or_default().to_owned(),
            only_if_missing(&check.lost),
            only_if_missing(&check.needs),
        ]);
    }
    let mut text = without_trailing_blanks(&table);
    if colour {
        text = coloured(&text, checks);
    }
    text.push('\n');
    text.push_str(&textwrap::fill(&summary(checks), usize::from(COLUMNS)));
    text.push('\n');
    text
}

/// Colours the word at the begin of each row. It is done on the finished table, since escape sequences have no
/// width and would push columns aside.
fn coloured(text: &str, checks: &[Check]) -> String {
    let mut checks = checks.iter().peekable();
    let mut coloured = String::new();
    for line in text.lines() {
        let row = checks.next_if(|check| line.starts_with(check.state.word()));
        match row {
            Some(check) => {
                let word = check.state.word();
                let code = match (&check.state, check.essential) {
                    (CheckState::Works, _) => 32,
                    (_, true) => 31,
                    (_, false) => 33,
                };
                coloured.push_str(&format!("\x1b[{code}m{word}\x1b[0m{}", &line[word.len()..]));
            }
            None => coloured.push_str(line),
        }
        coloured.push('\n');
    }
    coloured
}

fn summary(checks: &[Check]) -> String {
    let missing = checks.iter().filter(|check| check.state != CheckState::Works).count();
    if missing == 0 {
        return "Everything works.".to_owned();
    }
    let rows = counted(missing, "row does", "rows do");
    if all_essential_work(checks) {
        format!("Everything that verdicts need works; {rows} not, each with what is lost.")
    } else {
        let essential: Vec<&str> = checks
            .iter()
            .filter(|check| check.essential && check.state != CheckState::Works)
            .map(|check| check.name.as_str())
            .collect();
        format!("Verdicts lack what they need: {}. In all, {rows} not work.", essential.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::health::{Check, CheckState};
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
            STATE   WHAT                  WHY NOT                      LOST WITHOUT IT     WHAT WOULD BRING IT
            works   executables and
                    descriptors of all
                    processes
            absent  descriptor counts in  This kernel does not tell    Speed: descriptors  Linux 6.2 or newer.
                    one call              it.                          are counted by
                                                                       listing them.

            Everything that verdicts need works; 1 row does not, each with what is lost.
        "#]]
        .assert_eq(&table(&checks(true), false));
    }

    #[test]
    fn what_verdicts_need_is_named_when_it_is_missing() {
        expect![[r#"
            STATE    WHAT                   WHY NOT                LOST WITHOUT IT        WHAT WOULD BRING IT
            refused  executables and        28 of 31 processes     Whether those          Root, or
                     descriptors of all     may not be read.       processes are Go       CAP_SYS_PTRACE.
                     processes                                     stays unknown.
            absent   descriptor counts in   This kernel does not   Speed: descriptors     Linux 6.2 or newer.
                     one call               tell it.               are counted by
                                                                   listing them.

            Verdicts lack what they need: executables and descriptors of all processes. In all, 2 rows do not
            work.
        "#]].assert_eq(&table(&checks(false), false));
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
