//! Go code that is not the program's own: plugins that a Go program opens while it is watched, and Go libraries in a
//! program of another language.

use crate::agent;
use crate::answer::List;
use crate::attached::Attached;
use crate::build::{Loaded, Variant, build, build_c, build_loaded};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::profiles::view;
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const GUESTS: u64 = 300;
const LIMIT: Duration = Duration::from_secs(30);
/// The oldest and the newest whose plugins are read.
const MINORS: [u32; 2] = [21, 27];
const HOST: &str = "pantry/host/host.c";

/// The cases.
pub fn cases() -> Vec<Case> {
    let of = |minor: u32| {
        let needs = [Need::GoMinor(minor), C_COMPILER];
        [
            Case::new(format!("modules::go1_{minor}_plugins_opened_while_watched"), needs, move || {
                plugins(minor, true)
            }),
            Case::new(format!("modules::go1_{minor}_no_plugin_is_opened"), needs, move || {
                plugins(minor, false)
            }),
            Case::new(format!("modules::go1_{minor}_library_in_c"), needs, move || library(minor)),
        ]
    };
    let needs = [Need::Root, Need::Go, C_COMPILER];
    let others = [
        Case::new("modules::library_loaded_while_watched", needs, loaded_late),
        Case::new("modules::no_library_is_loaded", needs, no_library),
        Case::new("modules::library_that_keeps_goroutines", needs, || diagnosed(true)),
        Case::new("modules::library_that_lets_them_go", needs, || diagnosed(false)),
    ];
    MINORS.into_iter().flat_map(of).chain(others).collect()
}

/// The plugins of a program.
const WINGS: [&str; 2] = ["annex/east", "annex/west"];

/// Builds what these cases load and run.
pub fn prepare() -> Result<()> {
    build_c(HOST)?;
    newest_pantry()?;
    for toolchain in MINORS.into_iter().filter_map(Toolchain::minor) {
        build("annex", toolchain, Variant::CGO)?;
        WINGS.iter().try_for_each(|wing| build_loaded(wing, toolchain, Loaded::Plugin).map(drop))?;
        pantry(toolchain.minor)?;
    }
    Ok(())
}

/// The twins: wings are opened after the runtime was attached to, or never.
fn plugins(minor: u32, opens: bool) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let mut command = Command::new(build("annex", toolchain, Variant::CGO)?);
    command.args(["-still", "-for=60s", "-after=3s"]).arg(format!("-guests={GUESTS}"));
    if opens {
        for wing in WINGS {
            command.arg(build_loaded(wing, toolchain, Loaded::Plugin)?);
        }
    }
    let mut running = Running::start(&mut command)?;
    running.holding(GUESTS)?;
    let mut attached = Attached::to(running.pid())?;
    let own = ("main.lodge".to_owned(), GUESTS);
    let before = lodgers(&mut attached)?;
    ensure!(before == BTreeMap::from([own.clone()]), "want our own guests alone: {before:?}");
    for opened in 1..=if opens { WINGS.len() } else { 0 } {
        running.holding(GUESTS * (opened as u64 + 1))?;
        let of_wings = WINGS[..opened].iter();
        let of_wings = of_wings.map(|wing| (format!("example.com/parcels/{wing}.lodge"), GUESTS));
        let expected: BTreeMap<String, u64> = of_wings.chain([own.clone()]).collect();
        let mut found = lodgers(&mut attached)?;
        // The count is told when the last of them has been started: it may not have been scheduled yet.
        for _ in 0..20 {
            if found == expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            found = lodgers(&mut attached)?;
        }
        ensure!(found == expected, "want {expected:?}, there are {found:?}");
    }
    let modules = attached.runtime.symbols(&attached.file, &attached.memory).0.modules().count();
    let expected = if opens { 1 + WINGS.len() } else { 1 };
    ensure!(modules == expected, "want {expected} modules, there are {modules}");
    Ok(())
}

/// Goroutines by the function of guests in which they stand, each with a stack that reaches its root, a file and a line.
fn lodgers(attached: &mut Attached) -> Result<BTreeMap<String, u64>> {
    let snapshot = attached.runtime.goroutines(&attached.file, &attached.memory)?;
    let mut by_function = BTreeMap::new();
    for group in snapshot.groups.iter().filter(|group| !group.is_system) {
        let functions: Vec<&str> = group.frames.iter().map(|frame| &*frame.function).collect();
        let Some(frame) = group.frames.iter().find(|frame| frame.function.ends_with(".lodge")) else {
            ensure!(functions.contains(&"main.main"), "whose stack is this: {functions:?}");
            continue;
        };
        ensure!(functions.last() == Some(&"runtime.goexit"), "the stack ends early: {functions:?}");
        ensure!(frame.file.ends_with("main.go") && frame.line > 0, "{frame:?} is nowhere");
        ensure!(!group.created_by.is_empty(), "nobody has created {functions:?}");
        *by_function.entry(frame.function.to_string()).or_default() += group.count;
    }
    Ok(by_function)
}

/// What the C program is told: when to load, how many to take in, how many come a second, and whether they are kept.
struct Order {
    before_millis: u64,
    per_second: u64,
    keeps: bool,
}

fn host(order: &Order, libraries: &[PathBuf]) -> Result<Running> {
    let mut command = Command::new(build_c(HOST)?);
    command.args(["100", &order.before_millis.to_string(), &GUESTS.to_string()]);
    command.args([order.per_second.to_string(), u8::from(order.keeps).to_string()]).args(libraries);
    Running::start(&mut command)
}

const AT_ONCE: Order = Order { before_millis: 0, per_second: 0, keeps: false };

fn pantry(minor: u32) -> Result<PathBuf> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    build_loaded("pantry", toolchain, Loaded::Library)
}

fn newest_pantry() -> Result<PathBuf> {
    pantry(Toolchain::newest().context("no Go toolchain is here")?.minor)
}

/// Everything that is said of a Go program is said of a Go library in C.
fn library(minor: u32) -> Result<()> {
    let library = pantry(minor)?;
    let mut running = host(&AT_ONCE, std::slice::from_ref(&library))?;
    running.holding(GUESTS)?;
    let pid = running.pid();
    let told: Value = serde_json::from_str(&view(&["goroutines", "--format", "json"], pid)?)?;
    expect_watchers(&told)?;
    let path = told["process"]["library"].as_str().context("it is said to be a library")?;
    ensure!(path == library.display().to_string(), "it is {}, not {path}", library.display());
    let list = agent::list()?;
    let listed = list.process(pid).context("it is in the list")?;
    let version = listed.go_version.as_deref().context("a library has a version")?;
    ensure!(version.starts_with(&format!("go1.{minor}")), "{version}");
    let heap = view(&["heap", "--format", "text"], pid)?;
    ensure!(heap.contains("main.Stock"), "what it keeps is named: {heap}");
    let memory = view(&["memory"], pid)?;
    ensure!(memory.contains("goroutine stacks"), "its memory is explained: {memory}");
    Ok(())
}

fn expect_watchers(told: &Value) -> Result<()> {
    let groups = told["groups"].as_array().context("goroutines come in groups")?;
    let stands = |group: &Value| {
        group["stack"].as_array().is_some_and(|stack| {
            stack.iter().any(|frame| {
                let file = frame["file"].as_str().unwrap_or_default();
                frame["function"] == "main.watchOver" && file.ends_with("pantry/main.go")
            })
        })
    };
    let counts: Vec<_> = groups.iter().filter(|group| stands(group)).map(|group| &group["count"]).collect();
    ensure!(counts == [&Value::from(GUESTS)], "want one group of {GUESTS}, there are {counts:?}: {told}");
    Ok(())
}

/// A C program becomes one that is watched when it loads a library, and its second library is told of.
fn loaded_late() -> Result<()> {
    let library = newest_pantry()?;
    let other = tempfile::tempdir().context("create a directory")?;
    let copy = other.path().join("another.so");
    std::fs::copy(&library, &copy).context("copy a library")?;
    let order = Order { before_millis: 3000, ..AT_ONCE };
    let mut running = host(&order, &[library, copy])?;
    running.holding(0)?;
    let pid = running.pid();
    agent::run(&["goroutines", "--pid", &pid.to_string()], LIMIT)?.expect_refusal(&["is no Go program"])?;
    running.holding(2 * GUESTS)?;
    let told: Value = serde_json::from_str(&view(&["goroutines", "--format", "json"], pid)?)?;
    expect_watchers(&told)?;
    let remarks = told["remarks"].to_string();
    ensure!(remarks.contains("1 Go library besides"), "the other one is told of: {remarks}");
    Ok(())
}

fn no_library() -> Result<()> {
    let mut running = host(&AT_ONCE, &[])?;
    running.holding(0)?;
    let list: List = agent::list()?;
    ensure!(list.process(running.pid()).is_none(), "a C program is none of ours");
    for command in ["goroutines", "heap"] {
        let outcome = agent::run(&[command, "--pid", &running.pid().to_string()], LIMIT)?;
        outcome.expect_refusal(&["is no Go program"])?;
    }
    Ok(())
}

/// The twins: those who come are kept, or leave again.
fn diagnosed(keeps: bool) -> Result<()> {
    let order = Order { before_millis: 0, per_second: 40, keeps };
    let mut running = host(&order, &[newest_pantry()?])?;
    running.holding(GUESTS)?;
    let pid = running.pid().to_string();
    let outcome = agent::run(&["diagnose", "--pid", &pid, "-d", "45s"], Duration::from_secs(90))?;
    let says = &outcome.stdout;
    if keeps {
        ensure!(outcome.status == Some(1), "want a leak: {outcome:?}");
        ensure!(says.contains("goroutine") && says.contains("main.collect"), "want the line: {says}");
    } else {
        ensure!(outcome.status == Some(0), "want a healthy one: {outcome:?}");
    }
    Ok(())
}
