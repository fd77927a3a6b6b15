//! What the views of one process show is what the process's own endpoint says, whichever toolchain built it and in
//! whichever way; and what cannot be shown is refused with a sentence.

use crate::agent;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;
use watcher::report::pprof::{Limits, Profile, decode, diff};

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
        Case::new("views::exits_while_it_is_read", [Need::Go], exits_while_read),
    ];
    matrix.chain(others).collect()
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    Toolchain::all()
        .iter()
        .flat_map(|toolchain| VARIANTS.into_iter().map(move |variant| (PROGRAM, toolchain, variant)))
}

/// One row of the matrix, printed as such.
fn row(minor: u32) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let mut cells = Vec::new();
    for variant in VARIANTS {
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

fn start(executable: &std::path::Path) -> Result<Running> {
    Running::start(program::command(executable, Style::Square, 1.0, LIFE).arg("-still"))
}

fn compare(program: &mut Running) -> Result<String> {
    let address = program.address()?;
    let pid = program.pid();
    let theirs = records(&text(get(&address, "/debug/pprof/goroutine?debug=1")?)?);
    let ours = records(&view(&["goroutines", "--format", "debug1"], pid)?);
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
    get(&address, "/debug/pprof/heap?gc=1")?;
    let theirs = parse(&get(&address, "/debug/pprof/heap?gc=1")?)?;
    let ours = profile("heap", pid)?;
    let difference = diff(&theirs, &ours).context("heap profiles differ in kind")?.profile();
    ensure!(difference.samples.is_empty(), "heap profiles differ: {difference:#?}");
    ensure!(ours.period == theirs.period, "sampled every {} bytes, not {}", ours.period, theirs.period);
    let in_use: i64 = theirs.samples.iter().filter_map(|sample| sample.values.last()).sum();
    ensure!(in_use > 0, "the endpoint shows nothing in use");
    Ok(format!("{goroutines} goroutines, {stacks} stacks, {dumped} dumps, {in_use} heap bytes equal"))
}

/// Compares the dumps of single goroutines, of which arguments are not read.
fn dumps(address: &str, pid: u32) -> Result<usize> {
    let theirs = goroutines(&text(get(address, "/debug/pprof/goroutine?debug=2")?)?);
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

/// Records of `debug=1` with their counts, without those of the endpoint.
fn records(text: &str) -> BTreeMap<String, u64> {
    let mut records = BTreeMap::new();
    let behind_total = text.split_once('\n').map_or("", |(_, rest)| rest);
    for record in behind_total.split("\n\n") {
        let is_of_endpoint = OF_THE_ENDPOINT.iter().any(|name| record.contains(name));
        // A goroutine that has only just been created has no frames yet.
        let Some((count, stack)) = record.trim_start().split_once(' ').filter(|_| record.contains("#\t"))
        else {
            continue;
        };
        if let (Ok(count), false) = (count.parse::<u64>(), is_of_endpoint) {
            *records.entry(stack.to_owned()).or_default() += count;
        }
    }
    records
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
    let address = program.address()?;
    let pid = program.pid();
    let directory = tempfile::tempdir().context("create a directory")?;
    let place = |name: &str| directory.path().join(name).display().to_string();
    let (endpoint, ours, json, heap) = (place("endpoint"), place("ours"), place("json"), place("heap"));
    fs::write(&endpoint, get(&address, "/debug/pprof/goroutine")?).context("keep a profile")?;
    fs::write(&ours, profile_bytes("goroutines", pid)?).context("keep a profile")?;
    view(&["goroutines", "--format", "json", "--output", &json], pid)?;
    view(&["heap", "--format", "pprof", "--output", &heap], pid)?;
    for other in [&endpoint, &json] {
        let outcome = agent::run(&["diff", other, &ours, "--format", "json"], LIMIT)?;
        let told: serde_json::Value = outcome.json()?;
        // The endpoint has a goroutine or two that write its answer.
        let growth = told["growth"].as_i64().context("a difference has a growth")?;
        ensure!((-3..=0).contains(&growth), "nothing grew, and it says {growth}: {told}");
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

fn view(arguments: &[&str], pid: u32) -> Result<String> {
    let pid = pid.to_string();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--pid", &pid]).collect();
    let outcome = agent::run(&arguments, LIMIT)?;
    ensure!(outcome.status == Some(0), "{arguments:?} failed: {outcome:?}");
    Ok(outcome.stdout)
}

fn profile_bytes(command: &str, pid: u32) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().context("create a file")?;
    view(&[command, "--format", "pprof", "--output", &file.path().display().to_string()], pid)?;
    fs::read(file.path()).context("read a profile back")
}

fn profile(command: &str, pid: u32) -> Result<Profile> {
    parse(&profile_bytes(command, pid)?)
}

fn parse(bytes: &[u8]) -> Result<Profile> {
    decode(bytes, &Limits::default()).context("read a profile")
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).context("the endpoint's text is no UTF-8")
}

/// The body of the answer to `GET path`.
fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(LIMIT)).context("set a timeout")?;
    // HTTP/1.0: the body ends with the connection, and is not cut into chunks.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").context("ask")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("read the answer")?;
    ensure!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer has a head")?;
    Ok(answer.split_off(head + 4))
}
