//! Go programs in strange states are read right, or refused with one clear sentence: in namespaces of their own, closed
//! to us, forking, becoming another program, crowded, mostly untouched.

use crate::agent::{self, Outcome, binary};
use crate::answer::{Diagnosis, GoroutineReading, List};
use crate::attached::Attached;
use crate::build::Variant;
use crate::case::Case;
use crate::need::{Need, find_program};
use crate::profiles::view;
use crate::program::{self, Style, public_copy};
use crate::roster::Roster;
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use watcher::config::Selection;
use watcher::discover::{Changes, Discovery};
use watcher::sample::runtime::Runtimes;
use watcher::source::host::Host;
use watcher::source::proc::{ProcRoot, ProcessDir};
use watcher::vocabulary::process::Target;

const PROGRAM: &str = "lodgers";
const CHAPERON: &str = "chaperon";
const GUESTS: u64 = 300;
const LIMIT: Duration = Duration::from_secs(30);
/// The function in which all guests wait.
const WAITING: &str = "main.lodge";
/// Of these is one in what is said of a child that forks, executes and exits while it is looked at.
const WORDS_OF_CHILDREN: [&str; 5] =
    // The last one: it has begun to run a program whose runtime has not set itself up yet.
    [
        "exited",
        "there is no process",
        "another program",
        "still has the memory of the one that started it",
        "was not found",
    ];
/// Whoever has not this is an ordinary user, as far as the memory of others is concerned.
const WITHOUT_PTRACE: [&str; 4] = ["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"];

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    vec![
        Case::new("strange::namespaces_of_its_own", needs, namespaces_of_its_own),
        Case::new("strange::closed_to_us", needs, closed_to_us),
        Case::new("strange::a_system_call_is_refused", needs, a_system_call_is_refused),
        Case::new("strange::forks_while_it_is_read", needs, forks_while_read),
        Case::new("strange::becomes_another_program", needs, becomes_another),
        Case::new("strange::begins_again", needs, begins_again),
        Case::new("strange::two_hundred_thousand_goroutines", needs, crowded),
        Case::new("strange::mappings_grow_while_they_are_listed", needs, growing_mappings),
        Case::new("strange::untouched_memory_stays_untouched", needs, untouched),
    ]
}

/// What these cases build that others do not.
pub fn builds(
    newest: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    [PROGRAM, CHAPERON].into_iter().map(move |program| (program, newest, Variant::STRIPPED))
}

/// A program with guests.
fn lodgers(mut command: Command, guests: u64, more: &[&str]) -> Result<Running> {
    command.args(["-still", "-for=120s"]).arg(format!("-guests={guests}")).args(more);
    let mut running = Running::start(&mut command)?;
    running.holding(guests)?;
    Ok(running)
}

fn shipped() -> Result<Command> {
    Ok(Command::new(program::shipped(PROGRAM)?))
}

/// Fails unless all guests stand in one group.
fn expect_guests(told: &Value, guests: u64) -> Result<()> {
    let groups = told["groups"].as_array().context("goroutines come in groups")?;
    let waits = |group: &Value| {
        let stack = group["stack"].as_array();
        stack.is_some_and(|stack| stack.iter().any(|frame| frame["function"] == WAITING))
    };
    let counts: Vec<_> = groups.iter().filter(|group| waits(group)).map(|group| &group["count"]).collect();
    ensure!(counts == [&Value::from(guests)], "want one group of {guests}, there are {counts:?}");
    ensure!(told["total"] == guests + 1, "want the guests and the host, there are {}", told["total"]);
    Ok(())
}

fn namespaces_of_its_own() -> Result<()> {
    let (_directory, lodgers_copy) = public_copy(&program::shipped(PROGRAM)?, PROGRAM)?;
    let (_another, watcher) = public_copy(&binary()?, "watcher")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    unshare.arg(&lodgers_copy);
    let running = lodgers(unshare, GUESTS, &[])?;
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let children = fs::read_to_string(&children).context("read the children of unshare")?;
    let pid: u32 = children.trim().parse().with_context(|| format!("one child: {children:?}"))?;
    ensure!(agent::list()?.process(pid).is_some(), "it is in the list by our number for it");
    expect_guests(&serde_json::from_str(&view(&["goroutines", "--format", "json"], pid)?)?, GUESTS)?;
    view(&["heap"], pid)?;

    // Those who are root within another namespace are nobody here.
    let pid = pid.to_string();
    let mut stranger = Command::new("setpriv");
    stranger.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "unshare",
        "--user",
        "--map-root-user",
    ]);
    stranger.arg(&watcher).args(["goroutines", "--pid", &pid]);
    agent::finish(&mut stranger, LIMIT)?.expect_refusal(&["may not be read"])
}

/// It lets nobody look in who may not trace everybody.
fn closed_to_us() -> Result<()> {
    let (_directory, watcher) = public_copy(&binary()?, "watcher")?;
    let running = lodgers(shipped()?, GUESTS, &["-private"])?;
    let pid = running.pid().to_string();
    let ask = |arguments: &[&str], seconds| {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(WITHOUT_PTRACE).arg(&watcher).args(arguments).args(["--pid", &pid]);
        agent::finish(&mut setpriv, Duration::from_secs(seconds))
    };
    for command in ["goroutines", "heap"] {
        let refused = ask(&[command], 20)?;
        refused.expect_refusal(&["may not be read: run as root, or give watcher CAP_SYS_PTRACE"])?;
    }
    expect_runtime_unseen(&ask(&["diagnose", "-d", "30s", "--format", "json"], 60)?, "root")?;
    expect_guests(&serde_json::from_str(&view(&["goroutines", "--format", "json"], running.pid())?)?, GUESTS)
}

/// As in a container whose profile forbids it, whatever capabilities it was given.
fn a_system_call_is_refused() -> Result<()> {
    const PROCESS_VM_READV: &str = "310";
    let running = lodgers(shipped()?, GUESTS, &[])?;
    let pid = running.pid().to_string();
    let (chaperon, watcher) = (program::shipped(CHAPERON)?, binary()?);
    let ask = |arguments: &[&str], seconds| {
        let mut refusing = Command::new(&chaperon);
        refusing.arg(PROCESS_VM_READV).arg(&watcher).args(arguments).args(["--pid", &pid]);
        agent::finish(&mut refusing, Duration::from_secs(seconds))
    };
    for command in ["goroutines", "heap"] {
        ask(&[command], 20)?.expect_refusal(&["may not be read although watcher has CAP_SYS_PTRACE"])?;
    }
    expect_runtime_unseen(&ask(&["diagnose", "-d", "30s", "--format", "json"], 60)?, "may not be read")
}

/// What a diagnosis says of a process whose runtime may not be read: that it was not read, and why.
fn expect_runtime_unseen(outcome: &Outcome, why: &str) -> Result<()> {
    if outcome.status == Some(2) && outcome.stdout.is_empty() {
        return outcome.expect_refusal(&["may not be read"]);
    }
    let diagnosis: Diagnosis = outcome.json()?;
    ensure!(diagnosis.findings.is_empty(), "nothing grows in it: {diagnosis:#?}");
    let runtime = diagnosis.unseen.iter().find(|unseen| unseen.what == "goroutines and Go heap");
    ensure!(runtime.is_some_and(|unseen| unseen.why.contains(why)), "want why: {diagnosis:#?}");
    Ok(())
}

/// Its children have its executable, and for a moment its memory.
fn forks_while_read() -> Result<()> {
    let running = lodgers(shipped()?, GUESTS, &["-errands"])?;
    let pid = running.pid();
    let outcome = agent::run(
        &["bench-goroutines", "--pid", &pid.to_string(), "--reads", "200", "--every", "10ms"],
        LIMIT,
    )?;
    ensure!(outcome.status == Some(0), "it could not be read throughout: {outcome:?}");
    let mut readings = 0;
    for line in outcome.stdout.lines() {
        let reading: GoroutineReading = serde_json::from_str(line).context("a reading is JSON")?;
        let guests = reading.groups.iter().filter(|group| group.stack.contains(WAITING));
        let counts: Vec<u64> = guests.map(|group| group.count).collect();
        ensure!(counts == [GUESTS], "reading {readings}: want one group of {GUESTS}: {counts:?}");
        ensure!(reading.unreadable == 0, "reading {readings}: something was not readable: {line}");
        readings += 1;
    }
    ensure!(readings == 200, "only {readings} readings");

    // Whoever is met half way is read, or has exited, or runs its program by now.
    let children = format!("/proc/{pid}/task");
    let until = Instant::now() + Duration::from_secs(8);
    let (mut met, mut read) = (0, 0);
    while Instant::now() < until {
        for child in children_of(&children)? {
            let outcome = agent::run(&["goroutines", "--pid", &child, "--format", "json"], LIMIT)?;
            met += 1;
            match outcome.status {
                Some(0) => {
                    let told: Value = outcome.json()?;
                    let guests = told["total"].as_u64().context("a total")?;
                    ensure!(guests <= 5, "a child has no guests: {told}");
                    read += 1;
                }
                _ => outcome.expect_refusal(&WORDS_OF_CHILDREN)?,
            }
        }
    }
    ensure!(met > 0, "no child was met");
    ensure!(read > 0, "{met} children were met, and none was read");
    say(&format!("forking: 200 readings right; {met} children met, {read} of them read"))?;
    let list: List = agent::list()?;
    ensure!(list.process(pid).is_some(), "the parent is in the list throughout");
    Ok(())
}

/// The pids of the children of all threads in a directory of threads. Threads may leave meanwhile.
fn children_of(tasks: &str) -> Result<Vec<String>> {
    let mut children = Vec::new();
    for task in fs::read_dir(tasks).with_context(|| format!("list {tasks}"))? {
        let listed = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(listed.split_whitespace().map(str::to_owned));
    }
    Ok(children)
}

fn becomes_another() -> Result<()> {
    let sleep = find_program("sleep").context("sleep is there")?;
    let (mut read, mut refused) = (0, 0);
    for round in 0..24_u64 {
        let mut command = shipped()?;
        // From before the command begins to look to long after it has.
        command.args(["-after", &format!("{}ms", 4 + round * 16)]);
        command.arg("-sell").arg(&sleep);
        let running = lodgers(command, 20_000, &["--", "60"])?;
        let name = ["goroutines", "heap"][round as usize % 2];
        let outcome = agent::run(&[name, "--pid", &running.pid().to_string(), "--format", "json"], LIMIT)?;
        if outcome.status == Some(0) {
            let told: Value = outcome.json()?;
            ensure!(told["process"]["name"] == PROGRAM, "what is told is of who was there first: {told}");
            if name == "goroutines" {
                expect_guests(&told, 20_000)?;
            }
            read += 1;
        } else {
            outcome
                .expect_refusal(&["began to run another program while it was read", "is no Go program"])?;
            refused += 1;
        }
    }
    say(&format!("becoming another program: {read} read before, {refused} refused"))?;
    ensure!(refused > 0, "it never became another program meanwhile");
    Ok(())
}

/// It executes itself, as servers do to take new settings: pid and executable stay, all else is another's.
fn begins_again() -> Result<()> {
    let executable = program::shipped(PROGRAM)?;
    let mut command = Command::new(&executable);
    command.args(["-after", "3s", "-sell"]).arg(&executable);
    let (first, second) = (5_000, 1_200);
    let running = lodgers(command, first, &["--", "-still", "-for=60s", &format!("-guests={second}")])?;
    let mut sampled = Sampled::of(running.pid())?;
    let mut counts = Vec::new();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && !counts.last().is_some_and(|count| (second..first).contains(count)) {
        counts.extend(sampled.goroutines());
        thread::sleep(Duration::from_millis(100));
    }
    ensure!(counts.first().is_some_and(|count| *count > first), "want the first ones: {counts:?}");
    ensure!(
        counts.last().is_some_and(|count| (second..second + 10).contains(count)),
        "want others: {counts:?}"
    );
    Ok(())
}

/// A process whose runtime is read beat by beat.
struct Sampled {
    proc: ProcRoot,
    target: Arc<Target>,
    process: ProcessDir,
    runtimes: Runtimes,
}

impl Sampled {
    fn of(pid: u32) -> Result<Sampled> {
        let pid = i32::try_from(pid)?;
        let proc = ProcRoot::host().context("open /proc")?;
        let mut changes = Changes::default();
        let host = Host::read(proc.path());
        Discovery::new(Selection::Pid(pid)).look_at(&proc, &host, pid, &mut changes);
        let target = changes.came.pop().context("it is there")?;
        let process = proc.open(pid).into_seen().context("open its directory")?;
        Ok(Sampled { proc, target, process, runtimes: Runtimes::default() })
    }

    fn goroutines(&mut self) -> Option<u64> {
        self.runtimes.begin_beat(&HashSet::from([self.target.id]));
        self.runtimes.read(self.proc.path(), &self.target, &self.process, true).seen()?.goroutines
    }
}

fn crowded() -> Result<()> {
    const CROWD: u64 = 200_000;
    const MOST_KIBIBYTES: u64 = 256 * 1024;
    let running = lodgers(shipped()?, CROWD, &[])?;
    let file = tempfile::NamedTempFile::new().context("create a file")?;
    let mut watcher = Command::new(binary()?)
        .args(["goroutines", "--format", "json", "--pid", &running.pid().to_string(), "--output"])
        .arg(file.path())
        .stdin(Stdio::null())
        .spawn()
        .context("run watcher")?;
    let (mut peak, until) = (0, Instant::now() + Duration::from_secs(60));
    let status = loop {
        if let Ok(resident) = status_kibibytes(watcher.id(), "VmHWM:") {
            peak = peak.max(resident);
        }
        if let Some(status) = watcher.try_wait().context("ask after watcher")? {
            break status;
        }
        if Instant::now() > until {
            watcher.kill().context("end it")?;
            watcher.wait().context("wait for it")?;
            bail!("it takes over a minute");
        }
        thread::sleep(Duration::from_millis(2));
    };
    ensure!(status.success(), "it failed: {status}");
    let told: Value = serde_json::from_slice(&fs::read(file.path())?).context("read it back")?;
    expect_guests(&told, CROWD)?;
    say(&format!("{CROWD} goroutines: at most {peak} KiB resident, {} ms", told["effort"]["milliseconds"]))?;
    ensure!((1..MOST_KIBIBYTES).contains(&peak), "it took {peak} KiB");
    Ok(())
}

/// The kernel lists a mapping twice that grows while it is listed. Added up, its memory would count twice.
fn growing_mappings() -> Result<()> {
    const LISTS: usize = 400;
    let mut command = program::command(&program::shipped("quarry")?, Style::Square, 2_000.0, LIMIT);
    let running = Running::start(command.arg("-way=vein"))?;
    let process = ProcRoot::host()?.open(i32::try_from(running.pid())?).into_seen().context("it is there")?;
    let overlap = |ranges: &[Range<u64>]| ranges.windows(2).any(|pair| pair[0].end > pair[1].start);
    let raw = format!("/proc/{}/smaps", running.pid());
    let (mut twice, mut most) = (0, 0);
    for number in 0..LISTS {
        let used = process.mapping_use().into_seen().context("its mappings are listed")?;
        for one in &used {
            ensure!(one.resident_bytes <= one.range.end - one.range.start, "list {number}: {one:x?}");
        }
        most = most.max(used.len());
        let used: Vec<_> = used.into_iter().map(|one| one.range).collect();
        ensure!(!overlap(&used), "list {number}: {used:x?}");
        let listed = process.mappings().into_seen().context("its mappings are listed")?;
        let listed: Vec<_> = listed.into_iter().map(|one| one.range).collect();
        ensure!(!overlap(&listed), "list {number}: {listed:x?}");
        twice += usize::from(overlap(&headings(&fs::read_to_string(&raw)?)));
    }
    ensure!(most >= 60, "want its 60 mappings and more, there are {most}");
    say(&format!("growing mappings: in {twice} of {LISTS} lists of the kernel one was there twice"))
}

/// The ranges of addresses in a list of mappings.
fn headings(smaps: &str) -> Vec<Range<u64>> {
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(number(start)?..number(end)?)
    };
    smaps.lines().filter_map(range).collect()
}

/// Programs that speak HTTP and were built by Go 1.26 or newer have 33 MB of variables that are rarely touched.
fn untouched() -> Result<()> {
    const SPARSE_BYTES: u64 = 32 << 20;
    /// What is read of variables that were not touched yet gets a page, and pages need tables.
    const MOST_PAGES: u64 = 64;
    const MOST_KIBIBYTES: u64 = 128;
    let executable = program::shipped("roster")?;
    // Another process of it has its variables at the same place, and may be touched.
    let another = Roster::start(&executable)?;
    let mut attached = Attached::to(another.pid())?;
    let (symbols, _) = attached.runtime.symbols(&attached.file, &attached.memory);
    let variables = symbols.modules().next().context("it has a module")?.noptrbss.clone();
    let is_new = Toolchain::newest().is_some_and(|newest| newest.minor >= 26);
    ensure!(!is_new || variables.end - variables.start > SPARSE_BYTES, "want sparse ones: {variables:x?}");

    let roster = Roster::start(&executable)?;
    let pid = roster.pid();
    thread::sleep(Duration::from_secs(1));
    let measure = || -> Result<[u64; 4]> {
        let status = |name| status_kibibytes(pid, name);
        let pages = touched_pages(pid, variables.clone())?;
        Ok([pages, status("VmRSS:")?, status("RssAnon:")?, status("VmPTE:")?])
    };
    let before = measure()?;
    for _ in 0..3 {
        view(&["goroutines", "--format", "json"], pid)?;
        view(&["heap", "--format", "json"], pid)?;
    }
    let after = measure()?;
    say(&format!("pages of variables; resident, anonymous, tables in KiB: {before:?}, then {after:?}"))?;
    let most = [MOST_PAGES, MOST_KIBIBYTES, MOST_KIBIBYTES, MOST_KIBIBYTES];
    for ((before, after), most) in before.into_iter().zip(after).zip(most) {
        ensure!(after <= before + most, "reading it made it grow from {before} to {after}");
    }
    Ok(())
}

/// Pages that are present, those that hold nothing but zeros included.
fn touched_pages(pid: u32, range: Range<u64>) -> Result<u64> {
    const PAGE_BYTES: u64 = 4096;
    const PRESENT: u8 = 1 << 7;
    let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
    let mut entries = vec![0; usize::try_from((pages.end - pages.start) * 8)?];
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).context("open a pagemap")?;
    pagemap.read_exact_at(&mut entries, pages.start * 8).context("read a pagemap")?;
    Ok(entries.chunks_exact(8).filter(|entry| entry[7] & PRESENT != 0).count() as u64)
}

/// For whoever reads the output of a run.
fn say(what: &str) -> Result<()> {
    writeln!(io::stdout(), "{what}").context("print a line")
}

/// A number of `/proc/PID/status`.
fn status_kibibytes(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a status")?;
    let value =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    value.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} is {value:?}"))
}
