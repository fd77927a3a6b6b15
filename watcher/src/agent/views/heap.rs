//! The Go heap of one process.

use crate::agent::views::subject::{Part, Subject, ViewError};
use crate::golang::heap::Certainty;
use crate::golang::heap::heap_reader::{HeapReader, ResolvedSite};
use crate::golang::heap::profile::HeapProfile;
use crate::golang::heap::spans::Census;
use crate::report::heap::{Heap, Samples, SizeClass, Spans, Totals};
use crate::report::pprof::{Function, HeapSite, Place};
use crate::source::clock;

/// Reads the heap of the process with this pid.
///
/// # Errors
/// See [`ViewError`].
pub fn heap(pid: i32) -> Result<Heap, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let reader = HeapReader::attach(&mut subject.runtime, &subject.file, &subject.memory);
    let taken = clock::now().wall;
    let counters = reader.counters(&subject.memory);
    let census = reader.census(&subject.memory);
    let profile = reader.profile(&subject.memory);
    subject.subject.verify()?;
    let samples = profile.map_err(|why| why.to_string()).map(|profile| {
        let (symbols, loaded) = subject.runtime.symbols(&subject.file, &subject.memory);
        let sites = profile.sites.iter().map(|site| profile.resolve(site, symbols, &loaded));
        Samples {
            rate_bytes: profile.rate_bytes,
            sites: sites.map(site_view).collect(),
            remarks: remarks(&profile),
        }
    });
    let mut remarks = subject.remarks(&[Part::Heap]);
    if reader.heap().is_ok_and(|heap| heap.certainty() == Certainty::Calibrated) {
        remarks
            .push("The place of the totals was found by sums that must hold, not by the version.".to_owned());
    }
    let totals = counters.map_err(|why| why.to_string()).map(|counters| Totals {
        gc_cycles: counters.gc_cycles,
        live_bytes: counters.marked_bytes,
        allocated_bytes: counters.live_bytes,
        goal_bytes: counters.goal_bytes,
        in_use_bytes: counters.in_use_bytes,
        idle_bytes: counters.idle_bytes,
        released_bytes: counters.released_bytes,
        total_allocated_bytes: counters.total_allocated_bytes,
        gogc_percent: counters.gogc_percent,
        memory_limit_bytes: counters.memory_limit_bytes,
    });
    Ok(Heap {
        process: subject.subject.target.clone(),
        taken,
        totals,
        spans: census.map(|census| spans(&census)).map_err(|why| why.to_string()),
        samples,
        remarks,
        mappings: subject.mappings(),
    })
}

fn spans(census: &Census) -> Spans {
    let class = |class: &crate::golang::heap::spans::SizeClass| SizeClass {
        object_bytes: class.object_bytes,
        has_pointers: class.has_pointers,
        spans: class.spans,
        objects: class.objects,
        bytes: class.bytes,
    };
    Spans {
        heap_bytes: census.heap_bytes,
        stack_bytes: census.stack_bytes,
        work_bytes: census.work_bytes,
        not_counted: census.unreadable + census.implausible,
        classes: census.classes.iter().map(class).collect(),
    }
}

fn site_view(site: ResolvedSite) -> HeapSite {
    let places = site.places.into_iter().filter_map(|place| {
        let address = place.first()?.pc;
        let named = place.iter().filter(|frame| !frame.symbol.is_empty());
        let lines = named.map(|frame| {
            let function = Function {
                name: frame.symbol.to_string(),
                file: frame.file.to_string(),
                start_line: Some(frame.start_line).filter(|line| *line != 0),
            };
            (function, frame.line)
        });
        Some(Place { address, lines: lines.collect() })
    });
    HeapSite {
        places: places.collect(),
        object_bytes: site.object_bytes,
        allocated_objects: site.estimate.allocated_objects,
        allocated_bytes: site.estimate.allocated_bytes,
        in_use_objects: site.estimate.in_use_objects,
        in_use_bytes: site.estimate.in_use_bytes,
    }
}

fn remarks(profile: &HeapProfile) -> Vec<String> {
    let remarks = [
        (profile.is_before_first_gc, "No collection has ended yet: all that was allocated so far is shown."),
        (profile.is_torn, "A collection ended each time it was read: the profile may mix two moments."),
        (profile.is_truncated, "The profile is longer than what is read: the oldest stacks are missing."),
    ];
    remarks.into_iter().filter(|(holds, _)| *holds).map(|(_, remark)| remark.to_owned()).collect()
}
