//! What `watcher run` prints for people: of all that happens, what somebody who reads along wants to know.
//!
//! A program is named once it has been there for a while, or where somebody asked for it: a machine that compiles starts
//! hundreds that nobody wants to read of. What is not seen of any process is said with the first, a healthy process has
//! one line, and at the end stands what became of all.

use super::{news, text};
use crate::explain::Verdict;
use crate::explain::diagnosis::{Diagnosis, Unseen};
use crate::explain::words::{count, counted, duration};
use crate::news::{News, What};
use crate::vocabulary::process::{ProcessId, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A program that has been there for so long is worth a line. Twelve samples make a first verdict.
const WORTH_A_LINE: Duration = Duration::from_secs(120);
/// Programs that came and are not named yet; of more, the oldest are named.
const MAX_HELD: usize = 1024;

/// Makes lines of news, and remembers what it has said.
#[derive(Debug)]
pub struct Teller {
    layout: text::Layout,
    /// Somebody asked for single processes: each is named at once.
    names_all: bool,
    began: Option<SystemTime>,
    /// Those that came and are not named yet.
    held: BTreeMap<(SystemTime, ProcessId), Arc<Target>>,
    /// Those that left before they were named.
    short_lived: u64,
    /// What of the host's was said already.
    told: BTreeSet<(String, String)>,
    /// Who is watched now.
    watched: BTreeSet<ProcessId>,
    /// The last verdict on each, in its own words.
    verdicts: BTreeMap<i32, (Verdict, String)>,
}

impl Teller {
    /// Begins. With `names_all` every program is named as it comes and leaves.
    pub fn new(layout: text::Layout, names_all: bool) -> Teller {
        Teller {
            layout,
            names_all,
            began: None,
            held: BTreeMap::new(),
            short_lived: 0,
            told: BTreeSet::new(),
            watched: BTreeSet::new(),
            verdicts: BTreeMap::new(),
        }
    }

    /// The lines for one piece of news; empty where nobody has to read of it.
    pub fn hear(&mut self, news: &News) -> String {
        self.began.get_or_insert(news.at);
        self.note_who_is_watched(&news.what);
        match &news.what {
            What::Came(target) if !self.names_all => {
                self.held.insert((news.at, target.id), Arc::clone(target));
                self.name_old_ones(news.at)
            }
            What::Left { target, at_the_end: None } if self.forget_held(target.id) => {
                self.short_lived += 1;
                String::new()
            }
            What::LeftOut(target) if self.forget_held(target.id) => String::new(),
            What::LeftOut(target) => {
                let named = self.name(|(_, id)| id.pid == target.id.pid);
                self.verdicts.remove(&target.id.pid);
                named + &news::text(news, self.layout)
            }
            What::Left { target, .. } => {
                let named = self.name(|(_, id)| id.pid == target.id.pid);
                self.verdicts.remove(&target.id.pid);
                named + &news::text(news, self.layout)
            }
            What::Verdict(diagnosis) => {
                let named = self.name(|(_, id)| id.pid == diagnosis.process.pid);
                named + &self.verdict(news, diagnosis)
            }
            What::Suspected(suspicion) => {
                let named = self.name(|(_, id)| id.pid == suspicion.process.pid);
                named + &news::text(news, self.layout)
            }
            What::Filling(filling) => {
                let named = self.name(|(_, id)| id.pid == filling.pid);
                named + &news::text(news, self.layout)
            }
            What::Level(nearing) => {
                let named = self.name(|(_, id)| id.pid == nearing.target.id.pid);
                named + &news::text(news, self.layout)
            }
            What::Health(_) => {
                let named = self.name_old_ones(news.at);
                let mut line = news::text(news, self.layout);
                if self.short_lived > 0 {
                    let so_far = short_lived(self.short_lived);
                    line.insert_str(line.trim_end().len(), &format!("; {so_far} so far"));
                }
                named + &line
            }
            What::Began { .. } | What::Came(_) => news::text(news, self.layout),
        }
    }

    /// What became of all, at the end.
    pub fn summary(&self, now: SystemTime) -> String {
        let seconds = self.began.and_then(|began| now.duration_since(began).ok()).unwrap_or_default();
        let of = |wanted| self.verdicts.values().filter(|(verdict, _)| *verdict == wanted).count();
        let mut text = format!(
            "Watched for {}: {} leaking, {} healthy, {} undecided",
            duration(seconds.as_secs_f64()),
            of(Verdict::Leak),
            of(Verdict::Healthy),
            of(Verdict::Inconclusive),
        );
        let judged = |id: &&ProcessId| self.verdicts.contains_key(&id.pid);
        let unjudged = self.watched.len() - self.watched.iter().filter(judged).count();
        if unjudged > 0 {
            _ = write!(text, ", {} not judged yet", count(unjudged as f64));
        }
        if self.short_lived > 0 {
            _ = write!(text, "; {}", short_lived(self.short_lived));
        }
        text += ".\n";
        for (_, line) in self.verdicts.values().filter(|(verdict, _)| *verdict == Verdict::Leak) {
            _ = writeln!(text, "  {line}");
        }
        text
    }

    fn note_who_is_watched(&mut self, what: &What) {
        match what {
            What::Began { targets, .. } => self.watched.extend(targets.iter().map(|target| target.id)),
            What::Came(target) => _ = self.watched.insert(target.id),
            What::Left { target, .. } | What::LeftOut(target) => _ = self.watched.remove(&target.id),
            What::Verdict(_) | What::Suspected(_) | What::Filling(_) | What::Level(_) | What::Health(_) => {}
        }
    }

    fn verdict(&mut self, news: &News, diagnosis: &Diagnosis) -> String {
        let line = text::one_line(diagnosis);
        self.verdicts.insert(diagnosis.process.pid, (diagnosis.verdict, line.clone()));
        if diagnosis.verdict == Verdict::Leak {
            let mut shown = diagnosis.clone();
            shown.unseen.retain(|one| !one.is_of_host || self.is_new(one));
            let news = News { at: news.at, what: What::Verdict(Box::new(shown)) };
            return news::text(&news, self.layout);
        }
        let mut text = format!("{}  {line}\n", news::clock_time(news.at));
        for one in diagnosis.unseen.iter().filter(|one| one.is_of_host) {
            if self.is_new(one) {
                _ = writeln!(text, "          not seen of any process: {}: {}", one.what, one.why);
            }
        }
        text
    }

    fn is_new(&mut self, one: &Unseen) -> bool {
        self.told.insert((one.what.clone(), one.why.clone()))
    }

    fn forget_held(&mut self, id: ProcessId) -> bool {
        let before = self.held.len();
        self.held.retain(|(_, held), _| *held != id);
        self.held.len() < before
    }

    fn name_old_ones(&mut self, now: SystemTime) -> String {
        let is_old = |came: SystemTime| now.duration_since(came).is_ok_and(|age| age >= WORTH_A_LINE);
        let beyond = self.held.len().saturating_sub(MAX_HELD);
        let mut oldest = beyond;
        self.name(|(came, _)| {
            let is_beyond = oldest > 0;
            oldest = oldest.saturating_sub(1);
            is_beyond || is_old(*came)
        })
    }

    /// Names those that came and were held back so far.
    fn name(&mut self, mut which: impl FnMut(&(SystemTime, ProcessId)) -> bool) -> String {
        let keys: Vec<_> = self.held.keys().copied().filter(|key| which(key)).collect();
        let mut text = String::new();
        for key in keys {
            if let Some(target) = self.held.remove(&key) {
                text += &news::text(&News { at: key.0, what: What::Came(target) }, self.layout);
            }
        }
        text
    }
}

fn short_lived(number: u64) -> String {
    match number {
        1 => "1 program came and left soon".to_owned(),
        _ => format!("{} programs came and left soon", count(number as f64)),
    }
}

/// Verdicts on several processes: a table, the worst first, then a page for each that is not healthy, then what was
/// seen of none of them. For a single one, its page.
pub fn overview(diagnoses: &[Diagnosis], layout: text::Layout) -> String {
    if let [only] = diagnoses {
        return text::diagnosis(only, layout);
    }
    let rank = |verdict| match verdict {
        Verdict::Leak => 0,
        Verdict::Inconclusive => 1,
        Verdict::Healthy => 2,
    };
    let mut sorted: Vec<&Diagnosis> = diagnoses.iter().collect();
    sorted.sort_by_key(|diagnosis| (rank(diagnosis.verdict), diagnosis.process.pid));
    let mut output = String::new();
    for diagnosis in &sorted {
        output += &text::fitted(&text::one_line(diagnosis), layout);
    }
    let mut of_host: Vec<&Unseen> = Vec::new();
    for one in diagnoses.iter().flat_map(|diagnosis| &diagnosis.unseen) {
        if one.is_of_host && !of_host.contains(&one) {
            of_host.push(one);
        }
    }
    for diagnosis in sorted.iter().filter(|diagnosis| diagnosis.verdict != Verdict::Healthy) {
        let mut shown = (*diagnosis).clone();
        shown.unseen.retain(|one| !one.is_of_host);
        output.push('\n');
        output += &text::diagnosis(&shown, layout);
    }
    if !of_host.is_empty() {
        let seen = counted(diagnoses.len(), "process", "processes");
        _ = write!(output, "\nNot seen of any of the {seen}:\n");
        for one in of_host {
            output += &text::fitted(&format!("  {}: {}", one.what, one.why), layout);
        }
    }
    output
}

#[cfg(test)]
mod tests;
