use super::{Chains, Starter, Starters, Texts, is_runtime, join};
use crate::capture::named::Named;
use crate::capture::starters::tests::Names;
use crate::ledger::mapping_book::MappingBook;
use crate::observed::ledger::{Ledger, Mappings, Route};
use crate::source::kernel::ledger::{MappingCall, RawLedger, RawMapping, RawSite, RawTally};
use crate::source::proc::Mapping;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId, WalkedStack};
use crate::vocabulary::reading::Moment;
use expect_test::expect;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn moment(seconds: u64) -> Moment {
    let since_boot = Duration::from_secs(seconds);
    Moment { since_boot, wall: UNIX_EPOCH + since_boot }
}

/// Functions innermost first; those before `|` are C's.
fn named(stack: &str) -> Named {
    let (native, go) = stack.split_once('|').unwrap_or(("", stack));
    let frames =
        |names: &str| names.split_whitespace().map(|name| Frame::new(name, "f", 1)).collect::<Vec<_>>();
    let (native, go) = (frames(native), frames(go));
    Named { native: native.len(), frames: native.into_iter().chain(go).collect() }
}

fn entry(range: Range<u64>, stack: Option<u64>, created_at: u64) -> RawMapping {
    let goroutine = Some(CreatingGoroutine { id: 1, parent_id: None, created_at });
    RawMapping {
        range,
        call: MappingCall::Map,
        is_thread_stack: stack == Some(4),
        is_file: false,
        at: Duration::from_secs(20),
        origin: Origin { stack: stack.map(StackId), tid: 1, goroutine },
        covered: 0,
    }
}

fn known(created: u64, ended: u64) -> RawSite {
    let longest_ended = (ended > 0).then(|| Duration::from_secs(3));
    RawSite { stack: WalkedStack::default(), created, ended, longest_ended }
}

fn text(ledger: &Ledger<Mappings>) -> String {
    let mut text = format!("{:?}\n", ledger.accounts);
    for site in &ledger.sites {
        let functions = |frames: &Arc<[Frame]>| {
            frames.iter().map(|frame| frame.function.to_string()).collect::<Vec<_>>().join(" ")
        };
        let owner = [
            (site.what.is_runtime, "runtime"),
            (site.what.is_native, "native"),
            (site.what.is_thread_stack, "thread stack"),
        ];
        let owner: Vec<&str> = owner.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        let by: Vec<String> = site.started_by.iter().map(functions).collect();
        let line = format!(
            "{}/{}/{} {}+{} {:?} [{}] by {by:?} {}",
            site.created,
            site.ended,
            site.outstanding,
            site.what.bytes,
            site.what.file_bytes,
            site.longest_ended,
            functions(&site.stack),
            owner.join(", "),
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[test]
fn what_each_stack_has_left_is_told_with_what_is_not_known() {
    let mapping = |range| Mapping { range, is_accessible: true, ..Mapping::default() };
    let mappings = [mapping(0..8), mapping(100..140), mapping(200..210), mapping(300..301)];
    let mut book = MappingBook::new(&mappings[..1]);
    // Made when the list had been read: neither there nor gone.
    let young = RawMapping { at: Duration::from_secs(31), ..entry(500..510, Some(2), 7) };
    let things = vec![
        entry(100..110, Some(1), 7),
        entry(110..120, Some(2), 7),
        entry(120..125, None, 0),
        entry(130..140, Some(3), 8),
        entry(200..210, Some(4), 0),
        entry(400..410, Some(1), 7),
        young,
    ];
    let scan = book.scan(&things, &mappings, Duration::from_secs(30));
    let raw = RawLedger {
        began: moment(10),
        route: Route::SystemCalls,
        things,
        sites: [(1, known(5, 3)), (2, known(2, 0)), (3, known(1, 0)), (4, known(1, 0)), (5, known(9, 9))]
            .map(|(stack, site)| (StackId(stack), site))
            .into(),
        tally: RawTally { created: 1, lost: 2, ..RawTally::default() },
        one_in: 1,
    };
    // The second stack differs from the first in addresses only.
    let stacks: HashMap<StackId, Named> = [
        (1, "syscall.mmap main.keep runtime.goexit"),
        (2, "syscall.mmap main.keep runtime.goexit"),
        (3, "mmap malloc | runtime.cgocall main.fill runtime.goexit"),
        (4, "mmap pthread_create | runtime.cgocall main.hire runtime.goexit"),
        (5, "syscall.mmap main.borrow runtime.goexit"),
    ]
    .map(|(stack, functions)| (StackId(stack), named(functions)))
    .into();
    let starters = [7, 8].map(|created_at| Starter::Goroutine { parent_id: None, created_at }).into_iter();
    let mut names = Names { statements: [(7, "main.start")].into(), ..Names::default() };
    let chains = Chains::of(starters, Starters::default(), &mut names);
    let texts = Texts { stacks, chains };
    let ledger = join(moment(30), &raw, &scan, &|_| None, &texts, &[300..400, 500..600]);
    expect![[r#"
        Accounts { outstanding: 8, before: 1, missed: 2, without_stack: 1, copies: 0, created: 18, ended: 13, corrected: 1, lost: 2, one_in: 1 }
        6/4/2 20+0 Some(3s) [syscall.mmap main.keep runtime.goexit] by ["main.start"]
        1/0/2 10+0 None [] by []
        1/0/1 10+0 None [mmap malloc runtime.cgocall main.fill runtime.goexit] by [] native
        1/0/1 10+0 None [mmap pthread_create runtime.cgocall main.hire runtime.goexit] by [] native, thread stack
        0/0/1 1+0 None [] by [] runtime
        9/9/0 0+0 Some(3s) [syscall.mmap main.borrow runtime.goexit] by []
    "#]].assert_eq(&text(&ledger));
}

#[test]
fn whose_a_mapping_is_stands_in_its_stack() {
    for (stack, expected) in [
        (
            "runtime.sysMmap runtime.sysMapOS runtime.sysMap runtime.(*mheap).grow main.make runtime.goexit",
            true,
        ),
        ("runtime.sysAllocOS runtime.sysAlloc runtime.persistentalloc1 main.make", true),
        ("runtime.sysReserve runtime.(*mheap).sysAlloc main.make", true),
        // With cgo the runtime has C map for it.
        (
            "mmap64 x_cgo_mmap | runtime.callCgoMmap runtime.mmap.func1 runtime.systemstack runtime.mmap main.make",
            true,
        ),
        ("mmap64 x_cgo_mmap | runtime.mmap main.make", true),
        ("runtime.clone runtime.newosproc runtime.mstart", true),
        ("mmap malloc | runtime.cgocall main._Cfunc_f main.f", false),
        ("mmap pthread_create | runtime.asmcgocall runtime.newm1 runtime.startm", false),
        ("runtime/internal/syscall.Syscall6 syscall.RawSyscall6 syscall.mmap main.f", false),
        ("syscall.mmap golang.org/x/sys/unix.Mmap main.f runtime.goexit", false),
        ("mmap malloc |", false),
        ("", false),
    ] {
        assert_eq!(is_runtime(&named(stack)), expected, "{stack}");
    }
}
