use super::{Facts, Probes, Steps, counts_tasks, profiles, steps};
use crate::agent::terms::Claim;
use crate::explain;
use crate::explain::tests::target;
use crate::judge::judge;
use crate::judge::simulation::window;
use crate::judge::terms::Kind::{self, Child, Connection, Fd, Goroutine, Heap, Mapping, Native, Thread};
use crate::judge::terms::{Bounds, Thresholds};
use crate::source::pprof::ProfileName;

const ALL: [Kind; 8] = [Heap, Goroutine, Fd, Connection, Thread, Native, Mapping, Child];

fn facts(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = Facts::default();
    change(&mut facts);
    facts
}

fn claim(change: impl FnOnce(&mut Facts)) -> Claim {
    steps(&facts(change)).claim
}

#[test]
fn of_whom_nothing_is_known_nothing_is_done() {
    assert_eq!(steps(&Facts::default()), Steps::default());
    assert_eq!(steps(&facts(|it| it.steady = ALL.to_vec())), Steps::default());
}

#[test]
fn the_strongest_that_speaks_for_a_process_is_its_claim() {
    let some = |kind: Kind, is_there: bool| if is_there { vec![kind] } else { Vec::new() };
    for (rises, is_suspected, is_found, is_near, expected) in [
        (false, false, false, false, Claim::Nothing),
        (true, false, false, false, Claim::Rises),
        (true, true, false, false, Claim::Suspected),
        (true, true, true, false, Claim::Leaks),
        (true, true, true, true, Claim::Urgent),
        (false, true, false, false, Claim::Suspected),
        (false, false, true, false, Claim::Leaks),
        (false, true, true, false, Claim::Leaks),
        (false, false, false, true, Claim::Urgent),
    ] {
        let known = facts(|it| {
            it.rising = some(Thread, rises);
            it.suspected = some(Heap, is_suspected);
            it.found = some(Fd, is_found);
            it.seconds_left = is_near.then_some(60.0);
        });
        assert_eq!(steps(&known).claim, expected, "{known:?}");
    }
}

#[test]
fn a_limit_is_urgent_only_where_it_is_near() {
    for (seconds_left, expected) in [
        (None, Claim::Nothing),
        (Some(0.0), Claim::Urgent),
        (Some(899.0), Claim::Urgent),
        (Some(900.0), Claim::Nothing),
        (Some(86_400.0), Claim::Nothing),
    ] {
        assert_eq!(claim(|it| it.seconds_left = seconds_left), expected, "{seconds_left:?}");
    }
}

#[test]
fn what_is_known_to_be_steady_makes_no_claim() {
    for kind in ALL {
        let rises = claim(|it| it.rising = vec![kind]);
        let creeps = claim(|it| it.creeping = vec![kind]);
        assert_eq!((rises, creeps), (Claim::Rises, Claim::Rises), "{kind:?}");
        let steady = |it: &mut Facts| it.steady = vec![kind];
        let rises = claim(|it| {
            steady(it);
            it.rising = vec![kind];
        });
        let creeps = claim(|it| {
            steady(it);
            it.creeping = vec![kind];
        });
        assert_eq!((rises, creeps), (Claim::Nothing, Claim::Nothing), "{kind:?}");
        // What moved little within the window may have crept for hours.
        let creeps = claim(|it| {
            steady(it);
            it.moved_little = vec![kind];
            it.creeping = vec![kind];
        });
        let rises = claim(|it| {
            steady(it);
            it.moved_little = vec![kind];
            it.rising = vec![kind];
        });
        assert_eq!((creeps, rises), (Claim::Rises, Claim::Nothing), "{kind:?}");
    }
    // That one is steady says nothing of another.
    let other = claim(|it| {
        it.steady = vec![Fd, Heap];
        it.rising = vec![Fd, Thread];
    });
    assert_eq!(other, Claim::Rises);
}

#[test]
fn only_goroutines_and_heap_that_may_leak_are_captured() {
    let places: [fn(&mut Facts, Kind); 3] = [
        |it, kind| it.found = vec![kind],
        |it, kind| it.suspected = vec![kind],
        |it, kind| it.pending = vec![kind],
    ];
    for kind in ALL {
        for (index, place) in places.iter().enumerate() {
            let steps = steps(&facts(|it| place(it, kind)));
            assert_eq!(steps.captures, matches!(kind, Heap | Goroutine), "{kind:?} in place {index}");
        }
        let elsewhere = steps(&facts(|it| {
            it.rising = vec![kind];
            it.creeping = vec![kind];
            it.risen = vec![kind];
            it.steady = vec![kind];
        }));
        assert!(!elsewhere.captures && elsewhere.pulls.is_empty(), "{kind:?} {elsewhere:?}");
    }
}

#[test]
fn the_endpoint_is_asked_about_what_rose_and_what_was_found_of_those_that_are_captured() {
    let asked = steps(&facts(|it| {
        it.pending = vec![Goroutine];
        it.risen = vec![Connection];
    }));
    assert_eq!((asked.captures, asked.pulls), (true, vec![ProfileName::Goroutine]));
    let asked = steps(&facts(|it| {
        it.found = vec![Heap, Fd];
        it.risen = vec![Goroutine];
    }));
    assert_eq!(asked.pulls, [ProfileName::Goroutine, ProfileName::Heap]);
    let of_sockets = steps(&facts(|it| {
        it.found = vec![Connection];
        it.risen = vec![Connection];
    }));
    assert!(of_sockets.pulls.is_empty(), "nothing is captured, so that there is nothing to compare with");
}

#[test]
fn sockets_are_looked_at_again_only_where_they_were_found_to_leak() {
    for kind in ALL {
        assert_eq!(steps(&facts(|it| it.found = vec![kind])).glances, kind == Connection, "{kind:?}");
        assert!(!steps(&facts(|it| it.suspected = vec![kind])).glances, "{kind:?}");
        assert!(!steps(&facts(|it| it.rising = vec![kind])).glances, "{kind:?}");
    }
}

#[test]
fn a_collection_is_asked_of_a_process_only_with_a_finding() {
    use ProfileName::{Goroutine as G, GoroutineLeak as L, Heap as H};
    for (kinds, suspected, found) in [
        (vec![], vec![], vec![]),
        (vec![Goroutine], vec![G], vec![G, L]),
        (vec![Connection], vec![G], vec![G]),
        (vec![Heap], vec![H], vec![H]),
        (vec![Heap, Goroutine], vec![G, H], vec![G, L, H]),
        (vec![Connection, Heap, Goroutine], vec![G, H], vec![G, L, H]),
        (vec![Fd, Thread, Native, Mapping, Child], vec![], vec![]),
        (vec![Goroutine, Goroutine], vec![G], vec![G, L]),
    ] {
        assert_eq!(profiles(&kinds, false), suspected, "{kinds:?} is suspected");
        assert_eq!(profiles(&kinds, true), found, "{kinds:?} was found");
    }
}

#[test]
fn each_probe_is_put_in_for_what_it_tells_and_tried_once() {
    let (births, spans) = (Probes { births: true, spans: false }, Probes { births: false, spans: true });
    let both = Probes { births: true, spans: true };
    let none = Probes::default();
    for (rising, expected) in [
        (vec![], none),
        (vec![Heap], spans),
        (vec![Goroutine], births),
        (vec![Fd], births),
        (vec![Heap, Thread], both),
    ] {
        let wanted = Probes::for_what_rises(&rising);
        assert_eq!(wanted, expected, "{rising:?}");
        assert_eq!(wanted.is_empty(), expected == none);
        for tried in [none, births, spans, both] {
            let left = wanted.without(tried);
            assert_eq!(left.births, expected.births && !tried.births);
            assert_eq!(left.spans, expected.spans && !tried.spans);
        }
        assert!(wanted.without(both).is_empty());
    }
}

#[test]
fn tasks_of_a_user_are_counted_only_where_tasks_rise() {
    for kind in ALL {
        assert_eq!(counts_tasks(&[kind]), matches!(kind, Thread | Child), "{kind:?}");
    }
    assert!(!counts_tasks(&[]));
    assert!(counts_tasks(&[Heap, Child]));
}

#[test]
fn a_judgement_gives_the_facts_that_it_says() {
    let of = |window: &crate::store::Window| {
        let judgement = judge(window, &Bounds::default(), &Thresholds::default());
        Facts::of(&judgement, &explain::explain(&judgement, &target(), &[]))
    };
    let leaks = of(&window(|second, beat| beat.files += second as u64));
    assert_eq!(leaks.found, [Fd]);
    assert_eq!(steps(&leaks).claim, Claim::Leaks);
    let calm = of(&window(|_, _| {}));
    assert!(calm.found.is_empty() && calm.suspected.is_empty());
    assert!(calm.steady.contains(&Fd) && calm.steady.contains(&Thread), "{calm:?}");
    assert_eq!(steps(&calm).claim, Claim::Nothing, "{calm:?}");
    assert!(calm.moved_little.iter().all(|kind| calm.steady.contains(kind)));
}
