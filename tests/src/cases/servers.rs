//! What the views show of real servers, stripped as Debian ships them, is what the servers' own endpoints say.

use crate::case::Case;
use crate::http::Connection;
use crate::profiles::{parse, profile, records, view};
use crate::servers::{Debian, Server};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use watcher::report::pprof::{Profile, Sample, diff};

/// Peers that say nothing: most servers have a goroutine or two for each.
const PEERS: usize = 64;
/// A server at rest moves now and then: between two readings of its endpoint something has, or it has not.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(150);
/// Goroutines that are there only because somebody reads the endpoint.
const OF_THE_ENDPOINT: [&str; 2] = ["runtime/pprof.", "net/http.(*connReader).backgroundRead"];
/// Stacks that must be walked to the function that every goroutine begins in.
const ROOTED_SHARE: f64 = 0.99;

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |server: Debian| {
        let name = format!("servers::{server:?}_equals_its_endpoint").to_lowercase();
        Case::new(name, [server.need()], move || equals(server))
    };
    Debian::ALL.map(case).into()
}

/// One row of a table, printed as such.
fn equals(kind: Debian) -> Result<()> {
    let server = kind.start()?;
    let peers = [&server.address, &server.profiles].map(|address| (0..PEERS / 2).map(|_| address.connect()));
    let peers: Vec<Box<dyn Connection>> = peers.into_iter().flatten().collect::<Result<_>>()?;
    // Start-up is over by then.
    thread::sleep(Duration::from_secs(2));
    let rooted = rooted(server.running.pid())?;
    let (goroutines, stacks) = same_goroutines(&server)?;
    let (sites, in_use) = same_heap(&server)?;
    drop(peers);
    writeln!(
        io::stdout(),
        "| {:<10} | {rooted} | {goroutines} goroutines, {stacks} stacks equal | {sites} heap sites, {in_use} bytes equal |",
        format!("{kind:?}").to_lowercase()
    )
    .context("print a row")
}

#[derive(Deserialize)]
struct Goroutines {
    total: u64,
    system: u64,
    groups: Vec<Group>,
    effort: Effort,
    remarks: Vec<String>,
}

#[derive(Deserialize)]
struct Group {
    count: u64,
    stack: Vec<Frame>,
    stack_state: String,
}

#[derive(Deserialize)]
struct Frame {
    function: String,
}

#[derive(Deserialize)]
struct Effort {
    running: u64,
    unreadable: u64,
    incomplete: u64,
    given_up: u64,
}

/// How many stacks reach their root, of those that can be read: who runs has its stack in registers.
fn rooted(pid: u32) -> Result<String> {
    let told: Goroutines = serde_json::from_str(&view(&["goroutines", "--format", "json"], pid)?)?;
    let count = |groups: &mut dyn Iterator<Item = &Group>| groups.map(|group| group.count).sum::<u64>();
    let all = count(&mut told.groups.iter());
    ensure!(all == told.total + told.system, "{all} in groups, {} and {}", told.total, told.system);
    let is_rooted = |group: &&Group| {
        let root = group.stack.last().map_or("", |frame| &*frame.function);
        group.stack_state == "complete" && root == "runtime.goexit"
    };
    let rooted = count(&mut told.groups.iter().filter(is_rooted));
    let Effort { running, unreadable, incomplete, given_up } = told.effort;
    ensure!(told.remarks.is_empty(), "there is something to say: {:?}", told.remarks);
    ensure!(all > running, "nothing but {running} running goroutines");
    #[expect(clippy::cast_precision_loss, reason = "far fewer goroutines than 2^52")]
    let share = rooted as f64 / (all - running) as f64;
    let cells =
        format!("{rooted} of {all} rooted, {running} running, {}", incomplete + unreadable + given_up);
    ensure!(share >= ROOTED_SHARE, "{cells} lost");
    Ok(cells + " lost")
}

/// Compares goroutines until the endpoint says the same before and after; then we must say it too.
fn same_goroutines(server: &Server) -> Result<(u64, usize)> {
    let pid = server.running.pid();
    let theirs = || {
        let text = server.profiles.get_text("/debug/pprof/goroutine?debug=1")?;
        ensure!(text.starts_with("goroutine profile: total"), "no profile: {text}");
        Ok(records(&text, &OF_THE_ENDPOINT))
    };
    let ours = || Ok(records(&view(&["goroutines", "--format", "debug1"], pid)?, &OF_THE_ENDPOINT));
    let differ = |theirs: &BTreeMap<String, u64>, ours: &BTreeMap<String, u64>| {
        let all = theirs.keys().chain(ours.keys());
        let different = all.filter(|record| theirs.get(*record) != ours.get(*record));
        let told = |record| format!("{:?} and {:?} of {record}", theirs.get(record), ours.get(record));
        different.map(told).next()
    };
    let stable = stable(theirs, ours, differ).context("goroutines")?;
    ensure!(!stable.is_empty(), "the endpoint shows none");
    Ok((stable.values().sum(), stable.len()))
}

/// The same of the heap profile, for one collection.
fn same_heap(server: &Server) -> Result<(usize, i64)> {
    let pid = server.running.pid();
    // Two collections bring what was allocated and freed before them into the profile.
    server.profiles.get("/debug/pprof/heap?gc=1")?;
    server.profiles.get("/debug/pprof/heap?gc=1")?;
    let theirs = || parse(&server.profiles.get("/debug/pprof/heap")?);
    let ours = || profile("heap", pid);
    let differ = |theirs: &Profile, ours: &Profile| match diff(theirs, ours) {
        Ok(difference) => {
            let grown = difference.profile();
            // Each answer costs the server memory of its own: what serving it allocates moves with every reading.
            let others = grown.samples.iter().filter(|sample| {
                let frames = grown.frames(sample);
                !frames.filter_map(|frame| frame.function).any(|it| it.name.contains("net/http/pprof"))
            });
            // By function and line: a profile of Go's has one file for each function, and for the initialisation of
            // a package, which stands in many, it is that of whichever line came first.
            let mut grown_by = BTreeMap::<String, Vec<i64>>::new();
            for sample in others {
                let sums =
                    grown_by.entry(lines(&grown, sample)).or_insert_with(|| vec![0; sample.values.len()]);
                sums.iter_mut().zip(&sample.values).for_each(|(sum, value)| *sum += value);
            }
            grown_by.retain(|_, sums| sums.iter().any(|sum| *sum != 0));
            (!grown_by.is_empty()).then(|| format!("{grown_by:#?}"))
        }
        Err(why) => Some(why.to_string()),
    };
    let stable = stable(theirs, ours, differ).context("heap")?;
    let in_use: i64 = stable.samples.iter().filter_map(|sample| sample.values.last()).sum();
    ensure!(in_use > 0, "the endpoint shows nothing in use");
    Ok((stable.samples.len(), in_use))
}

/// The stack of a sample as text.
fn lines(profile: &Profile, sample: &Sample) -> String {
    let lines = profile.frames(sample).map(|frame| {
        format!("{}:{}", frame.function.map_or("?", |function| function.name.as_str()), frame.line)
    });
    lines.collect::<Vec<_>>().join(" < ")
}

/// Reads theirs, ours and theirs again, until theirs are the same: then ours must be the same too. What moved and
/// came back in between makes for another attempt.
fn stable<T>(
    theirs: impl Fn() -> Result<T>,
    ours: impl Fn() -> Result<T>,
    differ: impl Fn(&T, &T) -> Option<String>,
) -> Result<T> {
    let mut last = "it never stood still".to_owned();
    for _ in 0..ATTEMPTS {
        let (before, ours, after) = (theirs()?, ours()?, theirs()?);
        if differ(&before, &after).is_none() {
            match differ(&after, &ours) {
                None => return Ok(after),
                Some(difference) => last = difference,
            }
        }
        thread::sleep(PAUSE);
    }
    bail!("after {ATTEMPTS} readings the endpoint and we say: {last}")
}
