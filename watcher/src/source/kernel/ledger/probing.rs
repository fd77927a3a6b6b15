//! The ledgers that need probes in the program: births of goroutines, spans of the heap.

use super::goroutines::RawBirths;
use super::runtime_probes::{
    BIRTH, Bounds, MAX_ONE_IN, NO_SETTINGS, Place, Probing, SPAN_FILLED, SPAN_MADE, SPAN_RETURNED, SpanWatch,
};
use super::spans::{RawAllocated, RawSpan};
use super::watch::{Kind, Refusal};
use super::{Ledgers, RawLedger};
use crate::golang::binary::prologue::ProbePoint;
use crate::vocabulary::origin::StackId;
use crate::vocabulary::process::ProcessId;
use std::collections::HashMap;
use watcher_ebpf::{GoView, ProbeSettings};

impl Ledgers {
    /// Watches also the births of goroutines of a process, by a probe at `newproc1` (the push of its frame pointer).
    /// What else it is watched for goes on.
    ///
    /// # Errors
    /// As [`Ledgers::watch`].
    pub fn watch_births(
        &mut self,
        id: ProcessId,
        view: Option<GoView>,
        newproc1: ProbePoint,
        bounds: Bounds,
    ) -> Result<(), Refusal> {
        let place = Place { program: BIRTH, file_offset: newproc1.file_offset };
        self.probe(id, view, Kind::Births, &[place], NO_SETTINGS, bounds)
    }

    /// Watches also the spans of a process's heap. What else it is watched for goes on.
    ///
    /// # Errors
    /// As [`Ledgers::watch`].
    pub fn watch_spans(
        &mut self,
        id: ProcessId,
        view: Option<GoView>,
        spans: &SpanWatch,
        bounds: Bounds,
    ) -> Result<(), Refusal> {
        let SpanWatch { probes, view: span_view, one_in } = spans;
        let place = |program, file_offset| Place { program, file_offset };
        let filled = Some(place(SPAN_FILLED, probes.filled));
        let large = probes.large.map(|large| place(SPAN_MADE, large));
        let returned = probes.returned.map(|returned| place(SPAN_RETURNED, returned));
        let places: Vec<Place> = [filled, large, returned].into_iter().flatten().collect();
        let settings = ProbeSettings {
            sample_mask: (*one_in).clamp(1, MAX_ONE_IN).next_power_of_two() - 1,
            counts: span_view.counts,
            counts_are_wide: u32::from(span_view.counts_are_wide),
            allocation: span_view.allocation,
            ..NO_SETTINGS
        };
        self.probe(id, view, Kind::Spans, &places, settings, bounds)
    }

    fn probe(
        &mut self,
        id: ProcessId,
        view: Option<GoView>,
        kind: Kind,
        places: &[Place],
        settings: ProbeSettings,
        bounds: Bounds,
    ) -> Result<(), Refusal> {
        let mut kinds = self.entry(id).map(|(_, entry)| entry.kinds).unwrap_or_default();
        let before = kinds;
        kinds.insert(kind);
        self.watch(id, view, kinds)?;
        let kernel_pid = self.entry(id).map(|(_, entry)| entry.kernel_pid);
        let (Some(instance), Some(kernel_pid)) = (&mut self.instance, kernel_pid) else {
            return Err(Refusal::NoPrograms);
        };
        if let Err(outcome) = instance.probe((id.pid, kernel_pid, kind), places, settings, bounds) {
            match before.is_empty() {
                true => self.unwatch(id),
                // It was watched for this before, and is not any more.
                false => self.watch(id, view, before)?,
            }
            return Err(Refusal::Kind { kind, outcome });
        }
        Ok(())
    }

    /// What became of the probes of `kind` in a process; `None` where there are none.
    pub fn probing(&self, id: ProcessId, kind: Kind) -> Option<Probing> {
        let (instance, entry) = self.entry(id)?;
        instance.probes.probing(entry.kernel_pid, kind)
    }

    /// Births of goroutines; `None` where the process is not watched for them, or the maps cannot be read.
    pub fn births(&self, id: ProcessId) -> Option<RawLedger<RawBirths>> {
        let (instance, entry) = self.entry(id)?;
        self.raw(id, Kind::Births, instance.births.of_process(entry.kernel_pid).ok()?, 1)
    }

    /// Forgets births that `keep` does not want, as of goroutines that have ended, so that there is room for others.
    pub fn retain_births(&self, id: ProcessId, keep: impl Fn(&RawBirths) -> bool) {
        if let Some((instance, entry)) = self.entry(id)
            && let Err(error) = instance.births.retain(entry.kernel_pid, keep)
        {
            tracing::warn!(%error, pid = id.pid, "births of goroutines that ended stay in the ledger");
        }
    }

    /// Spans that were allocated from; `None` where the process is not watched for them, or the maps cannot be read.
    pub fn spans(&self, id: ProcessId) -> Option<RawLedger<RawSpan>> {
        let (instance, entry) = self.entry(id)?;
        let one_in = self.probing(id, Kind::Spans)?.one_in;
        self.raw(id, Kind::Spans, instance.spans.of_process(entry.kernel_pid, one_in).ok()?, one_in)
    }

    /// What each stack has allocated; `None` as for [`Ledgers::spans`].
    pub fn allocated(&self, id: ProcessId) -> Option<HashMap<StackId, RawAllocated>> {
        let (instance, entry) = self.entry(id)?;
        instance.spans.allocated(entry.kernel_pid).ok()
    }

    /// Forgets spans in which nothing is alive.
    pub fn forget_spans(&self, id: ProcessId, addresses: &[u64]) {
        if let Some((instance, entry)) = self.entry(id)
            && let Err(error) = instance.spans.forget(entry.kernel_pid, addresses)
        {
            tracing::warn!(%error, pid = id.pid, "spans that are empty stay in the ledger");
        }
    }
}
