//! What the views of one process show is what the process's own endpoint says, whichever toolchain built it and in
//! whichever way; and what cannot be shown is refused with a sentence.

use crate::agent;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::http::Address;
use crate::need::{C_COMPILER, Need};
use crate::profiles::{parse, profile, records, view};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use watcher::report::pprof::diff;

const PROGRAM: &str = "harbour";
const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];
const LIFE: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_secs(20);
/// The program keeps 14 kinds of 800.
const AT_LEAST: u64 = 10_000;
/// Goroutines of these are there only because somebody reads the endpoint.
const OF_THE_ENDPOINT: [&str; 3] =
    ["net/http.(*conn).serve", "net/http.(*connReader).", "net/http.(*Server).Serve"];

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().map(|minor| {
        let needs = [Need::GoMinor(*minor), C_COMPILER];
        Case::new(format!("views::go1_{minor}_equals_the_endpoint"), needs, move || row(*minor))
    });
    let others = [
        Case::new("views::captures_are_compared", [Need::Go], captures_are_compared),
        Case::new("views::what_cannot_be_shown_is_refused", [Need::Go], refused),
        Case::new("views::what_cannot_be_done_is_refused_at_once", [Need::Root], refused_at_once),
        Case::new("views::a_stopped_process_is_not_healthy", [Need::Root, Need::Go], stopped),
        Case::new("views::exits_while_it_is_read", [Need::Go], exits_while_read),
    ];
    matrix.chain(others).collect()
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    Toolchain::all()
        .iter()
        .flat_map(|toolchain| variants(toolchain.minor).map(move |variant| (PROGRAM, toolchain, variant)))
}

/// How the program is built by a version. Nothing is read from section headers, in no version: the oldest and the
/// newest show that.
fn variants(minor: u32) -> impl Iterator<Item = Variant> {
    let is_end = [MINORS.first(), MINORS.last()].contains(&Some(&minor));
    VARIANTS.into_iter().chain(is_end.then_some(Variant::HEADERLESS))
}

/// One row of the matrix, printed as such.
fn row(minor: u32) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let mut cells = Vec::new();
    for variant in variants(minor) {
        let executable = build(PROGRAM, toolchain, variant)?;
        let told = start(&executable).and_then(|mut program| compare(&mut program));
        cells.push(format!(
            "{}: {}",
            variant.name(),
            told.with_context(|| format!("{} {}", toolchain.version, variant.name()))?
        ));
    }
    writeln!(io::stdout(), "| {:<9} | {} |", toolchain.version, cells.join(" | ")).context("print a row")
}

fn start(executable: &Path) -> Result<Running> {
    Running::start(program::command(executable, Style::Square, 1.0, LIFE).arg("-still"))
}

fn compare(program: &mut Running) -> Result<String> {
    let address = Address::Tcp(program.address()?);
    let pid = program.pid();
    let theirs = records(&address.get_text("/debug/pprof/goroutine?debug=1")?, &OF_THE_ENDPOINT);
    let ours = records(&view(&["goroutines", "--format", "debug1"], pid)?, &OF_THE_ENDPOINT);
    let goroutines: u64 = theirs.values().sum();
    ensure!(goroutines > AT_LEAST, "the endpoint shows only {goroutines}");
    for (record, count) in &theirs {
        ensure!(
            ours.get(record) == Some(count),
            "{count} in the endpoint, {:?} in ours: {record}",
            ours.get(record)
        );
    }
    ensure!(ours.len() == theirs.len(), "we show stacks that the endpoint does not: {ours:#?}");

    let (stacks, dumped) = (theirs.len(), dumps(&address, pid)?);
    // Two collections bring what was allocated and freed before them into the profile.
    address.get("/debug/pprof/heap?gc=1")?;
    let theirs = parse(&address.get("/debug/pprof/heap?gc=1")?)?;
    let ours = profile("heap", pid)?;
    let difference = diff(&theirs, &ours).context("heap profiles differ in kind")?.profile();
    ensure!(difference.samples.is_empty(), "heap profiles differ: {difference:#?}");
    ensure!(ours.period == theirs.period, "sampled every {} bytes, not {}", ours.period, theirs.period);
    let in_use: i64 = theirs.samples.iter().filter_map(|sample| sample.values.last()).sum();
    ensure!(in_use > 0, "the endpoint shows nothing in use");
    Ok(format!("{goroutines} goroutines, {stacks} stacks, {dumped} dumps, {in_use} heap bytes equal"))
}

/// Compares the dumps of single goroutines, of which arguments are not read.
fn dumps(address: &Address, pid: u32) -> Result<usize> {
    let theirs = goroutines(&address.get_text("/debug/pprof/goroutine?debug=2")?);
    let ours = goroutines(&view(&["goroutines", "--format", "debug2"], pid)?);
    ensure!(ours.len() as u64 > AT_LEAST, "only {} goroutines", ours.len());
    for (id, dump) in &ours {
        // The endpoint stops at ten thousand or so: what it shows must be the same.
        let Some(told) = theirs.get(id) else { continue };
        ensure!(told == dump, "goroutine {id} is{dump}\nand in the endpoint{told}");
    }
    let both = ours.keys().filter(|id| theirs.contains_key(*id)).count();
    ensure!(both > 1000, "the endpoint shows only {both} of our goroutines");
    Ok(both)
}

/// Goroutines of `debug=2` by their numbers, without arguments, times and those of the endpoint.
fn goroutines(text: &str) -> BTreeMap<u64, String> {
    let mut goroutines = BTreeMap::new();
    for dump in text.split("\n\n").filter(|dump| OF_THE_ENDPOINT.iter().all(|name| !dump.contains(name))) {
        let id = dump.trim().strip_prefix("goroutine ").and_then(|rest| rest.split_once(' '));
        let Some(Ok(id)) = id.map(|(id, _)| id.parse::<u64>()) else { continue };
        let lines = dump.trim().lines().map(|line| match line.rsplit_once('(') {
            Some((function, _)) if !line.starts_with('\t') && line.ends_with(')') => function,
            _ => line,
        });
        goroutines.insert(id, lines.fold(String::new(), |text, line| text + "\n" + line));
    }
    goroutines
}

fn captures_are_compared() -> Result<()> {
    let mut program = start(&program::shipped(PROGRAM)?)?;
    let address = Address::Tcp(program.address()?);
    let pid = program.pid();
    let directory = tempfile::tempdir().context("create a directory")?;
    let place = |name: &str| directory.path().join(name).display().to_string();
    let keep = |name: &str, bytes: Vec<u8>| fs::write(place(name), bytes).context("keep a capture");
    let shown = |command: &str, format: &str| {
        let arguments = [command, "--format", format, "--output", &place(&format!("{command} {format}"))];
        view(&arguments, pid).map(drop)
    };
    keep("goroutines endpoint", address.get("/debug/pprof/goroutine")?)?;
    keep("goroutines endpoint's text", address.get("/debug/pprof/goroutine?debug=1")?)?;
    for format in ["pprof", "json", "debug1"] {
        shown("goroutines", format)?;
    }
    // Two collections bring what was allocated and freed before them into the profile.
    address.get("/debug/pprof/heap?gc=1")?;
    keep("heap endpoint", address.get("/debug/pprof/heap?gc=1")?)?;
    keep("heap endpoint's text", address.get("/debug/pprof/heap?debug=1")?)?;
    for format in ["pprof", "json"] {
        shown("heap", format)?;
    }
    let forms = ["pprof", "json", "debug1", "endpoint", "endpoint's text"];
    for (before, after) in forms.iter().flat_map(|before| forms.iter().map(move |after| (before, after))) {
        for command in ["goroutines", "heap"] {
            let [before, after] = [before, after].map(|form| format!("{command} {form}"));
            if [&before, &after].iter().all(|name| Path::new(&place(name)).exists()) {
                nothing_changed(&place(&before), &place(&after))
                    .with_context(|| format!("from {before} to {after}"))?;
            }
        }
    }
    let [endpoint, ours, json, heap] =
        ["goroutines endpoint", "goroutines pprof", "goroutines json", "heap pprof"].map(place);
    let other = start(&program::shipped(PROGRAM)?)?;
    let of_other = place("another process");
    view(&["goroutines", "--format", "json", "--output", &of_other], other.pid())?;
    for one in [&ours, &json] {
        agent::run(&["diff", one, &of_other], LIMIT)?.expect_refusal(&["are of different processes"])?;
    }
    agent::run(&["diff", &ours, &heap], LIMIT)?.expect_refusal(&["count different things"])?;
    agent::run(&["diff", &ours, "/etc/hostname"], LIMIT)?.expect_refusal(&["/etc/hostname"])?;
    for (first, more) in [("-top", None), ("-top", Some(format!("-diff_base={endpoint}")))] {
        let mut pprof = Command::new(&Toolchain::newest().context("a toolchain is here")?.go);
        pprof.args(["tool", "pprof", first]).args(more).arg(&ours).env("GOTOOLCHAIN", "local");
        let outcome = agent::finish(&mut pprof, Duration::from_secs(60))?;
        ensure!(outcome.status == Some(0), "go tool pprof does not open it: {outcome:?}");
        ensure!(outcome.stdout.contains("Type: goroutine"), "{outcome:?}");
    }
    Ok(())
}

/// Compares two captures of a process in which nothing happens: only goroutines that answer the endpoint may differ.
fn nothing_changed(before: &str, after: &str) -> Result<()> {
    /// One reads the next question, one writes an answer.
    const MOST: usize = 3;
    let told: serde_json::Value = agent::run(&["diff", before, after, "--format", "json"], LIMIT)?.json()?;
    let changed = told["stacks"].as_array().context("a difference has stacks")?;
    ensure!(changed.len() <= MOST, "{} stacks changed: {told}", changed.len());
    let growth = told["growth"].as_i64().context("a difference has a growth")?;
    ensure!(growth.abs() <= 3 || told["unit"] == "bytes", "nothing grew, and it says {growth}: {told}");
    Ok(())
}

fn refused() -> Result<()> {
    let sleeper = Running::start(Command::new("sleep").arg("60"))?;
    let gone = i32::MAX.to_string();
    for command in ["goroutines", "heap", "memory"] {
        let pid = sleeper.pid().to_string();
        let outcome = agent::run(&[command, "--pid", &pid], LIMIT)?;
        if command != "memory" {
            outcome.expect_refusal(&["is no Go program"])?;
        }
        agent::run(&[command, "--pid", &gone], LIMIT)?.expect_refusal(&["there is no process"])?;
    }
    // Nothing in this one can report a heap profile, so nothing is sampled.
    let quiet = program::depot(&program::shipped("depot")?, 1, LIFE)?;
    let pid = quiet.pid().to_string();
    agent::run(&["heap", "--pid", &pid, "--format", "pprof"], LIMIT)?
        .expect_refusal(&["no heap samples are recorded in this program, because"])?;
    let shown = view(&["heap"], quiet.pid())?;
    ensure!(shown.contains("No heap samples are recorded in this program, because"), "{shown}");
    Ok(())
}

/// Nobody waits for what cannot be, and programs get errors that they can read.
fn refused_at_once() -> Result<()> {
    let limit = Duration::from_secs(5);
    let gone = i32::MAX.to_string();
    let own = std::process::id().to_string();
    for (arguments, words) in [
        (&["run", "--pid", &gone][..], "there is no process"),
        (&["run", "--pid", &gone, "--format", "json"], "there is no process"),
        (&["fds", "--pid", &gone, "--format", "json"], "there is no process"),
        (&["diagnose", "--pid", &own, "--output", "/nowhere/at/all"], "there is no directory"),
        (&["diagnose", "--pid", "2"], "thread of the kernel"),
        (&["goroutines", "--pid", "2"], "thread of the kernel"),
        (&["pull", "--pid", "2"], "thread of the kernel"),
        (&["pull", "--pid", &own], "no Go program"),
        (&["diagnose", "--pid", &own, "--interval", "0s"], "an interval of 0 s is too short"),
    ] {
        let outcome = agent::run(arguments, limit)?;
        outcome.expect_refusal(&[words]).with_context(|| format!("{arguments:?}"))?;
        let is_json = arguments.contains(&"json");
        ensure!(outcome.stdout.is_empty() != is_json, "{arguments:?}: {outcome:?}");
    }
    Ok(())
}

/// What does not run does not grow, which says nothing of it; its twin, which runs, is judged.
fn stopped() -> Result<()> {
    let executable = program::shipped("depot")?;
    let [still, lively] = [program::depot(&executable, 3, LIFE)?, program::depot(&executable, 3, LIFE)?];
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &still.pid().to_string()]).status();
        ensure!(status.context("run kill")?.success(), "it could not be sent {name}");
        anyhow::Ok(())
    };
    signal("-STOP")?;
    let (of_lively, told) = thread::scope(|scope| {
        let other = scope.spawn(|| agent::diagnose(lively.pid(), 30));
        let told = agent::diagnose(still.pid(), 30);
        (other.join(), told)
    });
    signal("-CONT")?;
    let (told, _) = told?;
    ensure!(told.verdict == "inconclusive", "nothing can be said of it: {told:#?}");
    ensure!(told.unseen.iter().any(|unseen| unseen.why.contains("SIGSTOP")), "it should say why: {told:#?}");
    let (of_lively, _) = of_lively.map_err(|_| anyhow!("a thread panicked"))??;
    ensure!(of_lively.verdict == "healthy", "its twin runs: {of_lively:#?}");
    Ok(())
}

fn exits_while_read() -> Result<()> {
    let executable = program::shipped(PROGRAM)?;
    for round in 0..12 {
        let mut program = start(&executable)?;
        program.address()?;
        let pid = program.pid().to_string();
        let command = ["goroutines", "heap", "memory"][round % 3];
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(round as u64 * 6));
            drop(program);
        });
        let outcome = agent::run(&[command, "--pid", &pid], LIMIT)?;
        killer.join().map_err(|_| anyhow!("the thread that ends it panicked"))?;
        if outcome.status != Some(0) {
            outcome.expect_refusal(&["exited", "there is no process"])?;
        }
    }
    Ok(())
}
