//! Runs the cases on this host. `WATCHER_TESTS_REQUIRE=1` makes what the machine lacks a failure.

use libtest_mimic::{Arguments, run};
use std::io::{self, Write};
use std::process::ExitCode;
use tests::case::Fate;

/// Most cases wait for a window to fill, so far more of them run at once than there are cores.
const AT_ONCE: usize = 24;

fn main() -> io::Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let strict = std::env::var_os("WATCHER_TESTS_REQUIRE").is_some_and(|value| value == "1");
    let mut trials = Vec::new();
    for case in tests::cases::all() {
        let fate = case.fate(strict);
        if let Fate::LeftOut(why) = &fate
            && !arguments.list
        {
            writeln!(io::stdout(), "left out: {}: {why}", case.name())?;
        }
        trials.push(case.into_trial(fate));
    }
    Ok(run(&arguments, trials).exit_code())
}
