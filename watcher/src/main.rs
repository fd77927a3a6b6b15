//! The command `watcher`: parse, build, run, and turn an error into an exit status.

fn main() {}
