//! The heap of real Go programs, read from outside, held against what they say of themselves.

mod vault;

use crate::attached::Attached;
use crate::build::{self, Variant};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::time::SystemTime;
use vault::{MemStats, Vault};
use watcher::golang::heap::heap_reader::{HeapReader, ResolvedSite};
use watcher::golang::heap::profile::{HeapProfile, NoProfile};
use watcher::golang::heap::spans::{Census, Spans};
use watcher::golang::heap::{Certainty, Heap};
use watcher::observed::go_counters::HeapCounters;
use watcher::report::pprof::{
    Function, HeapSite, LabelValue, Limits, Place, Profile, decode, diff, encode, heap_profile,
};

/// A stray allocation of the runtime may come between two readings; it does not do so every time.
const ATTEMPTS: usize = 10;

/// The counters and the spans say what `runtime.MemStats` says, with GOGC and GOMEMLIMIT set in several ways.
pub fn counters_equal_memstats(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let executable = build::build("cellar", toolchain, variant)?;
    for environment in [
        &[][..],
        &[("GOGC", "50"), ("GOMEMLIMIT", "200MiB")],
        &[("GOGC", "off"), ("GOMEMLIMIT", "60MiB")],
        &[("GOMEMLIMIT", "20MiB")],
        &[("GOGC", "off")],
    ] {
        let mut cellar = Vault::start(&executable, environment)?;
        for _ in 0..2 {
            cellar.collect()?;
            check_counters(&mut cellar, environment).with_context(|| format!("with {environment:?}"))?;
            cellar.fill()?;
        }
    }
    Ok(())
}

/// The heap profile is that of `/debug/pprof/heap` for the same collection, stack by stack: raw, and estimated and
/// with symbols.
pub fn profile_equals_endpoint(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let executable = build::build("vault", toolchain, variant)?;
    // Without a collection everything allocated so far is shown.
    for environment in [&[][..], &[("GOGC", "off")]] {
        let mut vault = Vault::start(&executable, environment)?;
        if environment.is_empty() {
            vault.collect()?;
        }
        let (ours, theirs, text) = profiles(&mut vault)?;
        check_records(&ours.raw, &text)?;
        check_samples(&ours.profile, &theirs)?;
        let is_young = ours.raw.is_before_first_gc;
        ensure!(is_young != environment.is_empty(), "it knows whether there was a collection");
        opens_in_pprof(toolchain, &ours.profile, &theirs, is_young)?;
    }
    Ok(())
}

/// Programs that sample other than by default, down to every single allocation or none, have the profile that their
/// endpoint says, or the reason why there is none.
pub fn other_rates_equal_endpoint(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let executable = build::build("vault", toolchain, variant)?;
    for rate in [1, 4096] {
        let mut vault = Vault::sampling(&executable, rate)?;
        vault.collect()?;
        let (ours, theirs, text) = profiles(&mut vault)?;
        ensure!(ours.raw.rate_bytes == rate, "it samples one in {} bytes, not {rate}", ours.raw.rate_bytes);
        let compared = check_records(&ours.raw, &text).and_then(|()| check_samples(&ours.profile, &theirs));
        compared.with_context(|| format!("one in {rate} bytes is sampled"))?;
    }
    let mut vault = Vault::sampling(&executable, 0)?;
    vault.collect()?;
    let mut reading = Attached::to(vault.pid())?;
    let answer = reading.reader().profile(&reading.memory);
    ensure!(answer == Err(NoProfile::RateZero), "it says {answer:?}");
    Ok(())
}

/// A program that nothing could ask for its profile is named as such, and not given an empty one.
pub fn programs_without_profile_are_named(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let cellar = Vault::start(&build::build("cellar", toolchain, variant)?, &[])?;
    let mut reading = Attached::to(cellar.pid())?;
    let reader = reading.reader();
    let answer = reader.profile(&reading.memory);
    ensure!(answer == Err(NoProfile::NotLinked), "it says {answer:?}");
    Ok(())
}

/// A version that is in no table gives the same numbers, and says that they were calibrated.
pub fn an_unknown_version_is_calibrated(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let mut vault = Vault::start(&build::build("vault", toolchain, variant)?, &[])?;
    vault.collect()?;
    let mut reading = Attached::to(vault.pid())?;
    let heap = reading.reader().heap().context("find the heap")?;
    ensure!(heap.certainty() == Certainty::Confirmed, "the table is right about {}", toolchain.version);
    let (places, memory) = (*reading.runtime.places(), &reading.memory);
    let (controller, spans) = places.controller.zip(places.allspans).context("find both structures")?;
    let calibrated = Heap::locate(memory, controller.address, spans.address, None).context("calibrate")?;
    ensure!(calibrated.certainty() == Certainty::Calibrated, "without a version nothing can be confirmed");
    let same = (0..ATTEMPTS).any(|_| heap.counters(memory).ok() == calibrated.counters(memory).ok());
    ensure!(same, "both layouts give the same counters");
    let spans = Spans::locate(memory, calibrated, None).context("calibrate spans")?;
    ensure!(spans.is_calibrated() && spans.census(memory)?.implausible == 0, "spans are calibrated too");
    Ok(())
}

impl Attached {
    fn reader(&mut self) -> HeapReader {
        HeapReader::attach(&mut self.runtime, &self.file, &self.memory)
    }

    fn resolve(&mut self, profile: &HeapProfile) -> Vec<ResolvedSite> {
        let (symbols, loaded) = self.runtime.symbols(&self.file, &self.memory);
        profile.sites.iter().map(|site| profile.resolve(site, symbols, &loaded)).collect()
    }
}

fn check_counters(cellar: &mut Vault, environment: &[(&str, &str)]) -> Result<()> {
    let mut reading = Attached::to(cellar.pid())?;
    let reader = reading.reader();
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let truth = cellar.stats()?;
        let counters = reader.counters(&reading.memory).context("read the counters")?;
        let census = reader.census(&reading.memory).context("read the spans")?;
        if agree(&truth, &counters, &census) {
            let off = environment.contains(&("GOGC", "off"));
            ensure!(counters.gogc_percent.is_none() == off, "GOGC is {:?}", counters.gogc_percent);
            let has_limit = environment.iter().any(|(name, _)| *name == "GOMEMLIMIT");
            ensure!(counters.memory_limit_bytes.is_some() == has_limit, "GOMEMLIMIT is {counters:?}");
            ensure!(census.unreadable == 0 && census.implausible == 0, "every span makes sense");
            return Ok(());
        }
        seen.push(format!("{truth:?} but {counters:?}, stacks {}", census.stack_bytes));
    }
    bail!("the numbers never agreed: {}", seen.join("; "));
}

fn agree(truth: &MemStats, counters: &HeapCounters, census: &Census) -> bool {
    u64::from(counters.gc_cycles) == truth.num_gc
        // Where no collection will start, the runtime names a number near the largest there is.
        && counters.goal_bytes.map_or(truth.next_gc > 1 << 60, |goal| goal == truth.next_gc)
        && counters.in_use_bytes == truth.heap_inuse
        && census.heap_bytes == truth.heap_inuse
        && census.stack_bytes == truth.stack_inuse
}

struct Ours {
    raw: HeapProfile,
    profile: Profile,
}

/// Our profile, the endpoint's, and the endpoint's text, all of the same collection.
fn profiles(vault: &mut Vault) -> Result<(Ours, Profile, String)> {
    let mut reading = Attached::to(vault.pid())?;
    let reader = reading.reader();
    for _ in 0..ATTEMPTS {
        let before = vault.stats()?;
        let raw = reader.profile(&reading.memory).context("read the profile")?;
        let text = String::from_utf8(vault.get("/debug/pprof/heap?debug=1")?).context("text is UTF-8")?;
        let theirs =
            decode(&vault.get("/debug/pprof/heap")?, &Limits::default()).context("read the endpoint's")?;
        if vault.stats()?.num_gc != before.num_gc {
            continue;
        }
        ensure!(raw.rate_bytes == before.mem_profile_rate, "the rate is {}", raw.rate_bytes);
        ensure!(!raw.is_truncated && !raw.is_torn, "it was read whole");
        let sites = reading.resolve(&raw).into_iter().map(site);
        let profile = heap_profile(SystemTime::now(), raw.rate_bytes, theirs.mappings.clone(), sites);
        return Ok((Ours { raw, profile }, theirs, text));
    }
    bail!("there was a collection each time");
}

fn site(resolved: ResolvedSite) -> HeapSite {
    let places = resolved.places.into_iter().map(|frames| Place {
        address: frames.first().map_or(0, |frame| frame.pc),
        lines: frames
            .into_iter()
            .map(|frame| {
                let start_line = Some(frame.start_line).filter(|line| *line > 0);
                let (name, file) = (frame.symbol.to_string(), frame.file.to_string());
                (Function { name, file, start_line }, frame.line)
            })
            .collect(),
    });
    HeapSite {
        places: places.collect(),
        object_bytes: resolved.object_bytes,
        allocated_objects: resolved.estimate.allocated_objects,
        allocated_bytes: resolved.estimate.allocated_bytes,
        in_use_objects: resolved.estimate.in_use_objects,
        in_use_bytes: resolved.estimate.in_use_bytes,
    }
}

/// Every record of the text is ours and the other way round, but for what the request itself allocated since.
fn check_records(ours: &HeapProfile, text: &str) -> Result<()> {
    let mut missing: BTreeMap<String, i64> = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains("] @ 0x") && !line.starts_with('#')) {
        *missing.entry(line.trim_end().to_owned()).or_default() += 1;
    }
    ensure!(ours.sites.len() >= 10, "only {} stacks", ours.sites.len());
    for site in &ours.sites {
        let (objects, bytes) = site.counts.in_use();
        let stack: String = site.stack.iter().map(|pc| format!(" {pc:#x}")).collect();
        let counts = format!("[{}: {}]", site.counts.allocated, site.counts.allocated_bytes);
        let line = format!("{objects}: {bytes} {counts} @{stack}");
        let left = missing.get_mut(&line).with_context(|| format!("not in the endpoint's text: {line}"))?;
        *left -= 1;
    }
    let unread = missing.iter().find(|(line, count)| **count != 0 && !is_of_the_request(line));
    ensure!(unread.is_none(), "in the endpoint's text only: {unread:?}");
    Ok(())
}

/// Buckets that came after ours were read hold nothing yet, or, before the first collection, little.
fn is_of_the_request(line: &str) -> bool {
    line.starts_with("0: 0 [0: 0] @") || line.starts_with("1: ")
}

/// Every sample has the same places, lines, values and labels.
fn check_samples(ours: &Profile, theirs: &Profile) -> Result<()> {
    let types = (&ours.sample_types, &ours.period_type, ours.period);
    ensure!(types == (&theirs.sample_types, &theirs.period_type, theirs.period), "types: {types:?}");
    let their_samples = samples(theirs);
    for (key, count) in samples(ours) {
        let theirs = their_samples.get(&key).copied().unwrap_or(0);
        ensure!(theirs >= count, "{count} of ours but {theirs} of theirs: {key}");
    }
    Ok(())
}

fn samples(profile: &Profile) -> BTreeMap<String, usize> {
    let mut samples = BTreeMap::new();
    for sample in &profile.samples {
        let mut key = format!("{:?}", sample.values);
        for label in &sample.labels {
            if let LabelValue::Number(number, _) = label.value {
                key += &format!(" {}={number}", label.key);
            }
        }
        for location in sample.stack.iter().filter_map(|index| profile.locations.get(*index as usize)) {
            key += &format!("\n{:#x}", location.address);
            for line in &location.lines {
                key += &format!(" {:?}:{}", profile.functions.get(line.function as usize), line.line);
            }
        }
        *samples.entry(key).or_default() += 1;
    }
    samples
}

/// `go tool pprof` opens what we write, finds the functions in it, and takes the difference to the endpoint's.
fn opens_in_pprof(toolchain: &Toolchain, ours: &Profile, theirs: &Profile, is_young: bool) -> Result<()> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let write = |name: &str, profile: &Profile| -> Result<std::path::PathBuf> {
        let path = directory.path().join(name);
        encode(profile, File::create(&path).context("create a file")?).context("write a profile")?;
        Ok(path)
    };
    let (our_file, their_file) = (write("ours", ours)?, write("theirs", theirs)?);
    let pprof = |arguments: &[&str]| -> Result<String> {
        let mut go = Command::new(&toolchain.go);
        go.env("GOTOOLCHAIN", "local").env("PPROF_TMPDIR", directory.path()).env_remove("GOROOT");
        let output =
            go.args(["tool", "pprof"]).args(arguments).arg(&our_file).output().context("run pprof")?;
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pprof {arguments:?}: {error}");
        Ok(out.into_owned())
    };
    let top = pprof(&["-top", "-nodecount=50", "-sample_index=inuse_space"])?;
    ensure!(top.contains("Type: inuse_space") && top.contains("shelves.Fill"), "pprof -top says {top}");
    let traces = pprof(&["-traces"])?;
    ensure!(traces.contains("bytes:") && traces.contains("main.main"), "pprof -traces says {traces}");
    let base = format!("-diff_base={}", their_file.display());
    let difference = pprof(&["-top", &base, "-sample_index=inuse_space"])?;
    ensure!(difference.contains("Type: inuse_space"), "pprof -diff_base says {difference}");
    // Before the first collection the endpoint shows what the request itself has just allocated.
    if !is_young {
        ensure!(difference.contains("accounting for 0"), "pprof -diff_base says {difference}");
        let changed: Vec<_> =
            diff(theirs, ours)?.growths.into_iter().filter(|growth| growth.by(3) != 0).collect();
        ensure!(changed.is_empty(), "our own difference is {changed:?}");
    }
    Ok(())
}
