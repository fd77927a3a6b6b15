//! What an unprivileged user does to the agent, as often as he can.

use crate::agent::run;
use crate::fake_go::{self, ATTACKER};
use crate::fuse::{Answers, Hanging};
use crate::program;
use crate::running::Running;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Names that a terminal would obey, and the longest that a file may have.
const ODD: &str = "torment-\u{1b}[2J\u{202e}\u{200b}\u{e0041}\n";
/// Executables whose build information lists as many dependencies as have room in it.
const BOMBS: usize = 12;
const DEPENDENCIES: usize = 131_000;
/// Executables that are nothing but begins of build information.
const FALSE_BEGINS: usize = 4;
const FALSE_BEGIN_BYTES: usize = 1 << 20;
/// Processes that listen where nobody ever answers, and at how many ports each.
const MUTE: usize = 4;
const MUTE_PORTS: usize = 300;
/// Another user, who has few processes: they are watched however many the attacker has.
const ACCOMPLICE: u32 = ATTACKER + 1;
const GUESTS: u64 = 2000;
/// So long after it came, a process's runtime is attached to, also where there are many.
const ATTACHED_WITHIN: Duration = Duration::from_secs(15);
/// Lists are asked for so often, and have so long to come.
const BETWEEN_LISTS: Duration = Duration::from_secs(60);
const LONGEST_LIST: Duration = Duration::from_secs(60);
/// Answers of endpoints, and what comes behind them.
const LIES: [(&str, &[u8], &str); 4] = [
    ("announces for ever", b"HTTP/1.1 100 Continue\r\n\r\n", "again"),
    ("is silent", b"", "wait"),
    ("has no end", b"HTTP/1.1 200 OK\r\n\r\n0123456789abcdef", "again"),
    ("is no profile", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00", "close"),
];

/// All of them, and what they have done so far.
pub(super) struct Attackers {
    /// Let go before those that wait for it are ended.
    hanging: Vec<Hanging>,
    running: Vec<Running>,
    busy: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    counts: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Attackers {
    /// The crowd, which is there from the start.
    pub(super) fn gather(place: &Path, crowd: usize) -> Result<Attackers> {
        let executable = fake_go::executable(place, "torment-crowd", "example.com/crowd")?;
        let running = (0..crowd).map(|_| fake_go::start(&executable)).collect::<Result<_>>()?;
        let count = Arc::new(AtomicU64::new(crowd as u64));
        let counts = vec![("processes that pretend to be Go", count)];
        Ok(Attackers { hanging: Vec::new(), running, busy: Vec::new(), is_over: Arc::default(), counts })
    }

    /// Everything else at once; gives the pids of those of which something does not answer.
    pub(super) fn attack(&mut self, place: &Path) -> Result<Vec<u32>> {
        let covered = self.cover(place)?;
        self.bombs(place)?;
        self.lies(place)?;
        self.mute(place)?;
        self.storm(place)?;
        self.garble(place)?;
        let hanging = self.hang()?;
        self.ask();
        Ok(vec![covered, hanging])
    }

    /// Ends them, and tells how often each attack was carried out.
    pub(super) fn end(mut self) -> Vec<(&'static str, u64)> {
        self.is_over.store(true, Ordering::Relaxed);
        for busy in self.busy.drain(..) {
            // One that panicked has done nothing, which its count tells.
            let _ = busy.join();
        }
        self.hanging.clear();
        self.running.clear();
        self.counts.drain(..).map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
    }

    fn count(&mut self, name: &'static str, number: u64) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(number));
        self.counts.push((name, Arc::clone(&count)));
        count
    }

    /// Build information that is large, or never comes to an end.
    fn bombs(&mut self, place: &Path) -> Result<()> {
        let dependencies: String = (0..DEPENDENCIES).map(|_| "dep\ta\tb\n").collect();
        for number in 0..BOMBS {
            let name = format!("torment-bomb-{number}");
            let lines =
                format!("path\texample.com/{}\nmod\tm\tv{number}\t\n{dependencies}", "x".repeat(5000));
            self.running.push(fake_go::start(&fake_go::with_build_information(place, name, &lines)?)?);
        }
        for number in 0..FALSE_BEGINS {
            let name = format!("torment-begins-{number}");
            let bytes = FALSE_BEGIN_BYTES + number * 64;
            self.running.push(fake_go::start(&fake_go::with_false_begins(place, name, bytes)?)?);
        }
        self.count("build information without measure", (BOMBS + FALSE_BEGINS) as u64);
        Ok(())
    }

    /// Endpoints that answer all kinds of things.
    fn lies(&mut self, place: &Path) -> Result<()> {
        let executable = place.join("torment-endpoint");
        fs::copy(program::shipped("doorman")?, &executable).context("copy doorman")?;
        for (number, (_, words, ending)) in LIES.iter().enumerate() {
            let file = place.join(format!("words-{number}"));
            fs::write(&file, words).context("write an answer")?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).context("let everybody read it")?;
            let mut command = Command::new(&executable);
            command.args(["-for=3600s", "-room=false", "-ending", ending, "-words"]).arg(file);
            self.running.push(Running::start(command.uid(ATTACKER).gid(ATTACKER))?);
        }
        self.count("endpoints that lie", LIES.len() as u64);
        Ok(())
    }

    /// Endpoints that would be there, behind hundreds of ports that never answer.
    fn mute(&mut self, place: &Path) -> Result<()> {
        let executable = place.join("torment-mute");
        fs::copy(program::shipped("doorman")?, &executable).context("copy doorman")?;
        for _ in 0..MUTE {
            let mut command = Command::new(&executable);
            command.arg("-for=3600s").arg(format!("-silent={MUTE_PORTS}")).arg("-words").arg("/dev/null");
            let mut running = Running::start(command.uid(ATTACKER).gid(ATTACKER))?;
            running.address()?;
            self.running.push(running);
        }
        self.count("ports that never answer", (MUTE * MUTE_PORTS) as u64);
        Ok(())
    }

    /// Somebody else asks as well, and gets an answer: a list looks at every process and every port.
    fn ask(&mut self) {
        let is_over = Arc::clone(&self.is_over);
        self.repeat("lists that came in time", Duration::ZERO, move |_| {
            let list = run(&["list", "--format", "json"], LONGEST_LIST);
            let mut left = BETWEEN_LISTS;
            while !left.is_zero() && !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                left = left.saturating_sub(Duration::from_millis(100));
            }
            list.is_ok_and(|list| list.status == Some(0))
        });
    }

    /// A Go program that maps a file over what its runtime keeps of its goroutines, and the file stops to answer.
    fn cover(&mut self, place: &Path) -> Result<u32> {
        let executable = place.join("torment-curtain");
        fs::copy(program::shipped("curtain")?, &executable).context("copy curtain")?;
        let cloth = Hanging::mount("torment-cloth", vec![0; 8192])?;
        cloth.answer(Answers::NotReads);
        let mut command = Command::new(&executable);
        command.args(["-still", "-for=3600s", "-cloth"]).arg(cloth.file()).arg(format!("-guests={GUESTS}"));
        let mut running = Running::start(command.uid(ACCOMPLICE).gid(ACCOMPLICE))?;
        running.holding(GUESTS)?;
        let pid = running.pid();
        thread::sleep(ATTACHED_WITHIN);
        kill(Pid::from_raw(pid.try_into().context("a pid fits")?), Signal::SIGUSR1)
            .context("draw the curtain")?;
        running.holding(GUESTS + 1)?;
        self.running.push(running);
        self.hanging.push(cloth);
        self.count("pages over memory that do not answer", 1);
        Ok(pid)
    }

    /// Processes that come and go, with names that change what is on a screen.
    fn storm(&mut self, place: &Path) -> Result<()> {
        let executable = fake_go::executable(place, ODD, &"example.com/y".repeat(1000))?;
        self.repeat("processes that come and go", Duration::from_millis(20), move |_| {
            let one = fake_go::start(&executable);
            thread::sleep(Duration::from_millis(5));
            one.is_ok()
        });
        let script = "while sleep 0.05; do printf '\\033[31m\\n\\342\\200\\256' > /proc/self/comm; done";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).uid(ATTACKER).gid(ATTACKER);
        self.running.push(Running::start(&mut shell)?);
        self.count("names that change all the time", 1);
        Ok(())
    }

    /// Go programs whose memory changes under whoever reads it. They are stopped, so that they live on.
    fn garble(&mut self, place: &Path) -> Result<()> {
        let executable = place.join("torment-garbled");
        fs::copy(program::shipped("lodgers")?, &executable).context("copy lodgers")?;
        let mut command = Command::new(&executable);
        command.args(["-still", "-for=3600s", "-guests=300"]);
        let mut running = Running::start(command.uid(ATTACKER).gid(ATTACKER))?;
        running.holding(300)?;
        let pid = Pid::from_raw(running.pid().try_into().context("a pid fits")?);
        kill(pid, Signal::SIGSTOP).context("stop it")?;
        let memory =
            File::options().write(true).open(format!("/proc/{pid}/mem")).context("open its memory")?;
        let ranges = writable(running.pid())?;
        self.running.push(running);
        self.repeat("words of a runtime that are overwritten", Duration::from_micros(200), move |round| {
            let random = scrambled(round);
            let Some((from, to)) = ranges.get(random as usize % ranges.len().max(1)) else { return false };
            let address = from + scrambled(random) % (to - from).max(8) / 8 * 8;
            // A small number, one that could be an address there, or anything.
            let word = match random % 3 {
                0 => random >> 50,
                1 => from + random % (to - from).max(1),
                _ => random,
            };
            memory.write_all_at(&word.to_le_bytes(), address).is_ok()
        });
        Ok(())
    }

    /// A Go program whose executable lies on a file system that stops to answer.
    fn hang(&mut self) -> Result<u32> {
        let content = fs::read(program::shipped("lodgers")?).context("read lodgers")?;
        let hanging = Hanging::mount("torment-hangs", content)?;
        let mut command = Command::new(hanging.file());
        command.args(["-still", "-for=3600s", "-guests=300"]);
        let mut running = Running::start(command.uid(ATTACKER).gid(ATTACKER))?;
        running.holding(300)?;
        hanging.answer(Answers::None);
        let pid = running.pid();
        self.running.push(running);
        self.hanging.push(hanging);
        self.count("executables that do not answer", 1);
        Ok(pid)
    }

    /// Does this over and over until all is over, and counts how often it went well.
    fn repeat(
        &mut self,
        name: &'static str,
        pause: Duration,
        mut once: impl FnMut(u64) -> bool + Send + 'static,
    ) {
        let (count, is_over) = (self.count(name, 0), Arc::clone(&self.is_over));
        self.busy.push(thread::spawn(move || {
            let mut round = 0;
            while !is_over.load(Ordering::Relaxed) {
                round += 1;
                count.fetch_add(u64::from(once(round)), Ordering::Relaxed);
                thread::sleep(pause);
            }
        }));
    }
}

/// Where a process may write and has something: its data and the begins of its heap.
fn writable(pid: u32) -> Result<Vec<(u64, u64)>> {
    const MOST_BYTES: u64 = 1 << 20;
    let maps = File::open(format!("/proc/{pid}/maps")).context("open its mappings")?;
    let mut ranges = Vec::new();
    for line in BufReader::new(maps).lines() {
        let line = line.context("read its mappings")?;
        let Some((range, rest)) = line.split_once(' ') else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        if rest.starts_with("rw") {
            ranges.push((from, to.min(from + MOST_BYTES)));
        }
    }
    Ok(ranges)
}

/// The same for the same seed, and without a pattern (splitmix64).
fn scrambled(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
