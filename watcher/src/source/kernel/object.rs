//! The compiled programs.

use aya::include_bytes_aligned;

/// The object, as `watcher-ebpf` was compiled.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!("../../../../watcher-ebpf/watcher.bpf.o");

/// Maps that only the ledgers use; in the instance that is always loaded they have no room.
pub(super) const LEDGER_MAPS: &[&str] = &[
    "WATCHED",
    "TALLIES",
    "STACKS",
    "DESCRIPTORS",
    "FILES",
    "ALLOCATIONS",
    "PROBE_SETTINGS",
    "PROBE_HITS",
    "BIRTHS",
    "SPANS",
    "ALLOCATED",
    "MAPPINGS",
    "CALLS",
    "TASKS",
];
