//! Runs the cases on this host. `WATCHER_TESTS_REQUIRE=1` makes what the machine lacks a failure.

use libtest_mimic::Arguments;
use std::io;
use std::process::ExitCode;

/// Most cases wait for a window to fill, so far more of them run at once than there are cores.
const AT_ONCE: usize = 18;

fn main() -> io::Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    Ok(tests::runner::run(tests::cases::all(), &arguments)?.exit_code())
}
