//! Files below `/proc`: of a process, and the mounts that lead to its cgroup.
#![no_main]

use watcher::source::{cgroup::Hierarchies, proc::fuzzing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let paths = fuzzing::files(bytes);
    let _ = watcher::source::cgroup::container(&paths);
    let _ = watcher::source::cgroup::principal_path(&paths);
    let _ = Hierarchies::from_mountinfo(bytes).membership(&paths);
});
