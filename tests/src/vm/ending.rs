//! How a virtual machine ended, told from what it printed.

use std::fmt;
use std::time::Duration;

/// What came of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What the runner of the cases printed.
    pub printed: String,
    /// How many cases passed, failed and were left out; `None` where the runner did not come to its end.
    pub counts: Option<Counts>,
    /// Why the machine did not come to its end, with the last words of its kernel.
    pub trouble: Option<String>,
    /// Warnings of the kernel that are no part of a normal boot.
    pub complaints: Vec<String>,
}

impl Ending {
    /// All cases ran, and none failed.
    pub fn is_well(&self) -> bool {
        self.trouble.is_none() && self.counts.is_some_and(|counts| counts.failed == 0 && counts.passed > 0)
    }
}

/// Cases by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that ran to a good end.
    pub passed: u64,
    /// Those that did not.
    pub failed: u64,
    /// Those that did not run.
    pub left_out: u64,
}

impl Counts {
    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            left_out: self.left_out + other.left_out,
        }
    }

    /// From a line such as `test result: ok. 13 passed; 0 failed; 0 ignored; 0 measured; …`.
    fn parse(line: &str) -> Option<Counts> {
        let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |word: &str| {
            let part = numbers.split("; ").find_map(|part| part.strip_suffix(word))?;
            part.trim().parse().ok()
        };
        Some(Counts { passed: number("passed")?, failed: number("failed")?, left_out: number("ignored")? })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} left out", self.passed, self.failed, self.left_out)
    }
}

/// How many of the kernel's last lines are shown where it did not come to its end.
const LAST_WORDS: usize = 25;
/// With these the kernel begins to tell of something that must not happen.
const COMPLAINTS: [&str; 4] = ["WARNING:", "BUG:", "Oops:", "INFO: task"];

/// From what the cases printed, what the kernel printed, what the emulator said, and the time after which the machine
/// was stopped, if it was.
pub fn of(cases: &str, console: &str, emulator: &str, stopped_after: Option<Duration>) -> Ending {
    let (printed, status) = match cases.trim_end().rsplit_once('\n') {
        Some((printed, last)) if last.starts_with("exit status ") => (printed, Some(last)),
        _ => (cases, None),
    };
    let counts = status.and_then(|_| printed.lines().rev().find_map(Counts::parse));
    let panic = console.lines().find(|line| line.contains("Kernel panic"));
    let trouble = match (status, panic, stopped_after) {
        (_, Some(panic), _) => Some(format!("The kernel gave up: {}", without_time(panic))),
        (_, _, Some(longest)) if cases.is_empty() => {
            Some(format!("It was stopped after {} s without having reached the cases.", longest.as_secs()))
        }
        (_, _, Some(longest)) => Some(format!(
            "It was stopped after {} s: the case that was running, or the one before it, hangs.",
            longest.as_secs()
        )),
        (None, _, _) if console.trim().is_empty() => {
            Some("The emulator ended before the kernel said a word.".to_owned())
        }
        (None, _, _) => Some("It was switched off before the cases came to their end.".to_owned()),
        (Some(status), _, _) if counts.is_none() => {
            Some(format!("The runner of the cases ended with {status} and without a summary."))
        }
        _ => None,
    };
    let trouble = trouble.map(|sentence| {
        let lines: Vec<&str> = console.lines().chain(emulator.lines()).collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        if last.is_empty() {
            sentence
        } else {
            format!("{sentence} Last on its console:\n  {}", last.join("\n  "))
        }
    });
    let complaints = console.lines().map(without_time);
    let complaints = complaints.filter(|line| COMPLAINTS.iter().any(|word| line.starts_with(word)));
    Ending {
        printed: printed.to_owned(),
        counts,
        trouble,
        complaints: complaints.map(str::to_owned).collect(),
    }
}

/// A line of the kernel's without `[   12.345678] `.
fn without_time(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::{Counts, of};
    use std::time::Duration;

    const WELL: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\n\
        test result: FAILED. 1 passed; 1 failed; 3 ignored; 0 measured; 7 filtered out; finished in 1.50s\n\n\
        exit status 1\n";

    #[test]
    fn a_machine_that_ends_by_itself_is_counted() {
        let ending = of(WELL, "[    1.0] WARNING: CPU: 0 PID: 1 at fs/file.c:12\n", "", None);
        assert_eq!(ending.counts, Some(Counts { passed: 1, failed: 1, left_out: 3 }));
        assert_eq!(ending.trouble, None);
        assert!(!ending.is_well());
        assert_eq!(ending.complaints, ["WARNING: CPU: 0 PID: 1 at fs/file.c:12"]);
        assert!(!ending.printed.contains("exit status"));
        assert!(of(&WELL.replace("1 failed", "0 failed"), "", "", None).is_well());
        assert!(!of(&WELL.replace("1 passed; 1", "0 passed; 0"), "", "", None).is_well());
    }

    #[test]
    fn every_way_not_to_end_has_its_sentence() {
        let longest = Some(Duration::from_secs(60));
        let cut = WELL.split("exit").next().unwrap();
        for (cases, console, stopped, expected) in [
            (
                cut,
                "[    2.5] Kernel panic - not syncing: x\n",
                None,
                "The kernel gave up: Kernel panic - not syncing: x",
            ),
            (
                "",
                "[    1.0] booting\n",
                longest,
                "It was stopped after 60 s without having reached the cases.",
            ),
            (cut, "reached the cases\n", longest, "It was stopped after 60 s: the case that was running"),
            ("", "", None, "The emulator ended before the kernel said a word."),
            (cut, "reached the cases\n", None, "It was switched off before the cases came to their end."),
            ("Killed\nexit status 137\n", "x\n", None, "The runner of the cases ended with exit status 137"),
        ] {
            let ending = of(cases, console, "qemu: said this", stopped);
            let trouble = ending.trouble.clone().unwrap();
            assert!(trouble.starts_with(expected), "{trouble}");
            assert!(trouble.ends_with("\n  qemu: said this"), "{trouble}");
            assert!(!ending.is_well());
            assert_eq!(ending.counts, None);
        }
    }
}
