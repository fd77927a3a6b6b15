//! What a process is judged by beside its window: the same for one that is watched and for one that is replayed.

use crate::judge::terms::Bounds;
use crate::observed::Sample;
use crate::source::host::{Host, HostUsage};
use crate::store::recording::{HostFacts, HostUse};
use crate::vocabulary::process::{ProcessId, Target};

/// What of a host matters to verdicts, to be recorded.
pub(super) fn facts(host: &Host) -> HostFacts {
    HostFacts {
        kernel_release: host.kernel_release.clone(),
        memory_bytes: host.memory_bytes,
        tasks: host.tasks_max(),
        ticks_per_second: Some(host.ticks_per_second),
        page_bytes: Some(host.page_bytes),
    }
}

/// What of it is in use, to be recorded with each beat.
pub(super) fn used(usage: &HostUsage) -> HostUse {
    HostUse { available_bytes: usage.available_bytes, tasks: usage.tasks }
}

/// Seconds after boot at which a process of such a host started; `None` where its clock is not known.
pub(super) fn began(id: ProcessId, host: &HostFacts) -> Option<f64> {
    let ticks_per_second = host.ticks_per_second.filter(|ticks| *ticks > 0)?;
    Some(id.start_ticks as f64 / ticks_per_second as f64)
}

/// By what a process of such a host is judged, but for what its user has running.
pub(super) fn of(target: &Target, host: &HostFacts, used: &HostUse, newest: Option<&Sample>) -> Bounds {
    let mut limits = target.limits;
    // The kernel does not hold root to it (`is_ucounts_overlimit`, kernel/fork.c).
    if target.uid == Some(0) {
        limits.user_processes = None;
    }
    let age = |sample: &Sample| Some(sample.at.since_boot.as_secs_f64() - began(target.id, host)?);
    Bounds {
        limits,
        host_memory_bytes: host.memory_bytes,
        host_available_bytes: used.available_bytes,
        host_tasks: host.tasks,
        host_tasks_in_use: used.tasks,
        user_tasks: None,
        is_go: target.go.is_some(),
        age_seconds: newest.and_then(age),
    }
}

#[cfg(test)]
mod tests {
    use super::{began, of};
    use crate::explain::tests::target;
    use crate::judge::simulation::{Beat, sample};
    use crate::store::recording::{HostFacts, HostUse};
    use crate::vocabulary::process::{ProcessId, Target};

    fn host() -> HostFacts {
        HostFacts {
            memory_bytes: Some(8 << 30),
            tasks: Some(30_000),
            ticks_per_second: Some(100),
            ..HostFacts::default()
        }
    }

    #[test]
    fn when_a_process_began_is_known_only_with_the_hosts_clock() {
        let id = ProcessId { pid: 1, start_ticks: 4_711 };
        assert_eq!(began(id, &host()), Some(47.11));
        for ticks_per_second in [None, Some(0)] {
            assert_eq!(began(id, &HostFacts { ticks_per_second, ..host() }), None);
        }
    }

    #[test]
    fn root_has_no_limit_of_tasks_and_others_have() {
        let used = HostUse::default();
        let limit = |uid| of(&Target { uid, ..target() }, &host(), &used, None).limits.user_processes;
        assert_eq!((limit(Some(1000)), limit(None)), (Some(63_304), Some(63_304)));
        assert_eq!(limit(Some(0)), None);
    }

    #[test]
    fn what_the_host_has_and_how_old_the_process_is_count_as_far_as_they_are_known() {
        let used = HostUse { available_bytes: Some(3 << 30), tasks: Some(700) };
        let newest = sample(60.0, &Beat::default());
        let bounds = of(&target(), &host(), &used, Some(&newest));
        assert_eq!((bounds.host_memory_bytes, bounds.host_available_bytes), (Some(8 << 30), Some(3 << 30)));
        assert_eq!(
            (bounds.host_tasks, bounds.host_tasks_in_use, bounds.user_tasks),
            (Some(30_000), Some(700), None)
        );
        assert!(bounds.is_go);
        let age = newest.at.since_boot.as_secs_f64() - 47.11;
        assert_eq!(bounds.age_seconds, Some(age));
        let unknown =
            of(&Target { go: None, ..target() }, &HostFacts::default(), &HostUse::default(), Some(&newest));
        assert_eq!((unknown.age_seconds, unknown.host_memory_bytes, unknown.is_go), (None, None, false));
        assert_eq!(of(&target(), &host(), &used, None).age_seconds, None, "nothing was seen of it");
    }
}
