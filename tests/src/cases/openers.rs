//! Who opened, mapped or started what stays: stripped programs without an endpoint, whose kind, line, peer and state
//! must be named, and their twins, which do the same work and give back what they took.

use crate::agent;
use crate::answer::{Diagnosis, Finding};
use crate::build::{self, Variant};
use crate::case::Case;
use crate::cases::leaks::{expect_healthy, expect_rate};
use crate::need::{C_COMPILER, Need};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::thread;
use std::time::Duration;

const WINDOW_SECONDS: u64 = 45;
const LIFE: Duration = Duration::from_secs(150);
/// Start-up is over by then, and what is given back after three seconds is in balance.
const WARM_UP: Duration = Duration::from_secs(6);

/// A program, and what must be said of the twin that keeps.
#[derive(Clone, Copy)]
struct Row {
    program: &'static str,
    arguments: &'static [&'static str],
    peer: Peer,
    variant: Variant,
    /// Odd numbers, so that a rate is not right by chance.
    rate_per_second: f64,
    kind: &'static str,
    state: Option<&'static str>,
    /// What the lines to be named say, as they stand in its sources.
    lines: &'static [&'static str],
    /// Words of the evidence.
    says: &'static str,
    /// It says itself how many it holds.
    counts: bool,
    /// Its garbage is collected. Files and connections that nobody refers to are closed by that.
    collects: bool,
    /// Its twin has cases of its own elsewhere.
    twin_elsewhere: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Peer {
    /// Works alone.
    None,
    /// Serves; the peer calls it.
    Caller,
    /// Calls; the peer serves.
    Server,
}

const BASE: Row = Row {
    program: "",
    arguments: &[],
    peer: Peer::None,
    variant: Variant::STRIPPED,
    rate_per_second: 7.3,
    kind: "fd",
    state: None,
    lines: &[],
    says: "none closed",
    counts: true,
    collects: true,
    twin_elsewhere: false,
};
const DIALS: Row = Row { peer: Peer::Server, kind: "connection", state: Some("ESTABLISHED"), ..BASE };
const SERVES: Row = Row { peer: Peer::Caller, kind: "connection", state: Some("CLOSE_WAIT"), ..BASE };
const IN_C: Row = Row { variant: Variant::CGO, ..BASE };

#[rustfmt::skip]
const ROWS: [Row; 19] = [
    Row { program: "ingest", lines: &["os.Open(path)"], twin_elsewhere: true, ..BASE },
    Row { program: "notices", lines: &["os.Open(path)"], counts: false, collects: false, ..BASE },
    Row { program: "notices", arguments: &["-tidy=13s"], lines: &["os.Open(path)"], says: "nothing but the garbage collector closes them", counts: false, ..BASE },
    Row { program: "stocktake", lines: &["os.Open(shelf)"], ..BASE },
    Row { program: "courier", lines: &["http.Get(url)"], twin_elsewhere: true, ..DIALS },
    Row { program: "courier", arguments: &["-brief"], lines: &["http.DefaultClient.Do(request)"], ..DIALS },
    Row { program: "envoys", lines: &["messenger.Get(url)"], ..DIALS },
    Row { program: "parlour", lines: &["pool.Get()"], collects: false, ..DIALS },
    Row { program: "parlour", arguments: &["-tidy=13s"], lines: &["pool.Get()"], says: "nothing but the garbage collector closes them", counts: false, ..DIALS },
    Row { program: "clerk", lines: &["base.Query(\"entries\")"], ..DIALS },
    Row { program: "clerk", arguments: &["-way=draft"], rate_per_second: 113.0, kind: "heap", state: None, lines: &["base.Prepare(\"entry\")"], says: "collections found", counts: false, ..DIALS },
    Row { program: "relay", lines: &["listener.Accept()"], twin_elsewhere: true, ..SERVES },
    Row { program: "relay", arguments: &["-patient"], lines: &["listener.Accept()"], twin_elsewhere: true, ..SERVES },
    Row { program: "signer", kind: "thread", lines: &["range s.documents", "go one.work()"], says: "locked to it", twin_elsewhere: true, ..BASE },
    Row { program: "divers", kind: "thread", lines: &["syscall.Read(rope, signal)", "go dive("], says: "blocked in a system call", ..BASE },
    Row { program: "divers", arguments: &["-way=bell"], kind: "thread", lines: &["C.rest(C.int(rope))", "go descend("], says: "in C", ..IN_C },
    Row { program: "pressings", kind: "native", lines: &["C.groove(C.size_t(bytes))"], says: "C code that is called from this line", counts: false, ..IN_C },
    Row { program: "pressings", arguments: &["-way=sheet"], kind: "native", lines: &["syscall.Mmap(-1, 0, bytes"], says: "asked the system for", counts: false, ..BASE },
    Row { program: "archive", kind: "mapping", lines: &["syscall.Mmap(int(segment.Fd())"], says: "none given back", twin_elsewhere: true, ..BASE },
];
const CHILDREN: Row = Row {
    program: "thumbs",
    kind: "child",
    lines: &["command.Start()"],
    says: "none waited for",
    twin_elsewhere: true,
    ..BASE
};

/// Programs that are also built with other versions: who calls whom inside of Go's library is not the same in each.
const ALSO_OLDER: [&str; 4] = ["ingest", "courier", "relay", "thumbs"];
const OLDER_MINORS: [u32; 2] = [21, 24];

fn rows() -> impl Iterator<Item = Row> {
    ROWS.into_iter().chain([CHILDREN])
}

fn toolchains(row: Row) -> impl Iterator<Item = &'static Toolchain> {
    let older = OLDER_MINORS.into_iter().filter(move |_| ALSO_OLDER.contains(&row.program));
    older.filter_map(Toolchain::minor).chain(Toolchain::newest())
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in rows() {
        let needs = [Need::Root, Need::Go].into_iter().chain(row.variant.cgo.then_some(C_COMPILER));
        let needs: Vec<Need> = needs.collect();
        for toolchain in toolchains(row) {
            let name = format!("openers::{}_kept_go1_{}", row.name(), toolchain.minor);
            cases.push(Case::new(name, needs.clone(), move || kept(row, toolchain)));
        }
        if !row.twin_elsewhere {
            cases.push(Case::new(format!("openers::{}_given_back", row.name()), needs, move || {
                given_back(row)
            }));
        }
    }
    cases.push(Case::new("openers::terrace_fills", [Need::Root, Need::Go], terrace_fills));
    cases
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let programs =
        rows().flat_map(|row| toolchains(row).map(move |toolchain| (row.program, toolchain, row.variant)));
    programs.chain(Toolchain::newest().map(|newest| ("terrace", newest, Variant::STRIPPED)))
}

impl Row {
    fn name(&self) -> String {
        let words = self.arguments.iter().map(|argument| {
            let argument = argument.trim_start_matches('-');
            argument
                .split_once('=')
                .map_or(argument, |(name, value)| if name == "way" { value } else { name })
        });
        [self.program].into_iter().chain(words).collect::<Vec<_>>().join("_")
    }

    /// The number of a line of the program's sources, and its file.
    fn line(&self, text: &str) -> Result<(String, u32)> {
        for file in ["main.go", "native.go"] {
            let path = build::programs().join(self.program).join(file);
            let Ok(source) = fs::read_to_string(&path) else { continue };
            if let Some((before, _)) = source.split_once(text) {
                return Ok((file.to_owned(), u32::try_from(before.matches('\n').count())? + 1));
            }
        }
        anyhow::bail!("{text:?} is not in the sources of {}", self.program)
    }
}

fn kept(row: Row, toolchain: &Toolchain) -> Result<()> {
    let scene = Scene::start(row, Style::Round, toolchain)?;
    let (diagnosis, outcome) = agent::diagnose(scene.program.pid(), WINDOW_SECONDS)?;
    ensure!(diagnosis.verdict == "leak", "want a leak: {diagnosis:#?}");
    let primary = diagnosis.primary().context("a leak has a primary finding")?;
    ensure!(primary.kind == row.kind, "want {}: {diagnosis:#?}", row.kind);
    for other in diagnosis.findings.iter().filter(|finding| !finding.primary) {
        ensure!(other.consequence_of.as_deref() == Some(row.kind), "not explained by it: {diagnosis:#?}");
    }
    ensure!(primary.detail.state.as_deref() == row.state, "want state {:?}: {primary:#?}", row.state);
    expect_lines(&diagnosis, primary, row)?;
    ensure!(primary.evidence.iter().any(|it| it.contains(row.says)), "want {:?}: {diagnosis:#?}", row.says);
    if row.counts {
        expect_rate(primary, scene.program.rate_per_second(outcome.began, outcome.ended)?)?;
    }
    let named = primary.detail.peer.as_deref();
    match (row.peer, row.kind) {
        (Peer::Server, "connection") => {
            ensure!(named == scene.address.as_deref(), "want its peer: {primary:#?}");
        }
        (Peer::Caller, "connection") => {
            ensure!(named.is_some_and(|peer| peer.starts_with("client ")), "want its clients: {primary:#?}");
        }
        _ => {}
    }
    // Each body that is not closed holds the transport's two goroutines.
    if row.program == "courier" {
        let follows = diagnosis.findings.iter().find(|finding| finding.kind == "goroutine");
        let follows = follows.with_context(|| format!("want the goroutines too: {diagnosis:#?}"))?;
        let each = follows.rate_per_second / primary.rate_per_second;
        ensure!((1.9..=2.1).contains(&each), "want two goroutines each, not {each}: {diagnosis:#?}");
    }
    Ok(())
}

fn given_back(row: Row) -> Result<()> {
    let newest = Toolchain::newest().context("no Go toolchain is here")?;
    let scene = Scene::start(row, Style::Square, newest)?;
    expect_healthy(&agent::diagnose(scene.program.pid(), WINDOW_SECONDS)?.0)
}

/// A pool of connections that fills to its maximum while it is watched, and stays.
fn terrace_fills() -> Result<()> {
    let newest = Toolchain::newest().context("no Go toolchain is here")?;
    let row = Row { program: "terrace", rate_per_second: 4.3, ..DIALS };
    let scene = Scene::start(row, Style::Square, newest)?;
    expect_healthy(&agent::diagnose(scene.program.pid(), WINDOW_SECONDS)?.0)
}

/// Fails unless each line is among the first three culprits.
fn expect_lines(diagnosis: &Diagnosis, finding: &Finding, row: Row) -> Result<()> {
    for text in row.lines {
        let (file, line) = row.line(text)?;
        let file = format!("/{file}");
        let mut first = finding.culprits.iter().take(3);
        let named = first.any(|it| it.file.ends_with(&file) && it.line == line);
        ensure!(named, "want {file}:{line}, {text:?}, among the first three: {diagnosis:#?}");
    }
    let shares = finding.culprits.iter().all(|it| (0.0..=1.0).contains(&it.share));
    ensure!(shares, "no share: {finding:#?}");
    Ok(())
}

/// A program at work, with the peer that it needs.
struct Scene {
    program: Running,
    /// Where the peer serves.
    address: Option<String>,
    _peer: Option<Running>,
}

impl Scene {
    fn start(row: Row, style: Style, toolchain: &Toolchain) -> Result<Scene> {
        let executable = build::build(row.program, toolchain, row.variant)?;
        let command = |style| {
            let mut command = program::command(&executable, style, row.rate_per_second, LIFE);
            if !row.collects {
                command.env("GOGC", "off");
            }
            command
        };
        let (program, address, peer) = match row.peer {
            Peer::None => (Running::start(command(style).args(row.arguments))?, None, None),
            Peer::Caller => {
                let mut program = Running::start(command(style).args(row.arguments))?;
                let address = program.address()?;
                let peer = Running::start(command(Style::Square).args(["-call", &address]))?;
                (program, None, Some(peer))
            }
            Peer::Server => {
                let mut server = Running::start(&mut command(Style::Square))?;
                let address = server.address()?;
                let url = format!("http://{address}/");
                let program = Running::start(command(style).args(["-url", &url]).args(row.arguments))?;
                (program, Some(address), Some(server))
            }
        };
        thread::sleep(WARM_UP);
        Ok(Scene { program, address, _peer: peer })
    }
}
