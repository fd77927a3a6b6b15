//! The text form of profiles. One that is read can be written, and is then read with the same stacks.
#![no_main]

use watcher::report::pprof::{Limits, decode, encode, parse_text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = parse_text(bytes) else { return };
    let mut written = Vec::new();
    encode(&profile, &mut written).expect("memory takes any write");
    let again = decode(&written, &Limits::default()).expect("what was written here is read here");
    assert_eq!(again.samples, profile.samples);
    let _ = watcher::report::folded::folded(&profile, 0);
});
