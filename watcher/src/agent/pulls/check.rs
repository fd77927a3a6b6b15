//! Whether an answer is what was asked for: the right profile, taken now, by this process.
//!
//! A proxy, a cache or a mistaken route may answer with another profile, an older one, or that of another process of the
//! same program, whose code lies at the same place in memory.

use crate::report::pprof::Profile;
use crate::source::pprof::{Fault, ProfileName};
use crate::vocabulary::process::printable;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// The clock may be set while a profile is taken.
const SLACK: Duration = Duration::from_secs(2);

/// What is known of the question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub name: ProfileName,
    /// When it was sent, on the clock on which Go dates profiles.
    pub at: SystemTime,
    /// From connecting to the last byte.
    pub took: Duration,
    /// The first code of the process, where it can be read.
    pub code: Option<&'a Range<u64>>,
}

/// Makes sure that a profile answers the question.
///
/// # Errors
/// What it is instead.
pub(super) fn expect_answer(profile: &Profile, asked: &Asked<'_>) -> Result<(), Fault> {
    is_of_name(profile, asked.name)?;
    is_of_now(profile, asked)?;
    // Where the program's code lies tells one process from most others, and a proxy's answer from its own.
    if let (Some(theirs), Some(code)) = (profile.mappings.first(), asked.code)
        && (theirs.start, theirs.end) != (code.start, code.end)
        // Profiles that do not know their mappings say so (`runtime/pprof/proto_other.go` and old versions).
        && theirs.start != 0
    {
        return Err(Fault::OfAnother("its code lies elsewhere in memory".to_owned()));
    }
    Ok(())
}

/// What each counts (`runtime/pprof/pprof.go`: `countProfile`, `writeHeapInternal`, `writeProfileInternal`).
///
/// Those of `block` and `mutex` are written by the same function and look alike in all their fields
/// (`printCountCycleProfile`, Go 1.21 to 1.27): one that is answered for the other is not told from it.
fn is_of_name(profile: &Profile, name: ProfileName) -> Result<(), Fault> {
    const HEAP: &[(&str, &str)] = &[
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    const WAITS: &[(&str, &str)] = &[("contentions", "count"), ("delay", "nanoseconds")];
    let expected: &[&[(&str, &str)]] = match name {
        ProfileName::Heap | ProfileName::Allocs => &[HEAP],
        ProfileName::Goroutine => &[&[("goroutine", "count")]],
        ProfileName::GoroutineLeak => &[&[("goroutineleak", "count")], &[("goroutine", "count")]],
        ProfileName::ThreadCreate => &[&[("threadcreate", "count")]],
        ProfileName::Block | ProfileName::Mutex => &[WAITS],
    };
    let held = || profile.sample_types.iter().map(|held| (held.kind.as_str(), held.unit.as_str()));
    if !expected.iter().any(|expected| held().eq(expected.iter().copied())) {
        let kinds: Vec<&str> = held().map(|(kind, _)| kind).take(MAX_TOLD).collect();
        return Err(match kinds.is_empty() {
            true => Fault::NotPprof("it counts nothing".to_owned()),
            false => Fault::OtherProfile(printable(format!("it counts {}", kinds.join(", ")).as_bytes())),
        });
    }
    // The two hold the same numbers and differ in the one that is meant.
    let means_allocations = profile.default_sample_type.as_deref().is_some_and(|it| it.starts_with("alloc_"));
    match name {
        ProfileName::Heap if means_allocations => {
            Err(Fault::OtherProfile("it is one of all allocations".to_owned()))
        }
        ProfileName::Allocs if !means_allocations => {
            Err(Fault::OtherProfile("it is one of the heap in use".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Kinds of numbers that are told.
const MAX_TOLD: usize = 4;

fn is_of_now(profile: &Profile, asked: &Asked<'_>) -> Result<(), Fault> {
    let Some(taken) = profile.taken else {
        return Err(Fault::OtherProfile("it does not say when it was taken".to_owned()));
    };
    if let Ok(before) = asked.at.duration_since(taken)
        && before > SLACK
    {
        return Err(Fault::Stale { seconds: before.as_secs() });
    }
    let until = asked.took.saturating_add(SLACK);
    if taken.duration_since(asked.at).is_ok_and(|after| after > until) {
        return Err(Fault::OtherProfile("it says that it was taken after it came".to_owned()));
    }
    // One that was asked for seconds is about a span that nobody asked for.
    if profile.duration > until {
        return Err(Fault::OtherProfile("it is about a longer time than the answer took".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
