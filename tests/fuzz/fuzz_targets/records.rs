//! What the kernel programs report.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::source::kernel::fuzzing::records(bytes));
