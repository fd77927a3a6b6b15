//! Runs cases and prints what came of each, on this host and inside the virtual machines alike.

use crate::case::{Case, Fate};
use libtest_mimic::{Arguments, Conclusion};
use std::io::{self, Write};

/// Runs those of `cases` that `arguments` ask for. `WATCHER_TESTS_REQUIRE=1` makes what the machine lacks a failure.
pub fn run(cases: Vec<Case>, arguments: &Arguments) -> io::Result<Conclusion> {
    let strict = is_strict();
    let mut trials = Vec::new();
    for case in cases {
        let fate = case.fate(strict);
        if let Fate::LeftOut(why) = &fate
            && !arguments.list
        {
            writeln!(io::stdout(), "left out: {}: {why}", case.name())?;
        }
        trials.push(case.into_trial(fate));
    }
    Ok(libtest_mimic::run(arguments, trials))
}

/// Nothing may be left out.
pub fn is_strict() -> bool {
    std::env::var_os("WATCHER_TESTS_REQUIRE").is_some_and(|value| value == "1")
}
