//! How each signal is read off a sample.

use super::Sample;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::signal::Signal;

/// A goroutine's stack begins with 2 KiB and is seldom larger than this.
const STACK_BYTES: u64 = 8 * 1024;

/// What a sample says of a signal, and when that was read; of a rate the counter of which it is the rate. `None` where
/// it could not be read.
pub fn of(sample: &Sample, signal: Signal) -> Option<(Moment, u64)> {
    let memory = || sample.memory.seen();
    let runtime = || sample.runtime.seen();
    let anonymous = || memory().map(|memory| memory.anon_bytes.saturating_add(memory.swap_bytes));
    Some(match signal {
        Signal::Descriptors => (sample.descriptors.at, *sample.descriptors.seen()?),
        Signal::Files => (sample.descriptor_types.at, sample.descriptor_types.seen()?.without_sockets()),
        Signal::Sockets => {
            let counts = &sample.descriptor_types.seen()?.counts;
            (sample.descriptor_types.at, counts.get(&DescriptorType::Socket).copied().unwrap_or(0))
        }
        Signal::Threads => (sample.threads.at, *sample.threads.seen()?),
        Signal::Goroutines => (sample.runtime.at, runtime()?.goroutines?),
        Signal::LiveHeap => (sample.runtime.at, runtime()?.heap?.marked_bytes?),
        Signal::OutsideGo => {
            let counters = runtime()?;
            let heap = counters.heap?;
            let stacks = counters.goroutines.unwrap_or(0).saturating_mul(STACK_BYTES);
            let within = heap.in_use_bytes.saturating_add(heap.idle_bytes).saturating_add(stacks);
            (sample.memory.at, anonymous()?.saturating_sub(within))
        }
        Signal::Anonymous => (sample.memory.at, anonymous()?),
        Signal::FilePages => (sample.memory.at, memory()?.file_bytes),
        Signal::SharedPages => (sample.memory.at, memory()?.shmem_bytes),
        Signal::Mappings => (sample.mappings.at, *sample.mappings.seen()?),
        Signal::Zombies => (sample.children.at, sample.children.seen()?.zombies),
        Signal::Allocation => (sample.runtime.at, runtime()?.heap?.total_allocated_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::judge::simulation::{Beat, sample};
    use crate::observed::go_counters::{GoCounters, HeapCounters};
    use crate::vocabulary::reading::Reading;
    use crate::vocabulary::signal::Signal;

    #[test]
    fn every_signal_is_read_where_it_is_and_none_where_it_is_not() {
        let heap = HeapCounters {
            in_use_bytes: 3 << 20,
            idle_bytes: 1 << 20,
            marked_bytes: Some(2 << 20),
            total_allocated_bytes: 77,
            ..HeapCounters::default()
        };
        let runtime = Some(GoCounters { goroutines: Some(2), heap: Some(heap), ..GoCounters::default() });
        let beat = Beat { anon_bytes: 10 << 20, runtime, threads: 5, zombies: 2, ..Beat::default() };
        let seen = sample(3.0, &beat);
        for signal in Signal::ALL {
            assert!(of(&seen, signal).is_some(), "{}", signal.name());
        }
        let value = |signal| of(&seen, signal).map(|(_, value)| value);
        assert_eq!(value(Signal::OutsideGo), Some((6 << 20) - 2 * 8192), "less the heap and two stacks");
        assert_eq!((value(Signal::Allocation), value(Signal::Zombies)), (Some(77), Some(2)));
        let all = value(Signal::Files).zip(value(Signal::Sockets)).map(|(files, sockets)| files + sockets);
        assert_eq!(all, value(Signal::Descriptors));
        let mut blind = seen.clone();
        blind.memory.reading = Reading::Denied;
        blind.runtime.reading = Reading::Failed;
        blind.threads.reading = Reading::Gone;
        let missing: Vec<Signal> = Signal::ALL.into_iter().filter(|it| of(&blind, *it).is_none()).collect();
        assert_eq!(
            missing,
            [
                Signal::Threads,
                Signal::Goroutines,
                Signal::LiveHeap,
                Signal::OutsideGo,
                Signal::Anonymous,
                Signal::FilePages,
                Signal::SharedPages,
                Signal::Allocation
            ]
        );
    }
}
