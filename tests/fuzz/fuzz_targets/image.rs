//! ELF headers, notes, build information and the names of handlers.
#![no_main]

use watcher::golang::binary::buildinfo;
use watcher::golang::probes::handlers;
use watcher::golang::binary::image::Image;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok(image) = Image::read(file) {
        let _ = image.build_id(file);
        let _ = buildinfo::read_image(file, &image);
        let _ = handlers::offers_pprof(file);
        for segment in &image.segments {
            let _ = image.file_range(segment.address);
            let _ = image.file_range(segment.address.wrapping_add(segment.memory_bytes));
        }
    }
});
