//! What the kernel programs leave in maps.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::source::kernel::fuzzing::entries(bytes));
