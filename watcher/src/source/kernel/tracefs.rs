//! Whether the kernel's list of tracepoints is there: a program for one is loaded without it, and attached only with it.

use super::probes::Outcome;
use std::fs;
use std::path::Path;

/// Where it is mounted: the first on most systems, the second where only debugfs is
/// (`Documentation/trace/ftrace.rst`, Linux 6.12).
const PLACES: [&str; 2] =
    ["/sys/kernel/tracing/events/syscalls", "/sys/kernel/debug/tracing/events/syscalls"];

/// Works where system calls have tracepoints that can be looked up.
pub(super) fn system_calls() -> Outcome {
    judge(&PLACES.map(Path::new))
}

fn judge(places: &[&Path]) -> Outcome {
    if places.iter().any(|place| place.is_dir()) {
        return Outcome::Works;
    }
    let is_mounted = |place: &&Path| place.parent().is_some_and(|events| fs::read_dir(events).is_ok());
    if places.iter().any(is_mounted) {
        return Outcome::NotHere { why: "This kernel has no tracepoints of system calls.".to_owned() };
    }
    let why = "tracefs is not mounted: `mount -t tracefs nodev /sys/kernel/tracing`, as root, mounts it.";
    Outcome::NotAsked { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use std::fs;

    #[test]
    fn what_is_not_mounted_is_told_from_what_the_kernel_lacks() {
        let root = tempfile::tempdir().unwrap();
        let calls = root.path().join("tracing/events/syscalls");
        let nowhere = root.path().join("debug/tracing/events/syscalls");
        let said = || judge(&[&calls, &nowhere]);
        assert_eq!(said().word(), "not asked");
        assert!(said().why().unwrap().contains("mount -t tracefs"));
        fs::create_dir_all(calls.parent().unwrap()).unwrap();
        assert_eq!(said().word(), "absent");
        fs::create_dir(&calls).unwrap();
        assert!(said().works());
    }
}
