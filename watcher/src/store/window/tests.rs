use super::{DETAIL_BYTES, Window};
use crate::judge::simulation::{Beat, PROCESS, moment, sample};
use crate::observed::Sample;
use crate::observed::connections::{ConnectionGroup, ConnectionKey, MAX_GROUPS, Peer, Role};
use crate::store::history::Signal;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn idle(second: f64) -> Sample {
    sample(second, &Beat::default())
}

fn seconds(window: &Window) -> Vec<f64> {
    window.samples().map(|sample| sample.at.since_boot.as_secs_f64() - 1_000.0).collect()
}

#[test]
fn foreign_and_older_samples_are_refused() {
    let mut window = Window::new(PROCESS, 16);
    assert!(window.push(idle(5.0)));
    assert!(!window.push(idle(5.0)), "the same moment again");
    assert!(!window.push(idle(4.0)), "an older one");
    let mut reused = idle(6.0);
    reused.process = ProcessId { start_ticks: PROCESS.start_ticks + 1, ..PROCESS };
    assert!(!window.push(reused), "another process with the same pid");
    assert_eq!(window.len(), 1);
}

#[test]
fn a_full_window_still_begins_at_its_beginning() {
    let mut window = Window::new(PROCESS, 16);
    for second in 0..1_000 {
        assert!(window.push(idle(f64::from(second))));
        assert!(window.len() <= 16);
    }
    let kept = seconds(&window);
    assert_eq!((kept[0], kept[kept.len() - 1]), (0.0, 999.0));
    assert_eq!(window.seconds(), 999.0);
    assert!(
        kept[kept.len() - 6..].windows(2).all(|pair| pair[1] - pair[0] == 1.0),
        "the newest are all there"
    );
}

#[test]
fn a_series_skips_what_was_not_read_or_not_read_anew() {
    let mut window = Window::new(PROCESS, 16);
    for second in 0..6_u32 {
        let mut sample = idle(f64::from(second));
        sample.threads.reading = Reading::Seen(10 + u64::from(second));
        if second == 2 {
            sample.threads.reading = Reading::Denied;
        }
        if second == 4 {
            sample.threads.at = moment(3.0);
        }
        assert!(window.push(sample));
    }
    let series = window.series(|sample| Some((sample.threads.at, *sample.threads.seen()? as f64)));
    assert_eq!(series.values, [10.0, 11.0, 13.0, 15.0]);
    assert_eq!(series.seconds, [0.0, 1.0, 3.0, 5.0]);
    assert_eq!(series.gaps, 2);
}

#[test]
fn a_window_that_may_forget_keeps_what_is_recent_and_its_history() {
    let mut window = Window::new(PROCESS, 64);
    window.keep_for(Some(Duration::from_secs(600)));
    for second in (0..4_000).step_by(10) {
        assert!(window.push(idle(f64::from(second))));
    }
    let kept = seconds(&window);
    assert_eq!((kept[0] >= 3_390.0, kept[kept.len() - 1]), (true, 3_990.0));
    assert!(window.history().points(1, 72, Signal::Threads).len() >= 13, "the history reaches back");
}

/// A sample with as many groups of sockets as are kept apart.
fn crowded(second: f64) -> Sample {
    let group = |index: usize| ConnectionGroup {
        key: ConnectionKey {
            family: Family::Unix,
            transport: Transport::Stream,
            state: SocketState::Established,
            role: Role::Dialled,
            peer: Peer::Path(format!("/run/{index}/{}", "x".repeat(90))),
        },
        count: 1,
    };
    let mut sample = idle(second);
    let mut connections = (*sample.connections).clone();
    if let Reading::Seen(connections) = &mut connections.reading {
        connections.groups = (0..MAX_GROUPS).map(group).collect();
    }
    sample.connections = Arc::new(connections);
    sample
}

#[test]
fn details_are_bounded_whatever_the_process_holds_open() {
    let mut window = Window::new(PROCESS, 256);
    for second in 0..300 {
        assert!(window.push(crowded(f64::from(second))));
        assert!(window.detail_bytes <= DETAIL_BYTES, "{}", window.detail_bytes);
    }
    let mut readings: Vec<f64> =
        window.samples().map(|sample| sample.connections.at.since_boot.as_secs_f64() - 1_000.0).collect();
    assert!(readings.is_sorted(), "no sample carries a later reading than the next");
    assert!(window.samples().all(|sample| sample.connections.at <= sample.at));
    readings.dedup();
    assert_eq!((readings[0], readings[readings.len() - 1]), (0.0, 299.0), "the first and the newest stay");
    assert!(readings.len() >= 3);
}

#[test]
fn details_that_are_small_are_all_kept() {
    let mut window = Window::new(PROCESS, 64);
    for second in 0..64 {
        assert!(window.push(idle(f64::from(second))));
    }
    let series = window.series(|sample| Some((sample.connections.at, 0.0)));
    assert_eq!(series.gaps, 0);
}

proptest! {
    #[test]
    fn any_run_of_moments_leaves_a_bounded_ordered_window(
        moments in proptest::collection::vec(0..500u16, 1..200), capacity in 0..40usize,
    ) {
        let mut window = Window::new(PROCESS, capacity);
        let mut first = None;
        for moment in moments {
            if window.push(idle(f64::from(moment))) {
                first = first.or(Some(f64::from(moment)));
            }
            prop_assert!(window.len() <= capacity.max(8));
        }
        let kept = seconds(&window);
        prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(kept.first().copied(), first);
    }
}
