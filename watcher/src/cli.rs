//! What was typed. [`crate::config`] makes checked values of it.

mod asked;
mod recordings;

pub use recordings::{Limit, Record, Replay};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Watches Go processes nobody prepared for watching, and says what leaks, how fast, and when it runs out.
///
/// Changes nothing in the processes it watches. Works best as root; `watcher doctor` tells what is lost without.
#[derive(Debug, Parser)]
#[command(name = "watcher", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more of what the agent itself does, to stderr: -v for info, -vv for debug, -vvv for trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch all Go processes of this host until interrupted, and say when one leaks.
    Run(Run),
    /// List the Go processes of this host, with their Go version, module and container.
    List(List),
    /// Watch for a while, then give one verdict per process. Exit status: 0 no leak, 1 leak, or a limit that is nearly
    /// reached, 2 could not do it, 3 could not decide yet.
    Diagnose(Diagnose),
    /// Watch for a while and write down what is seen, so that `watcher replay` can judge it later.
    ///
    /// Holds what was read, and no verdict: a better judge may find more in it. Everything is captured every five
    /// seconds. Arguments, environment and build settings of the processes are not in it; names, paths, addresses and
    /// stacks are.
    Record(Record),
    /// Judge a recording, with other limits if wanted. Exit status as of `diagnose`.
    ///
    /// Says what `diagnose` would have said at the end of it, or at any moment before.
    Replay(Replay),
    /// Show every goroutine of a Go process: where it is, for how long, and who created it.
    ///
    /// Reads its memory from outside: no endpoint, no symbols, no stop.
    Goroutines(Goroutines),
    /// Show the Go heap of a process: what lives, what is free, and which stacks allocated it.
    ///
    /// Reads its memory from outside. Stacks are known where the program itself can report a heap profile.
    Heap(Heap),
    /// Show the open descriptors of a Go process: what they are, for how long, and which code opened them.
    ///
    /// Watches for a while who opens and closes them; of those that were open before only what they are is known.
    Fds(Fds),
    /// Show what the resident memory of a process is made of, and what of it nothing explains.
    ///
    /// With --mappings: watch for a while, and show which code has mapped memory and files that stay mapped.
    Memory(Memory),
    /// Show what grew between two captures: profiles of any Go program, or JSON of `goroutines` or `heap`.
    Diff(Diff),
    /// Pull a profile from the pprof endpoint of a Go process, which is found by itself, and keep it.
    ///
    /// Only processes that have the handlers of net/http/pprof are asked, and only on sockets on which they listen.
    Pull(Pull),
    /// Show a profile, whoever took it: as a table, as stacks, as a flame graph or as a call graph.
    Show(Show),
    /// Show what this kernel and these privileges allow, and what is lost without the rest.
    Doctor(Doctor),
    /// Measure what one sweep over the matching processes costs (used by `cargo xtask bench`).
    #[command(hide = true)]
    BenchSweep(BenchSweep),
    /// Read the goroutines of a process over and over and print a line of JSON for each time (used by
    /// `cargo xtask bench`).
    #[command(hide = true)]
    BenchGoroutines(BenchGoroutines),
}

/// `watcher run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Time between two samples of a process.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub interval: Duration,
    /// Stop after this time instead of running until interrupted.
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Which processes; all Go processes if none is named.
    #[command(flatten)]
    pub which: OptionalWhich,
    /// text for people, json for one JSON object a line.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// What may be asked of pprof endpoints.
    #[command(flatten)]
    pub pprof: Pprof,
}

/// `watcher list`.
#[derive(Debug, Args)]
pub struct List {
    /// text for people, json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What may be asked of pprof endpoints.
    #[command(flatten)]
    pub pprof: Pprof,
}

/// `watcher diagnose`.
#[derive(Debug, Args)]
pub struct Diagnose {
    /// Which processes.
    #[command(flatten)]
    pub which: Which,
    /// How long to watch before judging.
    #[arg(short, long, value_name = "TIME", default_value = "45s", value_parser = duration)]
    pub duration: Duration,
    /// Time between two samples.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// text for people, json for programs: one object a line and process.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write down what was seen besides, so that `watcher replay` can judge it again.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// What may be asked of pprof endpoints.
    #[command(flatten)]
    pub pprof: Pprof,
}

/// `watcher goroutines`.
#[derive(Debug, Args)]
pub struct Goroutines {
    /// The process with this id.
    #[arg(short, long)]
    pub pid: i32,
    /// text for people; debug1 and debug2 as /debug/pprof/goroutine has them; pprof for `go tool pprof`; folded for
    /// flame graph tools; svg for a flame graph; json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: GoroutineFormat,
    /// How many groups of goroutines that are alike the text shows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub groups: usize,
    /// Let the text show the OS threads too, each with the goroutine on it.
    #[arg(short, long)]
    pub threads: bool,
    /// Only those that can never go on: blocked on a channel, mutex, condition or wait group that nothing can reach
    /// that still runs. Reads the whole heap a dozen times; says "proven" after a minute and two garbage collections
    /// at least. Exit status 1 where some are found.
    #[arg(long, conflicts_with = "threads")]
    pub leaked: bool,
    /// For how long --leaked looks.
    #[arg(short, long, value_name = "TIME", default_value = "12s", value_parser = duration, requires = "leaked")]
    pub duration: Duration,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `watcher heap`.
#[derive(Debug, Args)]
pub struct Heap {
    /// The process with this id.
    #[arg(short, long)]
    pub pid: i32,
    /// text for people; pprof for `go tool pprof`; folded for flame graph tools, svg for a flame graph of
    /// the bytes in use; json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ProfileFormat,
    /// How many stacks the text shows; of --holders, how many holders.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub stacks: usize,
    /// Show who holds the memory instead of who allocated it: package variables, goroutines and finalizers, and by
    /// which fields and types. Reads the whole heap once, from outside (Go 1.21 to 1.27).
    #[arg(long)]
    pub holders: bool,
    /// Show which holders hold more each time, by five readings over this time: 12s, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "holders")]
    pub growing: Option<Duration>,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `watcher fds`.
#[derive(Debug, Args)]
pub struct Fds {
    /// The process with this id.
    #[arg(short, long)]
    pub pid: i32,
    /// How long to watch who opens and closes; Ctrl-C shows what was seen so far.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Let the text put together what was opened by the same stack, is of the same type, or has the same peer.
    #[arg(short, long, value_name = "BY")]
    pub group: Option<FdGroup>,
    /// Let the text show whole stacks; with no --group, groups by stack.
    #[arg(short, long)]
    pub stacks: bool,
    /// text for people; pprof for `go tool pprof`; folded for flame graph tools; svg for a flame graph; json for
    /// programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ProfileFormat,
    /// How many rows or groups the text shows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub groups: usize,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What descriptors are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FdGroup {
    /// The stack that opened them.
    Stack,
    /// What they are: file, socket, eventfd and so on.
    Type,
    /// The other end of a connection.
    Peer,
}

/// `watcher memory`.
#[derive(Debug, Args)]
pub struct Memory {
    /// The process with this id, Go or not; with --mappings, a Go process.
    #[arg(short, long)]
    pub pid: i32,
    /// Watch who maps memory and files, and show what stays mapped.
    #[arg(short, long)]
    pub mappings: bool,
    /// How long to watch; Ctrl-C shows what was seen so far.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration, requires = "mappings")]
    pub duration: Duration,
    /// Let the text show whole stacks.
    #[arg(short, long, requires = "mappings")]
    pub stacks: bool,
    /// How many stacks the text shows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, requires = "mappings")]
    pub groups: usize,
    /// text for people, json for programs; with --mappings also pprof, folded and svg.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ProfileFormat,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `watcher diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The older capture.
    pub before: PathBuf,
    /// The newer one.
    pub after: PathBuf,
    /// Compare this value of the captures, such as alloc_space; by default what the newer one shows.
    #[arg(long, value_name = "NAME")]
    pub sample_type: Option<String>,
    /// text for people; pprof for `go tool pprof`; json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DiffFormat,
    /// Compare profiles of different processes too, such as one that was restarted in between.
    #[arg(long)]
    pub across: bool,
    /// How many stacks and functions the text shows.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub stacks: usize,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What may be asked of pprof endpoints.
#[derive(Args, Clone, Debug, Default)]
pub struct Pprof {
    /// Ask no process for its pprof profiles.
    #[arg(long)]
    pub no_pprof: bool,
    /// Ask no process whose name or executable's file name matches this pattern; may be given several times.
    #[arg(long, value_name = "GLOB")]
    pub no_pprof_of: Vec<String>,
    /// Settings of pulls, in TOML: endpoints, headers, TLS roots, limits, where profiles are kept.
    #[arg(long, value_name = "FILE")]
    pub pprof_settings: Option<PathBuf>,
}

/// `watcher pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// The process with this id.
    #[arg(short, long)]
    pub pid: i32,
    /// Which profile.
    #[arg(long, value_name = "NAME", default_value = "heap")]
    pub profile: ProfileKind,
    /// Make the process collect garbage first, so that the heap profile is of this moment. It costs the process a
    /// collection.
    #[arg(long)]
    pub gc: bool,
    /// text for people; pprof for `go tool pprof`; folded for flame graphs; json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ProfileFormat,
    /// Write to this file instead of standard output. The profile is kept besides.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What may be asked of pprof endpoints.
    #[command(flatten)]
    pub pprof: Pprof,
}

/// `watcher show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A profile, or JSON of `goroutines` or `heap`.
    pub file: PathBuf,
    /// In which way.
    #[arg(long = "as", value_name = "VIEW", default_value = "top")]
    pub view: View,
    /// For peek: the functions whose names hold this text, with who calls them and what they call.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub function: String,
    /// text for people; svg for a picture (flame and graph).
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Picture,
    /// Show this value of the profile, such as alloc_space; by default the one that it says itself.
    #[arg(long, value_name = "NAME")]
    pub sample_type: Option<String>,
    /// How many functions or stacks are shown.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub rows: usize,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `watcher doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// text for people, json for programs.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `watcher bench-sweep`.
#[derive(Debug, Args)]
pub struct BenchSweep {
    /// Sweep the processes whose name matches this pattern.
    #[arg(long, value_name = "GLOB")]
    pub name: String,
    /// How many sweeps to measure.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub sweeps: u32,
    /// Use /proc alone, as on a kernel that refuses the iterators.
    #[arg(long)]
    pub no_kernel: bool,
}

/// `watcher bench-goroutines`.
#[derive(Debug, Args)]
pub struct BenchGoroutines {
    /// The process.
    #[arg(long)]
    pub pid: i32,
    /// How many times to read.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub reads: u32,
    /// From the begin of one to the begin of the next; less than one takes is as fast as possible.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub every: Duration,
}

/// Exactly one way to name processes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The process with this id, Go or not.
    #[arg(short, long)]
    pub pid: Option<i32>,
    /// Processes whose name or executable's file name matches this pattern, Go or not.
    #[arg(short, long, value_name = "GLOB")]
    pub name: Option<String>,
    /// All Go processes of this host.
    #[arg(short, long)]
    pub all: bool,
}

/// At most one way to name processes.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
pub struct OptionalWhich {
    /// Only the process with this id, Go or not.
    #[arg(short, long)]
    pub pid: Option<i32>,
    /// Only processes whose name or executable's file name matches this pattern, Go or not.
    #[arg(short, long, value_name = "GLOB")]
    pub name: Option<String>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Form of a view of goroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GoroutineFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For `go tool pprof`: gzipped.
    Pprof,
    /// For flame graphs.
    Folded,
    /// A flame graph.
    Svg,
    /// As `/debug/pprof/goroutine?debug=1`.
    Debug1,
    /// As `/debug/pprof/goroutine?debug=2`.
    Debug2,
}

/// Form of a view that is also a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For `go tool pprof`: gzipped.
    Pprof,
    /// For flame graphs.
    Folded,
    /// A flame graph.
    Svg,
}

/// A profile of net/http/pprof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum ProfileKind {
    /// What is in use of the heap.
    Heap,
    /// What was allocated since the start.
    Allocs,
    /// All goroutines.
    Goroutine,
    /// Goroutines that nothing can wake (Go 1.27); costs the process a collection.
    GoroutineLeak,
    /// Stacks that led to new threads.
    ThreadCreate,
    /// Where goroutines waited for each other, where the program records it.
    Block,
    /// Who held contended locks, where the program records it.
    Mutex,
}

/// A way to show a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// Functions by what was counted in them and below them.
    Top,
    /// Some functions, with callers and callees.
    Peek,
    /// Every stack.
    Traces,
    /// Stacks as a flame graph: folded as text.
    Flame,
    /// Who calls whom: a tree as text, boxes and arrows as a picture.
    Graph,
}

/// Text or a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// For a terminal.
    Text,
    /// For a browser.
    Svg,
}

/// Form of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For `go tool pprof`: gzipped.
    Pprof,
}

/// What nobody means who types a time.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Reads `45`, `45s`, `500ms`, `5m`, `2h` or `1d`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m, h or d")),
    };
    let number: f64 =
        number.parse().map_err(|_| "expected a number and a unit, such as 45s or 5m".to_owned())?;
    let duration =
        Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|error| error.to_string())?;
    match duration <= LONGEST {
        true => Ok(duration),
        false => Err("longer than a year".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::recordings::{limit, size};
    use super::{Cli, Limit, duration};
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("45", Some(Duration::from_secs(45))),
            ("45s", Some(Duration::from_secs(45))),
            ("500ms", Some(Duration::from_millis(500))),
            ("1.5m", Some(Duration::from_secs(90))),
            ("2h", Some(Duration::from_secs(7200))),
            ("1d", Some(Duration::from_secs(86_400))),
            ("", None),
            ("s", None),
            ("5 parsecs", None),
            ("-5s", None),
            ("1e999s", None),
            ("99999999999999999999999d", None),
            ("99999999999h", None),
            ("365d", Some(Duration::from_secs(365 * 86_400))),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_and_limits_have_names_and_units() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("512M", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("", None),
            ("1.5G", None),
            ("5 parsecs", None),
            ("99999999999999T", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text:?}");
        }
        assert_eq!(limit("nofile=1024"), Ok((Limit::Nofile, 1024)));
        assert_eq!(limit("host-memory=2G"), Ok((Limit::HostMemory, 2 << 30)));
        assert_eq!(
            limit("files=1").unwrap_err(),
            "unknown limit \"files\": there are nofile, nproc, maps, memory, pids, host-memory, host-tasks"
        );
        assert!(limit("nofile").is_err());
    }
}
