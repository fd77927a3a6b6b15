use crate::judge::judge;
use crate::judge::judgement::Judgement;
use crate::judge::kinds::goroutines::tests::{CONNECTIONS, Crowd, HANDLER, Place, crowd, watched};
use crate::judge::simulation::{Beat, PROCESS, sample, window};
use crate::judge::terms::{Bounds, Kind, Thresholds};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::judge::weigh::survivors::world::{self, NEVER, TRANSPORT, every, ledger, sockets};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;
use std::sync::Arc;

fn kinds(window: &Window) -> Vec<(Kind, Option<Kind>)> {
    let judgement: Judgement =
        judge(window, &Bounds { is_go: true, ..Bounds::default() }, &Thresholds::default());
    let doubtful =
        judgement.undecided.iter().filter(|one| judgement.findings.iter().any(|it| it.kind == one.kind));
    assert_eq!(doubtful.count(), 0, "found and undecided at once: {judgement:?}");
    judgement.findings.iter().map(|finding| (finding.kind, finding.consequence_of)).collect()
}

fn counters(second: u64) -> GoCounters {
    let heap = HeapCounters { marked_bytes: Some(8 << 20), ..HeapCounters::default() };
    GoCounters { goroutines: Some(20 + 6 * second), heap: Some(heap), gc_cycles: Some(second) }
}

/// Goroutines of this place: six more each second, all of which stay.
fn crowds(place: Place) -> impl Fn(usize) -> Vec<Crowd> {
    move |second| vec![(place, crowd(1, 20 + 6 * second as u64, None))]
}

/// What the descriptors are is read at the begin and never again, as under load where others have their turn first.
fn seldom_read(place: Place, descriptors_per_second: u64) -> Window {
    let mut window = Window::new(PROCESS, 128);
    let first = sample(0.0, &Beat::default());
    for second in 0..=45u64 {
        let established = 3 + descriptors_per_second * second;
        let beat = Beat { established, runtime: Some(counters(second)), ..Beat::default() };
        let mut sample = sample(second as f64, &beat);
        sample.descriptor_types = Arc::clone(&first.descriptor_types);
        sample.connections = Arc::clone(&first.connections);
        assert!(window.push(sample));
    }
    let source = watched(|second| 20 + 6 * second as u64, crowds(place));
    *window.captures_mut() = source.captures().clone();
    window
}

#[test]
fn goroutines_on_the_network_and_descriptors_at_their_pace_are_connections() {
    let found = kinds(&seldom_read(CONNECTIONS, 3));
    assert_eq!(found, [(Kind::Connection, None), (Kind::Goroutine, Some(Kind::Connection))]);
}

#[test]
fn without_the_network_or_the_pace_nobody_else_is_accused() {
    let unknown = [(Kind::Fd, None), (Kind::Goroutine, Some(Kind::Fd))];
    assert_eq!(kinds(&seldom_read(HANDLER, 3)), unknown, "what these descriptors are is not known");
    assert_eq!(kinds(&seldom_read(CONNECTIONS, 0)), [(Kind::Goroutine, None)]);
    let mut apart = kinds(&seldom_read(CONNECTIONS, 60));
    apart.sort();
    assert_eq!(apart, [(Kind::Goroutine, None), (Kind::Fd, None)]);
}

#[test]
fn a_stack_that_keeps_its_sockets_is_the_cause_whatever_their_number_does() {
    let kept = every(3.0, TRANSPORT, NEVER);
    // All other sockets come and go in waves under which the kept ones vanish.
    let others = |second: usize| 200 + [0, 90, 30, 120, 60][second / 3 % 5] - 4 * second as u64;
    let source = watched(|second| 20 + 6 * second as u64, crowds(CONNECTIONS));
    let of = |with_ledger: bool| {
        let mut window = window(|second, beat| {
            beat.established = others(second) + world::alive(&kept, second);
            beat.runtime = Some(counters(second as u64));
        });
        *window.captures_mut() = source.captures().clone();
        for second in [0.0, 22.0, 45.0].into_iter().filter(|_| with_ledger) {
            window.captures_mut().descriptors.push(ledger(second, &kept, sockets));
        }
        window
    };
    assert_eq!(kinds(&of(false)), [(Kind::Goroutine, None)], "totals alone do not show it");
    assert_eq!(kinds(&of(true)), [(Kind::Connection, None), (Kind::Goroutine, Some(Kind::Connection))]);
}

#[test]
fn descriptors_of_which_the_types_are_too_old_are_found_and_not_guessed() {
    let mut window = Window::new(PROCESS, 128);
    let first = sample(0.0, &Beat::default());
    for second in 0..=45u64 {
        let beat = Beat { established: 3 + 3 * second, ..Beat::default() };
        let mut sample = sample(second as f64, &beat);
        sample.descriptor_types = Arc::clone(&first.descriptor_types);
        sample.connections = Arc::clone(&first.connections);
        assert!(window.push(sample));
    }
    let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
    let unread = judgement.undecided.iter().filter(|one| one.why == UndecidedWhy::NotRead);
    assert_eq!(unread.map(|one| one.kind).collect::<Vec<_>>(), [Kind::Connection]);
    let [finding] = &judgement.findings[..] else { panic!("{judgement:?}") };
    assert_eq!((finding.kind, finding.detail.descriptor_type), (Kind::Fd, None));
    assert!(finding.evidence.contains(&Evidence::Share { of_descriptors: 1.0, readings: 0 }));
}
