use super::{Chains, Known, Named, Present, Starter, Starters, join};
use crate::capture::starters::tests::Names;
use crate::observed::ledger::{Ledger, Route, Tasks};
use crate::source::clock;
use crate::source::kernel::ledger::{RawLedger, RawSite, RawTally, RawTask};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId, WalkedStack};
use crate::vocabulary::reading::Moment;
use expect_test::expect;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Clock ticks that are some seconds after boot.
fn ticks(seconds: u64) -> u64 {
    (0..).find(|ticks| clock::of_ticks(*ticks) >= Duration::from_secs(seconds)).unwrap()
}

fn moment(seconds: u64) -> Moment {
    let since_boot = Duration::from_secs(seconds);
    Moment { since_boot, wall: UNIX_EPOCH + since_boot }
}

fn frames(names: &str) -> Arc<[Frame]> {
    names.split_whitespace().map(|name| Frame::new(name, "f", 1)).collect()
}

fn named(names: &str) -> Named {
    Named { frames: frames(names), native: 0 }
}

fn task(tid: i32, started: u64, stack: Option<u64>, created_at: u64) -> RawTask {
    let goroutine = Some(CreatingGoroutine { id: 1, parent_id: None, created_at });
    let origin = Origin { stack: stack.map(StackId), tid: 1, goroutine };
    RawTask { tid, start_ticks: ticks(started), at: Duration::from_secs(started), exited: None, origin }
}

fn present(tid: i32, started: u64, is_zombie: bool) -> Present {
    Present { tid, start_ticks: ticks(started), is_zombie }
}

fn raw(things: Vec<RawTask>, sites: &[(u64, u64, u64)]) -> RawLedger<RawTask> {
    let site = |&(stack, created, ended): &(u64, u64, u64)| {
        let longest_ended = (ended > 0).then(|| Duration::from_secs(2));
        (StackId(stack), RawSite { stack: WalkedStack::default(), created, ended, longest_ended })
    };
    RawLedger {
        began: moment(10),
        route: Route::Exact,
        things,
        sites: sites.iter().map(site).collect(),
        tally: RawTally { created: 1, ..RawTally::default() },
        one_in: 1,
    }
}

fn text(ledger: &Ledger<Tasks>) -> String {
    let mut text = format!("{:?}\n", ledger.accounts);
    for site in &ledger.sites {
        let functions = |it: &Arc<[Frame]>| {
            it.iter().map(|frame| frame.function.to_string()).collect::<Vec<_>>().join(" ")
        };
        let by: Vec<String> = site.started_by.iter().map(functions).collect();
        let ages = (site.oldest.as_secs(), site.youngest.as_secs());
        let (created, ended, outstanding) = (site.created, site.ended, site.outstanding);
        writeln!(
            text,
            "{created}/{ended}/{outstanding} {ages:?} zombies {} [{}] by {by:?}",
            site.what.zombies,
            functions(&site.stack)
        )
        .unwrap();
    }
    text
}

#[test]
fn a_thread_goes_to_the_goroutine_that_sits_on_it() {
    let things = vec![
        task(21, 11, Some(1), 5),
        task(22, 12, Some(2), 5),
        task(23, 13, Some(1), 5),
        task(24, 14, Some(1), 5),
    ];
    // One was there before, one came unseen; one is not there any more.
    let there = [
        present(20, 3, false),
        present(21, 11, false),
        present(22, 12, false),
        present(23, 13, false),
        present(25, 15, false),
    ];
    let mut known = Known::default();
    known.births.insert(StackId(1), named("runtime.clone runtime.newm"));
    known.births.insert(StackId(2), named("runtime.clone runtime.startm"));
    let mut names = Names { statements: [(5, "main.serve")].into(), ..Names::default() };
    let creator = Starter::Goroutine { parent_id: None, created_at: 5 };
    known.chains = Chains::of([creator].into_iter(), Starters::default(), &mut names);
    for tid in [20, 21, 22, 25] {
        known.places.insert(tid, (frames("runtime.gopark main.sit runtime.goexit"), frames("main.start")));
    }
    let (ledger, phantoms) = join(moment(20), &raw(things, &[(1, 7, 4), (2, 1, 0)]), &there, &known);
    expect![[r#"
        Accounts { outstanding: 5, before: 1, missed: 1, without_stack: 0, copies: 0, created: 9, ended: 5, corrected: 1, lost: 0, one_in: 1 }
        2/0/3 (9, 5) zombies 0 [runtime.gopark main.sit runtime.goexit] by ["main.start", "runtime.clone runtime.newm"]
        6/5/1 (7, 7) zombies 0 [runtime.clone runtime.newm] by ["main.serve"]
    "#]].assert_eq(&text(&ledger));
    assert_eq!(phantoms.iter().map(|task| task.tid).collect::<Vec<_>>(), [24]);
}

#[test]
fn children_are_there_until_somebody_waits() {
    let things = vec![
        task(30, 11, Some(1), 0),
        task(31, 12, Some(1), 0),
        task(32, 13, None, 0),
        // Its number belongs to a child that started before.
        task(33, 14, Some(1), 0),
        // It started after the list of children was read.
        task(34, 21, Some(1), 0),
    ];
    let there = [present(30, 11, true), present(31, 12, false), present(32, 13, true), present(33, 5, false)];
    let mut known = Known::default();
    known.births.insert(StackId(1), named("syscall.forkExec os.StartProcess main.send"));
    let (ledger, phantoms) = join(moment(20), &raw(things, &[(1, 6, 2)]), &there, &known);
    expect![[r#"
        Accounts { outstanding: 4, before: 1, missed: 0, without_stack: 1, copies: 0, created: 7, ended: 3, corrected: 1, lost: 0, one_in: 1 }
        5/3/2 (9, 8) zombies 1 [syscall.forkExec os.StartProcess main.send] by []
        1/0/1 (7, 7) zombies 1 [] by []
    "#]].assert_eq(&text(&ledger));
    assert_eq!(phantoms.iter().map(|task| task.tid).collect::<Vec<_>>(), [33]);
}
