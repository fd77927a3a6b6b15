//! Captures from files that somebody else may have written: profiles of any Go program, and our own JSON.

use crate::report::pprof::{
    self, Builder, Function, HeapSite, Limits, Place, Profile, heap_profile, identity_comment,
};
use crate::vocabulary::process::{ProcessId, printable};
use serde::Deserialize;
use std::time::SystemTime;

/// Larger files of JSON are refused: a million goroutines, each with a stack of its own, fit.
const MAX_JSON_BYTES: usize = 512 << 20;
/// Larger files are not read.
pub const MAX_FILE_BYTES: u64 = MAX_JSON_BYTES as u64;

/// Why a file is no capture: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Neither ours nor pprof's, or damaged.
    #[error(transparent)]
    Profile(#[from] pprof::DecodeError),
    /// JSON, but none that holds stacks.
    #[error("no capture of goroutines or of a heap: {0}")]
    Json(#[from] serde_json::Error),
    /// Ours, but without stacks.
    #[error("a {0} holds no stacks that could be compared")]
    NoStacks(String),
    /// Too large.
    #[error("the capture is larger than {MAX_JSON_BYTES} bytes")]
    TooLarge,
}

/// Reads a profile, packed or as text, or the JSON of `watcher goroutines` or `watcher heap` as a profile.
///
/// # Errors
/// See [`LoadError`].
pub fn load(bytes: &[u8]) -> Result<Profile, LoadError> {
    if pprof::is_text(bytes) {
        return Ok(pprof::parse_text(bytes)?);
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Ok(pprof::decode(bytes, &Limits::default())?);
    }
    if bytes.len() > MAX_JSON_BYTES {
        return Err(LoadError::TooLarge);
    }
    let capture: Capture = serde_json::from_slice(bytes)?;
    let taken = capture.taken.as_deref().and_then(|taken| taken.parse::<jiff::Timestamp>().ok());
    let taken = taken.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let mut profile = match (capture.groups, capture.sites) {
        (Some(groups), _) => goroutines(taken, groups),
        (None, Some(sites)) => {
            let rate_bytes = capture.sampled_every_bytes.unwrap_or(0);
            heap_profile(taken, rate_bytes, Vec::new(), sites.into_iter().map(heap_site))
        }
        (None, None) => return Err(LoadError::NoStacks(printable(capture.schema.as_bytes()))),
    };
    if let (Some(process), Some(start_ticks)) = (capture.process, capture.process_start_ticks) {
        let id = ProcessId { pid: process.pid, start_ticks };
        profile.comments.push(identity_comment(&process.name, id));
    }
    Ok(profile)
}

#[derive(Deserialize)]
struct Capture {
    schema: String,
    process: Option<Process>,
    process_start_ticks: Option<u64>,
    taken: Option<String>,
    groups: Option<Vec<Group>>,
    sites: Option<Vec<Site>>,
    sampled_every_bytes: Option<i64>,
}

#[derive(Deserialize)]
struct Process {
    pid: i32,
    name: String,
}

#[derive(Deserialize)]
struct Group {
    count: i64,
    system: bool,
    stack: Vec<Line>,
    start: Option<Line>,
}

#[derive(Deserialize)]
struct Site {
    object_bytes: u64,
    in_use_objects: i64,
    in_use_bytes: i64,
    allocated_objects: i64,
    allocated_bytes: i64,
    stack: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    function: String,
    file: String,
    line: u32,
    address: u64,
    inlined: bool,
}

impl Line {
    fn named(&self) -> Option<(Function, u32)> {
        let name = printable(self.function.as_bytes());
        let file = printable(self.file.as_bytes());
        (!name.is_empty()).then_some((Function { name, file, start_line: None }, self.line))
    }
}

/// Lines that were inlined into one place together.
fn places(stack: &[Line]) -> impl Iterator<Item = Place> {
    stack.split_inclusive(|line| !line.inlined).filter_map(|lines| {
        let address = lines.first()?.address;
        Some(Place { address, lines: lines.iter().filter_map(Line::named).collect() })
    })
}

fn goroutines(taken: SystemTime, groups: Vec<Group>) -> Profile {
    let mut builder = Builder::goroutines(taken);
    for group in groups.into_iter().filter(|group| !group.system) {
        let known = if group.stack.is_empty() { group.start.as_slice() } else { &group.stack };
        let stack: Vec<u32> =
            places(known).map(|place| builder.location(place.address, place.lines)).collect();
        builder.sample(stack, vec![group.count], Vec::new());
    }
    builder.build()
}

fn heap_site(site: Site) -> HeapSite {
    HeapSite {
        places: places(&site.stack).collect(),
        object_bytes: site.object_bytes,
        allocated_objects: site.allocated_objects,
        allocated_bytes: site.allocated_bytes,
        in_use_objects: site.in_use_objects,
        in_use_bytes: site.in_use_bytes,
    }
}
