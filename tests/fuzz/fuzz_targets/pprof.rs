//! Profiles, packed and not. One that is read can be written, and is then read as the same.
#![no_main]

use watcher::report::pprof::{Limits, decode, diff, encode};

const LIMITS: Limits = Limits { unpacked_bytes: 1 << 20, items: 1 << 16 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = decode(bytes, &LIMITS) else { return };
    let mut written = Vec::new();
    encode(&profile, &mut written).expect("memory takes any write");
    let again = decode(&written, &Limits::default()).expect("what was written here is read here");
    assert_eq!(again.samples.len(), profile.samples.len());
    assert_eq!(again.sample_types, profile.sample_types);
    for sample in &profile.samples {
        assert!(profile.frames(sample).count() >= sample.stack.len());
    }
    let _ = diff(&profile, &again);
});
