//! What `watcher fds` shows is what `/proc` shows, and the line that opened it, in stripped programs; and every form of
//! its output says the same.

use crate::agent::{self, Outcome};
use crate::build;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use watcher::report::pprof::{Limits, Profile, decode};

const LIFE: Duration = Duration::from_secs(120);
/// All pieces of work are done in a part of it.
const WATCH: &str = "11s";
/// How many pieces of work a program does and then no more: odd, so as not to be right by chance.
const PIECES: u64 = 37;
const PIECES_PER_SECOND: f64 = 4.0;
/// Of these at least it must be seen who opens them: the first come while the watcher is being started.
const AT_LEAST: u64 = 3;
const COLUMNS: usize = 100;

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    [
        ("fds::all_that_are_open_and_who_opened_them", all_that_are_open as fn() -> Result<()>),
        ("fds::what_is_closed_again_is_told_from_what_stays", closed_again),
        ("fds::what_has_just_come_has_not_gone", just_come),
        ("fds::connections_have_state_and_peer", connections),
        ("fds::who_called_the_library_that_dials", || dialled("courier", "main.poll", "http.Get(url)")),
        ("fds::who_called_a_client_of_its_own", || dialled("envoys", "main.consult", "messenger.Get(url)")),
        ("fds::who_sits_on_what_is_open", sat_on),
        ("fds::every_form_says_the_same", every_form),
        ("fds::two_profiles_are_compared", compared),
        ("fds::what_cannot_be_watched_is_refused", refused),
        ("fds::an_interruption_shows_what_was_seen", interrupted),
    ]
    .into_iter()
    .map(|(name, run)| Case::new(name, needs, run))
    .collect()
}

#[derive(Debug, Deserialize)]
struct Fds {
    schema: String,
    outstanding: u64,
    created: u64,
    ended: u64,
    before: u64,
    missed: u64,
    watched_seconds: f64,
    route: Option<String>,
    sites: Vec<Site>,
}

#[derive(Debug, Deserialize)]
struct Site {
    outstanding: u64,
    created: u64,
    ended: u64,
    creator: String,
    oldest_seconds: Option<f64>,
    culprit: Option<Frame>,
    descriptors: Vec<Kind>,
    stack: Vec<Frame>,
    started_by: Vec<Vec<Frame>>,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    goroutines: u64,
    stack: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    count: u64,
    r#type: String,
    state: Option<String>,
    peer: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    function: String,
    file: String,
    line: u64,
}

fn all_that_are_open() -> Result<()> {
    let program = start("ingest", Style::Round)?;
    let fds = watched(&program, WATCH)?;
    let (ours, theirs) = (by_type(&fds), listed(program.pid())?);
    ensure!(ours == theirs, "{ours:?} shown, {theirs:?} in /proc: {fds:#?}");
    let total: u64 = theirs.values().sum();
    ensure!(fds.outstanding == total, "{total} in /proc: {fds:#?}");
    ensure!(fds.route.is_some() && fds.watched_seconds >= 11.0, "{fds:#?}");
    let opener = site_of(&fds, "main.readHeader")?;
    expect_line(opener, "ingest", "os.Open(path)")?;
    ensure!(opener.stack.last().is_some_and(|frame| frame.function == "runtime.goexit"), "{opener:#?}");
    let before: u64 = fds.sites.iter().filter(|site| site.creator == "before").map(|it| it.outstanding).sum();
    ensure!(before == fds.before && fds.missed == 0, "{fds:#?}");
    let files = spooled(program.pid())?;
    ensure!(files == PIECES, "the program keeps {PIECES} files, and {files} are open");
    ensure!(opener.outstanding >= AT_LEAST && opener.outstanding <= PIECES, "{opener:#?}");
    ensure!(opener.created == opener.outstanding && opener.ended == 0, "{opener:#?}");
    Ok(())
}

fn closed_again() -> Result<()> {
    let program = start("ingest", Style::Square)?;
    // Each is closed after three seconds, the last ones before watching ends.
    let fds = watched(&program, "14s")?;
    let opener =
        fds.sites.iter().find(|site| names(site, "main.readHeader")).context("nothing was opened")?;
    ensure!(opener.outstanding == 0 && opener.descriptors.is_empty(), "all are closed: {fds:#?}");
    ensure!(opener.ended == opener.created && opener.created >= AT_LEAST, "{opener:#?}");
    ensure!(fds.ended >= opener.ended && fds.created >= opener.created, "{fds:#?}");
    ensure!(opener.oldest_seconds.is_none(), "there is none: {opener:#?}");
    let text = view(&program, &["-d", "1s"])?;
    ensure!(!text.contains("main.readHeader"), "{text}");
    Ok(())
}

/// Some are always opened between the readings of which the ledger is put together.
fn just_come() -> Result<()> {
    const LOOKS: usize = 5;
    let executable = program::shipped("ingest")?;
    let mut program = Running::start(&mut program::command(&executable, Style::Round, 150.0, LIFE))?;
    program.holding(AT_LEAST)?;
    for _ in 0..LOOKS {
        let fds: Fds = call(&program, &["-d", "1s", "--format", "json"])?.json()?;
        let mut openers = fds.sites.iter().filter(|site| names(site, "main.readHeader"));
        ensure!(openers.clone().any(|site| site.outstanding >= AT_LEAST), "it opens many: {fds:#?}");
        ensure!(openers.all(|site| site.ended == 0), "it keeps them all: {fds:#?}");
    }
    Ok(())
}

fn connections() -> Result<()> {
    let executable = program::shipped("relay")?;
    let mut desk = Running::start(&mut program::command(&executable, Style::Round, 1.0, LIFE))?;
    let address = desk.address()?;
    let port = address.rsplit_once(':').context("an address has a port")?.1.to_owned();
    let watcher = {
        let pid = desk.pid().to_string();
        thread::spawn(move || agent::run(&["fds", "--pid", &pid, "-d", "13s", "--format", "json"], LIFE))
    };
    let mut caller = program::command(&executable, Style::Square, PIECES_PER_SECOND, LIFE);
    let _caller = Running::start(caller.args(["-still", &format!("-most={PIECES}"), "-call", &address]))?;
    let outcome = watcher.join().map_err(|_| anyhow::anyhow!("the thread that watches panicked"))??;
    let fds: Fds = outcome.json()?;
    let opener = site_of(&fds, "main.main")?;
    expect_line(opener, "relay", "listener.Accept()")?;
    ensure!(opener.outstanding >= AT_LEAST && opener.ended == 0, "{opener:#?}");
    let [kind] = &opener.descriptors[..] else { anyhow::bail!("all are alike: {opener:#?}") };
    let state = kind.state.as_deref();
    ensure!(kind.r#type == "socket" && state == Some("CLOSE_WAIT"), "the callers have left: {kind:#?}");
    let kinds = fds.sites.iter().flat_map(|site| &site.descriptors);
    let left: u64 = kinds.filter(|it| it.state.as_deref() == state).map(|it| it.count).sum();
    ensure!(left == PIECES, "the desk keeps {PIECES} connections, not {left}: {fds:#?}");
    ensure!(kind.peer.as_ref().is_some_and(|peer| peer.ends_with(&port)), "the port is {port}: {kind:#?}");
    let text = view(&desk, &["-d", "1s", "--group", "peer"])?;
    ensure!(text.contains("CLOSE_WAIT") && text.contains(&format!("on port {port}")), "{text}");
    Ok(())
}

/// Connections that net/http dials in goroutines of its own, on whose stacks is no frame of the program.
fn dialled(name: &str, function: &str, line: &str) -> Result<()> {
    let executable = program::shipped(name)?;
    let mut server = Running::start(&mut program::command(&executable, Style::Square, 1.0, LIFE))?;
    let address = server.address()?;
    let mut caller = program::command(&executable, Style::Round, PIECES_PER_SECOND, LIFE);
    caller.args(["-still", &format!("-most={PIECES}"), "-url", &format!("http://{address}/")]);
    let caller = Running::start(&mut caller)?;
    let fds = watched(&caller, WATCH)?;
    let opener = site_of(&fds, function)?;
    expect_line(opener, name, line)?;
    ensure!(opener.outstanding >= AT_LEAST && opener.ended == 0, "{opener:#?}");
    let dials = opener.stack.iter().any(|frame| frame.function.starts_with("net/http."));
    let calls = opener.stack.iter().any(|frame| frame.function.starts_with("main."));
    ensure!(dials && !calls, "net/http dials, in a goroutine of its own: {opener:#?}");
    let starter = opener.started_by.last().context("somebody started it")?;
    ensure!(starter.last().is_some_and(|frame| frame.function == "runtime.goexit"), "{starter:#?}");
    let [kind] = &opener.descriptors[..] else { anyhow::bail!("all are alike: {opener:#?}") };
    ensure!(kind.peer.as_ref() == Some(&address), "the peer is {address}: {kind:#?}");
    let kinds = fds.sites.iter().flat_map(|site| &site.descriptors);
    let open: u64 = kinds.filter(|it| it.peer.as_ref() == Some(&address)).map(|it| it.count).sum();
    ensure!(open == PIECES, "it keeps {PIECES} connections, not {open}: {fds:#?}");
    Ok(())
}

/// A server has a goroutine for each connection, which waits for the next question, and one that waits for callers.
fn sat_on() -> Result<()> {
    let executable = program::shipped("envoys")?;
    let mut server = program::command(&executable, Style::Square, 1.0, LIFE);
    let mut server = Running::start(server.arg("-still"))?;
    let address = server.address()?;
    let watcher = {
        let pid = server.pid().to_string();
        thread::spawn(move || agent::run(&["fds", "--pid", &pid, "-d", "13s", "--format", "json"], LIFE))
    };
    let mut caller = program::command(&executable, Style::Round, PIECES_PER_SECOND, LIFE);
    caller.args(["-still", &format!("-most={PIECES}"), "-url", &format!("http://{address}/")]);
    let _caller = Running::start(&mut caller)?;
    let outcome = watcher.join().map_err(|_| anyhow::anyhow!("the thread that watches panicked"))??;
    let fds: Fds = outcome.json()?;
    let opener = site_of(&fds, "main.main")?;
    expect_line(opener, "envoys", "http.Serve(listener")?;
    let through = |function: &str| -> u64 {
        let sites = fds.sites.iter().flat_map(|site| &site.waiting);
        let there =
            sites.filter(|waiting| waiting.stack.iter().any(|frame| frame.function.ends_with(function)));
        there.map(|waiting| waiting.goroutines).sum()
    };
    let sitting: u64 = opener.waiting.iter().map(|waiting| waiting.goroutines).sum();
    ensure!(sitting == opener.outstanding && sitting >= AT_LEAST, "one sits on each: {opener:#?}");
    let (serve, accept) = (through("net/http.(*conn).serve"), through("net.(*TCPListener).Accept"));
    ensure!((serve, accept) == (PIECES, 1), "{serve} serve and {accept} accept: {fds:#?}");
    let all: u64 = fds.sites.iter().flat_map(|site| &site.waiting).map(|it| it.goroutines).sum();
    ensure!(all == PIECES + 1, "nobody else waits for anything: {fds:#?}");
    let text = view(&server, &["-d", "1s", "--group", "stack"])?;
    ensure!(text.contains(&format!("{PIECES} goroutines wait on them")), "{text}");
    Ok(())
}

fn every_form() -> Result<()> {
    let program = start("ingest", Style::Round)?;
    settled(&program)?;
    let total: u64 = listed(program.pid())?.values().sum();
    for (arguments, text) in texts(&program) {
        let text = text?;
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        ensure!(longest <= COLUMNS, "{longest} columns with {arguments:?}:\n{text}");
        ensure!(text.contains(&format!("{total} descriptors are open.")), "{total} are:\n{text}");
    }
    for (form, sum) in forms(&program)? {
        ensure!(sum == total, "{form} adds up to {sum}, and {total} are open");
    }
    Ok(())
}

/// The text in every grouping.
fn texts(program: &Running) -> Vec<(&'static [&'static str], Result<String>)> {
    const ALL: [&[&str]; 6] = [
        &["-d", "1s"],
        &["-d", "1s", "--stacks"],
        &["-d", "1s", "--group", "stack"],
        &["-d", "1s", "--group", "type"],
        &["-d", "1s", "--group", "peer"],
        &["-d", "0s", "-n", "1"],
    ];
    ALL.into_iter().map(|arguments| (arguments, view(program, arguments))).collect()
}

/// What the forms for other tools add up to.
fn forms(program: &Running) -> Result<BTreeMap<&'static str, u64>> {
    let watch = ["-d", "1s", "--format"];
    let folded = view(program, &[&watch[..], &["folded"]].concat())?;
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok());
    let folded: Option<Vec<u64>> = folded.lines().map(value).collect();
    let profile = profile(program)?;
    let open = profile.value_index(Some("open_fds")).context("the profile counts open descriptors")?;
    ensure!(profile.value_index(None) == Some(open), "that is what it shows: {:?}", profile.sample_types);
    let open: i64 = profile.samples.iter().map(|sample| sample.values[open]).sum();
    let svg = view(program, &[&watch[..], &["svg"]].concat())?;
    let all = svg.split_once("<title>all (").and_then(|(_, rest)| rest.split_once(" descriptors"));
    let all = all.context("the flame graph has a root")?.0;
    Ok(BTreeMap::from([
        ("folded", folded.context("every folded line ends in a number")?.iter().sum()),
        ("pprof", open.try_into().context("as many are open")?),
        ("svg", all.replace(',', "").parse().context("the root has a number")?),
    ]))
}

fn compared() -> Result<()> {
    let executable = program::shipped("ingest")?;
    let program = Running::start(&mut program::command(&executable, Style::Round, PIECES_PER_SECOND, LIFE))?;
    let directory = tempfile::tempdir().context("create a directory")?;
    let place = |name: &str| directory.path().join(name).display().to_string();
    let (before, after) = (place("before"), place("after"));
    view(&program, &["-d", "0s", "--format", "pprof", "--output", &before])?;
    view(&program, &["-d", WATCH, "--format", "pprof", "--output", &after])?;
    for more in [None, Some(format!("-diff_base={before}"))] {
        let mut pprof = Command::new(&Toolchain::newest().context("a toolchain is here")?.go);
        let pprof = pprof.args(["tool", "pprof", "-top", "-cum"]).args(more).arg(&after);
        let outcome = agent::finish(pprof.env("GOTOOLCHAIN", "local"), Duration::from_secs(60))?;
        ensure!(outcome.status == Some(0), "go tool pprof does not open it: {outcome:?}");
        ensure!(outcome.stdout.contains("Type: open_fds"), "{outcome:?}");
        let opener = outcome.stdout.lines().find(|line| line.ends_with("main.readHeader"));
        // flat flat% sum% cum cum% name
        let opened = opener.and_then(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok());
        ensure!(opened.is_some_and(|opened| opened >= 2.0 * PIECES_PER_SECOND), "{}", outcome.stdout);
    }
    Ok(())
}

fn refused() -> Result<()> {
    let limit = Duration::from_secs(20);
    let sleeper = Running::start(Command::new("sleep").arg("60"))?;
    let pid = sleeper.pid().to_string();
    agent::run(&["fds", "--pid", &pid], limit)?.expect_refusal(&["is no Go program"])?;
    agent::run(&["fds", "--pid", &i32::MAX.to_string()], limit)?.expect_refusal(&["there is no process"])?;
    agent::run(&["memory", "--pid", &pid, "--format", "svg"], limit)?.expect_refusal(&["--mappings"])?;
    let program = start("ingest", Style::Round)?;
    let pid = program.pid().to_string();
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        drop(program);
    });
    let began = Instant::now();
    let outcome = agent::run(&["fds", "--pid", &pid, "-d", "60s"], Duration::from_secs(30))?;
    killer.join().map_err(|_| anyhow::anyhow!("the thread that ends it panicked"))?;
    outcome.expect_refusal(&["exited", "there is no process"])?;
    ensure!(began.elapsed() < Duration::from_secs(20), "it went on to watch nobody");
    Ok(())
}

fn interrupted() -> Result<()> {
    let program = start("ingest", Style::Round)?;
    let pid = program.pid().to_string();
    // `timeout` sends it, and gives the command's own exit status where it ends by itself.
    let mut command = Command::new("timeout");
    command.args(["--preserve-status", "-s", "INT", "9"]).arg(agent::binary()?);
    command.args(["fds", "--pid", &pid, "-d", "60s"]);
    let outcome = agent::finish(&mut command, Duration::from_secs(30))?;
    ensure!(outcome.status == Some(0), "an interruption is no failure: {outcome:?}");
    ensure!(outcome.stdout.contains("main.readHeader"), "{outcome:?}");
    Ok(())
}

/// Starts a program that does so many pieces of work, and nothing else then.
fn start(name: &str, style: Style) -> Result<Running> {
    let executable = program::shipped(name)?;
    let mut command = program::command(&executable, style, PIECES_PER_SECOND, LIFE);
    let program = Running::start(command.args(["-still", &format!("-most={PIECES}")]))?;
    Ok(program)
}

/// Waits until it has done all of its work.
fn settled(program: &Running) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while spooled(program.pid())? < PIECES {
        ensure!(Instant::now() < deadline, "the program takes too long");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn watched(program: &Running, duration: &str) -> Result<Fds> {
    let outcome = call(program, &["-d", duration, "--format", "json"])?;
    let fds: Fds = outcome.json()?;
    ensure!(fds.schema == "watcher.fds/1", "unknown schema {}", fds.schema);
    for site in &fds.sites {
        let parts: u64 = site.descriptors.iter().map(|kind| kind.count).sum();
        ensure!(parts == site.outstanding, "parts of a site do not add up: {site:#?}");
    }
    let sum = |of: fn(&Site) -> u64| fds.sites.iter().map(of).sum::<u64>();
    ensure!(sum(|site| site.outstanding) == fds.outstanding, "sites do not add up: {fds:#?}");
    ensure!(sum(|site| site.created) == fds.created, "sites do not add up: {fds:#?}");
    ensure!(sum(|site| site.ended) == fds.ended, "sites do not add up: {fds:#?}");
    Ok(fds)
}

fn view(program: &Running, arguments: &[&str]) -> Result<String> {
    Ok(call(program, arguments)?.stdout)
}

fn call(program: &Running, arguments: &[&str]) -> Result<Outcome> {
    let pid = program.pid().to_string();
    let arguments: Vec<&str> = ["fds", "--pid", &pid].into_iter().chain(arguments.iter().copied()).collect();
    let outcome = agent::run(&arguments, Duration::from_secs(40))?;
    ensure!(outcome.status == Some(0), "{arguments:?} failed: {outcome:?}");
    Ok(outcome)
}

fn profile(program: &Running) -> Result<Profile> {
    let file = tempfile::NamedTempFile::new().context("create a file")?;
    view(program, &["-d", "1s", "--format", "pprof", "--output", &file.path().display().to_string()])?;
    decode(&fs::read(file.path()).context("read a profile back")?, &Limits::default()).context("a profile")
}

fn by_type(fds: &Fds) -> BTreeMap<String, u64> {
    let mut types = BTreeMap::new();
    for kind in fds.sites.iter().flat_map(|site| &site.descriptors) {
        *types.entry(kind.r#type.clone()).or_default() += kind.count;
    }
    types
}

/// How many files the program has opened for its work: it spools its own executable.
fn spooled(pid: u32) -> Result<u64> {
    let links = links(pid)?;
    Ok(links.iter().filter(|link| link.ends_with("/ingest")).count() as u64)
}

/// What the descriptors in `/proc` lead to.
fn links(pid: u32) -> Result<Vec<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).context("list descriptors")?;
    // One that was closed meanwhile has no link any more.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links.map(|link| link.to_string_lossy().into_owned()).collect())
}

/// What `/proc` lists, by the type that its links tell.
fn listed(pid: u32) -> Result<BTreeMap<String, u64>> {
    let mut types = BTreeMap::new();
    for link in links(pid)? {
        let kind = match &*link {
            _ if link.starts_with("socket:") => "socket",
            _ if link.starts_with("pipe:") => "pipe",
            "anon_inode:[eventfd]" => "eventfd",
            "anon_inode:[eventpoll]" => "epoll",
            _ if link.starts_with("/dev/") => "chardev",
            _ => "file",
        };
        *types.entry(kind.to_owned()).or_default() += 1;
    }
    Ok(types)
}

fn names(site: &Site, function: &str) -> bool {
    site.culprit.as_ref().is_some_and(|culprit| culprit.function == function)
}

/// The one site that keeps something and is put down to this function.
fn site_of<'a>(fds: &'a Fds, function: &str) -> Result<&'a Site> {
    let mut sites = fds.sites.iter().filter(|site| names(site, function) && site.outstanding > 1);
    let site = sites.next().with_context(|| format!("nothing is put down to {function}: {fds:#?}"))?;
    ensure!(sites.next().is_none(), "several sites are put down to {function}: {fds:#?}");
    Ok(site)
}

/// The line to edit is the one that says `text` in the program's source.
fn expect_line(site: &Site, program: &str, text: &str) -> Result<()> {
    let source =
        fs::read_to_string(build::programs().join(program).join("main.go")).context("read a source")?;
    let wanted = source.lines().position(|line| line.contains(text)).context("the source says it")? + 1;
    let culprit = site.culprit.as_ref().context("a site has a line")?;
    let is_there = culprit.line == wanted as u64 && culprit.file.ends_with(&format!("{program}/main.go"));
    ensure!(is_there, "want line {wanted} of {program}: {culprit:?}");
    Ok(())
}
