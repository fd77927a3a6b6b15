//! Goroutines that can never go on: all of them are found, and none that somebody could wake, without an endpoint, in
//! stripped executables of every version.

use crate::agent;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

const ANTEROOM: &str = "anteroom";
const ROUNDS: u64 = 20;
/// The part of those that can never go on that has to be found.
const LEAST_FOUND: f64 = 0.99;
const LIMIT: Duration = Duration::from_secs(150);

const ROWS: [(u32, Variant); 10] = [
    (21, Variant::STRIPPED),
    (21, Variant::CGO),
    (22, Variant::STRIPPED),
    (23, Variant::STRIPPED),
    (24, Variant::STRIPPED),
    (25, Variant::STRIPPED),
    (26, Variant::STRIPPED),
    (27, Variant::STRIPPED),
    (27, Variant::PIE),
    (27, Variant::CGO),
];

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ROWS.into_iter().filter_map(|(minor, variant)| Some((ANTEROOM, Toolchain::minor(minor)?, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |(minor, variant): (u32, Variant)| {
        let needs = [Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        Case::new(format!("leaked::all_and_no_others::go1_{minor}_{}", variant.name()), needs, move || {
            all_and_no_others(
                Toolchain::minor(minor).context("the toolchain is here")?,
                variant,
                "8s",
                "likely",
            )
        })
    };
    let newest = || Toolchain::newest().context("the toolchain is here");
    let proven = Case::new("leaked::proven_after_a_minute", [Need::Go], move || {
        all_and_no_others(newest()?, Variant::STRIPPED, "75s", "proven")
    });
    let none =
        Case::new("leaked::none_where_all_are_kept", [Need::Go], move || none_where_all_are_kept(newest()?));
    ROWS.into_iter().map(case).chain([proven, none]).collect()
}

/// What the program says of itself.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Books {
    gone: u64,
    kept: u64,
}

#[derive(Debug, Deserialize)]
struct Told {
    goroutines: u64,
    leaked: u64,
    certainty: Option<String>,
    held_bytes: u64,
    stack_bytes: u64,
    groups: Vec<Group>,
    readings: Readings,
}

#[derive(Debug, Deserialize)]
struct Group {
    count: u64,
    created_by: Vec<Frame>,
    stack: Vec<Frame>,
    waits_on: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    function: String,
}

#[derive(Debug, Deserialize)]
struct Readings {
    used: u32,
}

fn start(toolchain: &Toolchain, variant: Variant, rounds: u64) -> Result<(Running, Books)> {
    let (sender, heard) = mpsc::channel();
    let mut command = Command::new(build::build(ANTEROOM, toolchain, variant)?);
    command.arg(format!("-rounds={rounds}"));
    let running = Running::start_heard(&mut command, move |line| {
        if let Ok(books) = serde_json::from_str::<Books>(line) {
            // Only the first is waited for.
            let _ = sender.send(books);
        }
    })?;
    let books = heard.recv_timeout(Duration::from_secs(30)).context("it says how many wait")?;
    Ok((running, books))
}

fn ask(pid: u32, time: &str) -> Result<(Told, agent::Outcome)> {
    let pid = pid.to_string();
    let outcome =
        agent::run(&["goroutines", "--leaked", "--pid", &pid, "-d", time, "--format", "json"], LIMIT)?;
    Ok((outcome.json()?, outcome))
}

fn all_and_no_others(toolchain: &Toolchain, variant: Variant, time: &str, certainty: &str) -> Result<()> {
    let (running, books) = start(toolchain, variant, ROUNDS)?;
    ensure!(books.gone == 15 * ROUNDS && books.kept > 15 * ROUNDS, "{books:?}");
    let (told, outcome) = ask(running.pid(), time)?;
    ensure!(told.leaked as f64 >= LEAST_FOUND * books.gone as f64, "{books:?}, {told:?}");
    ensure!(told.leaked <= books.gone && told.goroutines >= books.gone + books.kept, "{books:?}, {told:?}");
    for group in &told.groups {
        let by = group.created_by.first().map(|frame| &*frame.function);
        ensure!(by == Some("main.away"), "somebody could wake these: {group:?}");
        let hopeless =
            group.stack.iter().any(|it| it.function == "main.never" || it.function == "main.nothing");
        ensure!(hopeless == group.waits_on.is_empty(), "what they wait on: {group:?}");
    }
    let sum: u64 = told.groups.iter().map(|group| group.count).sum();
    ensure!(sum == told.leaked, "the groups have {sum} of {}", told.leaked);
    ensure!(told.certainty.as_deref() == Some(certainty), "{:?} instead of {certainty}", told.certainty);
    ensure!(
        told.readings.used >= 3 && told.held_bytes > 0 && told.stack_bytes >= 2048 * told.leaked,
        "{told:?}"
    );
    ensure!(outcome.status == Some(1), "exit status {:?}", outcome.status);
    Ok(())
}

/// The same functions, and somebody keeps what all of them wait for.
fn none_where_all_are_kept(toolchain: &Toolchain) -> Result<()> {
    let (running, books) = start(toolchain, Variant::STRIPPED, 0)?;
    ensure!(books.gone == 0 && books.kept == 20, "{books:?}");
    let (told, outcome) = ask(running.pid(), "6s")?;
    ensure!(told.leaked == 0 && told.groups.is_empty() && told.certainty.is_none(), "{told:?}");
    ensure!(
        told.readings.used >= 1 && outcome.status == Some(0),
        "{told:?}, exit status {:?}",
        outcome.status
    );
    Ok(())
}
