//! What kernel programs are told of a Go program holds, whichever toolchain built it and in whichever way: where
//! probes go, and how to get from a thread to its goroutine.

use crate::attached::Attached;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::program;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, ensure};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use watcher::golang::probes::kernel_view::KernelView;
use watcher::golang::{Memory, ReadAt};

const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];
const LIFE: Duration = Duration::from_secs(60);
/// What is told by a probe on each: goroutines created, spans filled, large objects allocated, collections ended.
const PROBED: [&str; 4] = [
    "runtime.newproc1",
    "runtime.(*mcache).refill",
    "runtime.(*mcache).allocLarge",
    "runtime.(*gcControllerState).resetLive",
];
/// Two readings of a process that is not stopped need not be the same each time.
const ATTEMPTS: usize = 20;
/// Prologues push the frame pointer from here on.
const FIRST_THAT_PUSHES: u32 = 21;

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().flat_map(|minor| {
        VARIANTS.into_iter().map(move |variant| {
            let mut needs = vec![Need::Root, Need::GoMinor(*minor)];
            needs.extend(variant.cgo.then_some(C_COMPILER));
            let name = format!("entrances::go1_{minor}_{}", variant.name().replace('-', "_"));
            Case::new(name, needs, move || entrances(*minor, variant))
        })
    });
    let shared = [Variant::STRIPPED, Variant::PIE, Variant::CGO].map(|variant| {
        let needs = [Need::Go].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        let name = format!("entrances::one_executable_{}", variant.name().replace('-', "_"));
        Case::new(name, needs, move || one_executable(variant))
    });
    matrix.chain(shared).collect()
}

/// Processes of one executable share what its file says, each at its own addresses.
fn one_executable(variant: Variant) -> Result<()> {
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    let executable = build("depot", toolchain, variant)?;
    let program = Arc::default();
    for _ in 0..3 {
        let running = program::depot(&executable, 3, LIFE)?;
        let mut shared = Attached::another(&program, running.pid())?;
        let mut alone = Attached::to(running.pid())?;
        let (ours, theirs) = (shared.runtime.places(), alone.runtime.places());
        ensure!(ours == theirs, "variables were found elsewhere: {ours:x?} and {theirs:x?}");
        // Whoever sleeps may just have woken up.
        let same = (0..ATTEMPTS).any(|_| match (frames(&mut shared), frames(&mut alone)) {
            (Ok(shared), Ok(alone)) => shared == alone && !shared.is_empty(),
            _ => false,
        });
        ensure!(same, "{:#?}\nis not\n{:#?}", frames(&mut shared)?, frames(&mut alone)?);
    }
    Ok(())
}

/// Every frame that is seen, with its address.
fn frames(attached: &mut Attached) -> Result<BTreeSet<String>> {
    let snapshot = attached.runtime.goroutines(&attached.file, &attached.memory)?;
    let frames = snapshot.groups.iter().flat_map(|group| group.frames.iter().chain(group.created_by.iter()));
    Ok(frames.map(|frame| format!("{frame:?}")).collect())
}

fn entrances(minor: u32, variant: Variant) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let running = program::depot(&build("depot", toolchain, variant)?, 3, LIFE)?;
    let mut attached = Attached::to(running.pid())?;
    for (name, point) in PROBED.iter().zip(attached.runtime.probe_points(&attached.file, &PROBED)) {
        let point = point.with_context(|| format!("{name} has no frame"))?;
        let mut code = [0; 4];
        let length = attached.file.read_at(point.file_offset, &mut code)?;
        ensure!(length == code.len(), "{name}: {point:x?} lies behind the end of the file");
        if minor >= FIRST_THAT_PUSHES {
            ensure!(point.is_push && code == [0x55, 0x48, 0x89, 0xe5], "{name}: {code:x?} at {point:x?}");
            ensure!(attached.runtime.push_of(&attached.file, name) == Some(point), "{name}: found elsewhere");
        } else {
            ensure!(!point.is_push && code[..3] == [0x48, 0x83, 0xec], "{name}: {code:x?} at {point:x?}");
            ensure!(attached.runtime.push_of(&attached.file, name).is_none(), "{name} pushes nothing");
        }
    }
    ensure!(attached.runtime.push_of(&attached.file, "runtime.none").is_none(), "there is no such function");

    let view = attached.runtime.kernel_view(&attached.file, &attached.memory).context("no view")?;
    ensure!(view.g_parent_goid.is_some() == (minor >= 21), "{view:?}");
    check_threads(&attached, view)
}

/// Stops each thread of the program for a moment, so that it can be told where it keeps its variables.
fn check_threads(attached: &Attached, view: KernelView) -> Result<()> {
    let threads = attached.runtime.threads(&attached.file, &attached.memory).context("no threads")?;
    let mut checked = 0;
    for thread in threads.iter().filter(|thread| thread.tid != 0) {
        let tid = Pid::from_raw(i32::try_from(thread.tid)?);
        ptrace::seize(tid, ptrace::Options::empty()).context("trace a thread")?;
        ptrace::interrupt(tid).context("stop a thread")?;
        waitpid(tid, Some(WaitPidFlag::__WALL)).context("wait for a thread")?;
        let base = ptrace::getregs(tid).context("read registers")?.fs_base;
        let word = |address: u64| -> Result<u64> {
            let mut bytes = [0; 8];
            attached.memory.read(address, &mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let goroutine = word(base.wrapping_add_signed(view.tls_g.into()))?;
        let machine = word(goroutine + u64::from(view.g_m))?;
        ensure!(machine == thread.address, "thread {tid} has {goroutine:#x} of {machine:#x}: {thread:x?}");
        let (own, current) = (word(machine + u64::from(view.m_g0))?, word(machine + u64::from(view.m_curg))?);
        ensure!(
            [own, current].contains(&goroutine),
            "thread {tid}: {goroutine:#x}, not {own:#x} {current:#x}"
        );
        ptrace::detach(tid, None).context("let a thread go")?;
        checked += 1;
    }
    ensure!(checked >= 3, "only {checked} threads");
    Ok(())
}
