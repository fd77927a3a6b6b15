//! Descriptors of all kinds that come and go without pause, on both ways that see them without trampolines: at each of
//! many looks the ledger equals the table, and what stays has the stack that the program itself put down.

use crate::attached::Attached;
use crate::build::Variant;
use crate::case::Case;
use crate::descriptor_ledger::{Differences, Watch};
use crate::need::Need;
use crate::program;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use watcher::observed::ledger::Route;
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds, go_view};

const TURNOVER: &str = "turnover";
/// How long it goes on, unless the variable says otherwise.
const SECONDS: u64 = 15;
const VARIABLE: &str = "WATCHER_TESTS_TURNOVER_SECONDS";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    vec![
        Case::new("turnover::every_look_is_right_by_allocations", needs, || {
            every_look_is_right(&["file_installed"], Route::Allocations)
        }),
        Case::new("turnover::every_look_is_right_by_calls", needs, || {
            every_look_is_right(&["file_installed", "file_allocated"], Route::SystemCalls)
        }),
    ]
}

/// The Go programs of these cases.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    Toolchain::newest().into_iter().map(|toolchain| (TURNOVER, toolchain, Variant::STRIPPED))
}

fn every_look_is_right(refused: &[&str], expected: Route) -> Result<()> {
    let seconds = match env::var(VARIABLE) {
        Ok(seconds) => seconds.parse().with_context(|| format!("{VARIABLE} is {seconds:?}"))?,
        Err(_) => SECONDS,
    };
    let mut turnover = Turnover::start()?;
    let mut watch = Watch::with(Kernel::load(), turnover.pid()?, refused).map_err(|refused| refused.1)?;
    let Attached { file, memory, mut runtime } = Attached::to(turnover.child.id())?;
    let view = runtime.kernel_view(&file, &memory).context("find the goroutines")?;
    watch.ledgers.watch(watch.id, Some(go_view(&view)), Kinds::from([Kind::Descriptors]))?;
    let route = watch.route()?;
    ensure!(route == expected, "descriptors are seen by {route:?}, not {expected:?}");
    let began = Instant::now();
    let (mut looks, mut corrected, mut compared) = (0, 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        turnover.say("go")?;
        thread::sleep(PAUSE);
        let kept = turnover.hold()?;
        let differences = watch.differences()?;
        if route == Route::Allocations {
            ensure!(differences == Differences::default(), "at look {looks}: {differences:?}");
        } else {
            // What no return of a system call tells of, and what two threads do to one number at once.
            corrected += differences.stale.len() + differences.missed.len();
            watch.put_right(&differences)?;
            let left = watch.differences()?;
            ensure!(left == Differences::default(), "at look {looks}, after a comparison: {left:?}");
        }
        compared = right_stacks(&watch, &kept, &differences)?;
        looks += 1;
    }
    let raw = watch.raw()?;
    let created: u64 = raw.sites.values().map(|site| site.created).sum();
    ensure!(raw.tally.lost == 0, "{} found no room", raw.tally.lost);
    ensure!(created > 1000 * seconds, "only {created} were opened in {seconds} s: the test proves nothing");
    ensure!(compared > 200, "only {compared} were kept: the test proves nothing");
    // Far fewer than there were chances.
    ensure!((corrected as u64) < created / 100, "{corrected} of {created} were put right in {looks} looks");
    Ok(())
}

/// Each that is kept has the stack of who opened its file, or on the way of system calls of who copied it. Returns how
/// many were compared.
fn right_stacks(watch: &Watch, kept: &BTreeMap<i32, Kept>, unsure: &Differences) -> Result<usize> {
    let raw = watch.raw()?;
    let by_number: BTreeMap<i32, _> = raw.things.iter().map(|thing| (thing.fd, thing)).collect();
    let mut compared = 0;
    for (fd, kept) in kept {
        let Some(thing) = by_number.get(fd) else {
            ensure!(raw.route == Route::SystemCalls, "{fd} is kept and not in the ledger");
            continue;
        };
        if unsure.stale.contains(fd) || unsure.missed.contains(fd) {
            continue;
        }
        let stack = thing.origin.stack.and_then(|stack| raw.sites.get(&stack));
        let walked = &stack.with_context(|| format!("{fd} is without stack"))?.stack.walked;
        let wanted = match raw.route {
            Route::SystemCalls if !kept.copied.is_empty() => &kept.copied,
            _ => &kept.made,
        };
        ensure!(walked.ends_with(wanted), "{fd} was opened at {wanted:x?}, and the ledger has {walked:x?}");
        compared += 1;
    }
    Ok(compared)
}

/// What the program keeps, and who opened it by its own account: return addresses, innermost first.
struct Kept {
    made: Vec<u64>,
    copied: Vec<u64>,
}

/// The running program, which rests; dropping it ends it.
struct Turnover {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Turnover {
    fn start() -> Result<Turnover> {
        let mut command = Command::new(program::shipped(TURNOVER)?);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start the turnover")?;
        let input = child.stdin.take().context("standard input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut turnover = Turnover { child, input, output };
        let line = turnover.line()?;
        ensure!(line == "ready", "it said {line:?}");
        Ok(turnover)
    }

    fn pid(&self) -> Result<i32> {
        self.child.id().try_into().context("a pid")
    }

    fn say(&mut self, word: &str) -> Result<()> {
        writeln!(self.input, "{word}").context("tell the turnover")
    }

    /// Has it rest and gives what it keeps, by number.
    fn hold(&mut self) -> Result<BTreeMap<i32, Kept>> {
        self.say("hold")?;
        let mut all = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line == "held" {
                return Ok(all);
            }
            let words: Vec<&str> = line.split(' ').collect();
            let [fd, made, copied] = *words.as_slice() else { anyhow::bail!("it said {line:?}") };
            all.insert(fd.parse()?, Kept { made: addresses(made)?, copied: addresses(copied)? });
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("read what the turnover says")?;
        ensure!(!line.is_empty(), "the turnover ended too early");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Turnover {
    fn drop(&mut self) {
        // Both fail only where it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn addresses(words: &str) -> Result<Vec<u64>> {
    let words = words.split(',').filter(|word| *word != "-");
    words.map(|word| u64::from_str_radix(word, 16).with_context(|| format!("{word:?}"))).collect()
}
