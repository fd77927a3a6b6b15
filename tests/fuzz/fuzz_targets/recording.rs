//! Recordings: what is read of one is judged and printed, whatever it says. The header is there already, and so is
//! the packing, which has parsers of its own below it.
#![no_main]

use std::io::Read;
use std::time::Duration;
use watcher::agent::replay::{Settings, replay};
use watcher::report::replay::{json_line, text};
use watcher::report::text::Layout;
use watcher::store::recording::Reader;

const HEADER: &[u8] = br#"{"schema":"watcher.recording/1","watcher":"0.1.0","began":[0,0,0],"interval":{"secs":1,"nanos":0},"captures_every":null,"host":{}}
"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(reader) = Reader::new(bytes) {
        judge_and_print(reader);
    }
    let packed = flate2::read::GzEncoder::new(HEADER.chain(bytes), flate2::Compression::none());
    let reader = Reader::new(packed).expect("the header is one");
    judge_and_print(reader);
});

fn judge_and_print<R: Read>(reader: Reader<R>) {
    let settings = Settings { every: Some(Duration::from_secs(10)), ..Settings::default() };
    let Ok(replayed) = replay(reader, &settings) else { return };
    for course in &replayed.courses {
        let _ = text(course, Layout::PLAIN);
        json_line(course, replayed.seconds, replayed.is_cut_off).expect("a course has a JSON");
    }
}
