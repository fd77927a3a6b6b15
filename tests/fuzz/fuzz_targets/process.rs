//! A process whose executable and memory are garbled, before and while they are read, for every version of Go.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| watcher::golang::fuzzing::garbled_process(input));
