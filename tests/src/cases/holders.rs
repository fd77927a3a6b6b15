//! Who holds the memory: each of many holders is named, with the type and the number of what it holds, in stripped
//! executables and without stopping them.

use crate::agent;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::estate::Estate;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// How far a count may be off, as a part of it: what the program works on while it is read can move.
const TOLERANCE: f64 = 0.01;

/// What a room holds.
struct Room {
    name: &'static str,
    /// So many are put into it. Each room has a number of its own, so that none is taken for another.
    put: u64,
    kind: &'static str,
    /// A function that names the holder.
    user: &'static str,
    of: &'static str,
    /// Objects of the type for each thing that is put.
    each: u64,
}

const fn room(
    name: &'static str,
    put: u64,
    (kind, user): (&'static str, &'static str),
    (of, each): (&'static str, u64),
) -> Room {
    Room { name, put, kind, user, of, each }
}

const ROOMS: [Room; 12] = [
    room("byNumber", 2000, ("variable", "main.number"), ("main.Guest", 1)),
    room("letters", 2100, ("variable", "main.write"), ("main.Letter", 1)),
    room("chain", 2200, ("variable", "main.pass"), ("main.Token", 1)),
    room("queue", 2300, ("variable", "main.enqueue"), ("main.Guest", 1)),
    room("first", 2400, ("variable", "main.link"), ("main.Link", 1)),
    room("farewell", 2500, ("finalizer", "main.farewell.func1"), ("main.Task", 2)),
    room("bells", 2600, ("variable", "main.ring"), ("closure main.ring.func1", 1)),
    room("boxes", 2700, ("variable", "main.box"), ("main.Letter", 1)),
    room("line", 2800, ("variable", "main.send"), ("main.Task", 1)),
    room("wide", 2900, ("variable", "main.widen"), ("main.Wide", 1)),
    room("hall", 3000, ("variable", "main.main"), ("main.Guest", 1)),
    room("stack", 3200, ("variable", "main.main"), ("main.Guest", 1)),
];

/// From Go 1.23 on the runtime says where its timers are.
const TIMERS: Room = room("later", 3400, ("timer", "timers"), ("closure main.later.func1", 1));
const FIRST_WITH_TIMERS: u32 = 23;

const ROWS: [(u32, Variant); 6] = [
    (21, Variant::STRIPPED),
    (24, Variant::STRIPPED),
    (26, Variant::STRIPPED),
    (27, Variant::STRIPPED),
    (27, Variant::PIE),
    (27, Variant::CGO),
];

/// The cases. What they run is built for [`super::graph_types`].
pub fn cases() -> Vec<Case> {
    let case = |(minor, variant): (u32, Variant)| {
        let needs = [Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        Case::new(format!("holders::go1_{minor}_{}", variant.name()), needs, move || {
            let rooms = ROOMS.iter().chain((minor >= FIRST_WITH_TIMERS).then_some(&TIMERS));
            check(
                Toolchain::minor(minor).context("the toolchain is here")?,
                variant,
                &rooms.collect::<Vec<_>>(),
            )
        })
    };
    let large = Case::new("holders::a_large_map_is_one_step", [Need::GoMinor(27)], || {
        a_large_map_is_one_step(Toolchain::minor(27).context("the toolchain is here")?)
    });
    let growing = [21, 24, 27].map(|minor| {
        Case::new(
            format!("holders::who_holds_more_each_time::go1_{minor}"),
            [Need::GoMinor(minor)],
            move || who_holds_more_each_time(Toolchain::minor(minor).context("the toolchain is here")?),
        )
    });
    ROWS.into_iter().map(case).chain(growing).chain([large]).collect()
}

#[derive(Debug, Deserialize)]
struct Told {
    bytes: u64,
    objects: u64,
    typed_bytes: u64,
    holders: Vec<Holder>,
}

#[derive(Debug, Deserialize)]
struct Holder {
    kind: String,
    name: String,
    bytes: u64,
    objects: u64,
    chain: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    r#type: String,
    objects: u64,
}

impl Told {
    /// How many objects of the room's type its holder has; of several holders of that name the nearest.
    fn count(&self, room: &Room, near: u64) -> Option<u64> {
        let named = self.holders.iter().filter(|it| it.kind == room.kind && it.name.contains(room.user));
        let steps = named.flat_map(|holder| &holder.chain).filter(|step| step.r#type == room.of);
        steps.map(|step| step.objects).min_by_key(|objects| objects.abs_diff(near))
    }
}

fn ask(pid: u32) -> Result<Told> {
    let pid = pid.to_string();
    let told: Told = agent::run(&["heap", "--holders", "--pid", &pid, "--format", "json"], LIMIT)?.json()?;
    let sum = |of: fn(&Holder) -> u64| told.holders.iter().map(of).sum::<u64>();
    let sums = (sum(|holder| holder.bytes), sum(|holder| holder.objects));
    ensure!(sums == (told.bytes, told.objects), "{sums:?} are held in all, not {told:?}");
    Ok(told)
}

fn check(toolchain: &Toolchain, variant: Variant, rooms: &[&Room]) -> Result<()> {
    let mut estate = Estate::start(&build::build("estate", toolchain, variant)?)?;
    let before = ask(estate.pid())?;
    let mut wrong = Vec::new();
    for room in rooms {
        // Nobody is said to hold what is not there yet.
        if let Some(count) = before.count(room, 0).filter(|count| *count > 2) {
            wrong.push(format!("{} holds {count} {} while it is empty", room.name, room.of));
        }
        estate.put(room.name, room.put)?;
    }
    let told = ask(estate.pid())?;
    for room in rooms {
        let expected = room.put * room.each;
        let count = told.count(room, expected);
        let is_right =
            count.is_some_and(|count| count.abs_diff(expected) as f64 <= expected as f64 * TOLERANCE);
        if !is_right {
            wrong.push(format!("{} holds {count:?} {} instead of {expected}", room.name, room.of));
        }
    }
    ensure!(wrong.is_empty(), "{}\nof {told:#?}", wrong.join("\n"));
    ensure!(told.typed_bytes as f64 > told.bytes as f64 * 0.9, "too much is of unknown type: {told:#?}");
    Ok(())
}

/// A map of many tables is still one map.
fn a_large_map_is_one_step(toolchain: &Toolchain) -> Result<()> {
    const MANY: u64 = 90_000;
    let mut estate = Estate::start(&build::build("estate", toolchain, Variant::STRIPPED)?)?;
    estate.put("byNumber", MANY)?;
    let told = ask(estate.pid())?;
    let held = told.holders.first().context("somebody holds it")?;
    let steps: Vec<_> = held.chain.iter().map(|step| &*step.r#type).take(2).collect();
    ensure!(steps == ["map[int]*main.Guest", "main.Guest"], "{held:#?}");
    let guests = held.chain.get(1).map_or(0, |step| step.objects);
    ensure!(guests.abs_diff(MANY) as f64 <= MANY as f64 * TOLERANCE, "{guests} of {MANY}");
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Growing {
    growing: Vec<Grown>,
}

#[derive(Debug, Deserialize)]
struct Grown {
    name: String,
    steps: Vec<GrownStep>,
}

#[derive(Debug, Deserialize)]
struct GrownStep {
    r#type: String,
    objects: Vec<u64>,
}

/// One room gets more all the time, the others only hold much: it alone is told. Then none does.
fn who_holds_more_each_time(toolchain: &Toolchain) -> Result<()> {
    let mut estate = Estate::start(&build::build("estate", toolchain, Variant::STRIPPED)?)?;
    for room in ["letters", "byNumber", "boxes"] {
        estate.put(room, 3000)?;
    }
    let pid = estate.pid().to_string();
    let ask = || -> Result<Growing> {
        agent::run(&["heap", "--holders", "--growing", "6s", "--pid", &pid, "--format", "json"], LIMIT)?
            .json()
    };
    let told = thread::scope(|scope| -> Result<Growing> {
        let asking = scope.spawn(ask);
        while !asking.is_finished() {
            estate.put("byNumber", 40)?;
            thread::sleep(Duration::from_millis(100));
        }
        asking.join().unwrap_or_else(|_| bail!("asking panicked"))
    })?;
    let named: Vec<&str> = told.growing.iter().map(|grown| &*grown.name).collect();
    ensure!(named.iter().any(|name| name.contains("main.number")), "{told:#?}");
    let of = told.growing.iter().filter(|grown| grown.name.contains("main.number"));
    let guests = of.flat_map(|grown| &grown.steps).find(|step| step.r#type == "main.Guest");
    let objects = &guests.with_context(|| format!("no guests in {told:#?}"))?.objects;
    ensure!(objects.len() == 5 && objects[0] as f64 >= 3000.0 * (1.0 - TOLERANCE), "{objects:?}");
    ensure!(named.iter().all(|name| !name.contains("main.write") && !name.contains("main.box")), "{told:#?}");
    let still = ask()?;
    ensure!(still.growing.is_empty(), "nothing is put anywhere any more: {still:#?}");
    Ok(())
}
