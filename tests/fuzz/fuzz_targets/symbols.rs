//! A pclntab that changed after it was found good.
#![no_main]

libfuzzer_sys::fuzz_target!(|tables: &[u8]| watcher::golang::fuzzing::symbol_tables(tables));
