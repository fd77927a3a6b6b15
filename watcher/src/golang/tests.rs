//! The whole reader on processes made of bytes: whole, mislabelled, moving, garbled.

mod at_rest;

use super::fixture::process::{
    BSS, DATA, DEEP, DELTA, EXTRA, FakeGoroutine, FakeMemory, FakeProcess, HEAP, STACKS, goroutine_address,
    pc,
};
use super::goroutines::{GoroutineSnapshot, StackReading};
use super::runtime::{AttachOptions, GoroutineError, Runtime};
use super::{Memory, Unreadable};
use crate::golang::binary::program::Program;
use crate::golang::heap::heap_reader::HeapReader;
use crate::golang::runtime::found::Remark;
use crate::golang::runtime::layouts::{GoroutineLayout, Layouts, Minor, known};
use crate::golang::runtime::locate::Routes;
use crate::observed::go_counters::{GoCounters, HeapCounters};
use expect_test::expect;
use proptest::prelude::*;
use std::cell::Cell;
use std::fmt::Write;
use std::sync::Arc;

/// The layout of Go 1.26.
fn layouts() -> Layouts {
    known(Minor(26)).unwrap()
}

/// Fields where no version has had them.
fn layouts_of_a_future_version() -> Layouts {
    let goroutine = GoroutineLayout {
        sched_sp: 48,
        sched_bp: 96,
        syscall_sp: 104,
        goid: 168,
        locked_m: None,
        parent_goid: Some(240),
        start_pc: 264,
    };
    Layouts { goroutine, gofunc: 400, ..layouts() }
}

fn goroutine(id: u64, wait_reason: u8, start: usize, stack: Vec<u64>) -> FakeGoroutine {
    FakeGoroutine { id, status: 4, wait_reason, start, parent: u64::from(id > 1), stack }
}

fn goroutines() -> Vec<FakeGoroutine> {
    let goexit = pc(0, 1);
    let park = pc(1, 60);
    let mut all = vec![
        goroutine(1, 3, 5, vec![park, pc(7, 100), pc(5, 50), goexit]),
        goroutine(2, 2, 6, vec![park, pc(6, 50), goexit]),
    ];
    // In the half of main.worker that was inlined, called through a wrapper.
    all.extend((3..10).map(|id| goroutine(id, 3, 9, vec![park, pc(8, 200), pc(9, 20), goexit])));
    all.extend((10..13).map(|id| goroutine(id, 2, 10, vec![park, pc(10, 20), goexit])));
    // Not begun: the address is that of the function itself.
    all.push(FakeGoroutine { status: 1, ..goroutine(13, 0, 8, vec![pc(8, 0), goexit]) });
    all.push(FakeGoroutine { status: 2, ..goroutine(14, 0, 8, vec![pc(8, 20), goexit]) });
    all.push(FakeGoroutine { status: 6, ..goroutine(15, 0, 8, vec![pc(8, 20), goexit]) });
    all
}

fn attach(process: &FakeProcess, memory: &dyn Memory, options: AttachOptions) -> Runtime {
    Runtime::attach(&process.file, 0, memory, options).unwrap()
}

fn snapshot(process: &FakeProcess, options: AttachOptions) -> (Runtime, GoroutineSnapshot) {
    let mut runtime = attach(process, &process.memory, options);
    let snapshot = runtime.goroutines(&process.file, &process.memory).unwrap();
    (runtime, snapshot)
}

fn text(snapshot: &GoroutineSnapshot) -> String {
    let mut text = String::new();
    for group in &snapshot.groups {
        let reason = group.wait_reason.as_deref().unwrap_or("-");
        let system = if group.is_system { ", system" } else { "" };
        writeln!(text, "{} {:?} ({reason}), {:?}{system}", group.count, group.status, group.reading).unwrap();
        for frame in group.frames.iter() {
            writeln!(text, "  {} {}:{}", frame.function, frame.file, frame.line).unwrap();
        }
        for frame in group.created_by.iter() {
            writeln!(text, "  created by {} {}:{}", frame.function, frame.file, frame.line).unwrap();
        }
    }
    text
}

fn reference() -> FakeProcess {
    FakeProcess::new("go1.26.6", &layouts(), &goroutines())
}

/// Read by whatever means, the goroutines are those of the reference.
fn check(process: &FakeProcess, options: AttachOptions) {
    let (_, snapshot) = snapshot(process, options);
    let (_, expected) = self::snapshot(&reference(), AttachOptions::default());
    assert_eq!(text(&snapshot), text(&expected));
    assert_eq!((snapshot.effort.live, snapshot.effort.dead), (14, 1));
    let parents: Vec<Option<u64>> = snapshot.goroutines.iter().map(|goroutine| goroutine.parent_id).collect();
    assert_eq!(parents.iter().filter(|parent| **parent == Some(1)).count(), 13);
}

#[test]
fn a_creator_that_has_ended_may_have_the_highest_number() {
    let mut goroutines = goroutines();
    goroutines[14].parent = 29;
    let process = FakeProcess::new("go1.26.6", &layouts(), &goroutines);
    let (_, snapshot) = snapshot(&process, AttachOptions::default());
    assert!(snapshot.goroutines.iter().all(|goroutine| goroutine.parent_id.is_some()));
}

#[test]
fn goroutines_read_as_go_shows_them() {
    let (runtime, snapshot) = snapshot(&reference(), AttachOptions::default());
    expect![[r#"
        7 Waiting (chan receive), Complete
          runtime.gopark /src/main.go:20
          main.receive /src/main.go:95
          main.worker /src/main.go:90
          runtime.goexit /src/main.go:10
          created by main.main /src/main.go:80
        3 Waiting (IO wait), Complete
          runtime.gopark /src/main.go:20
          main.generic[...] /src/main.go:110
          runtime.goexit /src/main.go:10
          created by main.main /src/main.go:80
        1 Waiting (chan receive), Complete
          runtime.gopark /src/main.go:20
          main.main /src/main.go:80
          runtime.main /src/main.go:60
          runtime.goexit /src/main.go:10
          created by main.main /src/main.go:80
        1 Waiting (IO wait), Complete, system
          runtime.gopark /src/main.go:20
          runtime.bgsweep /src/main.go:70
          runtime.goexit /src/main.go:10
          created by main.main /src/main.go:80
        1 Runnable (-), Complete
          main.worker /src/main.go:90
          runtime.goexit /src/main.go:10
          created by main.main /src/main.go:80
        1 Running (-), Running
          created by main.main /src/main.go:80
    "#]]
    .assert_eq(&text(&snapshot));
    assert_eq!(runtime.version(), "go1.26.6");
}

#[test]
fn goroutines_are_read_by_every_route() {
    let process = reference();
    for routes in [Routes::Both, Routes::CodeOnly, Routes::ContentOnly] {
        for hide_tables in [false, true] {
            check(&process, AttachOptions { hide_tables, routes, ..AttachOptions::default() });
        }
    }
}

#[test]
fn a_version_that_is_not_out_yet_is_read_by_calibration() {
    let process = FakeProcess::new("go1.99.0", &layouts_of_a_future_version(), &goroutines());
    check(&process, AttachOptions::default());
    let (runtime, _) = snapshot(&process, AttachOptions::default());
    assert!(runtime.remarks().contains(&Remark::UnknownVersion { version: "go1.99.0".to_owned() }));
}

#[test]
fn the_process_is_believed_over_the_table() {
    let process = FakeProcess::new("go1.26.6", &layouts_of_a_future_version(), &goroutines());
    check(&process, AttachOptions::default());
    let (runtime, _) = snapshot(&process, AttachOptions::default());
    assert!(runtime.remarks().contains(&Remark::Disagreement { structure: "g" }));
}

#[test]
fn what_is_missing_is_said_and_costs_only_itself() {
    let process = reference();
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    assert!(runtime.remarks().contains(&Remark::NotFound { variable: "gcController" }));
    let counters = runtime.counters(&process.memory);
    assert_eq!((counters.goroutines, counters.heap, counters.gc_cycles), (Some(14), None, None));
    assert_eq!(runtime.threads(&process.file, &process.memory), None);
    // The process is gone: no number is zero for that.
    let gone = FakeMemory::default();
    assert_eq!(runtime.counters(&gone).goroutines, None);
    let error = runtime.goroutines(&process.file, &gone).unwrap_err();
    assert_eq!(error, GoroutineError::Unreadable);
}

#[test]
fn threads_are_read_with_what_they_hold() {
    let mut process = reference();
    process.add_threads(&layouts());
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    let threads = runtime.threads(&process.file, &process.memory).unwrap();
    let rows: Vec<_> = threads.iter().map(|t| (t.tid, t.goroutine, t.locked_goroutine, t.in_cgo)).collect();
    let (third, fourth) = (goroutine_address(3), goroutine_address(4));
    assert_eq!(
        rows,
        [
            (4000, Some(third), None, Some(false)),
            (4001, None, Some(fourth), Some(true)),
            (4002, None, None, Some(false)),
        ]
    );
    // By calibration the same, but for what cannot be found without a table: that is not known, not none.
    let hidden = AttachOptions { hide_tables: true, ..AttachOptions::default() };
    runtime = attach(&process, &process.memory, hidden);
    let threads = runtime.threads(&process.file, &process.memory).unwrap();
    let rows: Vec<_> = threads.iter().map(|t| (t.tid, t.goroutine, t.locked_goroutine, t.in_cgo)).collect();
    assert_eq!(rows, [(4000, Some(third), None, None), (4001, None, None, None), (4002, None, None, None)]);
    // A list that leads back into itself ends.
    process.memory.word(EXTRA + 0x800 + layouts().thread.all_link as u64, EXTRA);
    assert_eq!(runtime.threads(&process.file, &process.memory).unwrap().len(), 3);
}

#[test]
fn the_cheap_numbers_are_read_with_and_without_the_table() {
    const MIB: u64 = 1 << 20;
    for (gogc, limit, gogc_percent, memory_limit_bytes, goal_bytes) in [
        (100, i64::MAX.cast_unsigned(), Some(100), None, Some(64 * MIB)),
        (50, 200 << 20, Some(50), Some(200 << 20), Some(48 * MIB)),
        // 23 MiB of those mapped are neither objects nor free, and three percent of what is left are kept back.
        (-1, 223 << 20, None, Some(223 << 20), Some(200 * MIB - 200 * MIB / 100 * 3)),
        (-1, i64::MAX.cast_unsigned(), None, None, None),
    ] {
        let mut process = reference();
        process.add_heap(gogc, limit);
        for hide_tables in [false, true] {
            let options = AttachOptions { hide_tables, ..AttachOptions::default() };
            let mut runtime = attach(&process, &process.memory, options);
            let counters = runtime.counters(&process.memory);
            let heap = HeapCounters {
                gc_cycles: 5,
                live_bytes: 40 << 20,
                marked_bytes: Some(32 << 20),
                goal_bytes,
                in_use_bytes: 48 << 20,
                idle_bytes: 2 << 20,
                released_bytes: 8 << 20,
                stack_bytes: 300_000,
                total_allocated_bytes: 900 << 20,
                total_freed_bytes: 861 << 20,
                mapped_bytes: 64 << 20,
                gogc_percent,
                memory_limit_bytes,
            };
            assert_eq!(counters.heap, Some(heap), "GOGC {gogc}, tables hidden: {hide_tables}");
            assert_eq!((counters.gc_cycles, counters.goroutines), (Some(5), Some(14)));
        }
    }
}

#[test]
fn a_heap_that_is_not_set_up_yet_is_found_later() {
    let mut process = reference();
    process.add_heap(100, i64::MAX.cast_unsigned());
    let mut early = process.clone();
    // Pages in use and bytes in use do not agree.
    early.memory.word(BSS + 0x618, 1);
    let mut runtime = attach(&process, &early.memory, AttachOptions::default());
    assert_eq!(runtime.counters(&early.memory).heap, None);
    assert!(runtime.counters(&process.memory).heap.is_some());
}

/// As a process is met that was only just executed: its list of goroutines is empty, there are no threads, no heap and
/// no samples.
#[test]
fn what_is_not_set_up_yet_is_looked_for_again() {
    let mut process = reference();
    let early = {
        let mut early = process.clone();
        for word in 0..3 {
            early.memory.word(BSS + word * 8, 0);
        }
        early
    };
    process.add_threads(&layouts());
    process.add_heap(100, i64::MAX.cast_unsigned());
    let mut runtime = attach(&process, &early.memory, AttachOptions::default());
    assert!(runtime.is_blind() && runtime.lacks_something());
    assert_eq!(runtime.counters(&early.memory), GoCounters::default());
    runtime.look_again(&process.file, &process.memory);
    assert!(!runtime.is_blind() && !runtime.lacks_something(), "{:?}", runtime.remarks());
    let counters = runtime.counters(&process.memory);
    assert_eq!((counters.goroutines, counters.gc_cycles), (Some(14), Some(5)));
    assert_eq!(runtime.goroutines(&process.file, &process.memory).unwrap().effort.live, 14);
    assert_eq!(runtime.threads(&process.file, &process.memory).unwrap().len(), 3);

    // What was found stays where the process cannot be read any more.
    runtime.look_again(&process.file, &FakeMemory::default());
    assert_eq!(runtime.counters(&process.memory).goroutines, Some(14));
}

#[test]
fn a_profile_that_begins_after_attaching_is_found_by_the_next_reader() {
    let mut process = reference();
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    HeapReader::attach(&mut runtime, &process.file, &process.memory);
    assert_eq!(runtime.places().mbuckets, None);
    let bucket = EXTRA + 0x3000;
    process.memory.word(BSS + 0x700, bucket);
    for (index, word) in (0..).zip([0, 0, 1, 0, 64, 1, pc(7, 100)]) {
        process.memory.word(bucket + index * 8, word);
    }
    // Asked for often, it is not looked for each time, and found all the same.
    for _ in 0..20 {
        HeapReader::attach(&mut runtime, &process.file, &reference().memory);
    }
    let mut looks = 0;
    while runtime.places().mbuckets.is_none() && looks < 20 {
        HeapReader::attach(&mut runtime, &process.file, &process.memory);
        looks += 1;
    }
    assert_eq!(runtime.places().mbuckets.map(|place| place.address), Some(BSS + 0x700));
    assert!(looks > 1);
}

/// What the others of an executable get to see is what each would find by itself, at its own addresses.
#[test]
fn processes_of_one_executable_share_what_its_file_says() {
    let process = reference();
    let program: Arc<Program> = Arc::default();
    let options = AttachOptions::default();
    let attach = |process: &FakeProcess| {
        Runtime::attach_another(&program, &process.file, 0, &process.memory, options).unwrap()
    };
    let mut first = attach(&process);
    let expected = text(&first.goroutines(&process.file, &process.memory).unwrap());
    let resolved = program.resolved();
    assert!(resolved > 5, "{resolved}");
    let mut second = attach(&process);
    assert_eq!(text(&second.goroutines(&process.file, &process.memory).unwrap()), expected);
    assert_eq!(second.places(), first.places());
    assert_eq!(program.resolved(), resolved, "nothing was resolved again");

    // One that says that its variables lie elsewhere is believed, and alone with it.
    let mut tampered = process.clone();
    tampered.memory.word(DATA + 0x1000 + 31 * 8, BSS + 4104);
    let mut third = attach(&tampered);
    assert_eq!(text(&third.goroutines(&tampered.file, &tampered.memory).unwrap()), expected);
    assert_eq!(program.resolved(), resolved);
    assert_eq!(Arc::strong_count(&program), 3, "the third has one of its own");
    drop((first, second, third));
    assert_eq!(Arc::strong_count(&program), 1, "nobody else keeps it");
}

#[test]
fn labels_are_read_in_both_forms() {
    let mut process = reference();
    let text = EXTRA + 0x3000;
    process.memory.write(text, b"tenantblue");
    let pair = [(text, 6), (text + 6, 4)];
    // A slice of pairs, as from Go 1.24 on, for one goroutine.
    let (header, pairs) = (EXTRA + 0x3100, EXTRA + 0x3140);
    for (index, word) in (0..).zip([pairs, 1, 1, 0, 0, 0, 0, 0, pair[0].0, pair[0].1, pair[1].0, pair[1].1]) {
        process.memory.word(header + index * 8, word);
    }
    // A map of one bucket, as before, for another.
    let (pointer, map, bucket) = (EXTRA + 0x3200, EXTRA + 0x3240, EXTRA + 0x3300);
    process.memory.word(pointer, map);
    process.memory.word(map, 1);
    process.memory.word(map + 16, bucket);
    process.memory.write(bucket + 3, &[77]);
    for (place, (address, length)) in
        [bucket + 8 + 3 * 16, bucket + 8 + 8 * 16 + 3 * 16].into_iter().zip(pair)
    {
        process.memory.word(place, address);
        process.memory.word(place + 8, length);
    }
    // One that leads nowhere, for a third.
    let labels = layouts().goroutine.labels() as u64;
    for (index, address) in [(2, header), (3, pointer), (4, EXTRA + 0x3800)] {
        process.memory.word(goroutine_address(index) + labels, address);
    }
    let (_, snapshot) = snapshot(&process, AttachOptions::default());
    let labelled: Vec<_> = snapshot.groups.iter().filter(|group| !group.labels.is_empty()).collect();
    assert_eq!(labelled.len(), 1, "equal labels make one group wherever they lie");
    assert_eq!(*labelled[0].labels, [("tenant".to_owned(), "blue".to_owned())]);
    assert_eq!((labelled[0].count, snapshot.effort.labels_skipped), (2, 1));
}

/// Memory in which one goroutine runs between any two readings.
struct Moving {
    memory: FakeMemory,
    history: u64,
    readings: Cell<u8>,
}

impl Memory for Moving {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        self.memory.read(address, buffer)?;
        let inside = self.history.checked_sub(address).and_then(|inside| usize::try_from(inside).ok());
        if let Some(byte) = inside.and_then(|inside| buffer.get_mut(inside)) {
            self.readings.set(self.readings.get().wrapping_add(1));
            *byte = self.readings.get();
        }
        Ok(())
    }
}

#[test]
fn a_goroutine_that_never_holds_still_is_given_up_and_counted() {
    let process = reference();
    let history = goroutine_address(4) + layouts().goroutine.wait_reason() as u64 + 15;
    let memory = Moving { memory: process.memory.clone(), history, readings: Cell::new(0) };
    let mut runtime = attach(&process, &memory, AttachOptions::default());
    let snapshot = runtime.goroutines(&process.file, &memory).unwrap();
    assert_eq!((snapshot.effort.given_up, snapshot.effort.live), (1, 14));
    assert!(snapshot.effort.retried >= 3);
    let torn = snapshot.groups.iter().find(|group| group.reading == StackReading::Torn).unwrap();
    assert!(torn.frames.is_empty() && torn.count == 1);
}

#[test]
fn a_stack_that_leads_in_a_circle_ends() {
    let mut process = reference();
    // All of a stack holds the same return address: the walk can only go up.
    for slot in 0..256 {
        process.memory.word(STACKS + 2048 * 2 + slot * 8, pc(8, 20));
    }
    let (_, snapshot) = snapshot(&process, AttachOptions::default());
    assert_eq!(snapshot.effort.incomplete_stacks, 1);
    let group = snapshot.groups.iter().find(|group| group.reading == StackReading::Incomplete).unwrap();
    assert!(group.frames.len() as u64 <= 2048 / (DELTA + 8) + 1);
}

#[test]
fn of_a_stack_that_is_too_deep_the_innermost_frames_are_kept() {
    const STACK: u64 = 0xc0_4000_0000;
    let mut process = reference();
    process.memory.pieces.push((STACK, vec![0; 1 << 20]));
    let (address, layout) = (goroutine_address(2), layouts().goroutine);
    for (offset, value) in [
        (GoroutineLayout::STACK_LOW, STACK),
        (GoroutineLayout::STACK_HIGH, STACK + (1 << 20)),
        (layout.sched_sp, STACK + 4096),
    ] {
        process.memory.word(address + offset as u64, value);
    }
    process.memory.word(STACK + 4096 + DELTA, pc(DEEP, 60));
    let (_, snapshot) = snapshot(&process, AttachOptions::default());
    assert_eq!((snapshot.effort.incomplete_stacks, snapshot.effort.live), (1, 14));
    let group = snapshot.groups.iter().find(|group| group.reading == StackReading::Incomplete).unwrap();
    let functions: Vec<&str> = group.frames.iter().map(|frame| &*frame.function).collect();
    assert_eq!(functions, ["runtime.gopark", "main.deep"]);
}

#[test]
fn what_does_not_point_to_itself_is_no_goroutine() {
    let process = reference();
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    let mut memory = process.memory.clone();
    let mut copy = vec![0; 512];
    memory.read(goroutine_address(4), &mut copy).unwrap();
    memory.write(EXTRA, &copy);
    memory.word(HEAP + 4 * 8, EXTRA);
    let snapshot = runtime.goroutines(&process.file, &memory).unwrap();
    assert_eq!((snapshot.effort.live, snapshot.effort.unreadable), (13, 1));
    assert!(snapshot.goroutines.iter().all(|goroutine| goroutine.address != EXTRA));
}

#[test]
fn the_tables_of_old_versions_are_read_too() {
    let layouts = known(Minor(19)).unwrap();
    let process = FakeProcess::new("go1.19.13", &layouts, &goroutines());
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    let old = runtime.goroutines(&process.file, &process.memory).unwrap();
    let (_, new) = snapshot(&reference(), AttachOptions::default());
    assert_eq!(text(&old), text(&new));
}

#[test]
fn a_program_with_more_functions_than_any_has_is_refused() {
    for (functions, is_accepted) in [(4_u64 << 20, true), ((4 << 20) + 1, false)] {
        let mut process = reference();
        let tables = process.file.windows(4).position(|bytes| bytes == [0xf1, 0xff, 0xff, 0xff]).unwrap();
        process.file[tables + 8..tables + 16].copy_from_slice(&functions.to_le_bytes());
        for word in [17, 18] {
            process.memory.word(DATA + 0x1000 + word * 8, functions + 1);
        }
        let attached = Runtime::attach(&process.file, 0, &process.memory, AttachOptions::default());
        assert_eq!(attached.is_ok(), is_accepted, "{functions}");
    }
}

#[test]
fn inline_trees_at_the_end_of_all_addresses_are_none() {
    let mut process = reference();
    process.memory.word(DATA + 0x1000 + layouts().gofunc as u64, u64::MAX - 4000);
    let (_, snapshot) = snapshot(&process, AttachOptions::default());
    assert_eq!(snapshot.effort.live, 14);
}

#[test]
fn modules_that_lead_in_a_circle_end() {
    let mut process = reference();
    process.memory.word(DATA + 0x1000 + 56 * 8, DATA + 0x1000);
    check(&process, AttachOptions::default());
}

#[test]
fn a_list_of_nonsense_length_is_refused() {
    let process = reference();
    let mut runtime = attach(&process, &process.memory, AttachOptions::default());
    let mut memory = process.memory.clone();
    memory.word(BSS + 8, 1 << 40);
    assert_eq!(runtime.goroutines(&process.file, &memory).unwrap_err(), GoroutineError::Unreadable);
}

/// Reads all there is; what comes of it does not matter.
fn read_all(file: &[u8], memory: &FakeMemory, options: AttachOptions) {
    if let Ok(mut runtime) = Runtime::attach(&file, 0, memory, options) {
        let _ = runtime.goroutines(&file, memory);
        let _ = runtime.counters(memory);
        let _ = runtime.threads(&file, memory);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn garbled_processes_are_survived(
        in_file in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
        in_memory in proptest::collection::vec((0..5_usize, any::<prop::sample::Index>(), any::<u8>()), 0..24),
        hide_tables: bool,
    ) {
        let mut process = reference();
        process.add_threads(&layouts());
        process.add_heap(100, i64::MAX.cast_unsigned());
        for (position, byte) in in_file {
            let length = process.file.len();
            process.file[position.index(length)] = byte;
        }
        for (piece, position, byte) in in_memory {
            let bytes = &mut process.memory.pieces[piece].1;
            let length = bytes.len();
            bytes[position.index(length)] = byte;
        }
        read_all(&process.file, &process.memory, AttachOptions { hide_tables, ..AttachOptions::default() });
    }

    #[test]
    fn garbled_symbol_tables_are_survived(
        changes in proptest::collection::vec((0..2000_usize, any::<u8>()), 1..12),
    ) {
        let mut process = reference();
        let tables = process.file.windows(4).position(|bytes| bytes == [0xf1, 0xff, 0xff, 0xff]).unwrap();
        for (position, byte) in changes {
            if let Some(target) = process.file.get_mut(tables + 72 + position) {
                *target = byte;
            }
        }
        read_all(&process.file, &process.memory, AttachOptions::default());
    }

    #[test]
    fn truncated_processes_are_survived(file_bytes: prop::sample::Index, piece in 0..4_usize, bytes: prop::sample::Index) {
        let mut process = reference();
        process.file.truncate(file_bytes.index(process.file.len()));
        let content = &mut process.memory.pieces[piece].1;
        content.truncate(bytes.index(content.len()));
        read_all(&process.file, &process.memory, AttachOptions::default());
    }
}

/// As in a library: the main goroutine ends once all is set up, and its place is another's.
#[test]
fn the_first_place_may_be_anothers_by_now() {
    for hide_tables in [false, true] {
        let mut goroutines = goroutines();
        goroutines[0] = goroutine(31, 3, 9, vec![pc(1, 60), pc(8, 200), pc(9, 20), pc(0, 1)]);
        let process = FakeProcess::new("go1.26.6", &layouts(), &goroutines);
        for routes in [Routes::CodeOnly, Routes::ContentOnly] {
            let options = AttachOptions { hide_tables, routes, ..AttachOptions::default() };
            let (runtime, snapshot) = snapshot(&process, options);
            assert!(runtime.places().allgs.is_some(), "{routes:?}");
            assert_eq!((snapshot.effort.live, snapshot.groups[0].count), (14, 8), "{hide_tables} {routes:?}");
        }
    }
}
