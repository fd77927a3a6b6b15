//! Runs cases and prints what came of each, on this host and inside the virtual machines alike.

use crate::case::{Case, Fate, MAX_ASKED_AGAIN};
use crate::turns::Turns;
use libtest_mimic::{Arguments, Conclusion};
use std::io::{self, Write};
use std::sync::Arc;

/// Runs those of `cases` that `arguments` ask for, at most `test_threads` at once. `WATCHER_TESTS_REQUIRE=1` makes what the machine lacks a failure.
pub fn run(cases: Vec<Case>, arguments: &Arguments) -> io::Result<Conclusion> {
    let strict = is_strict();
    let at_once = arguments.test_threads.unwrap_or(1);
    let turns = Arc::new(Turns::new(at_once));
    let mut trials = Vec::new();
    for case in cases {
        let fate = case.fate(strict);
        if let Fate::LeftOut(why) = &fate
            && !arguments.list
        {
            writeln!(io::stdout(), "left out: {}: {why}", case.name())?;
        }
        trials.push(case.into_trial(fate, Arc::clone(&turns)));
    }
    // Those that wait to be asked again keep a thread.
    let threads = if at_once == 1 { 1 } else { at_once + MAX_ASKED_AGAIN };
    let arguments = Arguments { test_threads: Some(threads), ..arguments.clone() };
    Ok(libtest_mimic::run(&arguments, trials))
}

/// Nothing may be left out.
pub fn is_strict() -> bool {
    std::env::var_os("WATCHER_TESTS_REQUIRE").is_some_and(|value| value == "1")
}
