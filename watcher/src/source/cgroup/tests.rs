use super::{Hierarchies, below, page_cache_of, principal_path};
use crate::observed::cgroup::{CgroupUsage, Throttle};
use crate::source::proc::CgroupPath;
use crate::vocabulary::reading::Reading;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

/// A tree of files below `root`, one `path = text` a line.
fn tree(root: &Path, files: &str) {
    for line in files.lines().filter(|line| !line.trim().is_empty()) {
        let (path, text) = line.split_once('=').unwrap();
        let path = root.join(path.trim());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{}\n", text.trim())).unwrap();
    }
}

fn paths(lines: &[(&str, &str)]) -> Vec<CgroupPath> {
    let path = |(controllers, path): &(&str, &str)| CgroupPath {
        controllers: controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        path: (*path).to_owned(),
    };
    lines.iter().map(path).collect()
}

fn usage(root: &Path, mounts: &str, lines: &[(&str, &str)]) -> Reading<CgroupUsage> {
    let mountinfo = mounts.replace("ROOT", root.to_str().unwrap());
    let membership = Hierarchies::from_mountinfo(mountinfo.as_bytes()).membership(&paths(lines));
    membership.usage(&membership.bounds())
}

const V1: &str = "22 27 0:21 / /proc rw,relatime - proc proc rw
35 31 0:32 / ROOT/memory rw,relatime shared:9 - cgroup cgroup rw,memory
39 31 0:36 / ROOT/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / ROOT/unified rw,relatime - cgroup2 cgroup2 rw
";
const V2: &str =
    "30 23 0:26 / ROOT rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

#[test]
fn version_1_beside_an_empty_version_2() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        "memory/app/memory.usage_in_bytes = 700
         memory/app/memory.limit_in_bytes = 1000
         memory/memory.usage_in_bytes = 900
         memory/memory.limit_in_bytes = 9223372036854771712
         pids/pids.none = 0",
    );
    let lines = [("name=systemd", "/x"), ("pids", "/"), ("memory", "/app"), ("", "/")];
    let expected =
        CgroupUsage { memory_bytes: Some(700), memory_limit_bytes: Some(1000), ..CgroupUsage::default() };
    assert_eq!(usage(dir.path(), V1, &lines), Reading::Seen(expected));
}

#[test]
fn the_level_with_the_least_left_counts() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        "slice/app/memory.current = 100
         slice/app/memory.max = max
         slice/app/pids.current = 5
         slice/app/pids.max = 10
         slice/memory.current = 400
         slice/memory.max = 500
         slice/pids.current = 96
         slice/pids.max = 100",
    );
    let expected = CgroupUsage {
        memory_bytes: Some(400),
        memory_limit_bytes: Some(500),
        pids: Some(96),
        pids_limit: Some(100),
        ..CgroupUsage::default()
    };
    assert_eq!(usage(dir.path(), V2, &[("", "/slice/app")]), Reading::Seen(expected));
}

#[test]
fn page_cache_is_no_use_of_memory_and_the_throttle_is_read_beside_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        "slice/app/memory.current = 800
         slice/app/memory.max = 1000
         slice/app/memory.high = 900
         slice/memory.current = 1900
         slice/memory.max = 2000
         slice/memory.high = max",
    );
    fs::write(dir.path().join("slice/app/memory.stat"), "anon 100\ninactive_file 500\nactive_file 40\n")
        .unwrap();
    fs::write(dir.path().join("slice/memory.stat"), "inactive_file 520\nactive_file 40\nx 1\n").unwrap();
    // 200 are free of 1,000 within, 100 of 2,000 above; without page cache 740 and 660.
    let expected = CgroupUsage {
        memory_bytes: Some(1900),
        memory_limit_bytes: Some(2000),
        reclaimable_bytes: Some(560),
        throttle: Some(Throttle { limit_bytes: 900, unreclaimable_bytes: 260 }),
        ..CgroupUsage::default()
    };
    assert_eq!(expected.unreclaimable_bytes(), Some(1340));
    assert_eq!(usage(dir.path(), V2, &[("", "/slice/app")]), Reading::Seen(expected));
}

#[test]
fn page_cache_of_both_versions() {
    for (stat, expected) in [
        ("inactive_file 7\nactive_file 3\n", Some(10)),
        ("inactive_file 7\nactive_file 3\ntotal_inactive_file 70\ntotal_active_file 30\n", Some(100)),
        ("inactive_file 7\n", None),
        ("inactive_file x\nactive_file 3\n", None),
        ("inactive_file 18446744073709551615\nactive_file 3\n", None),
        ("", None),
        ("inactive_file 20\nactive_file 3\nslab_reclaimable 7\nslab_unreclaimable 50\n", Some(30)),
    ] {
        assert_eq!(page_cache_of(stat), expected, "{stat}");
    }
}

#[test]
fn without_limits_the_own_usage_counts() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), "a/memory.current = 100\n a/memory.max = max\n a/pids.current = 5\n a/pids.max = max");
    let expected = CgroupUsage { memory_bytes: Some(100), pids: Some(5), ..CgroupUsage::default() };
    assert_eq!(usage(dir.path(), V2, &[("", "/a")]), Reading::Seen(expected));
}

#[test]
fn nothing_readable_is_unsupported() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), "a/memory.current = nonsense\n a/pids.current = -1");
    assert_eq!(usage(dir.path(), V2, &[("", "/a")]), Reading::Unsupported);
    assert_eq!(usage(dir.path(), V2, &[("", "/gone")]), Reading::Unsupported);
    assert_eq!(usage(dir.path(), "", &[("", "/a")]), Reading::Unsupported);
}

#[test]
fn limits_outside_of_the_mount_are_not_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        "memory.max = 10\n memory.current = 1\n mnt/a/memory.current = 3\n mnt/a/memory.max = max",
    );
    let mounts = V2.replace("ROOT", "ROOT/mnt");
    let expected = CgroupUsage { memory_bytes: Some(3), ..CgroupUsage::default() };
    assert_eq!(usage(dir.path(), &mounts, &[("", "/a")]), Reading::Seen(expected));
}

#[test]
fn mount_points_with_spaces() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), "a b/c/pids.current = 3");
    let expected = CgroupUsage { pids: Some(3), ..CgroupUsage::default() };
    let mounts = V2.replace("ROOT", "ROOT/a\\040b");
    assert_eq!(usage(dir.path(), &mounts, &[("", "/c")]), Reading::Seen(expected));
}

#[test]
fn paths_below_a_mount() {
    for (path, root, expected) in [
        ("/", "/", Some("")),
        ("/a/b", "/", Some("a/b")),
        ("/docker/x", "/docker/x", Some("")),
        ("/docker/x/y", "/docker/x", Some("y")),
        ("/docker/xy", "/docker/x", None),
        ("/../other", "/", None),
        ("/../../a/b", "/../..", Some("a/b")),
        ("/../../../a", "/../..", None),
        ("/a", "/docker/x", None),
    ] {
        assert_eq!(below(path, root), expected, "{path} below {root}");
    }
}

#[test]
fn the_path_that_tells_most() {
    let hybrid = paths(&[("cpu", "/c"), ("memory", "/m"), ("", "/u")]);
    assert_eq!(principal_path(&hybrid), Some("/m"));
    assert_eq!(principal_path(&paths(&[("cpu", "/c"), ("", "/u")])), Some("/u"));
    assert_eq!(principal_path(&[]), None);
}

proptest! {
    #[test]
    fn mounts_never_panic(line in "[0-9 ]{0,9}([a-z0-9 :,=/\\\\-]|\\PC){0,60} - cgroup([a-z0-9 :,=/\\\\-]|\\PC){0,60}") {
        let hierarchies = Hierarchies::from_mountinfo(line.as_bytes());
        let _ = hierarchies.membership(&paths(&[("memory", "/a"), ("", "/b")]));
    }
}

#[test]
fn a_frozen_cgroup_is_told_from_one_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        "still/cgroup.events = populated 1\\nfrozen 1
         lively/cgroup.events = populated 1\\nfrozen 0
         freezer/still/freezer.state = FROZEN
         freezer/lively/freezer.state = THAWED",
    );
    for name in ["still", "lively"] {
        let events = fs::read_to_string(dir.path().join(name).join("cgroup.events")).unwrap();
        fs::write(dir.path().join(name).join("cgroup.events"), events.replace("\\n", "\n")).unwrap();
    }
    let v1 = "39 31 0:36 / ROOT/freezer rw,relatime - cgroup cgroup rw,freezer\n";
    for (mounts, line, expected) in [
        (V2, ("", "/still"), Some(true)),
        (V2, ("", "/lively"), Some(false)),
        // The root of a hierarchy cannot be frozen and has no such file.
        (V2, ("", "/"), None),
        (v1, ("freezer", "/still"), Some(true)),
        (v1, ("freezer", "/lively"), Some(false)),
        (v1, ("", "/still"), None),
    ] {
        let hierarchies =
            Hierarchies::from_mountinfo(mounts.replace("ROOT", dir.path().to_str().unwrap()).as_bytes());
        assert_eq!(hierarchies.is_frozen(&paths(&[line])), expected, "{line:?}");
    }
    // Both are there on a host that is on its way from the one to the other, and either can freeze.
    let both = format!("{v1}{V2}").replace("ROOT", dir.path().to_str().unwrap());
    let hierarchies = Hierarchies::from_mountinfo(both.as_bytes());
    for (v1, v2, expected) in [
        ("/lively", "/lively", Some(false)),
        ("/still", "/lively", Some(true)),
        ("/lively", "/still", Some(true)),
        ("/", "/still", Some(true)),
        ("/", "/", None),
    ] {
        let frozen = hierarchies.is_frozen(&paths(&[("freezer", v1), ("", v2)]));
        assert_eq!(frozen, expected, "{v1} {v2}");
    }
}
