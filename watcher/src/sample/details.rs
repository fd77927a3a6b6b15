//! Types of the descriptors and the sockets among them: read by turns, kept in between.

use super::descriptors::Collector;
use super::turns::{Turn, choose};
use crate::observed::connections::Connections;
use crate::observed::descriptors::DescriptorTypes;
use crate::sample::beat::{Beat, SweepReport};
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading, Stamped, Via};
use crate::vocabulary::socket::Transport;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is known of the descriptors of each process.
#[derive(Debug, Default)]
pub struct Details {
    kept: HashMap<ProcessId, Kept>,
    /// Descriptors of the whole host, as the last pass over all of them found.
    on_host: Option<u64>,
}

#[derive(Debug)]
struct Kept {
    beat: u64,
    /// Descriptors there were when they were looked at.
    count: Option<u64>,
    network_namespace: Option<u64>,
    listens: Vec<(Transport, u16)>,
    detail: Detail,
}

/// The details of one process, shared by all samples until they are read anew.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its descriptors by type.
    pub types: Arc<Stamped<DescriptorTypes>>,
    /// Its sockets.
    pub connections: Arc<Stamped<Connections>>,
}

/// Looking at one process alone costs as much as so many descriptors more (6 µs against 0.3 µs each).
const COST_OF_A_PASS: u64 = 25;

impl Details {
    /// Forgets who is watched no longer.
    pub fn retain(&mut self, watched: &HashSet<ProcessId>) {
        self.kept.retain(|id, _| watched.contains(id));
    }

    /// What was read of a process last.
    pub fn of(&self, id: ProcessId) -> Option<Detail> {
        self.kept.get(&id).map(|kept| kept.detail.clone())
    }

    /// Looks at the descriptors of those whose turn it is. `false` where this route is not to be had.
    pub fn read(
        &mut self,
        beat: &Beat<'_>,
        tables: &mut dyn KernelTables,
        via: Via,
        report: &mut SweepReport,
    ) -> bool {
        let (due, spare): (Vec<_>, Vec<_>) = self.turns(beat).into_iter().partition(|(due, _)| *due);
        let due: Vec<Turn> = due.into_iter().map(|(_, turn)| turn).collect();
        let due_count = due.len();
        let (mut chosen, cost) = choose(due, beat.budget);
        let deferred = due_count - chosen.len();
        let spare_budget = beat.spare_budget.min(beat.budget.saturating_sub(cost));
        let spare = spare.into_iter().map(|(_, turn)| turn).filter(|turn| turn.cost <= spare_budget);
        let (spare, spare_cost) = choose(spare.collect(), spare_budget);
        chosen.extend(spare);

        let one_by_one = cost + spare_cost + COST_OF_A_PASS * chosen.len() as u64;
        let known: u64 = beat.counts.iter().filter_map(Stamped::seen).sum();
        let on_host = self.on_host.unwrap_or(known).max(known);
        let by_all = via == Via::KernelIterator && on_host < one_by_one && on_host <= beat.budget;
        let read = if by_all {
            self.read_all(beat, tables, via, report)
        } else {
            chosen.iter().all(|index| self.read_one(beat, *index, tables, via, report))
        };
        if read && !by_all {
            report.details_deferred += deferred as u64;
        }
        read
    }

    /// Everybody's turn, and whether it is due.
    fn turns(&self, beat: &Beat<'_>) -> Vec<(bool, Turn)> {
        let turn = |(index, target): (usize, &Target)| {
            let count = beat.counts[index].seen().copied();
            let kept = self.kept.get(&target.id);
            let due = kept.is_none_or(|kept| kept.count != count || kept.beat < beat.last_refresh(target.id));
            (due, Turn { index, last: kept.map(|kept| kept.beat), cost: count.unwrap_or(0) })
        };
        beat.targets.iter().enumerate().map(turn).collect()
    }

    fn read_one(
        &mut self,
        beat: &Beat<'_>,
        index: usize,
        tables: &mut dyn KernelTables,
        via: Via,
        report: &mut SweepReport,
    ) -> bool {
        let at = clock::now();
        let mut collector = Collector::default();
        let scope = Scope::Process(beat.targets[index].id.pid);
        let reading = tables.descriptors(scope, &mut |descriptor| {
            report.descriptors_visited += 1;
            collector.add(descriptor);
        });
        let refused = matches!(reading, Reading::Denied | Reading::Unsupported);
        if refused && via == Via::KernelIterator {
            return false;
        }
        // What was read before stays, with its moment, and it stays due.
        if !reading.has_failed() {
            self.keep(beat, index, at, via, reading.map(|()| collector), report);
        }
        true
    }

    fn read_all(
        &mut self,
        beat: &Beat<'_>,
        tables: &mut dyn KernelTables,
        via: Via,
        report: &mut SweepReport,
    ) -> bool {
        let at = clock::now();
        let indices = beat.targets.iter().enumerate();
        let mut collectors: HashMap<i32, (usize, Collector)> =
            indices.map(|(index, target)| (target.id.pid, (index, Collector::default()))).collect();
        let mut visited = 0;
        let reading = tables.descriptors(Scope::AllProcesses, &mut |descriptor| {
            visited += 1;
            if let Some((_, collector)) = collectors.get_mut(&descriptor.pid) {
                collector.add(descriptor);
            }
        });
        if reading != Reading::Seen(()) {
            return false;
        }
        self.on_host = Some(visited);
        report.descriptors_visited += visited;
        for (index, collector) in collectors.into_values() {
            self.keep(beat, index, at, via, Reading::Seen(collector), report);
        }
        true
    }

    fn keep(
        &mut self,
        beat: &Beat<'_>,
        index: usize,
        at: Moment,
        via: Via,
        collector: Reading<Collector>,
        report: &mut SweepReport,
    ) {
        let target = &beat.targets[index];
        let listens = collector.seen().map(|collector| collector.listening_ports().collect());
        let (types, connections) = match collector {
            Reading::Seen(collector) => {
                report.details_read += 1;
                report.sockets_beyond += collector.sockets_beyond();
                let (types, connections) = collector.finish(&self.listening_beside(target));
                (Reading::Seen(types), Reading::Seen(connections))
            }
            reading => {
                let reading = reading.map(drop);
                (
                    reading.clone().map(|()| DescriptorTypes::default()),
                    reading.map(|()| Connections::default()),
                )
            }
        };
        let kept = Kept {
            beat: beat.number,
            count: beat.counts[index].seen().copied(),
            network_namespace: target.network_namespace,
            listens: listens.unwrap_or_default(),
            detail: Detail {
                types: Arc::new(Stamped { at, via, reading: types }),
                connections: Arc::new(Stamped { at, via, reading: connections }),
            },
        };
        self.kept.insert(target.id, kept);
    }

    /// Ports on which others listen in the network namespace of `target`: it may serve what they have accepted.
    fn listening_beside(&self, target: &Target) -> HashSet<(Transport, u16)> {
        let Some(namespace) = target.network_namespace else { return HashSet::new() };
        let beside = self.kept.values().filter(|kept| kept.network_namespace == Some(namespace));
        beside.flat_map(|kept| kept.listens.iter().copied()).collect()
    }
}
