//! Control groups, version 1 and 2 and both at once: where a process's cgroup lies, what it uses and may use.

mod container;

pub use container::container;

use crate::observed::cgroup::{CgroupUsage, Throttle};
use crate::source::proc::CgroupPath;
use crate::vocabulary::reading::Reading;
use procfs::process::MountInfo;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The cgroup hierarchies that are mounted here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// Controllers of a v1 hierarchy; `None` for v2.
    controllers: Option<Vec<String>>,
    /// The part of the hierarchy that is mounted, below the root of our cgroup namespace.
    root: String,
    /// Where it is mounted.
    point: PathBuf,
}

/// The directories of the cgroup to which a process belongs, by controller. Equal for all processes of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    memory: Option<Place>,
    pids: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    dir: PathBuf,
    /// How many levels up the mount's root is.
    depth: usize,
    unified: bool,
}

/// The levels at which a limit is set, from the cgroup itself upwards. Limits seldom change: whoever reads usage
/// often may keep them for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    memory: Vec<Level>,
    /// Those of `memory.high`.
    throttles: Vec<Level>,
    pids: Vec<Level>,
}

/// One level that has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    dir: PathBuf,
    limit: u64,
    /// Page cache that counts against a limit on memory; `None` where it could not be read.
    reclaimable: Option<u64>,
}

/// `memory.stat` has some sixty lines.
const LONGEST_STAT_BYTES: u64 = 16 * 1024;

impl Hierarchies {
    /// Those of our own mount namespace.
    ///
    /// # Errors
    /// Where `proc/self/mountinfo` cannot be read.
    pub fn read(proc: &Path) -> io::Result<Self> {
        Ok(Hierarchies::from_mountinfo(&std::fs::read(proc.join("self/mountinfo"))?))
    }

    /// From the text of a `mountinfo`. Lines that are not understood are left out.
    pub fn from_mountinfo(mountinfo: &[u8]) -> Self {
        let lines = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        Hierarchies { mounts: lines.filter_map(mount).collect() }
    }

    /// Where the cgroup of a process lies, given its paths. A hierarchy that is not mounted here, or of which
    /// another part is mounted, leaves its controllers out.
    pub fn membership(&self, paths: &[CgroupPath]) -> Membership {
        Membership { memory: self.place(paths, "memory"), pids: self.place(paths, "pids") }
    }

    /// Whether the processes of this cgroup are frozen, by the cgroup itself or by one above it; `None` where that
    /// cannot be read.
    pub fn is_frozen(&self, paths: &[CgroupPath]) -> Option<bool> {
        // Version 2 freezes without a controller, so that it can do it also where version 1 has one for that.
        let unified = paths.iter().find(|path| path.is_unified());
        let places = [
            self.place(paths, "freezer").filter(|place| !place.unified),
            unified.and_then(|path| self.place(std::slice::from_ref(path), "freezer")),
        ];
        let mut known = None;
        for place in places.into_iter().flatten() {
            // `kernel/cgroup/cgroup.c`, cgroup_events_show; `kernel/cgroup/legacy_freezer.c`, freezer_read.
            let (file, frozen) =
                if place.unified { ("cgroup.events", "frozen 1") } else { ("freezer.state", "FROZEN") };
            let Ok(text) = std::fs::read_to_string(place.dir.join(file)) else { continue };
            known = Some(known.unwrap_or(false) || text.lines().any(|line| line == frozen));
        }
        known
    }

    fn place(&self, paths: &[CgroupPath], controller: &str) -> Option<Place> {
        // A controller belongs to one hierarchy only: where a v1 line names it, v2 does not have it.
        let v1 = paths.iter().find(|path| path.controllers.iter().any(|name| name == controller));
        let path = v1.or_else(|| paths.iter().find(|path| path.is_unified()))?;
        self.mounts.iter().find_map(|mount| {
            let matches = match &mount.controllers {
                Some(controllers) => v1.is_some() && controllers.iter().any(|name| name == controller),
                None => v1.is_none(),
            };
            let below = below(&path.path, &mount.root).filter(|_| matches)?;
            Some(Place {
                dir: mount.point.join(below),
                depth: Path::new(below).components().count(),
                unified: mount.controllers.is_none(),
            })
        })
    }
}

/// The memory controller's path, else that of the v2 hierarchy, else any: the one that tells most of a process.
pub fn principal_path(paths: &[CgroupPath]) -> Option<&str> {
    let memory = paths.iter().find(|path| path.controllers.iter().any(|name| name == "memory"));
    memory.or_else(|| paths.iter().find(|path| path.is_unified())).or(paths.first()).map(|path| &*path.path)
}

fn mount(line: &str) -> Option<Mount> {
    // Most of a host's mounts are no cgroups, and only those must be parsed.
    if !line.contains(" - cgroup") {
        return None;
    }
    let mount = MountInfo::from_line(line).ok()?;
    let controllers = match &*mount.fs_type {
        "cgroup2" => None,
        "cgroup" => Some(mount.super_options.into_keys().collect()),
        _ => return None,
    };
    let point = unescaped(mount.mount_point.into_os_string().into_vec());
    Some(Mount { controllers, root: mount.root, point })
}

/// Undoes the kernel's escapes `\040` and the like.
fn unescaped(bytes: Vec<u8>) -> PathBuf {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((byte, after)) = rest.split_first() {
        let escape = after.get(..3).filter(|_| *byte == b'\\');
        let code = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// `path` below `root`, without a slash at its front. Both may begin with `/..`, for what lies outside of our
/// cgroup namespace; what is left must not climb any more.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    let below = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
    (!below.split('/').any(|part| part == "..")).then_some(below)
}

impl Membership {
    /// The limits that hold for the cgroup: its own and those of all levels above, as far as they are mounted; and
    /// how much of what counts against those on memory is page cache.
    pub fn bounds(&self) -> Bounds {
        let memory = self.memory.as_ref();
        let mut bounds = Bounds {
            memory: levels(memory, ["memory.max", "memory.limit_in_bytes"]),
            throttles: levels(memory.filter(|place| place.unified), ["memory.high"; 2]),
            pids: levels(self.pids.as_ref(), ["pids.max"; 2]),
        };
        for level in bounds.memory.iter_mut().chain(&mut bounds.throttles) {
            level.reclaimable = page_cache(&level.dir);
        }
        bounds
    }

    /// What the cgroup uses and may use: at the level with the least left, or where no level has a limit, at the
    /// cgroup itself. `Unsupported` where no controller tells anything.
    pub fn usage(&self, bounds: &Bounds) -> Reading<CgroupUsage> {
        const MEMORY: [&str; 2] = ["memory.current", "memory.usage_in_bytes"];
        let memory = tightest(self.memory.as_ref(), &bounds.memory, MEMORY);
        let throttle = tightest(self.memory.as_ref(), &bounds.throttles, MEMORY);
        let pids = tightest(self.pids.as_ref(), &bounds.pids, ["pids.current"; 2]);
        if memory.usage.is_none() && pids.usage.is_none() {
            return Reading::Unsupported;
        }
        Reading::Seen(CgroupUsage {
            memory_bytes: memory.usage,
            memory_limit_bytes: memory.limit,
            pids: pids.usage,
            pids_limit: pids.limit,
            reclaimable_bytes: memory.reclaimable,
            throttle: throttle.limit.zip(throttle.usage).map(|(limit_bytes, usage)| Throttle {
                limit_bytes,
                unreclaimable_bytes: usage.saturating_sub(throttle.reclaimable.unwrap_or(0)),
            }),
        })
    }
}

/// Levels that have a limit. The names are those of v2 and v1.
fn levels(place: Option<&Place>, [v2, v1]: [&str; 2]) -> Vec<Level> {
    let Some(place) = place else { return Vec::new() };
    let name = if place.unified { v2 } else { v1 };
    let dirs = place.dir.ancestors().take(place.depth + 1);
    dirs.filter_map(|dir| {
        let limit = limit(&dir.join(name))?;
        Some(Level { dir: dir.to_owned(), limit, reclaimable: None })
    })
    .collect()
}

/// What one level uses and may use.
#[derive(Default)]
struct AtLevel {
    usage: Option<u64>,
    limit: Option<u64>,
    reclaimable: Option<u64>,
}

/// The level with the least left, page cache aside.
fn tightest(place: Option<&Place>, levels: &[Level], [v2, v1]: [&str; 2]) -> AtLevel {
    let Some(place) = place else { return AtLevel::default() };
    let name = if place.unified { v2 } else { v1 };
    let usages = levels.iter().filter_map(|level| Some((number(&level.dir.join(name))?, level)));
    let left = |usage: u64, level: &Level| {
        level.limit.saturating_sub(usage.saturating_sub(level.reclaimable.unwrap_or(0)))
    };
    match usages.min_by_key(|(usage, level)| left(*usage, level)) {
        Some((usage, level)) => {
            AtLevel { usage: Some(usage), limit: Some(level.limit), reclaimable: level.reclaimable }
        }
        None => AtLevel { usage: number(&place.dir.join(name)), ..AtLevel::default() },
    }
}

/// What the kernel drops before it runs out, by `memory.stat` of this level and all below it: pages of files,
/// `inactive_file` and `active_file` in v2, the same with `total_` before it in v1; and in v2 `slab_reclaimable`, which
/// holds the names and inodes of files that were looked at. v1 tells nothing of that.
fn page_cache(dir: &Path) -> Option<u64> {
    let mut text = String::new();
    File::open(dir.join("memory.stat")).ok()?.take(LONGEST_STAT_BYTES).read_to_string(&mut text).ok()?;
    page_cache_of(&text)
}

fn page_cache_of(stat: &str) -> Option<u64> {
    let of = |wanted: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    // Without `total_` a v1 file counts the cgroup alone, a v2 file all below it too.
    let sum = |inactive, active| of(inactive)?.checked_add(of(active)?);
    let slab = of("slab_reclaimable").unwrap_or(0);
    sum("total_inactive_file", "total_active_file")
        .or_else(|| sum("inactive_file", "active_file")?.checked_add(slab))
}

/// A limit; `None` for `max`, and for the number by which v1 says so (`mm/memcontrol-v1.c`: PAGE_COUNTER_MAX pages,
/// the highest signed 64-bit number rounded down to a page of up to 64 KiB).
fn limit(file: &Path) -> Option<u64> {
    const UNLIMITED_FROM: u64 = i64::MAX as u64 - 0xffff;
    number(file).filter(|limit| *limit < UNLIMITED_FROM)
}

fn number(file: &Path) -> Option<u64> {
    let mut buffer = [0; 32];
    let length = File::open(file).and_then(|mut file| file.read(&mut buffer)).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests;
