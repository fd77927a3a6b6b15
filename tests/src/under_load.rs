//! Real servers while their customers call: what the agent says of each, window by window and all the time.

use crate::agent;
use crate::load::{Load, Told};
use crate::need::Need;
use crate::running::Running;
use crate::servers::{Debian, Server};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Length of each window.
pub const WINDOW: Duration = Duration::from_secs(45);
/// Words of a diagnosis: what was not read,
const NOT_READ: &str = "could not be read";
/// ... that what grows is what clients store,
const STORED: &str = "meanwhile the process writes";
/// ... and where it is allocated.
const ALLOCATED_IN: &str = "allocated in ";
/// What a window takes beyond its length, on a machine that has other work.
const MARGIN: Duration = Duration::from_secs(15);

/// How long, how much and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For how long the customers call.
    pub life: Duration,
    /// Their calls per second, on average.
    pub rate: f64,
    /// Half of the calls give the servers something to keep.
    pub storing: bool,
    /// Windows judged by `watcher diagnose`, evenly spread over that time.
    pub windows: u32,
    /// `watcher run` watches all the time too.
    pub run: bool,
    /// Where each verdict is kept as JSON.
    pub keep: Option<PathBuf>,
}

/// What came of one server.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Its name.
    pub server: String,
    /// The version of Debian's package.
    pub version: String,
    /// Calls that it answered or refused.
    #[serde(flatten)]
    pub told: Told,
    /// What each window came to.
    pub windows: Vec<Judged>,
    /// What `watcher run` told.
    pub news: Vec<Judged>,
}

/// One verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Seconds since the customers came.
    pub after_seconds: f64,
    /// `leak`, `healthy` or `inconclusive`.
    pub verdict: String,
    /// In one line.
    pub headline: String,
    /// What is said to grow, with its place: found, or undecided.
    pub growth: Vec<String>,
}

/// As much of a diagnosis as a table shows.
#[derive(Deserialize)]
struct Said {
    verdict: String,
    headline: String,
    findings: Vec<Found>,
    undecided: Vec<Undecided>,
}

#[derive(Deserialize)]
struct Found {
    kind: String,
    culprits: Vec<Culprit>,
}

#[derive(Deserialize)]
struct Culprit {
    function: String,
}

#[derive(Deserialize)]
struct Undecided {
    kind: String,
    why: String,
}

impl Report {
    /// Windows and news with this verdict.
    pub fn count(judged: &[Judged], verdict: &str) -> usize {
        judged.iter().filter(|one| one.verdict == verdict).count()
    }

    /// What is wrong with what was said, in words. A server that is given nothing to keep must be acquitted at least
    /// once; of one that keeps what it is given, the line that allocates what grows must be told.
    pub fn objections(&self, storing: bool) -> Vec<String> {
        let accused = [&self.windows, &self.news].into_iter().any(|judged| Report::count(judged, "leak") > 0);
        let acquitted = Report::count(&self.windows, "healthy") > 0;
        let says = |judged: &Judged, words| judged.growth.iter().any(|growth| growth.contains(words));
        let blind = !self.windows.is_empty() && self.windows.iter().all(|it| says(it, NOT_READ));
        let nameless = |judged: &&Judged| says(judged, STORED) && !says(judged, ALLOCATED_IN);
        let nameless = self.windows.iter().filter(nameless).map(|it| {
            format!("in the window at {:.0} s no function is named of what grows", it.after_seconds)
        });
        [
            (accused, "it is said to leak"),
            (!storing && !self.windows.is_empty() && !acquitted, "no window of it is healthy"),
            (blind, "something could not be read in any window"),
        ]
        .into_iter()
        .filter(|(is_wrong, _)| *is_wrong)
        .map(|(_, what)| what.to_owned())
        .chain(nameless)
        .collect()
    }

    /// What was said to grow, each once.
    pub fn growth(&self) -> Vec<&str> {
        let mut growth: Vec<&str> =
            self.windows.iter().chain(&self.news).flat_map(|one| &one.growth).map(String::as_str).collect();
        growth.sort_unstable();
        growth.dedup();
        growth
    }
}

/// Starts a server, sends it customers, and hears what the agent says until they are gone.
pub fn watch(kind: Debian, plan: &Plan) -> Result<Report> {
    let server = kind.start().with_context(|| format!("start {kind:?}"))?;
    let load = Load::start(kind, &server, plan.rate, plan.life, plan.storing)?;
    let began = Instant::now();
    let news = plan.run.then(|| News::of(&server, plan.life)).transpose()?;
    let pause = plan.life.saturating_sub(WINDOW + MARGIN) / plan.windows.saturating_sub(1).max(1);
    let mut windows = Vec::new();
    for window in 0..plan.windows {
        thread::sleep((pause * window).saturating_sub(began.elapsed()));
        let after = began.elapsed();
        let (_, outcome) = agent::diagnose(server.running.pid(), WINDOW.as_secs())
            .with_context(|| format!("{kind:?}, window {window}"))?;
        let judged = judged(&outcome.stdout, after)?;
        keep(
            plan.keep.as_deref(),
            &format!("{}-{:04}-{}", kind.name(), after.as_secs(), judged.verdict),
            &outcome.stdout,
        )?;
        windows.push(judged);
    }
    let told = load.finish()?;
    let news = news.map(News::finish).transpose()?.unwrap_or_default();
    let mut verdicts = Vec::new();
    for (number, (after, line)) in news.into_iter().enumerate() {
        let judged = judged(&line, after)?;
        keep(
            plan.keep.as_deref(),
            &format!("{}-news-{number:03}-{:04}-{}", kind.name(), after.as_secs(), judged.verdict),
            &line,
        )?;
        verdicts.push(judged);
    }
    let version = version(kind);
    Ok(Report { server: kind.name(), version, told, windows, news: verdicts })
}

/// `watcher run` over one process.
struct News {
    agent: Running,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    watches: bool,
    // A verdict is told where it is another one than before; nothing is told while nothing is decided.
    verdicts: Vec<(Duration, String)>,
}

impl News {
    fn of(server: &Server, life: Duration) -> Result<News> {
        let (pid, life) = (server.running.pid().to_string(), format!("{}s", life.as_secs()));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (listener, began) = (Arc::clone(&heard), Instant::now());
        let mut command = Command::new(agent::binary()?);
        command.args(["run", "--pid", &pid, "-d", &life, "-i", "5s", "--format", "json"]);
        let agent = Running::start_heard(&mut command, move |line| {
            let Ok(said) = serde_json::from_str::<Value>(line) else { return };
            let mut heard = listener.lock().unwrap_or_else(PoisonError::into_inner);
            heard.watches |= said["event"] == "watched";
            if said["schema"] == "watcher.diagnosis/1" {
                heard.verdicts.push((began.elapsed(), line.to_owned()));
            }
        })?;
        Ok(News { agent, heard })
    }

    fn finish(mut self) -> Result<Vec<(Duration, String)>> {
        self.agent.wait()?;
        let heard = mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(heard.watches, "watcher run never said that it watches");
        Ok(heard.verdicts)
    }
}

fn judged(line: &str, after: Duration) -> Result<Judged> {
    let said: Said = serde_json::from_str(line).with_context(|| format!("no diagnosis: {line}"))?;
    let found = said.findings.iter().map(|found| {
        let functions: Vec<&str> = found.culprits.iter().map(|it| it.function.as_str()).collect();
        format!(
            "{} at {}",
            found.kind,
            if functions.is_empty() { "?".to_owned() } else { functions.join(", ") }
        )
    });
    let undecided = said.undecided.iter().map(|it| format!("{}: {}", it.kind, it.why));
    Ok(Judged {
        after_seconds: after.as_secs_f64(),
        growth: found.chain(undecided).collect(),
        verdict: said.verdict,
        headline: said.headline,
    })
}

fn keep(directory: Option<&Path>, name: &str, text: &str) -> Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let file = directory.join(name).with_extension("json");
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}

/// By Debian's own word; its builds hold none that says more.
fn version(kind: Debian) -> String {
    let Need::Program { package, .. } = kind.need() else { return String::new() };
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    asked.ok().and_then(|it| String::from_utf8(it.stdout).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Judged, Report};
    use std::slice::from_ref;

    const GROWS: &str =
        "heap: The Go heap: bytes grow by 1 MiB/s; meanwhile the process writes 1 MiB/s to data files";
    const NAMED: &str = "heap: The Go heap: bytes grow by 1 MiB/s, most of them allocated in mvcc.put (kv.go:7); \
                         meanwhile the process writes 1 MiB/s to data files";
    const UNREAD: &str = "heap: The Go heap could not be read.";

    fn judged(verdict: &str, growth: &[&str]) -> Judged {
        Judged {
            after_seconds: 45.0,
            verdict: verdict.to_owned(),
            headline: String::new(),
            growth: growth.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn a_server_is_acquitted_once_and_what_it_stores_has_a_place() {
        let of = |storing, windows: &[Judged], news: &[Judged]| {
            let report = Report { windows: windows.to_vec(), news: news.to_vec(), ..Report::default() };
            report.objections(storing)
        };
        let (healthy, leak) = (judged("healthy", &[]), judged("leak", &["heap at main.put"]));
        let undecided = |growth| judged("inconclusive", &[growth]);
        assert!(of(false, &[undecided(UNREAD), healthy.clone()], &[]).is_empty());
        assert!(of(true, &[undecided(NAMED)], &[]).is_empty());
        assert_eq!(of(false, &[undecided(NAMED)], &[]), ["no window of it is healthy"]);
        assert_eq!(of(true, &[undecided(UNREAD)], &[]), ["something could not be read in any window"]);
        assert_eq!(of(true, from_ref(&healthy), from_ref(&leak)), ["it is said to leak"]);
        assert_eq!(of(false, &[leak, healthy], &[]), ["it is said to leak"]);
        assert_eq!(
            of(true, &[undecided(NAMED), undecided(GROWS)], &[]),
            ["in the window at 45 s no function is named of what grows"]
        );
    }
}
