//! What `watcher memory --mappings` shows of stripped programs: the line that maps, how much, and on whose behalf.

use crate::agent;
use crate::build;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(120);
const LIMIT: Duration = Duration::from_secs(60);
/// Odd, so as not to be right by chance.
const SEGMENTS: u64 = 37;
const SEGMENTS_PER_SECOND: f64 = 4.0;
/// Of these at least it must be seen who maps them: the first come while the watcher is being started.
const AT_LEAST: u64 = 3;
/// What `archive` maps at a time.
const SEGMENT_BYTES: u64 = 64 * 1024;
const COLUMNS: usize = 100;

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    [
        ("mapped::what_stays_is_put_down_to_its_line", stays as fn() -> Result<()>),
        ("mapped::what_is_given_back_is_no_longer_there", given_back),
        ("mapped::what_has_just_come_has_not_gone", just_come),
        ("mapped::every_form_says_the_same", every_form),
    ]
    .into_iter()
    .map(|(name, run)| Case::new(name, needs, run))
    .collect()
}

#[derive(Debug, Deserialize)]
struct Mapped {
    schema: String,
    bytes: u64,
    before: u64,
    route: Option<String>,
    sites: Vec<Site>,
}

#[derive(Debug, Deserialize)]
struct Site {
    outstanding: u64,
    bytes: u64,
    file_bytes: u64,
    created: u64,
    ended: u64,
    owner: String,
    culprit: Option<Frame>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    function: String,
    file: String,
    line: u64,
}

fn stays() -> Result<()> {
    let mapped = watched(Style::Round)?;
    let site = site(&mapped)?;
    ensure!(site.outstanding >= AT_LEAST && site.outstanding <= SEGMENTS, "{site:#?}");
    ensure!(site.bytes == site.outstanding * SEGMENT_BYTES && site.file_bytes == site.bytes, "{site:#?}");
    ensure!(site.created == site.outstanding && site.ended == 0 && site.owner == "go", "{site:#?}");
    ensure!(mapped.before >= SEGMENTS - site.outstanding, "{mapped:#?}");
    let source = fs::read_to_string(build::programs().join("archive/main.go")).context("read a source")?;
    let wanted = source.lines().position(|line| line.contains("syscall.Mmap(")).context("it maps")? + 1;
    let culprit = site.culprit.as_ref().context("a site has a line")?;
    ensure!(culprit.line == wanted as u64 && culprit.file.ends_with("archive/main.go"), "{culprit:?}");
    Ok(())
}

fn given_back() -> Result<()> {
    let mapped = watched(Style::Square)?;
    let site = site(&mapped)?;
    ensure!(site.outstanding == 0 && site.bytes == 0, "all were unmapped: {mapped:#?}");
    ensure!(site.created >= AT_LEAST && site.ended == site.created, "{site:#?}");
    Ok(())
}

/// Some are always made between the readings of which the ledger is put together.
fn just_come() -> Result<()> {
    const LOOKS: usize = 5;
    let executable = program::shipped("archive")?;
    let program = Running::start(&mut program::command(&executable, Style::Round, 300.0, LIFE))?;
    for _ in 0..LOOKS {
        let outcome = view(&program, &["-d", "1s", "--format", "json"])?;
        let mapped: Mapped = serde_json::from_str(&outcome).context("it is JSON")?;
        let mut sites = sites(&mapped);
        ensure!(sites.clone().any(|site| site.outstanding >= AT_LEAST), "it maps many: {mapped:#?}");
        ensure!(sites.all(|site| site.ended == 0), "it keeps them all: {mapped:#?}");
    }
    Ok(())
}

/// Watches a program from before its first segment to after its last is given back.
fn watched(style: Style) -> Result<Mapped> {
    let executable = program::shipped("archive")?;
    let mut command = program::command(&executable, style, SEGMENTS_PER_SECOND, LIFE);
    let program = Running::start(command.arg(format!("-most={SEGMENTS}")))?;
    let outcome = view(&program, &["-d", "14s", "--format", "json"])?;
    let mapped: Mapped = serde_json::from_str(&outcome).context("it is JSON")?;
    ensure!(mapped.schema == "watcher.mappings/1" && mapped.route.is_some(), "{mapped:#?}");
    ensure!(mapped.sites.iter().map(|site| site.bytes).sum::<u64>() == mapped.bytes, "{mapped:#?}");
    Ok(mapped)
}

/// Those whose line is in the function that maps segments.
fn sites(mapped: &Mapped) -> impl Iterator<Item = &Site> + Clone {
    let is_it = |site: &&Site| site.culprit.as_ref().is_some_and(|line| line.function == "main.main.func1");
    mapped.sites.iter().filter(is_it)
}

fn site(mapped: &Mapped) -> Result<&Site> {
    let mut sites = sites(mapped);
    let site = sites.next().with_context(|| format!("nothing is put down to its line: {mapped:#?}"))?;
    ensure!(sites.next().is_none(), "several sites are put down to one line: {mapped:#?}");
    Ok(site)
}

fn every_form() -> Result<()> {
    let executable = program::shipped("archive")?;
    let program =
        Running::start(&mut program::command(&executable, Style::Round, SEGMENTS_PER_SECOND, LIFE))?;
    let directory = tempfile::tempdir().context("create a directory")?;
    let place = directory.path().join("profile").display().to_string();
    let watch = |arguments: &[&str]| view(&program, &[&["-d", "2s"], arguments].concat());
    let (text, stacks) = (watch(&[])?, watch(&["--stacks"])?);
    let (folded, svg) = (watch(&["--format", "folded"])?, watch(&["--format", "svg"])?);
    watch(&["--format", "pprof", "--output", &place])?;
    for text in [text, stacks] {
        ensure!(text.lines().all(|line| line.chars().count() <= COLUMNS), "too wide:\n{text}");
        ensure!(text.contains("main.main.func1"), "{text}");
    }
    ensure!(folded.contains(";main.main.func1;syscall.Mmap;"), "{folded}");
    ensure!(svg.contains("<title>main.main.func1 ("), "{svg}");
    let mut pprof = Command::new(&Toolchain::newest().context("a toolchain is here")?.go);
    let pprof = pprof.args(["tool", "pprof", "-top", &place]).env("GOTOOLCHAIN", "local");
    let outcome = agent::finish(pprof, LIMIT)?;
    ensure!(outcome.status == Some(0) && outcome.stdout.contains("Type: mapped"), "{outcome:?}");
    ensure!(outcome.stdout.contains("main.main.func1"), "{outcome:?}");
    Ok(())
}

fn view(program: &Running, arguments: &[&str]) -> Result<String> {
    let pid = program.pid().to_string();
    let command = ["memory", "--mappings", "--pid", &pid];
    let outcome =
        agent::run(&command.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>(), LIMIT)?;
    ensure!(outcome.status == Some(0), "{arguments:?} failed: {outcome:?}");
    Ok(outcome.stdout)
}
