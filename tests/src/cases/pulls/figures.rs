//! What endpoints say and what is seen from outside, held against each other; and what is kept of it.

use super::{GUESTHOUSE, LIFE, LIMIT, built, directory, guesthouse, pulled};
use crate::agent::{self, Outcome};
use crate::answer::Diagnosis;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::need::Need;
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const WINDOW_SECONDS: u64 = 45;

pub(super) fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    let case = |name: &str, run: fn() -> Result<()>| Case::new(format!("pulls::{name}"), needs, run);
    vec![
        case("agree_with_what_is_seen_from_outside", agree_with_outside),
        case("across_a_restart_are_not_compared", across_a_restart),
        case("are_kept_within_bounds_and_shown", are_kept_and_shown),
        case("of_goroutines_change_no_verdict", || no_other_verdict("goroutine", &["-rate", "23"], "sit")),
        case("of_a_heap_change_no_verdict", || {
            no_other_verdict("heap", &["-rate", "41", "-book", "-coat", "65536"], "writeDown")
        }),
        case("of_a_healthy_process_accuse_nobody", of_a_healthy_process),
        case("of_the_agent_follow_suspicion_and_schedule", follow_suspicion_and_schedule),
        Case::new(
            "pulls::of_gos_own_leak_profile_corroborate",
            [Need::Root, Need::GoMinor(27)],
            of_gos_own_leak_profile,
        ),
    ]
}

/// Flat and cumulative values by function, as `go tool pprof -top` prints them.
fn top(profile: &Path, kind: &str) -> Result<BTreeMap<String, (String, String)>> {
    let mut pprof = Command::new(&Toolchain::newest().context("a toolchain is here")?.go);
    pprof.args(["tool", "pprof", "-top", "-nodecount=1000", "-nodefraction=0"]);
    pprof.arg(format!("-sample_index={kind}")).arg(profile).env("GOTOOLCHAIN", "local");
    let outcome = agent::finish(&mut pprof, LIMIT)?;
    ensure!(outcome.status == Some(0), "go tool pprof failed: {outcome:?}");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [flat, _, _, cumulative, _, function, ..] = fields[..] else { return None };
        Some((function.to_owned(), (flat.to_owned(), cumulative.to_owned())))
    };
    let rows = outcome.stdout.lines().skip_while(|line| !line.contains("flat%")).skip(1);
    Ok(rows.filter_map(row).collect())
}

/// A guest house that has seated 307 and stopped.
fn full_house() -> Result<Running> {
    let mut house = guesthouse(&["-style", "round", "-rate", "200", "-most", "307", "-coat", "40000"])?;
    house.address()?;
    house.holding(307)?;
    // Its side work goes on; what it holds does not change any more.
    thread::sleep(Duration::from_millis(500));
    Ok(house)
}

fn agree_with_outside() -> Result<()> {
    let kept = directory()?;
    let house = full_house()?;
    let pid = house.pid().to_string();
    for (view, profile, kind) in [
        ("goroutines", "goroutine", "goroutine"),
        ("heap", "heap", "inuse_space"),
        ("heap", "heap", "inuse_objects"),
    ] {
        let settings = kept.path().join("settings.toml");
        // Two collections bring everything that was allocated before them into the profile.
        for _ in 0..2 {
            pulled(house.pid(), profile, kept.path(), "")?;
            let file = settings.display().to_string();
            let collect = ["pull", "--pid", &pid, "--profile", "heap", "--gc", "--pprof-settings", &file];
            ensure!(agent::run(&collect, LIMIT)?.status == Some(0), "a pull with a collection failed");
        }
        let theirs = pulled(house.pid(), profile, kept.path(), "")?.file.context("it is kept")?;
        let ours = kept.path().join("ours");
        let output = ours.display().to_string();
        let outcome = agent::run(&[view, "--pid", &pid, "--format", "pprof", "--output", &output], LIMIT)?;
        ensure!(outcome.status == Some(0), "no capture from outside: {outcome:?}");
        let (theirs_top, ours_top) = (top(&theirs, kind)?, top(&ours, kind)?);
        let own = |top: &BTreeMap<String, (String, String)>| {
            let rows = top.iter().filter(|(function, _)| function.starts_with("main."));
            rows.map(|(function, values)| (function.clone(), values.clone())).collect::<BTreeMap<_, _>>()
        };
        ensure!(!own(&theirs_top).is_empty(), "{view}: nothing of the program: {theirs_top:#?}");
        ensure!(own(&theirs_top) == own(&ours_top), "{view}: {theirs_top:#?} is not {ours_top:#?}");
        let compared =
            agent::run(&["diff", &theirs.display().to_string(), &output, "--format", "json"], LIMIT)?;
        let told: Value = compared.json()?;
        let grown = told["functions"].as_array().context("a difference has functions")?;
        let of_program =
            |one: &&Value| one["function"].as_str().is_some_and(|name| name.starts_with("main."));
        ensure!(grown.iter().filter(of_program).count() == 0, "{view}: they differ: {told}");
    }
    Ok(())
}

fn across_a_restart() -> Result<()> {
    let kept = directory()?;
    let mut files = Vec::new();
    for _ in 0..2 {
        let mut house = guesthouse(&[])?;
        house.address()?;
        files.push(pulled(house.pid(), "goroutine", kept.path(), "")?.file.context("it is kept")?);
    }
    let [before, after] = [0, 1].map(|index: usize| files[index].display().to_string());
    let refused = agent::run(&["diff", &before, &after], LIMIT)?;
    refused.expect_refusal(&["the captures are of different processes"])?;
    let told = agent::run(&["diff", &before, &after, "--across"], LIMIT)?;
    ensure!(told.status == Some(0), "it was asked for: {told:?}");
    Ok(())
}

fn are_kept_and_shown() -> Result<()> {
    let kept = directory()?;
    let house = full_house()?;
    let pulled_once = pulled(house.pid(), "goroutine", kept.path(), "")?;
    let file = pulled_once.file.clone().context("it is kept")?;
    let name = file.file_name().and_then(|name| name.to_str()).context("a file has a name")?;
    let begins = format!("{GUESTHOUSE}-{}-20", house.pid());
    ensure!(name.starts_with(&begins) && name.ends_with("-goroutine.pb.gz"), "it is called {name}");
    let shown = file.display().to_string();
    let show = |arguments: &[&str]| -> Result<Outcome> {
        let outcome = agent::run(&[&["show", &shown][..], arguments].concat(), LIMIT)?;
        ensure!(outcome.status == Some(0), "{arguments:?}: {outcome:?}");
        Ok(outcome)
    };
    for (arguments, words) in [
        (&["--as", "top", "-n", "100"][..], "main.(*guest).sit"),
        (&["--as", "peek", "--function", "guest"], "|   runtime.chanrecv1"),
        (&["--as", "traces"], "main.(*guest).sit  "),
        (&["--as", "flame"], "main.(*guest).sit;runtime.chanrecv1"),
        (&["--as", "graph"], "main.(*guest).sit"),
        (&["--as", "flame", "--format", "svg"], "</svg>"),
        (&["--as", "graph", "--format", "svg"], "main.(*guest).sit"),
    ] {
        let said = show(arguments)?.stdout;
        ensure!(said.contains(words), "{arguments:?} lacks {words}: {said}");
    }
    ensure!(show(&["--as", "traces"])?.stdout.contains("307   runtime.gopark"), "not all 307 are there");
    let comments = watcher::report::pprof::decode(&fs::read(&file)?, &Default::default())?.comments;
    ensure!(
        comments.iter().any(|comment| comment.contains("because somebody asked for it by hand")),
        "{comments:?}"
    );

    // Room for two, so the oldest go.
    let room = fs::metadata(&file)?.len() * 5 / 2;
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(1100));
        pulled(house.pid(), "goroutine", kept.path(), &format!("kept_bytes = {room}\n"))?;
    }
    let left = fs::read_dir(kept.path().join("kept"))?.count();
    ensure!(left == 2 && !file.exists(), "{left} files are kept");
    let refused = super::pull(house.pid(), "goroutine", kept.path(), "per_hour = 0\n")?;
    refused.expect_refusal(&["0 pulls an hour are the limit"])
}

/// `watcher diagnose` with these options besides.
fn diagnose(pid: u32, options: &[&str]) -> Result<(Diagnosis, Value)> {
    let (pid_text, window) = (pid.to_string(), format!("{WINDOW_SECONDS}s"));
    let arguments =
        [&["diagnose", "--pid", &pid_text, "-d", &window, "--format", "json"][..], options].concat();
    let outcome = agent::run(&arguments, Duration::from_secs(WINDOW_SECONDS + 45))?;
    Ok((outcome.json()?, outcome.json()?))
}

/// The same process at the same time, with its endpoint and without: the same kind and the same line.
fn no_other_verdict(kind: &str, arguments: &[&str], function: &str) -> Result<()> {
    let kept = directory()?;
    let settings = kept.path().join("settings.toml");
    fs::write(&settings, format!("directory = '{}'\n", kept.path().join("kept").display()))?;
    let mut command = Command::new(built(GUESTHOUSE)?);
    // Collections are frequent, so that the live heap is known well.
    command
        .arg(format!("-for={}s", LIFE.as_secs()))
        .args(["-style", "round"])
        .args(arguments)
        .env("GOGC", "15");
    let mut house = Running::start(&mut command)?;
    house.address()?;
    thread::sleep(Duration::from_secs(6));
    let pid = house.pid();
    let without = thread::spawn(move || diagnose(pid, &["--no-pprof"]));
    let (with, with_json) = diagnose(pid, &["--pprof-settings", &settings.display().to_string()])?;
    let (without, without_json) =
        without.join().map_err(|_| anyhow::anyhow!("the other diagnosis panicked"))??;
    let mut named = Vec::new();
    for diagnosis in [&with, &without] {
        let primary = diagnosis.primary().with_context(|| format!("no leak: {diagnosis:#?}"))?;
        ensure!(primary.kind == kind, "want {kind}: {diagnosis:#?}");
        let culprit = primary.culprits.first().with_context(|| format!("no line: {diagnosis:#?}"))?;
        named.push((culprit.function.clone(), culprit.line));
        ensure!(
            primary.culprits.iter().any(|culprit| culprit.function.contains(function)),
            "no line in {function}: {primary:#?}"
        );
    }
    ensure!(named[0] == named[1], "the endpoint changed the line: {named:?}");
    let evidence = |diagnosis: &Diagnosis| {
        diagnosis.primary().map(|primary| primary.evidence.join(" ")).unwrap_or_default()
    };
    let (said, said_without) = (evidence(&with), evidence(&without));
    ensure!(said.contains("The endpoint's profile agrees: ") && said.contains("seen from outside"), "{said}");
    ensure!(said.contains("By the endpoint's own profiles these went from"), "{said}");
    ensure!(!said_without.contains("endpoint"), "it was asked all the same: {said_without}");
    let confidence = |diagnosis: &Diagnosis| diagnosis.primary().map_or(0.0, |primary| primary.confidence);
    ensure!(confidence(&with) > confidence(&without), "agreement makes no surer");
    let pulls = with_json["endpoint"]["pulls"].as_array().context("its cost is told")?;
    ensure!(pulls.len() >= 2 && pulls.iter().all(|pull| pull["bytes"].as_u64() > Some(0)), "{pulls:?}");
    ensure!(without_json["endpoint"]["pulls"].as_array().is_none_or(Vec::is_empty), "{without_json}");
    Ok(())
}

fn of_a_healthy_process() -> Result<()> {
    let mut house = guesthouse(&["-style", "square", "-rate", "23"])?;
    house.address()?;
    thread::sleep(Duration::from_secs(6));
    let (diagnosis, json) = diagnose(house.pid(), &[])?;
    ensure!(diagnosis.verdict == "healthy", "want a healthy process: {diagnosis:#?}");
    // Nothing is suspected, so nobody is asked.
    ensure!(json["endpoint"]["pulls"].as_array().is_none_or(Vec::is_empty), "it was asked: {json}");
    Ok(())
}

/// `watcher run`: a process that grows is asked by itself, one that does not only where a schedule says so.
fn follow_suspicion_and_schedule() -> Result<()> {
    let house = |style: &str| -> Result<Running> {
        let mut house = guesthouse(&["-style", style, "-rate", "31"])?;
        house.address()?;
        Ok(house)
    };
    let (round, square) = (house("round")?, house("square")?);
    let watched = |settings: &'static str| {
        thread::spawn(move || -> Result<Vec<String>> {
            let kept = directory()?;
            let (file, place) = (kept.path().join("settings.toml"), kept.path().join("kept"));
            fs::write(&file, format!("directory = '{}'\n{settings}", place.display()))?;
            let file = file.display().to_string();
            let arguments = ["run", "--name", GUESTHOUSE, "-d", "30s", "-i", "1s", "--pprof-settings", &file];
            let outcome = agent::run(&arguments, LIMIT)?;
            ensure!(outcome.status == Some(0), "run failed: {outcome:?}");
            let Ok(entries) = fs::read_dir(place) else { return Ok(Vec::new()) };
            entries.map(|entry| Ok(entry?.file_name().display().to_string())).collect()
        })
    };
    let (by_suspicion, by_schedule) = (watched(""), watched("every_seconds = 8\n"));
    let both = [by_suspicion, by_schedule].map(|it| it.join().map_err(|_| anyhow::anyhow!("it panicked")));
    let [by_suspicion, by_schedule] = both;
    let of = |files: &[String], house: &Running, profile: &str| {
        let begins = format!("{GUESTHOUSE}-{}-", house.pid());
        files.iter().filter(|file| file.starts_with(&begins) && file.contains(profile)).count()
    };
    let by_suspicion = by_suspicion??;
    ensure!(of(&by_suspicion, &round, "-goroutine.") > 0, "what grows was not asked: {by_suspicion:?}");
    ensure!(of(&by_suspicion, &square, "") == 0, "what does not grow was asked: {by_suspicion:?}");
    let by_schedule = by_schedule??;
    for profile in ["-goroutine.", "-heap."] {
        ensure!(of(&by_schedule, &square, profile) >= 2, "the schedule was not kept: {by_schedule:?}");
    }
    Ok(())
}

/// Go 1.27 finds by itself those that nothing can wake: its word is told and is not needed.
fn of_gos_own_leak_profile() -> Result<()> {
    let kept = directory()?;
    let settings = kept.path().join("settings.toml");
    fs::write(&settings, format!("directory = '{}'\n", kept.path().join("kept").display()))?;
    let toolchain = Toolchain::minor(27).context("the toolchain is gone")?;
    let executable = build(GUESTHOUSE, toolchain, Variant::STRIPPED)?;
    let mut command = Command::new(executable);
    command.arg(format!("-for={}s", LIFE.as_secs())).args(["-style", "round", "-rate", "23"]);
    let mut house = Running::start(&mut command)?;
    house.address()?;
    thread::sleep(Duration::from_secs(6));
    let (diagnosis, json) = diagnose(house.pid(), &["--pprof-settings", &settings.display().to_string()])?;
    let primary = diagnosis.primary().with_context(|| format!("no leak: {diagnosis:#?}"))?;
    ensure!(primary.kind == "goroutine", "want goroutines: {diagnosis:#?}");
    let said = primary.evidence.join(" ");
    ensure!(said.contains("Go's own leak profile (goroutineleak) holds"), "{said} {}", json["endpoint"]);
    Ok(())
}
