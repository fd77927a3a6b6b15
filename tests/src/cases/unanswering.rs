//! Pages and files that never come: whoever brings them is named, and everybody else is watched as before.

use crate::agent::{self, Outcome, binary};
use crate::build::Variant;
use crate::case::Case;
use crate::fuse::{Answers, Hanging};
use crate::need::Need;
use crate::program::{self, public_copy};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever has nothing that others do not have.
const NOBODY: u32 = 4242;
const CURTAIN: &str = "curtain";
const INNOCENT: &str = "lodgers";
const GUESTS: u64 = 2000;
/// Far less than a read that never ends, and enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(40);
const WORDS: &str = "does not answer (fuse at ";

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    vec![
        Case::new("unanswering::a_page_of_the_runtime", needs, page),
        Case::new("unanswering::an_executable", needs, executable),
        Case::new("unanswering::a_library", needs, library),
        Case::new("unanswering::a_descriptor", needs, descriptor),
        Case::new("unanswering::a_slow_file_is_read_all_the_same", needs, answering),
    ]
}

/// What these cases build that others do not.
pub fn builds(
    newest: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    [CURTAIN].into_iter().map(move |program| (program, newest, Variant::STRIPPED))
}

/// An ordinary program beside it.
struct Innocent {
    running: Running,
    _directory: tempfile::TempDir,
}

impl Innocent {
    fn pid(&self) -> u32 {
        self.running.pid()
    }
}

fn innocent() -> Result<Innocent> {
    let (directory, copy) = public_copy(&program::shipped(INNOCENT)?, INNOCENT)?;
    let running = lodgers(Command::new(copy))?;
    Ok(Innocent { running, _directory: directory })
}

/// A command that runs `lodgers`, as somebody who has nothing that others do not have.
fn lodgers(mut command: Command) -> Result<Running> {
    let mut running =
        Running::start(command.args(["-still", "-for=120s", "-guests=300"]).uid(NOBODY).gid(NOBODY))?;
    running.holding(300)?;
    Ok(running)
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// `watcher run`, and what it says.
struct Run {
    running: Running,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Run {
    fn start() -> Result<Run> {
        let said: Arc<Mutex<Vec<Value>>> = Arc::default();
        let listener = Arc::clone(&said);
        let mut command = Command::new(binary()?);
        command.args(["run", "-i", "1s", "--format", "json"]);
        let running = Running::start_heard(&mut command, move |line| {
            if let Ok(line) = serde_json::from_str(line) {
                listener.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })?;
        Ok(Run { running, said })
    }

    /// Waits until it has said something of which `is_it` holds; how long that took.
    fn says(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.iter().any(&is_it) {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < LIMIT, "run did not say {what}: {said:#?}");
            drop(said);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn said_that_left(&self, pid: u32) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter()
            .any(|line| line["event"] == "left" && line.to_string().contains(&format!("\"pid\":{pid},")))
    }

    /// It ends when it is told to, whatever is stuck.
    fn ends(mut self) -> Result<()> {
        send(self.running.pid(), Signal::SIGTERM)?;
        let began = Instant::now();
        while self.running.is_running()? {
            ensure!(began.elapsed() < Duration::from_secs(5), "it did not end on SIGTERM");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Whether a line of health names this process as one of which something on FUSE does not answer.
fn names(line: &Value, pid: u32) -> bool {
    let unanswered = line["about"]["unanswered"].as_array();
    let is_it =
        |one: &Value| one["pid"] == pid && one["text"].as_str().is_some_and(|text| text.contains(WORDS));
    line["event"] == "health" && unanswered.is_some_and(|all| all.iter().any(is_it))
}

/// What `watcher` says to this, in time.
fn ask(arguments: &[&str], pid: u32) -> Result<Outcome> {
    let pid = pid.to_string();
    agent::run(&[arguments, &["--pid", &pid]].concat(), LIMIT)
}

fn list_names(pid: u32) -> Result<Outcome> {
    let list = agent::run(&["list", "--format", "json"], LIMIT)?;
    ensure!(
        list.status == Some(0) && list.stdout.contains(&format!("\"pid\":{pid},")),
        "it is there: {list:?}"
    );
    Ok(list)
}

/// Whether an answer says what does not answer. Lines are broken where the screen ends.
fn tells(outcome: &Outcome) -> bool {
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    words.join(" ").contains(WORDS)
}

/// The others are read as ever.
fn expect_others_are_read(innocent: u32) -> Result<Outcome> {
    let list = list_names(innocent)?;
    let seen = ask(&["goroutines", "--format", "json"], innocent)?;
    let told: Value = seen.json()?;
    ensure!(told["total"] == 301, "all its guests and the host: {seen:?}");
    let diagnosed = ask(&["diagnose", "-d", "3s", "-i", "1s", "--format", "json"], innocent)?;
    ensure!(!tells(&diagnosed) && diagnosed.status != Some(2), "{diagnosed:?}");
    Ok(list)
}

/// Somebody maps a file that never comes over what the runtime keeps of its goroutines.
fn page() -> Result<()> {
    let innocent = innocent()?;
    let (_directory, copy) = public_copy(&program::shipped(CURTAIN)?, CURTAIN)?;
    let mut running = Vec::new();
    let cloth = Hanging::mount("cloth", vec![0; 8192])?;
    cloth.answer(Answers::NotReads);
    let mut command = Command::new(&copy);
    command.args(["-still", "-for=120s", "-cloth"]).arg(cloth.file()).arg(format!("-guests={GUESTS}"));
    let mut curtain = Running::start(command.uid(NOBODY).gid(NOBODY))?;
    curtain.holding(GUESTS)?;
    let pid = curtain.pid();
    let before: Value = ask(&["goroutines", "--format", "json"], pid)?.json()?;
    ensure!(before["total"].as_u64() > Some(GUESTS), "before, all can be read: {before}");

    let run = Run::start()?;
    let of = |event: &str, pid: u32| {
        let (event, pid) = (event.to_owned(), format!("\"pid\":{pid},"));
        move |line: &Value| line["event"] == *event && line.to_string().contains(&pid)
    };
    run.says("that it watches both", of("watched", pid))?;
    let meet = || -> Result<Duration> {
        let late = self::innocent()?;
        run.says("who came", of("came", late.pid()))
    };
    // Some beats later, so that its runtime is attached to.
    thread::sleep(Duration::from_secs(4));
    let before = meet()?;
    send(pid, Signal::SIGUSR1)?;
    curtain.holding(GUESTS + 1)?;
    running.push(curtain);
    run.says("who does not answer", |line| names(line, pid))?;
    // Whoever comes now is met as before: the beats go on.
    let after = meet()?;
    ensure!(
        after < 2 * before + Duration::from_secs(8),
        "it took {after:?} to meet a new process, and {before:?} before"
    );

    ask(&["goroutines"], pid)?.expect_refusal(&[WORDS])?;
    expect_others_are_read(innocent.pid())?;
    let diagnosed = ask(&["diagnose", "-d", "3s", "-i", "1s"], pid)?;
    ensure!(diagnosed.status == Some(3) && tells(&diagnosed), "what was not seen: {diagnosed:?}");
    ensure!(diagnosed.stdout.contains("resident"), "and what was: {diagnosed:?}");
    ensure!(!run.said_that_left(pid), "it has not left");
    run.ends()
}

/// A program that lies where an outage begins.
fn executable() -> Result<()> {
    let innocent = innocent()?;
    let mut running = Vec::new();
    let place = Hanging::mount(INNOCENT, fs::read(program::shipped(INNOCENT)?)?)?;
    let stuck = lodgers(Command::new(place.file()))?;
    let pid = stuck.pid();
    running.push(stuck);
    let known = Run::start()?;
    known.says("that it watches it", |line| {
        line["event"] == "watched" && line.to_string().contains(&format!("\"pid\":{pid},"))
    })?;
    place.answer(Answers::None);

    let list = expect_others_are_read(innocent.pid())?;
    ensure!(
        list.stderr.contains(&format!("pid {pid} ")) && list.stderr.contains(WORDS),
        "who was not read: {list:?}"
    );
    ask(&["goroutines"], pid)?.expect_refusal(&[WORDS])?;
    let diagnosed = ask(&["diagnose", "-d", "3s", "-i", "1s"], pid)?;
    ensure!(diagnosed.status == Some(3) && tells(&diagnosed), "what was not seen: {diagnosed:?}");
    // Whoever began to watch it before goes on, and so does whoever begins now.
    let late = self::innocent()?;
    let came = format!("\"pid\":{},", late.pid());
    known.says("who came", |line| line["event"] == "came" && line.to_string().contains(&came))?;
    ensure!(!known.said_that_left(pid), "it has not left");
    let run = Run::start()?;
    run.says("that it watches the others", |line| {
        line["event"] == "watched" && line.to_string().contains(&came)
    })?;
    run.says("who does not answer", |line| names(line, pid))?;
    known.ends()?;
    run.ends()
}

/// A library that never comes, in a program that is none of Go's.
fn library() -> Result<()> {
    let innocent = innocent()?;
    let mut running = Vec::new();
    let maps = fs::read_to_string("/proc/self/maps").context("read our mappings")?;
    let libc =
        maps.lines().find(|line| line.contains("libc.so")).and_then(|line| line.split_whitespace().last());
    let place = Hanging::mount("lib.so", fs::read(libc.context("a library")?)?)?;
    let mut command = Command::new("python3");
    command.args([
        "-c",
        "import mmap, os, sys, time\n\
        file = os.open(sys.argv[1], os.O_RDONLY)\n\
        held = mmap.mmap(file, 65536, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n\
        print('{\"address\": \"mapped\"}', flush=True)\n\
        time.sleep(120)\n",
    ]);
    let mut stuck = Running::start(command.arg(place.file()).uid(NOBODY).gid(NOBODY))?;
    stuck.address()?;
    let pid = stuck.pid();
    running.push(stuck);
    place.answer(Answers::None);
    let list = expect_others_are_read(innocent.pid())?;
    ensure!(
        list.stderr.contains(&format!("pid {pid} ")) && list.stderr.contains(WORDS),
        "who was not read: {list:?}"
    );
    let run = Run::start()?;
    run.says("who does not answer", |line| names(line, pid))?;
    run.ends()
}

/// An open file that never answers is a descriptor like any other: nothing of the file is asked.
fn descriptor() -> Result<()> {
    let mut running = Vec::new();
    let place = Hanging::mount("open", vec![7; 4096])?;
    let (_directory, copy) = public_copy(&program::shipped(INNOCENT)?, INNOCENT)?;
    let mut command = Command::new("sh");
    let script = "exec 3<\"$1\"; program=$0; shift; exec \"$program\" \"$@\"";
    command.args(["-c", script]).arg(copy).arg(place.file());
    let holds = lodgers(command)?;
    let pid = holds.pid();
    running.push(holds);
    place.answer(Answers::None);
    let list = expect_others_are_read(pid)?;
    ensure!(!list.stderr.contains(&format!("pid {pid} ")), "nothing of it is missing: {}", list.stderr);
    let fds = ask(&["fds", "--group", "type", "--format", "json"], pid)?;
    ensure!(fds.status == Some(0), "its descriptors: {fds:?}");
    let run = Run::start()?;
    run.says("that it watches it", |line| {
        line["event"] == "watched" && line.to_string().contains(&format!("\"pid\":{pid},"))
    })?;
    thread::sleep(Duration::from_secs(3));
    ensure!(!run.said_that_left(pid), "it has not left");
    run.ends()
}

/// Where the file system answers, nothing is missing.
fn answering() -> Result<()> {
    let mut running = Vec::new();
    let place = Hanging::mount(INNOCENT, fs::read(program::shipped(INNOCENT)?)?)?;
    let served = lodgers(Command::new(place.file()))?;
    let pid = served.pid();
    running.push(served);
    let list = expect_others_are_read(pid)?;
    ensure!(!list.stderr.contains(&format!("pid {pid} ")), "everything was read: {}", list.stderr);
    Ok(())
}
