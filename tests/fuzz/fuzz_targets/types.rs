//! Descriptions of Go types that may be anything; the first byte chooses the version.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::golang::fuzzing::types(bytes));
