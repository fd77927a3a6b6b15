//! What fuzz targets call: hostile bytes go in, nothing comes out.

use super::program::{parse_args, parse_cgroups, parse_children, parse_limits};
use super::{CgroupPath, ExePath, maps, smaps, stat, status};

/// Every file of a process's directory that is parsed, each of them with the same bytes.
pub fn files(bytes: &[u8]) -> Vec<CgroupPath> {
    let _ = stat::parse(bytes);
    let _ = status::parse(bytes);
    let _ = parse_args(bytes);
    let _ = parse_limits(bytes);
    let _ = parse_children(bytes);
    let _ = ExePath::from_link(bytes);
    let _ = maps::read(bytes);
    let _ = maps::code_files(bytes);
    let _ = smaps::read(bytes);
    parse_cgroups(bytes).unwrap_or_default()
}
