//! The heap's books, its profile and goroutine labels in memory that is garbled.
#![no_main]

use fuzz::{ALL_SPANS, BASE, CONTROLLER, Region};
use watcher::golang::fuzzing;
use watcher::golang::heap::Heap;
use watcher::golang::heap::profile::Location;
use watcher::golang::heap::spans::Spans;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((minor, bytes)) = input.split_first() else { return };
    let memory = Region(bytes);
    let minor = Some(u32::from(*minor)).filter(|minor| *minor < 64);
    if let Ok(heap) = Heap::locate(&memory, CONTROLLER, ALL_SPANS, minor) {
        let _ = heap.counters(&memory);
        if let Ok(spans) = Spans::locate(&memory, heap, minor) {
            let _ = spans.census(&memory);
            let _ = spans.view(&memory);
            let _ = spans.marks(&memory, &[BASE + 0x600, BASE + 0x6a0, BASE]);
        }
    }
    let location = Location {
        buckets: Some(BASE),
        rate: Some(BASE + 8),
        sweep_generation: Some(BASE + 16),
        is_linked: true,
    };
    if let Ok(profile) = location.read(&memory) {
        for site in &profile.sites {
            let _ = profile.estimate(site);
        }
    }
    fuzzing::labels(&memory, BASE);
});
