//! What `watcher run` prints: lines for people, or one JSON object a line (schema `watcher.event/1`).

use super::endpoints::Endpoints;
use super::levels::LevelObject;
use super::{fit, json, list, text};
use crate::explain::words::{self, bytes, count, counted, duration};
use crate::news::{Filling, Health, Nearing, News, Suspicion, What};
use crate::vocabulary::health::{LeftOut, Unanswered};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::time::SystemTime;

/// For people. Ends in a newline.
pub fn text(news: &News, layout: text::Layout) -> String {
    let at = clock_time(news.at);
    match &news.what {
        What::Began { targets, denied, left_out } => began(targets, *denied, left_out, news.at),
        What::Came(target) => format!("{at}  came: {}\n", described(target)),
        What::Left { target, at_the_end } => {
            let how = at_the_end.as_ref().map(|how| format!(" {how}"));
            format!("{at}  left{}: {}\n", how.unwrap_or_default(), described(target))
        }
        What::LeftOut(target) => {
            format!("{at}  watched no longer, since others need the place: {}\n", described(target))
        }
        What::Suspected(suspicion) => format!("{at}  {}\n", suspected(suspicion)),
        What::Filling(it) => format!("{at}  filling: {} (pid {}): {}\n", it.name, it.pid, it.text),
        What::Verdict(diagnosis) => format!("{at}\n{}\n", text::diagnosis(diagnosis, layout)),
        What::Level(nearing) => format!("{at}  {}\n", nearing_line(nearing)),
        What::Health(health) => format!("{at}  {}\n", health_line(health)),
    }
}

fn began(targets: &[Target], denied: u64, left_out: &[LeftOut], now: SystemTime) -> String {
    let table = list::table(&targets.iter().collect::<Vec<_>>(), &Endpoints::default(), now);
    let unknown = match denied {
        0 => String::new(),
        n => format!("{}: `watcher doctor` says what would help.\n", words::denied(n)),
    };
    let left_out = words::left_out(left_out).map(|sentence| format!("{sentence}.\n")).unwrap_or_default();
    format!("{table}{unknown}{left_out}Watching. What changes is told below; Ctrl-C ends it.\n")
}

fn described(target: &Target) -> String {
    let module = target.go.as_ref().map(|go| {
        let module = go.module_path().unwrap_or("without module information");
        format!(", {} {}", fit::name(&go.version), fit::name(module))
    });
    let restarts = match target.lineage.restarts {
        0 => String::new(),
        n => format!(", {}", counted(n as usize, "restart", "restarts")),
    };
    format!("{} (pid {}{}{restarts})", target.name, target.id.pid, module.unwrap_or_default())
}

/// One line: what may leak, how that is known, and when it will be decided.
fn suspected(suspicion: &Suspicion) -> String {
    let Suspicion { process, suspected, decided_by } = suspicion;
    let finding = &suspected.finding;
    let evidence = finding
        .evidence
        .first()
        .filter(|_| !suspected.says_why)
        .map(|sentence| format!(". {}", sentence.trim_end_matches('.')));
    let line = finding.culprits.first().map(|culprit| {
        format!(", at {} ({}:{})", culprit.frame.function, culprit.frame.file, culprit.frame.line)
    });
    let decided = decided_by.map(|at| format!("; decided by {}", clock_time(at)));
    format!(
        "suspected: {} (pid {}): {}{}{}{}",
        process.name,
        process.pid,
        finding.headline.trim_end_matches('.'),
        line.unwrap_or_default(),
        evidence.unwrap_or_default(),
        decided.unwrap_or_default()
    )
}

fn nearing_line(nearing: &Nearing) -> String {
    let Nearing { target, level, .. } = nearing;
    let holders: Vec<&str> = level.held_by.iter().map(|holder| holder.phrase.as_str()).collect();
    let held = if holders.is_empty() { String::new() } else { format!(": {}", holders.join("; ")) };
    format!("nearly full: {} (pid {}): {}{held}", target.name, target.id.pid, level.sentence)
}

fn health_line(health: &Health) -> String {
    let share = 100.0 * health.cost.cpu_time.as_secs_f64() / health.uptime.as_secs_f64().max(1.0);
    let memory =
        health.cost.rss_bytes.map_or_else(String::new, |rss| format!(", {} resident", bytes(rss as f64)));
    let losses = [
        (health.losses.lifecycle_events, "start or end of a process", "starts or ends of processes"),
        (health.losses.late_beats, "late beat", "late beats"),
        (health.losses.missed_beats, "beat missed", "beats missed"),
        (health.losses.unwatched_processes, "process beyond the bound", "processes beyond the bound"),
        (
            health.losses.failed_looks,
            "look at a process that failed, for want of descriptors or memory",
            "looks at a process that failed, for want of descriptors or memory",
        ),
    ];
    let losses = losses.into_iter().filter(|(number, ..)| *number > 0);
    let losses: Vec<String> = losses
        .map(|(number, one, many)| counted(usize::try_from(number).unwrap_or(usize::MAX), one, many))
        .collect();
    let lost = if losses.is_empty() { String::new() } else { format!("; lost: {}", losses.join(", ")) };
    let put_off = match health.losses.put_off_processes {
        0 => String::new(),
        many => {
            let many = usize::try_from(many).unwrap_or(usize::MAX);
            format!("; put off to a later scan: {}", counted(many, "process", "processes"))
        }
    };
    let left_out = words::left_out(&health.left_out).map(|said| format!("; {said}")).unwrap_or_default();
    let in_ledgers = match health.in_ledgers {
        0 => String::new(),
        n => format!(", {} of them in the ledgers", count(n as f64)),
    };
    format!(
        "{} watched{in_ledgers}, {} leaking; last sweep {:.1} ms of CPU; watcher itself: {share:.2} % of a core \
         over {}{memory}{lost}{put_off}{left_out}{}",
        counted(health.watched, "process", "processes"),
        health.leaking,
        health.sweep_cpu.as_secs_f64() * 1000.0,
        duration(health.uptime.as_secs_f64()),
        unanswered(health),
    )
}

/// Who could not be read: the first few by name.
fn unanswered(health: &Health) -> String {
    const NAMED: usize = 3;
    let named = health.unanswered.iter().take(NAMED);
    let mut text: String = named.map(|one| format!("; pid {} ({}) {}", one.pid, one.name, one.why)).collect();
    if let Some(more) = health.unanswered.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

pub(super) fn clock_time(at: SystemTime) -> String {
    let zoned = jiff::Timestamp::try_from(at).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|_| "--:--:--".to_owned(), |zoned| zoned.strftime("%H:%M:%S").to_string())
}

/// For programs: one object a line, and a line for each process at the begin. Ends in a newline.
///
/// # Errors
/// None that news can cause; what serde reports is passed on.
pub fn json(news: &News) -> serde_json::Result<String> {
    let at = news.at;
    match &news.what {
        What::Began { targets, .. } => {
            targets.iter().map(|target| line(at, "watched", json::target(target))).collect()
        }
        What::Came(target) => line(at, "came", json::target(target)),
        What::Left { target, at_the_end } => {
            let about = LeftObject { process: json::target(target), at_the_end: at_the_end.as_deref() };
            line(at, "left", about)
        }
        What::LeftOut(target) => line(at, "left_out", json::target(target)),
        What::Suspected(suspicion) => {
            let Suspicion { process, suspected, decided_by } = &**suspicion;
            line(at, "suspected", json::suspicion(process, suspected, *decided_by))
        }
        What::Filling(it) => line(at, "filling", FillingObject::of(it)),
        What::Verdict(diagnosis) => json::diagnosis_line(diagnosis),
        What::Level(nearing) => line(at, "level", NearingObject::of(nearing)),
        What::Health(health) => line(at, "health", HealthObject::of(health)),
    }
}

fn line(at: SystemTime, event: &'static str, about: impl Serialize) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<T> {
        schema: &'static str,
        time: Option<String>,
        event: &'static str,
        about: T,
    }
    let time = jiff::Timestamp::try_from(at).ok().map(|at| at.to_string());
    Ok(serde_json::to_string(&Line { schema: "watcher.event/1", time, event, about })? + "\n")
}

#[derive(Serialize)]
struct LeftObject<'a, T> {
    #[serde(flatten)]
    process: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_the_end: Option<&'a str>,
}

#[derive(Serialize)]
struct FillingObject<'a> {
    pid: i32,
    name: &'a str,
    kind: &'static str,
    level: f64,
    limit: f64,
    rate_per_second: f64,
    seconds_left: f64,
}

impl<'a> FillingObject<'a> {
    fn of(filling: &'a Filling) -> Self {
        FillingObject {
            pid: filling.pid,
            name: &filling.name,
            kind: text::kind_word(filling.kind),
            level: filling.level,
            limit: filling.limit,
            rate_per_second: filling.per_second,
            seconds_left: filling.seconds_left,
        }
    }
}

#[derive(Serialize)]
struct NearingObject<'a> {
    pid: i32,
    start_time: Option<String>,
    name: &'a str,
    passed: f64,
    text: &'a str,
    level: LevelObject<'a>,
}

impl<'a> NearingObject<'a> {
    fn of(nearing: &'a Nearing) -> Self {
        NearingObject {
            pid: nearing.target.id.pid,
            start_time: json::timestamp(nearing.target.started),
            name: &nearing.target.name,
            passed: nearing.passed,
            text: &nearing.level.sentence,
            level: LevelObject::of(&nearing.level),
        }
    }
}

#[derive(Serialize)]
struct HealthObject {
    watched: usize,
    in_ledgers: usize,
    leaking: usize,
    sweep_cpu_seconds: f64,
    own_cpu_seconds: f64,
    own_rss_bytes: Option<u64>,
    own_kernel_bytes: Option<u64>,
    uptime_seconds: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<UnansweredObject>,
    #[serde(skip_serializing_if = "is_none")]
    stuck_readers: usize,
    lost_lifecycle_events: u64,
    late_beats: u64,
    missed_beats: u64,
    failed_looks: u64,
    put_off_processes: u64,
    unwatched_processes: u64,
    /// Those that are not watched now, by user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOutObject>,
}

#[derive(Serialize)]
struct LeftOutObject {
    uid: Option<u32>,
    processes: u64,
}

#[derive(Serialize)]
struct UnansweredObject {
    pid: i32,
    name: String,
    text: String,
}

impl UnansweredObject {
    fn of(unanswered: &Unanswered) -> Self {
        UnansweredObject { pid: unanswered.pid, name: unanswered.name.clone(), text: unanswered.why.clone() }
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

impl HealthObject {
    fn of(health: &Health) -> Self {
        HealthObject {
            watched: health.watched,
            in_ledgers: health.in_ledgers,
            leaking: health.leaking,
            sweep_cpu_seconds: health.sweep_cpu.as_secs_f64(),
            own_cpu_seconds: health.cost.cpu_time.as_secs_f64(),
            own_rss_bytes: health.cost.rss_bytes,
            own_kernel_bytes: health.cost.kernel_bytes,
            uptime_seconds: health.uptime.as_secs_f64(),
            unanswered: health.unanswered.iter().map(UnansweredObject::of).collect(),
            stuck_readers: health.stuck_readers,
            lost_lifecycle_events: health.losses.lifecycle_events,
            late_beats: health.losses.late_beats,
            missed_beats: health.losses.missed_beats,
            failed_looks: health.losses.failed_looks,
            put_off_processes: health.losses.put_off_processes,
            unwatched_processes: health.losses.unwatched_processes,
            left_out: health
                .left_out
                .iter()
                .map(|LeftOut { uid, processes }| LeftOutObject { uid: *uid, processes: *processes })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{json, text};
    use crate::explain::tests::{diagnosed, target};
    use crate::judge::simulation::window;
    use crate::news::{Health, Nearing, News, What};
    use crate::vocabulary::health::{Losses, OwnCost};
    use expect_test::expect;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    fn news(what: What) -> News {
        News { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000), what }
    }

    fn health() -> What {
        What::Health(Health {
            watched: 12,
            in_ledgers: 3,
            leaking: 1,
            sweep_cpu: Duration::from_micros(4200),
            losses: Losses { late_beats: 2, ..Losses::default() },
            left_out: Vec::new(),
            cost: OwnCost {
                cpu_time: Duration::from_millis(900),
                rss_bytes: Some(20 << 20),
                kernel_bytes: Some(300_000),
            },
            uptime: Duration::from_secs(600),
            unanswered: Vec::new(),
            stuck_readers: 0,
        })
    }

    fn nearing() -> What {
        let diagnosis = diagnosed(&window(|_, beat| beat.files = 60_000));
        let level = diagnosis.levels.into_iter().next().expect("it has a limit");
        What::Level(Box::new(Nearing { target: target(), level, passed: 0.9 }))
    }

    #[test]
    fn people_read_lines() {
        let told = [
            nearing(),
            What::Came(Arc::new(target())),
            What::Left { target: Arc::new(target()), at_the_end: None },
            health(),
        ];
        // The clock is that of whoever reads: its hour differs between machines.
        let lines: String = told.map(|what| text(&news(what), text::Layout::PLAIN).split_off(10)).concat();
        expect![[r#"
              nearly full: poller (pid 812): 60,004 of 65,536 descriptors are open, 92 %: 60,000 of type file
              came: poller (pid 812, go1.26.6 example.com/poller)
              left: poller (pid 812, go1.26.6 example.com/poller)
              12 processes watched, 3 of them in the ledgers, 1 leaking; last sweep 4.2 ms of CPU; watcher itself: 0.15 % of a core over 10 min, 20 MiB resident; lost: 2 late beats
        "#]].assert_eq(&lines);
    }

    #[test]
    fn programs_read_objects() {
        let begun = What::Began { targets: vec![target()], denied: 3, left_out: Vec::new() };
        let lines = [begun, nearing(), health()].map(|what| json(&news(what)).expect("serializes")).concat();
        expect![[r#"
            {"schema":"watcher.event/1","time":"2026-09-21T14:13:20Z","event":"watched","about":{"pid":812,"start_time":"2026-09-21T11:26:40Z","name":"poller","exe":"/usr/bin/poller","exe_deleted":false,"uid":1000,"go_version":"go1.26.6","module":"example.com/poller","module_version":"v1.4.0","package":null,"container":null,"container_runtime":null,"restarts":0}}
            {"schema":"watcher.event/1","time":"2026-09-21T14:13:20Z","event":"level","about":{"pid":812,"start_time":"2026-09-21T11:26:40Z","name":"poller","passed":0.9,"text":"60,004 of 65,536 descriptors are open, 92 %","level":{"limit":"RLIMIT_NOFILE","unit":"fds","value":60004,"of":65536,"share":0.916,"own":null,"near":true,"held_by":[{"what":"of type file","function":null,"file":null,"line":null,"count":60000,"share":1.0}]}}}
            {"schema":"watcher.event/1","time":"2026-09-21T14:13:20Z","event":"health","about":{"watched":12,"in_ledgers":3,"leaking":1,"sweep_cpu_seconds":0.0042,"own_cpu_seconds":0.9,"own_rss_bytes":20971520,"own_kernel_bytes":300000,"uptime_seconds":600.0,"lost_lifecycle_events":0,"late_beats":2,"missed_beats":0,"failed_looks":0,"put_off_processes":0,"unwatched_processes":0}}
        "#]].assert_eq(&lines);
    }
}
