//! `watcher run` beside everything that other users can do to it at once: it goes on, takes no more than it took, judges
//! rightly, ends when told, and leaves nothing behind.

mod agent;
mod attackers;

pub use agent::Figures;

use crate::program::{self, Style};
use crate::running::Running;
use agent::Agent;
use anyhow::{Context, Result, ensure};
use attackers::Attackers;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Opens files; one twin keeps them open.
const PROGRAM: &str = "stocktake";
/// Files that the one that leaks keeps open, each second.
const LEAKED_PER_SECOND: f64 = 5.0;
/// Within so long after SIGTERM it has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Memory may grow to this many times what it was, with as many processes.
const MOST_GROWTH: f64 = 2.0;

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// From the start of the agent on.
    pub life: Duration,
    /// The crowd alone, before the other attacks begin: what is used then is what is compared with.
    pub calm: Duration,
    /// Processes of one user that pretend to be Go programs.
    pub crowd: usize,
    /// All Go processes of the host are watched, and not only those of the torment.
    pub whole_host: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// What the agent used when the calm was over, and every so often from then on.
    pub figures: Vec<Figures>,
    /// How often each attack was carried out.
    pub attacks: Vec<(&'static str, u64)>,
    /// Verdicts on the one that leaks, in order.
    pub leaking: Vec<String>,
    /// Those on the innocent one.
    pub innocent: Vec<String>,
    /// Beats that were late, by the agent's own count; `None` where it did not tell.
    pub late_beats: Option<u64>,
    /// Whether it told of whom something does not answer, of all of them.
    pub named_who_is_silent: bool,
    /// How long it took to end.
    pub ended_after: Duration,
    /// Its exit status; `None` where a signal ended it.
    pub status: Option<i32>,
    /// What it left behind, each in words.
    pub left_behind: Vec<String>,
}

impl Report {
    /// What is not as it should be, each in words.
    pub fn objections(&self) -> Vec<String> {
        let mut objections = self.left_behind.clone();
        let mut object = |is_wrong: bool, what: String| objections.extend(is_wrong.then_some(what));
        let first = self.figures.first().map_or(0, |first| first.rss_bytes);
        let most = self.figures.iter().map(|each| each.rss_bytes).max().unwrap_or(0);
        object(first == 0, "its memory was not seen".to_owned());
        object(
            most as f64 > MOST_GROWTH * first as f64,
            format!("its memory grew from {first} to {most} bytes"),
        );
        let told = self.leaking.iter().any(|verdict| verdict == "leak");
        object(!told, format!("the one that leaks was not named: {:?}", self.leaking));
        let accused = self.innocent.iter().any(|verdict| verdict == "leak");
        object(accused, format!("the innocent one was accused: {:?}", self.innocent));
        object(!self.named_who_is_silent, "who does not answer was not named".to_owned());
        object(self.status != Some(0), format!("it ended with status {:?}", self.status));
        object(
            self.ended_after > ENDS_WITHIN,
            format!("it ended {:?} after it was told to", self.ended_after),
        );
        for (name, count) in &self.attacks {
            object(*count == 0, format!("nobody tried: {name}"));
        }
        objections
    }
}

/// Does all of it.
pub fn torment(plan: &Plan) -> Result<Report> {
    let place = tempfile::Builder::new().prefix("torment-").tempdir().context("make a directory")?;
    let life = plan.life + Duration::from_secs(60);
    let [leaking, innocent] = [("torment-leaking", Style::Round), ("torment-innocent", Style::Square)]
        .map(|(name, style)| worker(place.path(), name, style, life));
    let (leaking, innocent) = (leaking?, innocent?);
    let mut attackers = Attackers::gather(place.path(), plan.crowd)?;

    let mut agent = Agent::start(place.path(), plan.whole_host)?;
    let until = Instant::now() + plan.life;
    thread::sleep(plan.calm);
    let mut figures = vec![agent.figures()?];
    let silent = attackers.attack(place.path())?;
    while Instant::now() < until {
        thread::sleep(Duration::from_secs(1));
        figures.push(agent.figures()?);
    }
    let ended = agent.end()?;
    let attacks = attackers.end();
    let mut left_behind = ended.left_behind();
    // Of ours: others may come and go meanwhile.
    if fs::read_to_string("/proc/self/mountinfo").context("read our mounts")?.contains("/fuse-torment-") {
        left_behind.push("a mount of ours".to_owned());
    }
    Ok(Report {
        figures,
        attacks,
        leaking: ended.heard.verdicts(leaking.pid()),
        innocent: ended.heard.verdicts(innocent.pid()),
        named_who_is_silent: silent.iter().all(|pid| ended.heard.names_as_silent(*pid)),
        late_beats: ended.heard.late_beats(),
        ended_after: ended.after,
        status: ended.status,
        left_behind,
    })
}

fn worker(place: &Path, name: &str, style: Style, life: Duration) -> Result<Running> {
    let executable = place.join(name);
    fs::copy(program::shipped(PROGRAM)?, &executable).with_context(|| format!("copy {PROGRAM}"))?;
    let mut running = Running::start(&mut program::command(&executable, style, LEAKED_PER_SECOND, life))?;
    running.holding(0)?;
    ensure!(running.is_running()?, "{name} has ended");
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::{Figures, Report};
    use std::time::Duration;

    fn calm() -> Report {
        let figures = |rss_bytes| Figures { rss_bytes, threads: 4, descriptors: 30 };
        Report {
            figures: vec![figures(100), figures(150)],
            attacks: vec![("storm", 3)],
            leaking: vec!["inconclusive".to_owned(), "leak".to_owned()],
            innocent: vec!["healthy".to_owned()],
            late_beats: None,
            named_who_is_silent: true,
            ended_after: Duration::from_secs(1),
            status: Some(0),
            left_behind: Vec::new(),
        }
    }

    #[test]
    fn each_fault_is_an_objection() {
        assert!(calm().objections().is_empty(), "{:?}", calm().objections());
        let grown = Figures { rss_bytes: 201, threads: 4, descriptors: 30 };
        for (report, word) in [
            (Report { figures: vec![calm().figures[0], grown], ..calm() }, "memory grew"),
            (Report { figures: Vec::new(), ..calm() }, "not seen"),
            (Report { leaking: vec!["healthy".to_owned()], ..calm() }, "not named"),
            (Report { innocent: vec!["leak".to_owned()], ..calm() }, "accused"),
            (Report { named_who_is_silent: false, ..calm() }, "not named"),
            (Report { status: None, ..calm() }, "status"),
            (Report { ended_after: Duration::from_secs(6), ..calm() }, "ended 6s after"),
            (Report { attacks: vec![("storm", 0)], ..calm() }, "nobody tried: storm"),
            (Report { left_behind: vec!["a child".to_owned()], ..calm() }, "a child"),
        ] {
            let objections = report.objections();
            assert!(objections.len() == 1 && objections[0].contains(word), "{word}: {objections:?}");
        }
    }
}
