//! Recordings: what is read of one is judged, whatever it says. The header is there already, and so is the packing,
//! which has parsers of its own below it.
#![no_main]

use std::io::Read;
use watcher::agent::replay::{Settings, replay};
use watcher::store::recording::Reader;

const HEADER: &[u8] = br#"{"schema":"watcher.recording/1","watcher":"0.1.0","began":[0,0,0],"interval":{"secs":1,"nanos":0},"captures_every":null,"host":{}}
"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(reader) = Reader::new(bytes) {
        let _ = replay(reader, &Settings::default());
    }
    let packed = flate2::read::GzEncoder::new(HEADER.chain(bytes), flate2::Compression::none());
    let reader = Reader::new(packed).expect("the header is one");
    let _ = replay(reader, &Settings::default());
});
