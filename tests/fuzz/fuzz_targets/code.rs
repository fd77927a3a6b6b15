//! Machine code of the runtime, as it is looked through for where probes go and where threads keep their goroutine.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::golang::fuzzing::code(bytes));
