//! What endpoints and the kernel's sockets answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::source::fuzzing::answers(bytes));
