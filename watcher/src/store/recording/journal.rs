//! Finds out what of a process is new since this was last asked: what has not been written yet.

use super::{CaptureKind, Captured, Entry};
use crate::observed::ages::Ages;
use crate::observed::anatomy::Anatomy;
use crate::observed::data_files::DataFiles;
use crate::observed::doubts::Doubt;
use crate::observed::goroutines::GoroutineCapture;
use crate::observed::heap::HeapCapture;
use crate::observed::ledger::Ledger;
use crate::observed::pulls::{EndpointUse, PulledProfile};
use crate::store::Window;
use crate::store::captures::{Captures, LedgerName, Run};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Moment;
use std::borrow::Cow;
use std::collections::HashMap;

/// What has been written of each process.
#[derive(Debug, Default)]
pub struct Journal {
    processes: HashMap<ProcessId, Written>,
}

#[derive(Debug)]
struct Written {
    target: Target,
    sampled: Option<Moment>,
    /// When the first and the newest capture of each kind were taken.
    captures: HashMap<CaptureKind, (Moment, Moment)>,
    about: About,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct About {
    without_ledger: Vec<(LedgerName, String)>,
    no_runtime: Option<String>,
    doubts: Vec<Doubt>,
    endpoint: Option<EndpointUse>,
    anatomy: Option<Anatomy>,
}

impl Journal {
    /// What is new of a process, in the order in which it must be read again.
    ///
    /// Of several samples since the last time only the newest is given: ask after each.
    pub fn news<'a>(&mut self, target: &'a Target, window: &'a Window) -> Vec<Entry<'a>> {
        let mut news = Vec::new();
        let written = match self.processes.get_mut(&target.id) {
            Some(written) => {
                if written.target != *target {
                    written.target = target.clone();
                    news.push(Entry::Process(Cow::Borrowed(target)));
                }
                written
            }
            None => {
                news.push(Entry::Process(Cow::Borrowed(target)));
                let new = Written {
                    target: target.clone(),
                    sampled: None,
                    captures: HashMap::new(),
                    about: About::default(),
                };
                self.processes.entry(target.id).or_insert(new)
            }
        };
        if let Some(sample) = window.latest().filter(|sample| written.sampled != Some(sample.at)) {
            written.sampled = Some(sample.at);
            news.push(Entry::Sample(Cow::Borrowed(sample)));
        }
        written.captures_of(target.id, window.captures(), &mut news);
        news
    }

    /// A process is there no longer. Whether it was written at all.
    pub fn forget(&mut self, process: ProcessId) -> bool {
        self.processes.remove(&process).is_some()
    }
}

impl Written {
    fn captures_of<'a>(&mut self, process: ProcessId, captures: &'a Captures, news: &mut Vec<Entry<'a>>) {
        let about = About {
            without_ledger: captures.without_ledger.clone(),
            no_runtime: captures.no_runtime.clone(),
            doubts: captures.doubts.clone(),
            endpoint: captures.pulls.used.clone(),
            anatomy: captures.anatomy.clone(),
        };
        if self.about != about {
            self.about = about.clone();
            let About { without_ledger, no_runtime, doubts, endpoint, anatomy } = about;
            news.push(Entry::About { process, without_ledger, no_runtime, doubts, endpoint, anatomy });
        }
        let mut new = New { written: &mut self.captures, anew: Vec::new(), captured: Vec::new() };
        new.of(CaptureKind::Goroutines, &captures.goroutines, |it| Captured::Goroutines(Cow::Borrowed(it)));
        new.of(CaptureKind::Heap, &captures.heap, |it| Captured::Heap(Cow::Borrowed(it)));
        new.of(CaptureKind::Ages, &captures.ages, |it| Captured::Ages(Cow::Borrowed(it)));
        new.of(CaptureKind::DataFiles, &captures.data_files, |it| Captured::DataFiles(Cow::Borrowed(it)));
        new.of(CaptureKind::Descriptors, &captures.descriptors, |it| {
            Captured::Descriptors(Cow::Borrowed(it))
        });
        new.of(CaptureKind::Mappings, &captures.mappings, |it| Captured::Mappings(Cow::Borrowed(it)));
        new.of(CaptureKind::Threads, &captures.threads, |it| Captured::Threads(Cow::Borrowed(it)));
        new.of(CaptureKind::Children, &captures.children, |it| Captured::Children(Cow::Borrowed(it)));
        new.of(CaptureKind::Spans, &captures.spans, |it| Captured::Spans(Cow::Borrowed(it)));
        let pulls = &captures.pulls;
        new.of(CaptureKind::PulledGoroutines, &pulls.goroutines, |it| {
            Captured::PulledGoroutines(Cow::Borrowed(it))
        });
        new.of(CaptureKind::PulledHeap, &pulls.heap, |it| Captured::PulledHeap(Cow::Borrowed(it)));
        new.of(CaptureKind::PulledLeaked, pulls.leaked.as_slice(), |it| {
            Captured::PulledLeaked(Cow::Borrowed(it))
        });
        let New { anew, captured, .. } = new;
        if !anew.is_empty() {
            news.push(Entry::Anew { process, captures: anew });
        }
        news.extend(captured.into_iter().map(|what| Entry::Capture { process, what }));
    }
}

/// Collects new captures.
struct New<'w, 'a> {
    written: &'w mut HashMap<CaptureKind, (Moment, Moment)>,
    anew: Vec<CaptureKind>,
    captured: Vec<Captured<'a>>,
}

impl<'a> New<'_, 'a> {
    fn of<T: Taken + 'a>(
        &mut self,
        kind: CaptureKind,
        run: impl Kept<'a, T>,
        captured: impl Fn(&'a T) -> Captured<'a>,
    ) {
        let all: Vec<&'a T> = run.kept();
        let before = self.written.get(&kind).copied();
        let ends = all.first().zip(all.last()).map(|(first, last)| (first.at(), last.at()));
        // The first capture stays for as long as a run lasts; of the leak profile only the newest is kept.
        let goes_on = match (before, ends) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((first, _)), Some((now, _))) => first == now || kind == CaptureKind::PulledLeaked,
        };
        if !goes_on {
            self.anew.push(kind);
        }
        let newest = before.filter(|_| goes_on).map(|(_, last)| last);
        self.captured
            .extend(all.into_iter().filter(|it| newest.is_none_or(|newest| it.at() > newest)).map(captured));
        match ends {
            Some(ends) => self.written.insert(kind, ends),
            None => self.written.remove(&kind),
        };
    }
}

/// Captures, oldest first.
trait Kept<'a, T> {
    fn kept(self) -> Vec<&'a T>;
}

impl<'a, T> Kept<'a, T> for &'a Run<T> {
    fn kept(self) -> Vec<&'a T> {
        self.earlier().chain(self.last()).collect()
    }
}

impl<'a, T> Kept<'a, T> for &'a [T] {
    fn kept(self) -> Vec<&'a T> {
        self.iter().collect()
    }
}

/// Something that was captured at one moment.
trait Taken {
    fn at(&self) -> Moment;
}

impl Taken for GoroutineCapture {
    fn at(&self) -> Moment {
        self.at
    }
}

impl Taken for HeapCapture {
    fn at(&self) -> Moment {
        self.at
    }
}

impl Taken for Ages {
    fn at(&self) -> Moment {
        self.at
    }
}

impl Taken for DataFiles {
    fn at(&self) -> Moment {
        self.at
    }
}

impl<T> Taken for Ledger<T> {
    fn at(&self) -> Moment {
        self.at
    }
}

impl Taken for PulledProfile {
    fn at(&self) -> Moment {
        self.at
    }
}
