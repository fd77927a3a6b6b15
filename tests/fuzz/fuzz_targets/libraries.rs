//! A library that a process has mapped, with its symbol tables, and memory of C's allocator: both from the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    watcher::source::fuzzing::library(bytes);
    watcher::capture::anatomy::understand(bytes);
});
