//! Measures what a process pays for a ledger of its descriptors, and what another pays while it is watched, beside
//! others that watch the same process. `cargo xtask bench --ledger` runs it, for so many rounds; in each everybody has
//! a turn, so that whatever else the machine does falls on all.

mod peer;
mod table;
mod turnstile;

use anyhow::{Context, Result, bail, ensure};
use peer::Peer;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use std::{env, thread};
use table::{Goal, Rounds};
use tests::attached::Attached;
use tests::descriptor_ledger::identity;
use tests::loaded::Loaded;
use turnstile::{Turnstile, Way};
use watcher::observed::ledger::Route;
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds, Ledgers, go_view};
use watcher::vocabulary::process::ProcessId;

/// Batches of each way in one turn.
const BATCHES: u32 = 20;
const CLIENTS: u32 = 4;
const SERVING: Duration = Duration::from_secs(1);

const UNWATCHED: &str = "unwatched";
const ANOTHER: &str = "another process watched";
const WATCHED: &str = "watched";
const ALONE: &str = "watched for descriptors alone";
const MAPPINGS: &str = "watched for mappings alone";
const ANOTHER_ALONE: &str = "another, for descriptors alone";
const ANOTHER_PEER: &str = "another, by bpftrace";

fn main() -> Result<()> {
    let rounds: u32 = env::args().nth(1).context("how many rounds?")?.parse().context("how many rounds?")?;
    let mut out = io::stdout().lock();
    let mut bench = Bench::prepare()?;
    let mut peers = Vec::new();
    let mut absent = Vec::new();
    for peer in Peer::ALL {
        match peer.watch(bench.turnstile.pid()) {
            Ok(_) => peers.push(peer),
            Err(error) => absent.push(format!("{} does not run here: {error:#}", peer.program().0)),
        }
    }
    let own = [UNWATCHED, ANOTHER, WATCHED, ALONE, MAPPINGS, ANOTHER_ALONE, ANOTHER_PEER];
    let names = own.into_iter().chain(peers.iter().map(|peer| peer.name()));
    let mut states: Vec<State> = names.map(State::new).collect();
    // Whatever is done for the first time is not measured.
    State::new(UNWATCHED).turn(&mut bench.turnstile)?;
    for _ in 0..rounds {
        bench.round(&mut states, &peers)?;
    }
    bench.tell(&mut out, rounds)?;
    tell(&mut out, &states)?;
    table::list(&mut out, "Until all is attached, in ms", &bench.attaching)?;
    table::list(&mut out, "Until nothing is attached, in ms, beside the agent's work", &bench.detaching)?;
    for absent in absent {
        writeln!(out, "\n{absent}")?;
    }
    Ok(())
}

/// Whom it is about, and who watches.
struct Bench {
    turnstile: Turnstile,
    other: Turnstile,
    kernel: Kernel,
    /// What this process has in the kernel while it watches nobody.
    idle: Loaded,
    /// How descriptors were seen, how many of them, and from how many frames most of them came.
    route: Option<Route>,
    entered: u64,
    frames: usize,
    /// Programs that others had attached meanwhile, at most.
    foreign: usize,
    losses: Vec<(&'static str, u64)>,
    /// Milliseconds from being asked to watch until everything is attached, and from being asked to cease until nothing is.
    attaching: Vec<(&'static str, Vec<f64>)>,
    detaching: Vec<(&'static str, Vec<f64>)>,
}

impl Bench {
    fn prepare() -> Result<Bench> {
        let (turnstile, other) = (Turnstile::start()?, Turnstile::start()?);
        let kernel = Kernel::load();
        let idle = Loaded::by(own_pid()?)?;
        Ok(Bench {
            turnstile,
            other,
            kernel,
            idle,
            route: None,
            entered: 0,
            frames: 0,
            foreign: 0,
            losses: Vec::new(),
            attaching: Vec::new(),
            detaching: Vec::new(),
        })
    }

    /// A turn for each state.
    fn round(&mut self, states: &mut [State], peers: &[Peer]) -> Result<()> {
        let [unwatched, another, watched, alone, mappings, another_alone, another_peer, others @ ..] = states
        else {
            bail!("seven states and the peers'")
        };
        let attached = Loaded::by_all().links.difference(&self.idle.links).count();
        self.foreign = self.foreign.max(attached);
        unwatched.turn(&mut self.turnstile)?;

        let mut ledgers = Ledgers::new(&self.kernel);
        let other = watch(&mut ledgers, &self.other, &ALL)?.0;
        another.turn(&mut self.turnstile)?;
        let id = watch(&mut ledgers, &self.turnstile, &ALL)?.0;
        ledgers.unwatch(other);
        let served = watched.turn(&mut self.turnstile)?;
        self.note(&ledgers, id, served)?;
        self.drop_and_wait(ledgers, WATCHED)?;

        for (state, is_other, kinds) in [
            (&mut *alone, false, Kind::Descriptors),
            (mappings, false, Kind::Mappings),
            (another_alone, true, Kind::Descriptors),
        ] {
            let mut ledgers = Ledgers::new(&self.kernel);
            let whom = if is_other { &self.other } else { &self.turnstile };
            let took = watch(&mut ledgers, whom, &[kinds])?.1;
            entry(&mut self.attaching, state.name).push(took.as_secs_f64() * 1e3);
            state.turn(&mut self.turnstile)?;
            self.drop_and_wait(ledgers, state.name)?;
        }

        if peers.contains(&Peer::Bpftrace) {
            let watching = Peer::Bpftrace.watch(self.other.pid())?;
            another_peer.turn(&mut self.turnstile)?;
            drop(watching);
        }
        for (peer, state) in peers.iter().zip(others) {
            let watching = peer.watch(self.turnstile.pid())?;
            state.turn(&mut self.turnstile)?;
            drop(watching);
        }
        Ok(())
    }

    /// The ledger must have seen what was done.
    fn note(&mut self, ledgers: &Ledgers, id: ProcessId, least: u64) -> Result<()> {
        let ledger = ledgers.descriptors(id).context("the turnstile is watched")?;
        let with_stack: u64 = ledger.sites.values().map(|site| site.created).sum();
        let entered = with_stack + ledger.tally.created;
        ensure!(entered >= least, "the ledger has {entered} descriptors of at least {least}");
        self.entered += entered;
        let most = ledger.sites.values().max_by_key(|site| site.created);
        self.frames = most.map_or(0, |site| site.stack.walked.len());
        self.route = Some(ledger.route);
        self.losses = ledgers.losses();
        Ok(())
    }

    /// Tracepoints are given up in the background, and while one is attached everybody's system calls are slower.
    fn drop_and_wait(&mut self, ledgers: Ledgers, name: &'static str) -> Result<()> {
        let began = Instant::now();
        drop(ledgers);
        let deadline = began + Duration::from_secs(60);
        // What goes between being listed and being looked at is an error: then it is not over.
        while !Loaded::by(own_pid()?).is_ok_and(|loaded| loaded.links == self.idle.links) {
            ensure!(Instant::now() < deadline, "the ledgers are not detached after a minute");
            thread::sleep(Duration::from_millis(2));
        }
        entry(&mut self.detaching, name).push(began.elapsed().as_secs_f64() * 1e3);
        // The last one has left this process's table and may be still on its way.
        thread::sleep(Duration::from_millis(400));
        Ok(())
    }

    fn tell(&self, out: &mut impl Write, rounds: u32) -> Result<()> {
        let route = match self.route.context("somebody was watched")? {
            Route::Exact => "where the kernel changes its tables",
            Route::Allocations => "where it allocates open files",
            Route::SystemCalls => "where system calls return, the fallback",
            Route::Runtime => "in the runtime",
        };
        writeln!(
            out,
            "A Go program whose calls lie {} frames deep; {rounds} rounds, in each of which every state has a turn of \
             {BATCHES} batches of\neach kind. Watched for descriptors, mappings and tasks, every descriptor with \
             goroutine and stack, none left out;\nseen {route}: {} descriptors entered.",
            self.frames, self.entered
        )?;
        if self.foreign > 0 {
            writeln!(
                out,
                "Others had {} programs attached in the kernel meanwhile: what they cost everybody, all states pay.",
                self.foreign
            )?;
        }
        for (reason, count) in &self.losses {
            writeln!(out, "Lost in the last round: {count} {reason}")?;
        }
        let load = std::fs::read_to_string("/proc/loadavg").context("read the load average")?;
        let [one, five] = [0, 1].map(|index| load.split_whitespace().nth(index).unwrap_or("unknown"));
        let cpus = thread::available_parallelism().context("count the processors")?;
        Ok(writeln!(out, "Processors: {cpus}. Load average over 1 and 5 minutes: {one}, {five}.")?)
    }
}

/// What was measured while it was watched by one watcher, or by nobody.
struct State {
    name: &'static str,
    /// By way.
    nanos: [Rounds; Way::ALL.len()],
    per_second: Rounds,
    cpu_microseconds: Rounds,
}

impl State {
    fn new(name: &'static str) -> State {
        State { name, nanos: Default::default(), per_second: Vec::new(), cpu_microseconds: Vec::new() }
    }

    /// One round's turn. Returns how many descriptors were created at least.
    fn turn(&mut self, turnstile: &mut Turnstile) -> Result<u64> {
        let mut batches = [const { Vec::new() }; Way::ALL.len()];
        for _ in 0..BATCHES {
            for (way, batches) in Way::ALL.into_iter().zip(&mut batches) {
                batches.push(turnstile.pass(way)?);
            }
        }
        for (rounds, batches) in self.nanos.iter_mut().zip(batches) {
            rounds.push(batches);
        }
        let served = turnstile.serve(CLIENTS, SERVING)?;
        self.per_second.push(vec![served.per_second]);
        self.cpu_microseconds.push(vec![served.cpu_microseconds]);
        Ok(u64::from(BATCHES * (Way::File.batch() + Way::Connection.batch())))
    }
}

fn tell(out: &mut impl Write, states: &[State]) -> Result<()> {
    let calls = [Goal { state: ANOTHER_ALONE, most: 2.0 }, Goal { state: ALONE, most: 2.0 }];
    for (index, (way, goals)) in [
        ("Open and close of a file, CPU time in ns per pair", &[][..]),
        ("Accept and close of a TCP connection, CPU time in ns per pair", &[]),
        ("mmap and munmap, CPU time in ns per pair", &[]),
        ("getppid, which concerns nobody, CPU time in ns per call", &calls),
    ]
    .into_iter()
    .enumerate()
    {
        let rows: Vec<_> = states.iter().map(|state| (state.name, state.nanos[index].clone())).collect();
        table::print(out, way, 0, &rows, goals)?;
    }
    let rows: Vec<_> = states.iter().map(|state| (state.name, state.cpu_microseconds.clone())).collect();
    table::print(
        out,
        "HTTP, a connection for each request, the server's CPU time in µs per request",
        1,
        &rows,
        &[],
    )?;
    let rows: Vec<_> = states.iter().map(|state| (state.name, state.per_second.clone())).collect();
    let title = format!("HTTP, requests per second, {CLIENTS} clients on the same machine");
    table::print(out, &title, 0, &rows, &[])?;
    let named = |name: &str| states.iter().find(|state| state.name == name);
    writeln!(out, "\nWhat is added, beside bpftrace in the same rounds")?;
    for (what, way, [one, peer], goal) in [
        ("Open and close, watched", Way::File, [ALONE, Peer::Bpftrace.name()], 0.25),
        ("Open and close of others", Way::File, [ANOTHER_ALONE, ANOTHER_PEER], 0.5),
        ("mmap and munmap, watched", Way::Mapping, [MAPPINGS, Peer::BpftraceMappings.name()], 0.5),
    ] {
        if let (Some(first), Some(one), Some(other)) = (named(UNWATCHED), named(one), named(peer)) {
            let of = |state: &'_ State| state.nanos[way as usize].clone();
            table::compare(out, what, [&of(first), &of(one), &of(other)], goal)?;
        }
    }
    Ok(())
}

/// The numbers under a name.
fn entry<'a>(all: &'a mut Vec<(&'static str, Vec<f64>)>, name: &'static str) -> &'a mut Vec<f64> {
    let index = all.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        all.push((name, Vec::new()));
        all.len() - 1
    });
    &mut all[index].1
}

/// What a diagnosis watches.
const ALL: [Kind; 3] = [Kind::Descriptors, Kind::Mappings, Kind::Tasks];

/// Watches a process as a diagnosis does it; also how long it took until everything was attached.
fn watch(ledgers: &mut Ledgers, turnstile: &Turnstile, kinds: &[Kind]) -> Result<(ProcessId, Duration)> {
    let id = identity(turnstile.pid().try_into().context("a pid")?)?;
    let Attached { file, memory, mut runtime } = Attached::to(turnstile.pid())?;
    let view = runtime.kernel_view(&file, &memory).context("find the goroutines")?;
    let kinds: Kinds = kinds.iter().copied().collect();
    let began = Instant::now();
    ledgers.watch(id, Some(go_view(&view)), kinds).context("watch the turnstile")?;
    Ok((id, began.elapsed()))
}

fn own_pid() -> Result<i32> {
    std::process::id().try_into().context("a pid")
}
