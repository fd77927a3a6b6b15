use super::{AllTold, level};
use crate::agent::endings::Ending;
use crate::agent::looks::Judged;
use crate::agent::telling::Told;
use crate::agent::watched::Watched;
use crate::discover::Changes;
use crate::explain::diagnosis::Suspected;
use crate::explain::tests::{diagnosed, target};
use crate::explain::{Kind, Verdict};
use crate::judge::horizons::suspicion::Heading;
use crate::judge::judge_with;
use crate::judge::simulation::{Beat, sample, window};
use crate::judge::terms::{Bounds, Thresholds};
use crate::news::What;
use crate::observed::Sample;
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Reading;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

const LEAK: Told = Told { verdict: Verdict::Leak, primary: Some(Kind::Fd), has_lines: false };

/// What is told, in a word each.
fn words(news: &[What]) -> Vec<&'static str> {
    let word = |what: &What| match what {
        What::Began { .. } => "began",
        What::Came(_) => "came",
        What::Left { at_the_end: None, .. } => "left",
        What::Left { .. } => "left leaking",
        What::LeftOut(_) => "left out",
        What::Verdict(_) => "verdict",
        What::Suspected(_) => "suspected",
        What::Filling(_) => "filling",
        What::Level(_) => "level",
        What::Health(_) => "health",
    };
    news.iter().map(word).collect()
}

fn changes(came: &[&Target], left: &[&Target], made_way: &[&Target]) -> Changes {
    let shared =
        |all: &[&Target]| all.iter().map(|target| Arc::new((*target).clone())).collect::<Vec<Arc<Target>>>();
    Changes { came: shared(came), left: shared(left), made_way: shared(made_way), ..Changes::default() }
}

fn judged(told: Told, suspected: Vec<Suspected>) -> Judged {
    let diagnosis = diagnosed(&window(|second, beat| beat.files += second as u64));
    Judged { id: target().id, told, diagnosis, suspected }
}

/// So many judgements that say the same, and what was told with each.
fn hear(all: &mut AllTold, told: Told, times: usize) -> Vec<Vec<&'static str>> {
    let target = target();
    let once = |_| words(&all.hear_judged(judged(told, Vec::new()), Some(&target), UNIX_EPOCH));
    (0..times).map(once).collect()
}

/// A process that ends after a night without news and two hours in which files were opened at this pace.
fn ending(files_per_minute: u64) -> Ending {
    let target = target();
    let mut watched = Watched::new(&target, 512, None);
    for minute in 0..16 * 60_u32 {
        let files = 20 + files_per_minute * u64::from(minute.saturating_sub(14 * 60));
        let beat = Beat { files, ..Beat::default() };
        watched.take_in(Sample { process: target.id, ..sample(60.0 * f64::from(minute), &beat) });
    }
    let Watched { window, ladder } = watched;
    let judgement = judge_with(&window, &ladder, &Bounds::default(), &Thresholds::default());
    Ending { target: Arc::new(target), judgement, window, ladder }
}

#[test]
fn who_comes_leaves_and_makes_way_is_told() {
    let (one, other) = (target(), Target { id: ProcessId { pid: 7, start_ticks: 1 }, ..target() });
    let mut all = AllTold::default();
    assert_eq!(words(&all.hear_changes(&Changes::default(), &[])), Vec::<&str>::new());
    assert_eq!(words(&all.hear_changes(&changes(&[&one, &other], &[], &[]), &[])), ["came", "came"]);
    assert_eq!(words(&all.hear_changes(&changes(&[], &[&one], &[&other]), &[])), ["left", "left out"]);
    // It runs another program now: the same process leaves and comes.
    assert_eq!(words(&all.hear_changes(&changes(&[&one], &[&one], &[]), &[])), ["left", "came"]);
}

#[test]
fn a_leak_that_shows_only_at_the_end_is_told_then() {
    let one = target();
    for (pace, expected) in [(2, vec!["verdict", "left leaking"]), (0, vec!["left"])] {
        let mut all = AllTold::default();
        assert_eq!(words(&all.hear_changes(&changes(&[], &[&one], &[]), &[ending(pace)])), expected);
    }
}

#[test]
fn a_leak_that_was_told_is_not_told_again_at_the_end() {
    let one = target();
    let mut all = AllTold::default();
    assert_eq!(hear(&mut all, LEAK, 3), [vec![], vec!["verdict"], vec![]]);
    assert_eq!(words(&all.hear_changes(&changes(&[], &[&one], &[]), &[ending(2)])), ["left leaking"]);
    let mut all = AllTold::default();
    hear(&mut all, LEAK, 2);
    // What was found then is no more to be found: nothing is said of how it stood.
    assert_eq!(words(&all.hear_changes(&changes(&[], &[&one], &[]), &[ending(0)])), ["left"]);
}

#[test]
fn another_process_of_the_same_name_ended_says_nothing_of_this_one() {
    let other = Target { id: ProcessId { pid: 7, start_ticks: 1 }, ..target() };
    let mut all = AllTold::default();
    assert_eq!(words(&all.hear_changes(&changes(&[], &[&other], &[]), &[ending(2)])), ["left"]);
}

#[test]
fn what_was_told_of_a_process_goes_with_it() {
    let one = target();
    let mut all = AllTold::default();
    hear(&mut all, LEAK, 2);
    assert_eq!(all.leaking(), 1);
    all.hear_changes(&changes(&[], &[&one], &[]), &[]);
    assert_eq!(all.leaking(), 0);
    assert_eq!(hear(&mut all, LEAK, 2), [vec![], vec!["verdict"]], "it has come again");
    all.hear_changes(&changes(&[], &[], &[&one]), &[]);
    assert_eq!((all.leaking(), all.of.len()), (0, 0));
}

#[test]
fn that_it_fills_is_told_once_and_not_of_a_leak_that_is_known() {
    let heading = Heading {
        kind: Kind::Fd,
        level: 900.0,
        limit: Some(1_000.0),
        per_second: 2.0,
        seconds: 20.0,
        samples: 8,
    };
    let one = target();
    let mut all = AllTold::default();
    let told = all.hear_filling(&one, &heading);
    let Some(What::Filling(filling)) = &told else { panic!("{told:?}") };
    assert_eq!((filling.pid, filling.level, filling.limit), (one.id.pid, 900.0, 1_000.0));
    assert_eq!(filling.seconds_left, 50.0);
    assert!(all.hear_filling(&one, &heading).is_none(), "once");
    let threads = Heading { kind: Kind::Thread, ..heading };
    assert!(all.hear_filling(&one, &threads).is_some(), "of each kind");
    let mut all = AllTold::default();
    hear(&mut all, LEAK, 2);
    assert!(all.hear_filling(&one, &heading).is_none());
}

#[test]
fn suspicions_are_told_before_the_verdict_and_once() {
    let suspected = || {
        let of = diagnosed(&window(|second, beat| beat.threads += second as u64));
        vec![Suspected { finding: of.findings[0].clone(), need_seconds: Some(3_600.0), says_why: false }]
    };
    let one = target();
    let mut all = AllTold::default();
    let mut told = Vec::new();
    for _ in 0..4 {
        let news = all.hear_judged(judged(LEAK, suspected()), Some(&one), UNIX_EPOCH);
        if let Some(What::Suspected(suspicion)) = news.first() {
            let by = suspicion.decided_by.expect("time decides it");
            let seconds = by.duration_since(UNIX_EPOCH).expect("later").as_secs();
            assert!((3_500..3_600).contains(&seconds), "less what was seen already: {seconds}");
        }
        told.push(words(&news));
    }
    assert_eq!(told, [vec![], vec!["suspected", "verdict"], vec![], vec![]]);
}

#[test]
fn limits_that_are_near_are_told_of_processes_that_are_still_there() {
    let near = || Judged {
        diagnosis: diagnosed(&window(|_, beat| beat.files = 60_000)),
        ..judged(Told::NOTHING, Vec::new())
    };
    let one = target();
    let mut all = AllTold::default();
    assert_eq!(words(&all.hear_judged(near(), Some(&one), UNIX_EPOCH)), ["level"]);
    assert_eq!(words(&all.hear_judged(near(), Some(&one), UNIX_EPOCH)), Vec::<&str>::new(), "once");
    let mut all = AllTold::default();
    assert_eq!(words(&all.hear_judged(near(), None, UNIX_EPOCH)), Vec::<&str>::new());
}

#[test]
fn the_level_at_the_end_is_that_of_what_grew() {
    let heap = HeapCounters { marked_bytes: Some(5 << 20), ..HeapCounters::default() };
    let runtime = Some(GoCounters { goroutines: Some(44), heap: Some(heap), ..GoCounters::default() });
    let beat = Beat {
        files: 30,
        threads: 9,
        zombies: 3,
        mappings: 71,
        anon_bytes: 6 << 20,
        runtime,
        ..Beat::default()
    };
    let mut latest = sample(0.0, &beat);
    let descriptors = *latest.descriptors.seen().expect("seen") as f64;
    for (kind, expected) in [
        (Kind::Fd, descriptors),
        (Kind::Connection, descriptors),
        (Kind::Thread, 9.0),
        (Kind::Child, 3.0),
        (Kind::Mapping, 71.0),
        (Kind::Goroutine, 44.0),
        (Kind::Heap, f64::from(5 << 20)),
        (Kind::Native, f64::from(6 << 20)),
    ] {
        assert_eq!(level(kind, &latest), Some(expected), "{kind:?}");
    }
    latest.runtime.reading = Reading::Denied;
    assert_eq!(level(Kind::Goroutine, &latest), None, "what could not be read is no number");
}
