//! Processes with few goroutines and threads: that there are few is no reason for doubt, and a wrong layout is.

use super::super::fixture::process::{EXTRA, FakeGoroutine, FakeProcess, goroutine_address, pc};
use super::super::runtime::{AttachOptions, Runtime};
use super::{attach, goroutine, layouts, reference, snapshot};
use crate::golang::runtime::found::Remark;
use crate::golang::runtime::layouts::{GoroutineLayout, Layouts, Minor, known};

#[test]
fn too_few_goroutines_to_tell_the_layout_by_are_no_reason_to_worry() {
    let few = [goroutine(1, 3, 5, vec![pc(1, 60), pc(5, 50), pc(0, 1)])];
    let process = FakeProcess::new("go1.26.6", &layouts(), &few);
    let (runtime, snapshot) = snapshot(&process, AttachOptions::default());
    assert_eq!(snapshot.effort.live, 1);
    let doubts = |runtime: &Runtime| runtime.remarks().contains(&Remark::NotConfirmed { structure: "g" });
    assert!(!doubts(&runtime), "{:?}", runtime.remarks());
    // Where even what there is does not fit, there is.
    let strange = GoroutineLayout { start_pc: 360, ..layouts().goroutine };
    let process = FakeProcess::new("go1.26.6", &Layouts { goroutine: strange, ..layouts() }, &few);
    let runtime = attach(&process, &process.memory, AttachOptions::default());
    assert!(doubts(&runtime), "{:?}", runtime.remarks());
}

/// At rest a program has half a dozen goroutines, and one that waits for threads of C and has never begun; with C it has
/// more of these, and some run. All lie as in its version of Go.
#[test]
fn a_program_at_rest_is_no_reason_to_worry() {
    let stack = vec![pc(1, 60), pc(5, 50), pc(0, 1)];
    let is_doubted =
        |runtime: &Runtime| !runtime.remarks().iter().all(|it| matches!(it, Remark::NotFound { .. }));
    for (minor, kept, in_use) in
        [(21, 1, 0), (24, 1, 0), (26, 1, 0), (27, 1, 0), (21, 4, 2), (26, 4, 2), (26, 40, 0)]
    {
        let layouts = known(Minor(minor)).unwrap();
        let mut few: Vec<_> = (1..7).map(|id| goroutine(id, 3, 5, stack.clone())).collect();
        let dead = if minor >= 26 { 11 } else { 6 };
        few.extend(
            (7..7 + kept).map(|id| FakeGoroutine { status: dead, ..goroutine(id, 0, 5, stack.clone()) }),
        );
        few.extend(
            (90..90 + in_use).map(|id| FakeGoroutine { status: 3, ..goroutine(id, 0, 5, stack.clone()) }),
        );
        let version = format!("go1.{minor}.0");
        let mut process = FakeProcess::new(&version, &layouts, &few);
        for index in 6..few.len() {
            for offset in [layouts.goroutine.start_pc, layouts.goroutine.go_pc()] {
                process.memory.word(goroutine_address(index) + offset as u64, 0);
            }
        }
        let (runtime, snapshot) = snapshot(&process, AttachOptions::default());
        assert_eq!(snapshot.effort.live, 6 + in_use, "{version}");
        assert!(!is_doubted(&runtime), "{version}: {:?}", runtime.remarks());
        // Each field that is somewhere else is noticed.
        let right = layouts.goroutine;
        for wrong in [
            GoroutineLayout { sched_sp: right.sched_sp + 8, ..right },
            GoroutineLayout { goid: right.goid + 16, ..right },
            GoroutineLayout { start_pc: right.start_pc + 40, ..right },
        ] {
            let mut process = FakeProcess::new(&version, &Layouts { goroutine: wrong, ..layouts }, &few);
            for index in 6..few.len() {
                for offset in [wrong.start_pc, wrong.go_pc()] {
                    process.memory.word(goroutine_address(index) + offset as u64, 0);
                }
            }
            let runtime = attach(&process, &process.memory, AttachOptions::default());
            assert!(is_doubted(&runtime), "{version}: {wrong:?}");
        }
    }
}

#[test]
fn threads_that_are_kept_for_c_are_no_reason_to_worry() {
    let layouts = layouts();
    let mut process = reference();
    process.add_threads(&layouts);
    let is_doubted = |process: &FakeProcess| {
        let runtime = attach(process, &process.memory, AttachOptions::default());
        runtime.remarks().contains(&Remark::Disagreement { structure: "m" })
    };
    assert!(!is_doubted(&process));
    // Behind the three come five without an id, each with a goroutine of its own.
    let (link, current) = (layouts.thread.all_link as u64, layouts.thread.current as u64);
    let kept = |index: u64| EXTRA + 0x2800 + index * 0x200;
    process.memory.word(EXTRA + 0x800 + link, kept(0));
    for index in 0..5 {
        let (thread, g0) = (kept(index), EXTRA + 0x1600 + index * 0x80);
        process.memory.word(thread, g0);
        process.memory.word(g0 + 48, thread);
        process.memory.word(thread + current, goroutine_address(14));
        process.memory.word(thread + link, if index < 4 { kept(index + 1) } else { 0 });
    }
    assert!(!is_doubted(&process));
    // Without one they are none of these.
    for index in 0..5 {
        process.memory.word(kept(index) + current, 0);
    }
    assert!(is_doubted(&process));
}
