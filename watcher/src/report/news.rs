//! What `watcher run` prints: lines for people, or one JSON object a line (schema `watcher.event/1`).

use super::{json, list, text};
use crate::agent::run::{Health, News};
use crate::explain::words::{bytes, counted, duration};
use crate::process::Target;
use serde::Serialize;
use std::time::SystemTime;

/// For people. Ends in a newline.
pub fn text(news: &News, colour: bool) -> String {
    match news {
        News::Began { targets, denied } => began(targets, *denied),
        News::Came(target) => format!("{}  came: {}\n", clock_time(), described(target)),
        News::Left(target) => format!("{}  left: {}\n", clock_time(), described(target)),
        News::Verdict(diagnosis) => format!("{}\n{}\n", clock_time(), text::diagnosis(diagnosis, colour)),
        News::Health(health) => health_line(health),
    }
}

fn began(targets: &[Target], denied: u64) -> String {
    let table = list::table(&targets.iter().collect::<Vec<_>>(), SystemTime::now());
    let unknown = match denied {
        0 => String::new(),
        n => format!(
            "{} may not be read, so whether they are Go is unknown: run as root to see them.\n",
            counted(usize::try_from(n).unwrap_or(usize::MAX), "process", "processes")
        ),
    };
    format!("{table}{unknown}Watching. What changes is told below; Ctrl-C ends it.\n")
}

fn described(target: &Target) -> String {
    let module = target
        .go
        .as_ref()
        .map(|go| format!(", {} {}", go.version, go.module_path().unwrap_or("without module information")));
    let restarts = match target.lineage.restarts {
        0 => String::new(),
        n => format!(", {}", counted(n as usize, "restart", "restarts")),
    };
    format!("{} (pid {}{}{restarts})", target.name, target.id.pid, module.unwrap_or_default())
}

fn health_line(health: &Health) -> String {
    let share = 100.0 * health.cost.cpu_time.as_secs_f64() / health.uptime.as_secs_f64().max(1.0);
    let memory = health.cost.rss_bytes.map_or_else(String::new, |rss| format!(", {}", bytes(rss as f64)));
    let lost = health.losses.lifecycle_events + health.losses.late_beats + health.losses.unwatched_processes;
    let lost = match lost {
        0 => String::new(),
        _ => format!(
            "; lost: {} starts or ends of processes, {} late beats, {} processes beyond the bound",
            health.losses.lifecycle_events, health.losses.late_beats, health.losses.unwatched_processes
        ),
    };
    format!(
        "{}  {} watched, {} leaking; last sweep {:.1} ms of CPU; watcher itself: {share:.2} % of a core{memory} \
         in {}{lost}\n",
        clock_time(),
        counted(health.watched, "process", "processes"),
        health.leaking,
        health.sweep.cpu.as_secs_f64() * 1000.0,
        duration(health.uptime.as_secs_f64()),
    )
}

fn clock_time() -> String {
    jiff::Zoned::now().strftime("%H:%M:%S").to_string()
}

/// For programs: one object a line, and a line for each process at the begin. Ends in a newline.
///
/// # Errors
/// None that news can cause; what serde reports is passed on.
pub fn json(news: &News) -> serde_json::Result<String> {
    match news {
        News::Began { targets, .. } => {
            targets.iter().map(|target| line("watched", json::target(target))).collect()
        }
        News::Came(target) => line("came", json::target(target)),
        News::Left(target) => line("left", json::target(target)),
        News::Verdict(diagnosis) => json::diagnosis_line(diagnosis),
        News::Health(health) => line("health", serde_json::to_value(HealthObject::of(health))?),
    }
}

fn line(event: &'static str, about: impl Serialize) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<T> {
        schema: &'static str,
        time: String,
        event: &'static str,
        about: T,
    }
    let time = jiff::Timestamp::now().to_string();
    Ok(serde_json::to_string(&Line { schema: "watcher.event/1", time, event, about })? + "\n")
}

#[derive(Serialize)]
struct HealthObject {
    watched: usize,
    leaking: usize,
    sweep_cpu_seconds: f64,
    own_cpu_seconds: f64,
    own_rss_bytes: Option<u64>,
    own_kernel_bytes: Option<u64>,
    uptime_seconds: f64,
    lost_lifecycle_events: u64,
    late_beats: u64,
    unwatched_processes: u64,
}

impl HealthObject {
    fn of(health: &Health) -> Self {
        HealthObject {
            watched: health.watched,
            leaking: health.leaking,
            sweep_cpu_seconds: health.sweep.cpu.as_secs_f64(),
            own_cpu_seconds: health.cost.cpu_time.as_secs_f64(),
            own_rss_bytes: health.cost.rss_bytes,
            own_kernel_bytes: health.cost.kernel_bytes,
            uptime_seconds: health.uptime.as_secs_f64(),
            lost_lifecycle_events: health.losses.lifecycle_events,
            late_beats: health.losses.late_beats,
            unwatched_processes: health.losses.unwatched_processes,
        }
    }
}
