use super::world::{
    LOG, LOOKUP, NEVER, POLL, Place, READ, TRANSPORT, Thing, alive, every, files, frames, ledger, older,
    sockets, thing,
};
use crate::judge::judge;
use crate::judge::judgement::{Finding, Judgement};
use crate::judge::simulation::{Beat, Dice, PROCESS, moment, sample, window};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::evidence::{Created, Evidence};
use crate::judge::weigh::reasons::SteadyWhy;
use crate::observed::connections::Peer;
use crate::observed::go_counters::GoCounters;
use crate::observed::ledger::{Mappings, Tasks};
use crate::store::Window;

const CAPTURED_AT: [f64; 3] = [0.0, 22.0, 45.0];

/// A window of these sockets, with ledgers at its begin, in its middle and at its end.
fn of_sockets(things: &[Thing]) -> Window {
    let mut window = window(|second, beat| beat.established += alive(things, second));
    for second in CAPTURED_AT {
        window.captures_mut().descriptors.push(ledger(second, things, sockets));
    }
    window
}

/// The same of files.
fn of_files(things: &[Thing]) -> Window {
    let mut window = window(|second, beat| beat.files += alive(things, second));
    for second in CAPTURED_AT {
        window.captures_mut().descriptors.push(ledger(second, things, files));
    }
    window
}

fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

fn the_leak(judgement: &Judgement, kind: Kind) -> &Finding {
    assert_eq!(judgement.verdict, Verdict::Leak, "{judgement:#?}");
    let first = &judgement.findings[0];
    assert_eq!((first.kind, judgement.findings.len()), (kind, 1), "{judgement:#?}");
    first
}

fn names(finding: &Finding) -> Vec<&str> {
    finding.culprits.iter().map(|it| &*it.frame.function).collect()
}

fn survivors_of(finding: &Finding) -> (Created, Created) {
    finding
        .evidence
        .iter()
        .find_map(|evidence| match evidence {
            Evidence::Survivors { here, elsewhere, .. } => Some((*here, *elsewhere)),
            _ => None,
        })
        .expect("survivors are evidence")
}

#[test]
fn the_stack_that_keeps_what_it_opens_is_named_beside_those_that_close() {
    let things = [every(12.0, POLL, NEVER), every(5.0, LOOKUP, 3.0)].concat();
    let judgement = judged(&of_sockets(&things));
    let finding = the_leak(&judgement, Kind::Connection);
    assert_eq!(names(finding), ["main.pollUpstream"]);
    // Of what is open, the few that will be closed in three seconds are a part.
    assert!(finding.culprits[0].share > 0.95, "{}", finding.culprits[0].share);
    assert!(finding.confidence > 0.9, "surer than by totals: {}", finding.confidence);
    let (here, elsewhere) = survivors_of(finding);
    assert_eq!((here.created, here.ended), (540, 0));
    assert_eq!((elsewhere.created, elsewhere.ended), (225, 210));
}

#[test]
fn a_goroutine_of_the_library_leads_to_whoever_started_it() {
    let judgement = judged(&of_sockets(&every(6.0, TRANSPORT, NEVER)));
    let finding = the_leak(&judgement, Kind::Connection);
    assert_eq!(names(finding), ["main.fetch"]);
    assert_eq!(finding.culprits[0].stack.len(), 8, "the stack goes on with its creators");
    let peer = Peer::Server { ip: [127, 0, 0, 1].into(), port: 8081 };
    assert_eq!(finding.detail.peer, Some(peer));
}

#[test]
fn what_traffic_hides_from_totals_survivors_show() {
    let mut decided = 0;
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut things = every(1.1, POLL, NEVER);
        for _ in 0..dice.events(900.0) {
            let born = dice.between(0.0, 45.0);
            things.push(thing(LOOKUP, born, born + dice.between(0.2, 3.0)));
        }
        let mut blind = of_sockets(&things);
        blind.captures_mut().descriptors = Default::default();
        let by_totals = judged(&blind).verdict;
        let judgement = judged(&of_sockets(&things));
        assert_eq!(names(the_leak(&judgement, Kind::Connection)), ["main.pollUpstream"], "seed {seed}");
        decided += usize::from(by_totals != Verdict::Leak);
    }
    assert!(decided > 0, "totals alone were never undecided: nothing was shown");
}

#[test]
fn where_only_some_are_kept_they_outlive_the_others() {
    let things = [every(20.0, READ, 0.5), every(1.0, READ, NEVER)].concat();
    let judgement = judged(&of_files(&things));
    let finding = the_leak(&judgement, Kind::Fd);
    assert_eq!(names(finding), ["main.readHeader"]);
    let (here, _) = survivors_of(finding);
    assert!(here.ended > 800 && here.created > here.ended, "{here:?}");
}

/// A pool that opens what it needs and reuses it.
#[test]
fn a_pool_that_fills_to_its_maximum_is_no_leak() {
    for (per_second, max) in [(2.0, 40), (4.0, 60), (8.0, 100), (30.0, 500)] {
        let mut things = every(per_second, POLL, NEVER);
        things.truncate(max);
        let window = of_sockets(&things);
        let judgement = judged(&window);
        assert_eq!(judgement.verdict, Verdict::Healthy, "{per_second}/s to {max}: {judgement:#?}");
    }
}

#[test]
fn a_pool_that_fills_ever_more_slowly_is_not_accused() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let (max, time_constant) = (dice.between(40.0, 400.0), dice.between(8.0, 25.0));
        let things: Vec<Thing> = (0..)
            .map(|number| {
                let share = f64::from(number) / max;
                thing(POLL, -time_constant * (1.0 - share).ln(), NEVER)
            })
            .take_while(|it| it.born < 45.0)
            .collect();
        let judgement = judged(&of_sockets(&things));
        assert_ne!(judgement.verdict, Verdict::Leak, "seed {seed}: {:#?}", judgement.findings);
    }
}

#[test]
fn thousands_of_stable_connections_with_churn_are_no_leak() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        // Each lives for ten minutes: what is new stays for longer than the window, and what was there goes.
        let mut things: Vec<Thing> = (0..3_000).map(|_| older(dice.between(0.0, 600.0))).collect();
        things.extend((0..dice.events(225.0)).map(|_| thing(POLL, dice.between(0.0, 45.0), NEVER)));
        let judgement = judged(&of_sockets(&things));
        assert_ne!(judgement.verdict, Verdict::Leak, "seed {seed}: {:#?}", judgement.findings);
    }
}

#[test]
fn a_pool_that_follows_its_load_is_no_leak() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let phase = dice.between(0.0, 30.0);
        let height = dice.between(40.0, 200.0);
        let load = |at: f64| height * (1.0 + ((at + phase) / 30.0 * std::f64::consts::TAU).sin()) / 2.0;
        let (mut things, mut open): (Vec<Thing>, Vec<usize>) = (Vec::new(), Vec::new());
        for tick in 0..450 {
            let at = f64::from(tick) / 10.0;
            while (open.len() as f64) < load(at) {
                open.push(things.len());
                things.push(thing(POLL, at, NEVER));
            }
            while open.len() as f64 > load(at) + 1.0 {
                things[open.remove(0)].dies = at;
            }
        }
        let judgement = judged(&of_sockets(&things));
        assert_ne!(judgement.verdict, Verdict::Leak, "seed {seed}: {:#?}", judgement.findings);
    }
}

#[test]
fn load_that_rises_is_not_accused_where_everything_goes_again() {
    let things: Vec<Thing> = (0..45)
        .flat_map(|second| (0..second * 2).map(move |n| (f64::from(second), f64::from(n))))
        .map(|(second, n)| {
            let born = second + n / 100.0;
            thing(POLL, born, born + 4.0)
        })
        .collect();
    let mut blind = of_sockets(&things);
    blind.captures_mut().descriptors = Default::default();
    assert_eq!(judged(&blind).verdict, Verdict::Leak, "by totals alone it looks like one");
    assert_eq!(judged(&of_sockets(&things)).verdict, Verdict::Inconclusive);
}

#[test]
fn what_has_no_stack_is_said_and_makes_us_less_sure() {
    let things = every(12.0, POLL, NEVER);
    let exact = judged(&of_sockets(&things)).findings[0].confidence;
    let mut window = of_sockets(&things);
    let mut last = window.captures().descriptors.last().cloned().expect("it was captured");
    last.accounts.missed = 2_000;
    window.captures_mut().descriptors.push(last);
    let judgement = judged(&window);
    let finding = the_leak(&judgement, Kind::Connection);
    assert!(finding.confidence < exact, "{} against {exact}", finding.confidence);
    assert!(finding.evidence.contains(&Evidence::WithoutStack { count: 2_000 }));
    assert!(
        finding.culprits[0].share < 0.3,
        "its part of the growth is small: {}",
        finding.culprits[0].share
    );
}

/// A file that nobody refers to is closed when the collector finds it.
fn closed_by_collections(collections: &[usize], place: Place) -> (Vec<Thing>, Vec<usize>) {
    let mut things = every(9.0, place, NEVER);
    for it in &mut things {
        let next = collections.iter().map(|second| *second as f64 + 0.4).find(|at| *at > it.born);
        it.dies = next.unwrap_or(NEVER);
    }
    (things, collections.to_vec())
}

fn with_collections(things: &[Thing], collections: &[usize]) -> Window {
    let cycles = |second: usize| collections.iter().filter(|at| **at <= second).count() as u64;
    let mut window = window(|second, beat| {
        beat.files += alive(things, second);
        let runtime = GoCounters { gc_cycles: Some(5 + cycles(second)), ..GoCounters::default() };
        beat.runtime = Some(runtime);
    });
    for second in CAPTURED_AT {
        window.captures_mut().descriptors.push(ledger(second, things, files));
    }
    window
}

#[test]
fn files_that_only_the_collector_closes_are_a_leak_that_it_mends() {
    for collections in [&[20][..], &[12, 31], &[8, 21, 34]] {
        let (things, collections) = closed_by_collections(collections, READ);
        let judgement = judged(&with_collections(&things, &collections));
        let finding = the_leak(&judgement, Kind::Fd);
        assert_eq!(names(finding), ["main.readHeader"]);
        assert!((finding.rate.per_second - 9.0).abs() < 2.0, "{:?}", finding.rate);
        let said = finding.evidence.iter().any(|it| {
            matches!(it, Evidence::ClosedByCollector { collections: seen, .. } if *seen == collections.len())
        });
        assert!(said, "{:#?}", finding.evidence);
    }
}

#[test]
fn files_that_are_closed_at_other_times_are_a_mere_sawtooth() {
    for collections in [&[5][..], &[3, 40], &[]] {
        let (things, _) = closed_by_collections(&[20, 33], READ);
        let judgement = judged(&with_collections(&things, collections));
        assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:#?}");
    }
    // Where something is collected in each beat, falls and collections coincide by necessity.
    let all: Vec<usize> = (0..45).collect();
    let (things, _) = closed_by_collections(&[20], READ);
    assert_eq!(judged(&with_collections(&things, &all)).verdict, Verdict::Healthy);
}

#[test]
fn churn_is_never_accused() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let lives = dice.between(0.5, 8.0);
        let mut things: Vec<Thing> =
            (0..dice.events(60.0)).map(|_| older(dice.between(0.0, 500.0))).collect();
        for place in [POLL, LOOKUP] {
            for _ in 0..dice.events(400.0) {
                let born = dice.between(0.0, 45.0);
                things.push(thing(place, born, born - lives * dice.unit().max(1e-9).ln()));
            }
        }
        let judgement = judged(&of_sockets(&things));
        // From nothing to its level a process takes as long as its requests live.
        assert_ne!(judgement.verdict, Verdict::Leak, "seed {seed}, {lives} s: {:#?}", judgement.findings);
    }
}

#[test]
fn children_and_mappings_are_told_by_their_stacks_too() {
    let spawn = Place {
        stack: &["syscall.forkExec", "os.StartProcess", "os/exec.(*Cmd).Start", "main.render"],
        started_by: &[],
    };
    let things = every(3.0, spawn, NEVER);
    let mut window = window(|second, beat| beat.zombies += alive(&things, second));
    for second in CAPTURED_AT {
        window.captures_mut().children.push(ledger(second, &things, |_, zombies| Tasks { zombies }));
    }
    let judgement = judged(&window);
    assert_eq!(names(the_leak(&judgement, Kind::Child)), ["main.render"]);

    let map = Place { stack: &["syscall.mmap", "syscall.Mmap", "main.load"], started_by: &[] };
    let runtime = Place { stack: &["runtime.mmap", "runtime.sysReserve"], started_by: &[] };
    let things = [every(4.0, map, NEVER), every(6.0, runtime, NEVER)].concat();
    let mut window = self::window(|second, beat| beat.mappings += alive(&things, second));
    for second in CAPTURED_AT {
        let what = |place: &Place, count| Mappings {
            bytes: count << 16,
            file_bytes: if *place == map { count << 16 } else { 0 },
            is_runtime: *place == runtime,
            is_native: false,
            is_thread_stack: false,
        };
        window.captures_mut().mappings.push(ledger(second, &things, what));
    }
    let judgement = judged(&window);
    assert_eq!(names(the_leak(&judgement, Kind::Mapping)), ["main.load"]);
}

/// Memory outside the Go heap: a MiB every second, asked for by C.
fn of_native(kept: bool, lives: f64) -> Window {
    let place =
        Place { stack: &["malloc", "runtime.cgocall", "main._Cfunc_scale", "main.resize"], started_by: &[] };
    let things = every(2.0, place, lives);
    let mut window = window(|second, beat: &mut Beat| {
        let heap = crate::observed::go_counters::HeapCounters {
            in_use_bytes: 30 << 20,
            marked_bytes: Some(10 << 20),
            ..Default::default()
        };
        let counters =
            GoCounters { heap: Some(heap), gc_cycles: Some(second as u64 / 5), ..Default::default() };
        beat.runtime = Some(counters);
        beat.anon_bytes += alive(&things, second) << 19;
    });
    for second in CAPTURED_AT.into_iter().filter(|_| kept) {
        let what =
            |_: &Place, count: u64| Mappings { bytes: count << 19, is_native: true, ..Default::default() };
        window.captures_mut().mappings.push(ledger(second, &things, what));
    }
    window
}

#[test]
fn memory_that_c_keeps_is_native_and_has_the_line_that_called_it() {
    let judgement = judged(&of_native(true, NEVER));
    let finding = the_leak(&judgement, Kind::Native);
    // Both lie in package main; cgo's own stub is not what a person would edit.
    assert_eq!(names(finding), ["main.resize"]);
    assert!((finding.rate.per_second / f64::from(1 << 20) - 1.0).abs() < 0.05, "{:?}", finding.rate);
    assert!(matches!(finding.evidence[0], Evidence::Mapped { by_c: true, .. }), "{:#?}", finding.evidence);
    assert_ne!(judged(&of_native(false, NEVER)).verdict, Verdict::Leak, "without stacks it is undecided");
    assert_eq!(judged(&of_native(true, 3.0)).verdict, Verdict::Healthy, "what is freed is none");
}

#[test]
fn what_rises_unclearly_and_goes_again_is_steady() {
    // In flight for ten seconds each, and more of them in the second half.
    let mut things: Vec<Thing> = (0..60).map(|_| older(NEVER)).collect();
    things.extend(every(1.2, LOG, 8.0));
    things.extend((0..14).map(|n| thing(LOG, 38.0 + f64::from(n) * 0.3, 46.5)));
    let judgement = judged(&of_files(&things));
    let steady = judgement.steady.iter().find(|one| one.kind == Kind::Fd).map(|one| one.why);
    assert!(matches!(steady, Some(SteadyWhy::ComeAndGo { .. } | SteadyWhy::Flat { .. })), "{judgement:#?}");
}

#[test]
fn two_leaks_at_a_like_pace_are_two_where_their_lines_have_nothing_in_common() {
    let spawn = |started_by| Place {
        stack: &["syscall.forkExec", "os.StartProcess", "os/exec.(*Cmd).Start", "main.render", "main.main"],
        started_by,
    };
    let pidfd = Place {
        stack: &["syscall.forkExec", "os.StartProcess", "os/exec.(*Cmd).Start", "main.render"],
        started_by: &[],
    };
    let judged_with = |opener: Place| {
        let children = every(5.0, spawn(&[]), NEVER);
        let opened = every(5.0, opener, NEVER);
        let mut window = window(|second, beat| {
            beat.zombies += alive(&children, second);
            beat.files += alive(&opened, second);
        });
        for second in CAPTURED_AT {
            let captures = window.captures_mut();
            captures.children.push(ledger(second, &children, |_, zombies| Tasks { zombies }));
            captures.descriptors.push(ledger(second, &opened, files));
        }
        let causes = |finding: &Finding| (finding.kind, finding.consequence_of);
        judged(&window).findings.iter().map(causes).collect::<Vec<_>>()
    };
    assert_eq!(judged_with(pidfd), [(Kind::Child, None), (Kind::Fd, Some(Kind::Child))]);
    let mut apart = judged_with(READ);
    apart.sort();
    assert_eq!(apart, [(Kind::Fd, None), (Kind::Child, None)]);
}

#[test]
fn a_ledger_of_a_small_part_of_the_window_names_lines_and_decides_nothing() {
    // Kept at one stack for as long as the ledger reaches back, under totals that do not move.
    let things: Vec<Thing> = every(2.0, POLL, NEVER).into_iter().filter(|it| it.born > 33.0).collect();
    let short = |window: &mut Window| {
        for second in [33.0, 39.0, 45.0] {
            let mut part = ledger(second, &things, sockets);
            part.began = moment(33.0);
            window.captures_mut().descriptors.push(part);
        }
    };
    let mut flat = window(|second, beat| beat.established += 30 + (second as u64 * 7) % 25);
    short(&mut flat);
    assert_ne!(judged(&flat).verdict, Verdict::Leak);
    let mut growing = window(|second, beat| beat.established += 2 * second as u64);
    short(&mut growing);
    assert_eq!(names(the_leak(&judged(&growing), Kind::Connection)), ["main.pollUpstream"]);
    // What a ledger said long ago does not hold for now.
    let mut stopped = window(|_, beat| beat.established += 60);
    let early = every(4.0, POLL, NEVER);
    for second in [0.0, 10.0, 20.0] {
        stopped.captures_mut().descriptors.push(ledger(second, &early, sockets));
    }
    assert_ne!(judged(&stopped).verdict, Verdict::Leak);
}

/// An hour of which the last twelve minutes were watched for files, of which one came each 15 s, under totals that
/// wobble.
fn an_hour(lives: f64) -> Window {
    let births = (0..48).map(|number| 2_882.0 + 15.0 * f64::from(number));
    let things: Vec<Thing> = births.map(|born| thing(READ, born, born + lives)).collect();
    let mut hour = Window::new(PROCESS, 512);
    for beat in 0..=360_u32 {
        let second = f64::from(beat) * 10.0;
        let mut now = Beat::default();
        now.files += 40 + u64::from(beat * 7 % 5) + alive(&things, beat as usize * 10);
        assert!(hour.push(sample(second, &now)));
    }
    for second in [2_880.0, 3_240.0, 3_600.0] {
        let mut part = ledger(second, &things, files);
        part.began = moment(2_880.0);
        part.accounts.before = 40;
        part.accounts.outstanding += 40;
        hour.captures_mut().descriptors.push(part);
    }
    hour
}

#[test]
fn a_ledger_of_many_minutes_accuses_within_a_window_of_an_hour() {
    let judgement = judged(&an_hour(NEVER));
    assert_eq!(names(the_leak(&judgement, Kind::Fd)), ["main.readHeader"]);
    assert_ne!(judged(&an_hour(20.0)).verdict, Verdict::Leak, "whatever comes goes again");
}

#[test]
fn what_came_before_births_were_watched_counts_with_the_same_stack() {
    const BLIND: Place =
        Place { started_by: &[&["net/http.(*Transport).startDialConnForLocked"]], ..TRANSPORT };
    let all = every(6.0, TRANSPORT, NEVER);
    let known_from = |it: Thing| if it.born < 9.0 { Thing { place: Some(BLIND), ..it } } else { it };
    let things: Vec<Thing> = all.into_iter().map(known_from).collect();
    let judgement = judged(&of_sockets(&things));
    let finding = the_leak(&judgement, Kind::Connection);
    assert_eq!(names(finding), ["main.fetch"]);
    let (here, elsewhere) = survivors_of(finding);
    assert_eq!((here.created, elsewhere.created), (270, 0));
}

#[test]
fn lines_are_of_the_program_then_of_its_dependency() {
    let lines = |stack: &[&str], started_by: &[&[&str]]| -> Vec<String> {
        let started_by: Vec<_> = started_by.iter().map(|stack| frames(stack)).collect();
        let stack = frames(stack);
        let lines = super::lines(&stack, &started_by, Some("example.com/shop"));
        lines.into_iter().map(|frame| frame.function.to_string()).collect()
    };
    assert_eq!(lines(&["net.socket", "net.Dial", "main.lookup", "main.main"], &[]), ["main.lookup"]);
    // The program's own callback opens it, and somebody of the program asked the pool.
    let pool = ["net.Dial", "main.main.func1", "github.com/a/pool.(*Pool).Get", "main.hour", "main.main"];
    assert_eq!(lines(&pool, &[]), ["main.main.func1", "main.hour", "github.com/a/pool.(*Pool).Get"]);
    // A framework that main calls calls back: main is nobody's to edit.
    let framework = ["os.Open", "example.com/shop/cmd.run", "github.com/a/cli.Execute", "main.main"];
    assert_eq!(lines(&framework, &[]), ["example.com/shop/cmd.run", "github.com/a/cli.Execute"]);
    let dials = ["net.socket", "net/http.(*Transport).dialConnFor"];
    let chain: [&[&str]; 2] =
        [&["net/http.(*Transport).startDial"], &["net/http.(*Client).Get", "main.fetch"]];
    assert_eq!(lines(&dials, &chain), ["main.fetch"]);
    assert_eq!(lines(&dials, &chain[..1]), ["net.socket"]);
    assert_eq!(lines(&["runtime.mmap", "runtime.sysAlloc"], &[]), ["runtime.mmap"]);
    assert_eq!(lines(&[], &[]), [""; 0]);
}
