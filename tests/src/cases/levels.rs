//! Limits that are nearly reached, at rest, each beside a process that has room: one agent looks at all of them.

use crate::agent::{self, Outcome};
use crate::answer::{Diagnosis, Finding, Level};
use crate::build::Variant;
use crate::case::Case;
use crate::cgroup::{Cgroup, Controller};
use crate::need::Need;
use crate::program::{self, Style, public_copy};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const LIFE: Duration = Duration::from_secs(240);
const MIB: u64 = 1 << 20;

/// The cases.
pub fn cases() -> Vec<Case> {
    let memory = Need::Cgroup(Controller::Memory);
    let unshare = Need::Program { program: "unshare", package: "util-linux" };
    vec![
        Case::new(
            "levels::what_is_nearly_full_is_told_and_what_has_room_is_not",
            [Need::Go, Need::Root, unshare, Need::Cgroup(Controller::Pids)],
            counted,
        ),
        Case::new("levels::memory_that_nobody_can_take_back", [Need::Go, Need::Root, memory], memory_levels),
        Case::new("levels::what_is_never_touched_reaches_no_limit_of_memory", [Need::Go, memory], untouched),
        Case::new("levels::run_tells_each_step_once", [Need::Go], steps),
    ]
}

/// What these cases build with the toolchain that ships.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    [("wardrobe", toolchain, Variant::STRIPPED)].into_iter()
}

/// One process, and what is to be said of it.
struct Guest {
    what: &'static str,
    program: Running,
    limit: &'static str,
    /// What is to be near; `None` where it has room.
    near: Option<Near>,
}

/// What is to be said of a limit that is nearly reached.
struct Near {
    value: std::ops::RangeInclusive<u64>,
    of: u64,
    /// Part of what is said of those who hold most.
    holder: &'static str,
}

fn near(value: std::ops::RangeInclusive<u64>, of: u64, holder: &'static str) -> Option<Near> {
    Some(Near { value, of, holder })
}

/// A copy of the program under a name of its own, so that one agent finds all of a case and no other's.
struct House {
    name: &'static str,
    _directory: TempDir,
    executable: PathBuf,
}

impl House {
    fn new(name: &'static str) -> Result<House> {
        let (directory, executable) = public_copy(&program::shipped("wardrobe")?, name)?;
        Ok(House { name, _directory: directory, executable })
    }

    /// The command that puts away `count` of a kind, behind `before`.
    fn puts(&self, before: &[&str], kind: &str, count: u64) -> Command {
        self.puts_as(Style::Square, before, kind, count)
    }

    fn puts_as(&self, style: Style, before: &[&str], kind: &str, count: u64) -> Command {
        let mut command = match before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.executable);
                command
            }
            None => Command::new(&self.executable),
        };
        let plain = program::command(Path::new("x"), style, 20.0, LIFE);
        command.args(plain.get_args()).args(["-kind", kind, "-count", &count.to_string()]);
        command
    }

    /// Looks at all of them at once for so long.
    fn diagnosed(&self, seconds: u64) -> Result<(Vec<Diagnosis>, Outcome)> {
        let duration = format!("{seconds}s");
        let arguments = ["diagnose", "--name", self.name, "-d", &duration, "--format", "json"];
        let outcome = agent::run(&arguments, Duration::from_secs(seconds + 60))?;
        let lines = outcome.stdout.lines();
        let all =
            lines.map(|line| serde_json::from_str(line).with_context(|| format!("no diagnosis: {line}")));
        Ok((all.collect::<Result<_>>()?, outcome))
    }

    fn check(&self, mut guests: Vec<Guest>, counts: &[u64], seconds: u64) -> Result<()> {
        for (guest, count) in guests.iter_mut().zip(counts) {
            guest.program.holding(*count).with_context(|| guest.what)?;
        }
        let (said, outcome) = self.diagnosed(seconds)?;
        ensure!(outcome.status == Some(1), "something is nearly full: {outcome:?}");
        for guest in &guests {
            let pid = guest.program.pid();
            let said = said.iter().find(|said| said.process.pid == pid);
            guest.check(said.with_context(|| format!("nothing is said of {}", guest.what))?)?;
        }
        Ok(())
    }
}

impl Guest {
    fn check(&self, said: &Diagnosis) -> Result<()> {
        let what = self.what;
        let level = said.level(self.limit);
        ensure!(said.verdict != "leak", "{what}: nothing grows: {said:#?}");
        let Some(near) = &self.near else {
            let is_near: Vec<&Level> = said.levels.iter().filter(|level| level.near).collect();
            ensure!(is_near.is_empty() && !said.near_limit, "{what}: it has room: {is_near:#?}");
            return Ok(());
        };
        let level = level.with_context(|| format!("{what}: no level of {}: {said:#?}", self.limit))?;
        ensure!(level.near && said.near_limit, "{what}: it is nearly full: {level:#?}");
        ensure!(level.of == near.of && near.value.contains(&level.value), "{what}: {level:#?}");
        let holders: Vec<String> = level
            .held_by
            .iter()
            .map(|it| format!("{} {}", it.what, it.function.as_deref().unwrap_or("")))
            .collect();
        ensure!(holders.iter().any(|it| it.contains(near.holder)), "{what}: held by {holders:?}");
        ensure!(said.headline.contains(" of "), "{what}: the headline says it: {}", said.headline);
        Ok(())
    }
}

fn counted() -> Result<()> {
    let house = House::new("linen")?;
    let nofile = |limit: u64| format!("--nofile={limit}:{limit}");
    let (thousand, plenty) = (nofile(1_000), nofile(15_000));
    let narrow = [
        "unshare",
        "-n",
        "sh",
        "-c",
        "ip link set lo up && echo 20000 20999 > /proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" \"$@\"",
    ];
    let instances: u64 = sysctl("fs/inotify/max_user_instances")?;
    let maps: u64 = sysctl("vm/max_map_count")?;
    let part = |of: u64, percent: u64| of * percent / 100;
    let room = Cgroup::new(Controller::Pids, 100)?;
    let tight = Cgroup::new(Controller::Pids, 100)?;
    let mut guests = Vec::new();
    let mut counts = Vec::new();
    let mut start = |what, mut command: Command, count, limit, near| -> Result<()> {
        let program = Running::start(&mut command).with_context(|| what)?;
        guests.push(Guest { what, program, limit, near });
        counts.push(count);
        Ok(())
    };
    let files = |limit: &str, count| house.puts(&["prlimit", limit], "files", count);
    let hostname = "/etc/hostname";
    start("files", files(&thousand, 950), 950, "RLIMIT_NOFILE", near(950..=970, 1_000, hostname))?;
    start("files with room", files(&thousand, 650), 650, "RLIMIT_NOFILE", None)?;
    start("files far from their bound", files(&plenty, 950), 950, "RLIMIT_NOFILE", None)?;
    let workers = |cgroup: &Cgroup, count| cgroup.run(&house.puts(&[], "workers", count));
    start("threads", workers(&tight, 85), 85, "pids.max", near(85..=99, 100, "main.work"))?;
    start("threads with room", workers(&room, 55), 55, "pids.max", None)?;
    let callers = |count| house.puts(&narrow, "callers", count);
    let range = "net.ipv4.ip_local_port_range";
    start("connections", callers(900), 900, range, near(900..=900, 1_000, "of this process"))?;
    start("connections with room", callers(600), 600, range, None)?;
    // Users of their own, of whom nobody else has anything.
    let as_user =
        |user, count| house.puts(&["setpriv", "--clear-groups", "--reuid", user], "watchers", count);
    let (full, some) = (part(instances, 90), part(instances, 50));
    let by_user = near(full..=full, instances, "of this process");
    if instances <= 4_096 {
        start("watchers", as_user("46113", full), full, "fs.inotify.max_user_instances", by_user)?;
        start("watchers with room", as_user("46114", some), some, "fs.inotify.max_user_instances", None)?;
    }
    if maps <= 200_000 {
        let pages = |count| house.puts(&[], "pages", count);
        let (full, some) = (part(maps, 88), part(maps, 40));
        let anonymous = near(full..=full + 200, maps, "anonymous");
        start("mappings", pages(full), full, "vm.max_map_count", anonymous)?;
        start("mappings with room", pages(some), some, "vm.max_map_count", None)?;
    }
    house.check(guests, &counts, 30)
}

fn memory_levels() -> Result<()> {
    let house = House::new("pantry-shelf")?;
    let [full, cached, bounded] = [200, 200, 260].map(|mib| Cgroup::new(Controller::Memory, mib * MIB));
    let (full, cached, bounded) = (full?, cached?, bounded?);
    let mut guests = Vec::new();
    let mut start = |what, mut command: Command, limit, near| -> Result<()> {
        let program = Running::start(&mut command).with_context(|| what)?;
        guests.push(Guest { what, program, limit, near });
        Ok(())
    };
    let limited = |mib: u64, before: &[&str]| {
        let limit = format!("GOMEMLIMIT={}", mib * MIB);
        [&["env", "GOGC=off", &limit], before].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let kept = full.run(&house.puts(&["env", "GOGC=10"], "boxes", 165));
    start("live heap", kept, "memory.max", near(165 * MIB..=200 * MIB, 200 * MIB, "Go heap"))?;
    // A directory on a disk: files of a tmpfs are memory that nobody can take back.
    let papers = tempfile::Builder::new().tempdir_in("/var/tmp")?;
    let mut reading = house.puts(&[], "papers", 260);
    reading.arg("-place").arg(papers.path());
    start("page cache", cached.run(&reading), "memory.max", None)?;
    let of = |words: Vec<String>, kind, count| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        house.puts(&words, kind, count)
    };
    // All that is allocated is garbage, and the collector waits until its bound.
    start("garbage", bounded.run(&of(limited(240, &[]), "boxes", 30)), "GOMEMLIMIT", None)?;
    let live = of(limited(200, &[]), "boxes", 175);
    start("GOMEMLIMIT", live, "GOMEMLIMIT", near(175 * MIB..=205 * MIB, 200 * MIB, ""))?;
    house.check(guests, &[165, 260, 30, 175], 30)
}

fn untouched() -> Result<()> {
    let house = House::new("portfolio")?;
    let cgroup = Cgroup::new(Controller::Memory, 300 * MIB)?;
    let mut command = cgroup.run(&house.puts_as(Style::Round, &[], "blanks", 1));
    let program = Running::start(&mut command)?;
    thread::sleep(Duration::from_secs(3));
    let (said, _) = agent::diagnose(program.pid(), 45)?;
    let primary: &Finding = said.primary().with_context(|| format!("want a leak: {said:#?}"))?;
    ensure!(primary.kind == "heap", "want heap: {said:#?}");
    // By its bytes it would be full in three minutes.
    let soon = primary.exhausts.as_ref().filter(|it| it.limit == "memory.max" && it.in_seconds < 1_200.0);
    ensure!(soon.is_none(), "none of it is resident: {soon:?}");
    ensure!(!said.near_limit, "there is room: {:#?}", said.levels);
    Ok(())
}

/// Twenty files a second, up to a limit of 420, and no further than 99 % of it.
fn steps() -> Result<()> {
    let house = House::new("chest")?;
    let mut command = house.puts_as(Style::Round, &["prlimit", "--nofile=420:420"], "files", 10);
    command.args(["-most", "395"]);
    let program = Running::start(&mut command)?;
    let arguments = ["run", "--name", house.name, "-d", "45s", "-i", "1s", "--format", "json"];
    let outcome = agent::run(&arguments, Duration::from_secs(90))?;
    ensure!(outcome.status == Some(0), "run failed: {outcome:?}");
    let events = outcome.stdout.lines().filter(|line| line.contains("\"event\":\"level\""));
    let passed = events.map(|line| -> Result<f64> {
        let event: serde_json::Value = serde_json::from_str(line)?;
        let about = &event["about"];
        ensure!(about["pid"] == program.pid() && about["level"]["limit"] == "RLIMIT_NOFILE", "{line}");
        about["passed"].as_f64().with_context(|| format!("no step: {line}"))
    });
    let passed = passed.collect::<Result<Vec<f64>>>()?;
    // Two steps may be passed between two looks.
    let is_rising = passed.is_sorted_by(|one, other| one < other);
    ensure!(is_rising && passed.last() == Some(&0.95), "want each step once: {passed:?}: {}", outcome.stdout);
    Ok(())
}

fn sysctl(name: &str) -> Result<u64> {
    let text =
        fs::read_to_string(Path::new("/proc/sys").join(name)).with_context(|| format!("read {name}"))?;
    text.trim().parse().with_context(|| format!("understand {name}"))
}
