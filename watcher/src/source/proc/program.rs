//! What a process runs and where: executable, arguments, limits and cgroups, pure over bytes.

use crate::vocabulary::process::{Limits, printable};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// More of a command line than this is not kept.
pub const LONGEST_ARGS_BYTES: usize = 4096;

/// The link `/proc/PID/exe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExePath {
    /// The path in the process's own mount namespace, without the kernel's ` (deleted)`.
    pub path: PathBuf,
    /// The file has been unlinked, as it is when a package is upgraded under a running process.
    pub deleted: bool,
}

impl ExePath {
    /// From the link's text. A file whose own name ends in ` (deleted)` is taken for a deleted one: the text does
    /// not tell them apart.
    pub fn from_link(link: &[u8]) -> Self {
        let (path, deleted) = match link.strip_suffix(b" (deleted)") {
            Some(path) => (path, true),
            None => (link, false),
        };
        ExePath { path: path_from_bytes(path.to_vec()), deleted }
    }
}

/// A path as the kernel wrote it; it need not be UTF-8.
pub fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// `cmdline`: arguments that end in NUL each. A process that has overwritten them, as daemons do for `ps`, may
/// leave none.
pub fn parse_args(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    bytes.split(|byte| *byte == 0).map(printable).collect()
}

/// `limits`. The bound on mappings is no limit of the process and stays `None`.
///
/// Our own parser: that of procfs 0.18 panics on a line that is shorter than the kernel's.
pub fn parse_limits(bytes: &[u8]) -> Option<Limits> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(Limits {
        open_files: soft_limit(text, "Max open files ")?,
        user_processes: soft_limit(text, "Max processes ")?,
        mappings: None,
        address_space_bytes: soft_limit(text, "Max address space ")?,
        data_bytes: soft_limit(text, "Max data size ")?,
    })
}

/// The first of the two columns behind `name`: `Some(None)` is no limit, `None` not understood.
fn soft_limit(text: &str, name: &str) -> Option<Option<u64>> {
    // A last line without its end was cut off, and with it perhaps digits.
    let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix(name)?.strip_suffix('\n'))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(None),
        value => value.parse().ok().map(Some),
    }
}

/// The cgroup of a process in one hierarchy: one line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    /// Controllers of a v1 hierarchy, `name=…` for a named one; empty for the v2 hierarchy.
    pub controllers: Vec<String>,
    /// Path below the root of our cgroup namespace; begins with `/..` where the process is outside of it.
    pub path: String,
}

impl CgroupPath {
    /// The v2 hierarchy.
    pub fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// `cgroup`. Lines that are not understood are left out; `None` where there is nothing but those.
pub fn parse_cgroups(bytes: &[u8]) -> Option<Vec<CgroupPath>> {
    // The kernel admits no newline in the name of a cgroup, so that nobody forges lines (`cgroup_mkdir`).
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let paths: Vec<_> = lines.filter_map(parse_cgroup).collect();
    (bytes.is_empty() || !paths.is_empty()).then_some(paths)
}

fn parse_cgroup(line: &[u8]) -> Option<CgroupPath> {
    // Colons are allowed in the path but not before it.
    let mut parts = line.splitn(3, |byte| *byte == b':');
    let hierarchy = parts.next()?;
    let controllers = std::str::from_utf8(parts.next()?).ok()?;
    let path = parts.next()?;
    if hierarchy.is_empty() || !hierarchy.iter().all(u8::is_ascii_digit) || !path.starts_with(b"/") {
        return None;
    }
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Some(CgroupPath { controllers, path: printable(path) })
}

/// `task/TID/children`: pids with a space behind each.
pub fn parse_children(bytes: &[u8]) -> Option<Vec<i32>> {
    std::str::from_utf8(bytes).ok()?.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{CgroupPath, ExePath, parse_args, parse_cgroups, parse_children, parse_limits};
    use crate::vocabulary::process::Limits;
    use proptest::prelude::*;

    #[test]
    fn executables() {
        for (link, path, deleted) in [
            (&b"/usr/bin/x"[..], "/usr/bin/x", false),
            (b"/usr/bin/x (deleted)", "/usr/bin/x", true),
            (b"/memfd:x (deleted)", "/memfd:x", true),
            (b"/a b\n(deleted)", "/a b\n(deleted)", false),
        ] {
            assert_eq!(ExePath::from_link(link), ExePath { path: path.into(), deleted });
        }
    }

    #[test]
    fn arguments() {
        for (bytes, expected) in [
            (&b"/bin/x\0-v\0\0two words\0"[..], &["/bin/x", "-v", "", "two words"][..]),
            (b"", &[]),
            (b"nginx: worker process", &["nginx: worker process"]),
            (b"x\0\x1b[2J\n\xff\0", &["x", "\\u{1b}[2J\\n\u{fffd}"]),
        ] {
            assert_eq!(parse_args(bytes), expected);
        }
    }

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max file size             unlimited            unlimited            bytes     
Max data size             unlimited            unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max core file size        0                    unlimited            bytes     
Max resident set          unlimited            unlimited            bytes     
Max processes             15392                15392                processes 
Max open files            1024                 524288               files     
Max locked memory         8388608              8388608              bytes     
Max address space         unlimited            unlimited            bytes     
Max file locks            unlimited            unlimited            locks     
Max pending signals       15392                15392                signals   
Max msgqueue size         819200               819200               bytes     
Max nice priority         0                    0                    
Max realtime priority     0                    0                    
Max realtime timeout      unlimited            unlimited            us        
";

    #[test]
    fn soft_limits() {
        let expected = Limits { open_files: Some(1024), user_processes: Some(15392), ..Limits::default() };
        assert_eq!(parse_limits(LIMITS.as_bytes()), Some(expected));
        let unlimited =
            LIMITS.replace("15392                15392                p", "unlimited unlimited p");
        assert_eq!(parse_limits(unlimited.as_bytes()), Some(Limits { user_processes: None, ..expected }));
        let bounded = LIMITS
            .replace("Max data size             unlimited", "Max data size             1048576")
            .replace("Max address space         unlimited", "Max address space         4294967296");
        let bounds = Limits { address_space_bytes: Some(4 << 30), data_bytes: Some(1 << 20), ..expected };
        assert_eq!(parse_limits(bounded.as_bytes()), Some(bounds));
        assert_eq!(parse_limits(&LIMITS.as_bytes()[..700]), None);
    }

    #[test]
    fn cgroups_of_both_versions() {
        let hybrid = b"9:name=systemd:/a\n4:cpu,cpuacct:/b:c\nbroken\n0::/d (deleted)\n";
        let expected = [
            CgroupPath { controllers: vec!["name=systemd".into()], path: "/a".into() },
            CgroupPath { controllers: vec!["cpu".into(), "cpuacct".into()], path: "/b:c".into() },
            CgroupPath { controllers: vec![], path: "/d".into() },
        ];
        assert_eq!(parse_cgroups(hybrid).as_deref(), Some(&expected[..]));
        assert_eq!(parse_cgroups(b""), Some(vec![]));
        assert_eq!(parse_cgroups(b"nonsense\n"), None);
    }

    #[test]
    fn children() {
        assert_eq!(parse_children(b"12 345 "), Some(vec![12, 345]));
        assert_eq!(parse_children(b""), Some(vec![]));
        assert_eq!(parse_children(b"12 x"), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = ExePath::from_link(&bytes);
            let _ = parse_args(&bytes);
            let _ = parse_limits(&bytes);
            let _ = parse_cgroups(&bytes);
            let _ = parse_children(&bytes);
        }

        #[test]
        fn damaged_limits_never_panic(at in 0..LIMITS.len(), byte in any::<u8>()) {
            let mut damaged = LIMITS.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = parse_limits(&damaged);
        }
    }
}
