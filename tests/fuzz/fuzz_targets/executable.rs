//! A process whose executable is garbled, from the search for the runtime to goroutines, threads and heap.
#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| watcher::golang::fuzzing::executable(file));
