//! A pclntab that changed after it was found good, of Go 1.19 where it begins like one, else of a newer version.
#![no_main]

libfuzzer_sys::fuzz_target!(|tables: &[u8]| watcher::golang::fuzzing::symbol_tables(tables));
