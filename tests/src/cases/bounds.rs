//! What the agent reads, and what it lacks itself, is bounded and told: nobody can make it large, slow or blind by what
//! lies in files, and what it could not see for want of its own is never said of the processes.

use crate::agent;
use crate::case::Case;
use crate::heard::Heard;
use crate::need::Need;
use crate::posing;
use crate::program::{self, Style};
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = || [Need::Root, Need::Go];
    vec![
        Case::new("bounds::build_information_is_kept_short", needs(), build_information),
        Case::new("bounds::files_full_of_magics_are_refused", needs(), magics),
        Case::new("bounds::want_of_descriptors_is_no_absence", needs(), want_of_descriptors),
        Case::new("bounds::missed_beats_are_counted", needs(), missed_beats),
        Case::new("bounds::a_gap_is_no_change", needs(), a_gap),
        Case::new("bounds::silent_ports_take_one_deadline", needs(), silent_ports),
    ]
}

fn directory() -> Result<tempfile::TempDir> {
    tempfile::tempdir().context("create a directory")
}

fn signal(running: &Running, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(running.pid())?), signal).context("send a signal")
}

fn resident_kibibytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
    line.trim().trim_end_matches(" kB").parse().context("a number of kB")
}

fn innocents(count: usize) -> Result<Vec<Running>> {
    let depot = program::shipped("depot")?;
    (0..count).map(|_| program::depot(&depot, 30, Duration::from_secs(120))).collect()
}

/// 120 files that list 131,000 dependencies each. The same number of small ones tells what processes cost by themselves.
fn build_information() -> Result<()> {
    const FILES: usize = 120;
    const MOST_GROWTH_KIBIBYTES: u64 = 40 * 1024;
    let place = directory()?;
    let innocent = innocents(1)?;
    let heard = Heard::start(&["-i", "1s", "-d", "80s"])?;
    heard.until("the innocent one is watched", |_| heard.begun(innocent[0].pid()) == 1)?;
    let mut posing = Vec::new();
    let mut resident = Vec::new();
    for (kind, bytes) in [("small", 1_000), ("large", (1 << 20) - 2_000)] {
        let blob = posing::build_information("go1.26.6", &posing::modules_of(bytes));
        let mut started = Vec::new();
        for number in 0..FILES {
            // Each file is another one.
            let data = [blob.clone(), number.to_string().into_bytes()].concat();
            started.push(posing::start(&posing::write(place.path(), &format!("{kind}-{number}"), &data)?)?);
        }
        heard.until("all of them are watched", |_| started.iter().all(|it| heard.begun(it.pid()) == 1))?;
        sleep(Duration::from_secs(3));
        resident.push(resident_kibibytes(heard.agent.pid())?);
        posing.extend(started);
    }
    let said = heard.lines();
    let module = said.iter().find(|it| it["about"]["module"] == "example.com/posing");
    ensure!(module.is_some(), "its module is known all the same: {said:#?}");
    let growth = resident[1].saturating_sub(resident[0]);
    ensure!(growth < MOST_GROWTH_KIBIBYTES, "{FILES} large files took {growth} KiB more: {resident:?} KiB");
    ensure!(heard.count("left", innocent[0].pid()) == 0, "the innocent one is watched on");
    Ok(())
}

fn magics() -> Result<()> {
    let place = directory()?;
    let innocent = innocents(1)?;
    let mut posing = Vec::new();
    for number in 0..12 {
        let data = posing::magics((4 << 20) + 16 * number);
        posing.push(posing::start(&posing::write(place.path(), &format!("magics-{number}"), &data)?)?);
    }
    let heard = Heard::start(&["-i", "1s", "-d", "12s"])?;
    heard.until("the innocent one is watched", |_| heard.begun(innocent[0].pid()) == 1)?;
    ensure!(posing.iter().all(|it| heard.begun(it.pid()) == 0), "what poses is not taken for Go");
    // Asked for by name, the agent says why.
    let outcome =
        agent::run(&["goroutines", "--pid", &posing[0].pid().to_string()], Duration::from_secs(30))?;
    outcome.expect_refusal(&["its magic is there too often"])
}

/// Fewer descriptors than it has open already, for some seconds.
fn want_of_descriptors() -> Result<()> {
    let innocent = innocents(3)?;
    let heard = Heard::start(&["--name", "depot", "-i", "1s", "-d", "60s"])?;
    let all = |times: usize| innocent.iter().all(|it| heard.begun(it.pid()) == times);
    heard.until("all are watched", |_| all(1))?;
    sleep(Duration::from_secs(4));
    let agent = heard.agent.pid().to_string();
    let limit = |number: &str| -> Result<()> {
        let status = Command::new("prlimit").args(["--pid", &agent, &format!("--nofile={number}:")]).status();
        ensure!(status.context("run prlimit")?.success(), "prlimit failed");
        Ok(())
    };
    let limits = fs::read_to_string(format!("/proc/{agent}/limits")).context("read its limits")?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).context("a limit")?;
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    ensure!(numbers.len() == 2 && numbers[0] == numbers[1], "it has raised its own: {files}");
    limit("8")?;
    // Another comes meanwhile: it is found when there are descriptors again.
    let late = innocents(1)?;
    sleep(Duration::from_secs(6));
    limit(numbers[1])?;
    heard
        .until("it says that it could not look", |_| heard.health("failed_looks").is_some_and(|it| it > 0))?;
    heard.until("the late one is watched", |_| heard.begun(late[0].pid()) == 1)?;
    sleep(Duration::from_secs(3));
    for running in innocent.iter().chain(&late) {
        let (begun, left) = (heard.begun(running.pid()), heard.count("left", running.pid()));
        ensure!((begun, left) == (1, 0), "begun {begun} times, left {left} times: {:#?}", heard.lines());
    }
    Ok(())
}

/// Stopped for 16 s at a beat a second.
fn missed_beats() -> Result<()> {
    const STOPPED: Duration = Duration::from_secs(16);
    let innocent = innocents(1)?;
    let heard = Heard::start(&["--name", "depot", "-i", "1s", "-d", "60s"])?;
    heard.until("it is watched", |_| heard.begun(innocent[0].pid()) == 1)?;
    sleep(Duration::from_secs(3));
    let before = heard.health("missed_beats").unwrap_or(0);
    let began = Instant::now();
    signal(&heard.agent, Signal::SIGSTOP)?;
    sleep(STOPPED);
    signal(&heard.agent, Signal::SIGCONT)?;
    let stopped = began.elapsed().as_secs();
    heard
        .until("it tells of missed beats", |_| heard.health("missed_beats").is_some_and(|it| it > before))?;
    let missed = heard.health("missed_beats").unwrap_or(0) - before;
    // The first of those that were due is taken late; on a busy machine a few more are missed besides.
    ensure!((stopped - 2..stopped + 6).contains(&missed), "{missed} of {stopped} beats were missed");
    ensure!(heard.health("late_beats").is_some_and(|it| it >= 1), "the first one after it is late");
    ensure!(heard.count("left", innocent[0].pid()) == 0, "nobody has left: {:#?}", heard.lines());
    Ok(())
}

/// A diagnosis that is stopped in its middle: the gap is told, an innocent is not accused, and a leak is found.
fn a_gap() -> Result<()> {
    let stocktake = program::shipped("stocktake")?;
    let judged = |style: Style| -> Result<Value> {
        let running =
            Running::start(&mut program::command(&stocktake, style, 9.0, Duration::from_secs(120)))?;
        let mut watcher = Command::new(agent::binary()?)
            .args(["diagnose", "-d", "48s", "-i", "1s", "--format", "json", "--pid"])
            .arg(running.pid().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run watcher")?;
        let pid = Pid::from_raw(i32::try_from(watcher.id())?);
        sleep(Duration::from_secs(15));
        kill(pid, Signal::SIGSTOP).context("stop it")?;
        sleep(Duration::from_secs(12));
        kill(pid, Signal::SIGCONT).context("let it go on")?;
        let output = watcher.stdout.take().context("its output is a pipe")?;
        let said = serde_json::from_reader(output).context("a diagnosis");
        watcher.wait().context("wait for it")?;
        said
    };
    let (leaking, innocent) = thread::scope(|scope| {
        let leaking = scope.spawn(|| judged(Style::Round));
        let innocent = judged(Style::Square);
        (leaking.join(), innocent)
    });
    let leaking = leaking.map_err(|_| anyhow::anyhow!("the other thread broke off"))??;
    let innocent = innocent?;
    for said in [&leaking, &innocent] {
        let unseen = said["unseen"].as_array().context("what was not seen")?;
        let gap = unseen.iter().find(|it| it["what"] == "samples").context("the gap is told")?;
        let why = gap["why"].as_str().unwrap_or_default();
        ensure!(why.contains("were not taken"), "{gap}");
        let missed: u64 = why.split_whitespace().next().and_then(|it| it.parse().ok()).context("a number")?;
        ensure!((10..22).contains(&missed), "12 s were missed: {gap}");
    }
    ensure!(leaking["verdict"] == "leak", "want a leak: {leaking:#}");
    ensure!(innocent["verdict"] != "leak", "the innocent twin is accused: {innocent:#}");
    Ok(())
}

/// Six processes with 300 silent ports each, and one that answers.
fn silent_ports() -> Result<()> {
    let words = tempfile::NamedTempFile::new().context("create a file")?;
    let doorman = program::shipped("doorman")?;
    let silent = || -> Result<Running> {
        let mut command = Command::new(&doorman);
        command.args(["-for=120s", "-silent=300", "-words"]).arg(words.path());
        let mut running = Running::start(&mut command)?;
        running.address()?;
        Ok(running)
    };
    let running: Vec<Running> = (0..6).map(|_| silent()).collect::<Result<_>>()?;
    let mut house = Running::start(Command::new(program::shipped("guesthouse")?).arg("-for=120s"))?;
    let address = house.address()?;
    let began = Instant::now();
    let outcome = agent::run(&["list", "--format", "json"], Duration::from_secs(60))?;
    let took = began.elapsed();
    let list: Value = outcome.json()?;
    let of = |pid: u32| -> Result<&Value> {
        let all = list["processes"].as_array().context("a list")?;
        all.iter().find(|it| it["pid"] == pid).with_context(|| format!("{pid} is not listed: {list:#}"))
    };
    let endpoint = of(house.pid())?["endpoint"].as_str().unwrap_or_default();
    ensure!(endpoint.contains(&address), "who answers has no endpoint: {}", of(house.pid())?);
    for silent in &running {
        let why = of(silent.pid())?["no_endpoint"].as_str().unwrap_or_default();
        ensure!(why.contains("no endpoint was found within 6 s"), "{why:?}");
    }
    // One after the other they would take two seconds for each port.
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    Ok(())
}
