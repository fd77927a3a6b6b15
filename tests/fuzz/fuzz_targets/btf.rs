//! The kernel's type information.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watcher::source::kernel::fuzzing::type_information(bytes));
