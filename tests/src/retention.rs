//! What stays on the heap of programs that record no heap profile, against what they say that they keep.

use crate::attached::Attached;
use crate::build::{self, Variant};
use crate::kernel_tables::holder;
use crate::probed::{Probed, breakpoints, is_left_alone, tell};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};
use watcher::golang::heap::heap_reader::HeapReader;
use watcher::golang::heap::profile::NoProfile;
use watcher::observed::ledger::{Ledger, Site, Spans};
use watcher::source::kernel::ledger::{Bounds, End, Kind};

const LIFE: Duration = Duration::from_secs(120);
/// Tiles of about 1 KB: 1 MB/s.
const TILES_PER_SECOND: f64 = 1000.0;
/// A tile, its label and its pixels as the allocator rounds them.
const TILE_BYTES: f64 = 64.0 + 16.0 + 896.0;
const WATCHED: Duration = Duration::from_secs(16);
/// The line that files them.
const FILING: &str = "main.file";

fn start(toolchain: &Toolchain, variant: Variant, style: Style, arguments: &[&str]) -> Result<Running> {
    let executable = build::build("mosaic", toolchain, variant)?;
    let mut command = program::command(&executable, style, TILES_PER_SECOND, LIFE);
    let mut running = Running::start(command.args(arguments))?;
    running.holding(1)?;
    Ok(running)
}

/// Watches for a while; the ledger at its end, and how many tiles were filed meanwhile.
fn watch(running: &Running, probed: &mut Probed) -> Result<(Ledger<Spans>, f64)> {
    let (from, before) = (SystemTime::now(), allocated(probed)?);
    let stats = enable_stats(Stats::RunTime).context("have the kernel measure its programs")?;
    probed.watch_spans(Bounds::DEFAULT)?;
    thread::sleep(WATCHED);
    let ledger = probed.spans()?;
    let to = SystemTime::now();
    let nanos = nanos_per_run()?;
    drop(stats);
    let rate = running.rate_per_second(from, to).unwrap_or(0.0);
    let probing = probed.ledgers.probing(probed.id, Kind::Spans).context("there are probes")?;
    let seconds = to.duration_since(from).context("time goes on")?.as_secs_f64();
    tell!(
        "{:.0} MB/s allocated; {} hits, {:.0} a second, one in {}, {nanos:.0} ns each in the kernel program; {}",
        (allocated(probed)? - before) / 1e6 / seconds,
        probing.hits,
        probing.hits as f64 / seconds,
        probing.one_in,
        told(&ledger)
    );
    Ok((ledger, rate * seconds))
}

/// What a run of the programs at spans has cost on average, without the trap that leads there.
fn nanos_per_run() -> Result<f64> {
    let (mut time, mut runs) = (Duration::ZERO, 0);
    for program in loaded_programs() {
        let program = program.context("list the kernel's programs")?;
        if program.name_as_str().is_some_and(|name| name.starts_with("span_")) {
            time += program.run_time();
            runs += program.run_count();
        }
    }
    Ok(time.as_nanos() as f64 / runs.max(1) as f64)
}

/// Bytes that the program has allocated since its start.
fn allocated(probed: &mut Probed) -> Result<f64> {
    let counters = probed.attached.runtime.counters(&probed.attached.memory);
    Ok(counters.heap.context("read the heap's counters")?.total_allocated_bytes as f64)
}

fn told(ledger: &Ledger<Spans>) -> String {
    let site = |site: &Site<Spans>| {
        let place = site.stack.iter().find(|frame| frame.function.starts_with("main."));
        let all = || site.stack.iter().map(|frame| &*frame.function).collect::<Vec<_>>().join(" < ");
        let place = place.map_or_else(all, |frame| format!("{}:{}", frame.function, frame.line));
        let Site { created, ended, outstanding, what, .. } = site;
        format!("\n  {place}: {} KB in {outstanding}, of {created} {ended} ended", what.bytes / 1000)
    };
    let sites: String = ledger.sites.iter().take(8).map(site).collect();
    format!("{:?}{sites}", ledger.accounts)
}

fn bytes(ledger: &Ledger<Spans>, by: impl Fn(&Site<Spans>) -> bool) -> f64 {
    ledger.sites.iter().filter(|site| by(site)).map(|site| site.what.bytes as f64).sum()
}

fn is_filing(site: &Site<Spans>) -> bool {
    site.stack
        .iter()
        .find(|frame| frame.function.starts_with("main."))
        .is_some_and(|it| &*it.function == FILING)
}

/// 1 MB/s is kept under 500 MB/s that come and go: nearly all of what is shown was allocated by the line that keeps
/// it, and it is about as much as was kept.
pub fn the_line_that_keeps_holds_what_stays(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let running = start(toolchain, variant, Style::Round, &[])?;
    let mut probed = Probed::to(running.pid())?;
    let profile =
        HeapReader::attach(&mut probed.attached.runtime, &probed.attached.file, &probed.attached.memory)
            .profile(&probed.attached.memory);
    ensure!(profile == Err(NoProfile::NotLinked), "it has a profile of its own");
    let (ledger, filed) = watch(&running, &mut probed)?;
    let (kept, all) = (bytes(&ledger, is_filing), bytes(&ledger, |_| true));
    ensure!(kept >= 0.9 * all, "{kept} of {all} bytes: {}", told(&ledger));
    let truth = filed * TILE_BYTES;
    ensure!((0.5..1.5).contains(&(kept / truth)), "{kept} bytes of {truth}: {}", told(&ledger));
    let filing = ledger.sites.iter().find(|site| is_filing(site)).context("the line is there")?;
    let outermost = filing.stack.last().context("it has a stack")?;
    ensure!(&*outermost.function == "runtime.goexit", "the stack ends in {outermost:?}");
    // What it allocated is still there (small texts aside, which share their place); what the painters did is not.
    let is_pixels = |site: &Site<Spans>| is_filing(site) && site.what.bytes / site.what.objects.max(1) > 64;
    let ended = |by: &dyn Fn(&Site<Spans>) -> bool| {
        let sites = || ledger.sites.iter().filter(|site| by(site));
        sites().map(|site| site.ended).sum::<u64>() as f64
            / sites().map(|site| site.created).sum::<u64>() as f64
    };
    ensure!(ended(&is_pixels) < 0.3 && ended(&|site| !is_filing(site)) > 0.9, "{}", told(&ledger));
    Ok(())
}

/// The twin files as much and keeps the newest: what is shown does not grow.
pub fn what_makes_room_does_not_pile_up(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let running = start(toolchain, variant, Style::Square, &[])?;
    let mut probed = Probed::to(running.pid())?;
    let (half, _) = watch(&running, &mut probed)?;
    thread::sleep(WATCHED);
    let whole = probed.spans()?;
    tell!("{}", told(&whole));
    let (half, whole) = (bytes(&half, |_| true), bytes(&whole, |_| true));
    // Tiles are on show for three seconds.
    ensure!(whole < 5.0 * TILES_PER_SECOND * TILE_BYTES && whole < 1.7 * half, "{half}, then {whole} bytes");
    Ok(())
}

/// The same of objects that have spans for themselves.
pub fn large_objects_are_followed_one_by_one(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let executable = build::build("mosaic", toolchain, variant)?;
    let mut command = program::command(&executable, Style::Round, 23.0, LIFE);
    let mut running = Running::start(command.args(["-large", "-draw=100"]))?;
    running.holding(1)?;
    let mut probed = Probed::to(running.pid())?;
    let (ledger, filed) = watch(&running, &mut probed)?;
    let large = |site: &&Site<Spans>| is_filing(site) && site.what.bytes / site.what.objects.max(1) > 32_768;
    let objects: u64 = ledger.sites.iter().filter(large).map(|site| site.what.objects).sum();
    // The youngest do not count yet.
    ensure!((0.75..1.05).contains(&(objects as f64 / filed)), "{objects} of {filed}: {}", told(&ledger));
    Ok(())
}

/// Probes leave after their time and after their hits, by themselves, and with the one who put them in.
pub fn probes_leave_in_time(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let running = start(toolchain, variant, Style::Square, &[])?;
    let mut probed = Probed::to(running.pid())?;
    for (bounds, end) in [
        (Bounds { time: Duration::from_secs(2), ..Bounds::DEFAULT }, End::Time),
        (Bounds { hits: 20_000, ..Bounds::DEFAULT }, End::Hits),
    ] {
        probed.watch_spans(bounds)?;
        ensure!(breakpoints(&probed)? > 0, "probes are in");
        thread::sleep(Duration::from_secs(5));
        let probing = probed.ledgers.probing(probed.id, Kind::Spans).context("there were probes")?;
        tell!("{probing:?}");
        ensure!(probing.ended.is_some_and(|(_, why)| why == end), "{probing:?}");
        ensure!(is_left_alone(&probed), "probes are still in");
        ensure!(probed.spans().is_ok(), "what they saw can still be read");
    }
    probed.watch_spans(Bounds::DEFAULT)?;
    ensure!(breakpoints(&probed)? > 0, "probes are in again");
    probed.ledgers.unwatch(probed.id);
    ensure!(is_left_alone(&probed), "probes stay after the end");
    Ok(())
}

/// Nothing stays when whoever put probes in is killed, and the program works on.
pub fn probes_leave_with_who_is_killed(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let running = start(toolchain, variant, Style::Square, &[])?;
    let mut probed = Probed::to(running.pid())?;
    let prober = holder::program("prober")?;
    for _ in 0..3 {
        let mut prober_running = Running::start(Command::new(&prober).arg(running.pid().to_string()))?;
        prober_running.address()?;
        ensure!(breakpoints(&probed)? >= 3, "probes are in");
        // Its guard kills it.
        drop(prober_running);
        ensure!(is_left_alone(&probed), "probes stay");
    }
    ensure!(paces(&mut probed, Duration::from_secs(1))? > 0.0, "it works on");
    Ok(())
}

/// The program works on while probes come and go.
pub fn the_program_survives(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let running = start(toolchain, variant, Style::Square, &[])?;
    let mut probed = Probed::to(running.pid())?;
    let before = paces(&mut probed, Duration::from_secs(4))?;
    let from = allocated(&mut probed)?;
    let began = SystemTime::now();
    for _ in 0..20 {
        probed.watch_spans(Bounds::DEFAULT)?;
        thread::sleep(Duration::from_millis(150));
        probed.watch_births(Bounds::DEFAULT)?;
        thread::sleep(Duration::from_millis(150));
        probed.ledgers.unwatch(probed.id);
        thread::sleep(Duration::from_millis(50));
    }
    let seconds = began.elapsed().context("time goes on")?.as_secs_f64();
    let meanwhile = (allocated(&mut probed)? - from) / seconds;
    tell!("{:.0} MB/s before, {:.0} MB/s under probes that come and go", before / 1e6, meanwhile / 1e6);
    ensure!(Attached::to(running.pid()).is_ok(), "it is still there");
    ensure!(meanwhile > before / 3.0, "{before} B/s before, {meanwhile} B/s under probes");
    Ok(())
}

fn paces(probed: &mut Probed, time: Duration) -> Result<f64> {
    let before = allocated(probed)?;
    thread::sleep(time);
    Ok((allocated(probed)? - before) / time.as_secs_f64())
}
