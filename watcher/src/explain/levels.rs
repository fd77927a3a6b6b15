//! How full limits are, in sentences.

use super::time_left::limit_name;
use super::words::{bytes, count, peer_name, state_name, type_name};
use super::{Frame, LimitName, Verdict};
use crate::judge;
use crate::judge::judgement::Held;
use crate::judge::levels::NEAR;
use crate::observed::connections::Peer;

/// One limit and how full it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The limit as the system calls it.
    pub limit: &'static str,
    /// What it counts, in one word.
    pub unit: &'static str,
    /// What counts against it.
    pub value: u64,
    /// The limit itself.
    pub of: u64,
    /// The used part: 1 where it is reached.
    pub share: f64,
    /// What this process itself holds, where others draw on the limit as well and that is known.
    pub own: Option<u64>,
    /// It is nearly reached, and this process has a part in it.
    pub is_near: bool,
    /// It is the host's: every process shows the same.
    pub is_of_host: bool,
    /// Who holds it, those with most first; empty where it is far from full.
    pub held_by: Vec<Holder>,
    /// In a few words: `19,509 of 20,000 descriptors, 98 %`.
    pub phrase: String,
    /// In a sentence without its full stop: `19,509 of 20,000 descriptors are open, 98 %`.
    pub sentence: String,
    /// What happens when it is reached, and where to look, in a sentence or two.
    pub advice: String,
}

/// Things that count against a limit and have something in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// What they have in common, without their number: `opened at main.poll (/src/main.go:38)`.
    pub what: String,
    /// The line of code, where one is known.
    pub frame: Option<Frame>,
    /// How many.
    pub count: u64,
    /// With their number and what they are.
    pub phrase: String,
    /// Their part of what is used: 0 to 1.
    pub share: f64,
}

impl Level {
    /// It is at least as full as what is warned of.
    pub fn is_full(&self) -> bool {
        self.share >= NEAR
    }

    /// Its phrase and who holds it.
    pub fn with_holders(&self) -> String {
        let holders: Vec<&str> = self.held_by.iter().map(|holder| holder.phrase.as_str()).collect();
        match holders[..] {
            [] => self.phrase.clone(),
            _ => format!("{}: {}", self.phrase, holders.join("; ")),
        }
    }
}

/// The verdict in one sentence where a limit is nearly reached and nothing leaks.
pub(super) fn headline(verdict: Verdict, usual: String, levels: &[Level]) -> String {
    match (verdict, levels.iter().find(|level| level.is_near)) {
        (Verdict::Healthy, Some(level)) => format!("Nothing grows, but {}", level.sentence),
        (Verdict::Inconclusive, Some(level)) => format!("{usual}. But {}", level.sentence),
        _ => usual,
    }
}

pub(super) fn explain(level: &judge::judgement::Level, pid: i32) -> Level {
    let limit = level.limit;
    let amount = |value: u64| if limit.is_of_bytes() { bytes(value as f64) } else { count(value as f64) };
    let share = level.share();
    let of = format!("{} of {}", amount(level.value), amount(level.of));
    let (things, does) = words(limit);
    let things = match level.peer {
        Some(peer) => format!("{things} to {peer}"),
        None => things.to_owned(),
    };
    let holders = level.held_by.iter().map(|holder| {
        let (what, frame) = held(&holder.what, limit);
        let phrase = format!("{} {what}", amount(holder.count));
        Holder { what, frame, count: holder.count, phrase, share: holder.share }
    });
    Level {
        limit: limit_name(limit),
        unit: unit_word(limit),
        value: level.value,
        of: level.of,
        share,
        own: level.own,
        is_near: level.is_near,
        is_of_host: matches!(limit, LimitName::HostMemory | LimitName::HostTasks),
        held_by: holders.collect(),
        phrase: format!("{of} {things}, {}", percent_reached(share)),
        sentence: format!("{of} {things} {does}, {}", percent_reached(share)),
        advice: advice(limit, pid),
    }
}

/// What is not full is never said to be, nor what is used to be nothing: 99.7 % are `99 %`.
fn percent_reached(share: f64) -> String {
    match (share * 100.0).round() {
        _ if share <= 0.0 => "0 %".to_owned(),
        rounded if rounded < 1.0 => "under 1 %".to_owned(),
        rounded if rounded >= 100.0 && share < 1.0 => "99 %".to_owned(),
        rounded => format!("{rounded:.0} %"),
    }
}

/// What a limit counts, and what is true of those that are counted.
fn words(limit: LimitName) -> (&'static str, &'static str) {
    match limit {
        LimitName::OpenFiles => ("descriptors", "are open"),
        LimitName::Mappings => ("memory mappings", "are in use"),
        LimitName::GoThreads => ("OS threads that Go allows by default", "exist"),
        LimitName::UserProcesses => ("processes and threads of its user", "exist"),
        LimitName::CgroupPids => ("processes and threads of its cgroup", "exist"),
        LimitName::HostTasks => ("processes and threads of this host", "exist"),
        LimitName::CgroupMemory => ("of memory in its cgroup", "are used"),
        LimitName::CgroupMemoryHigh => ("below memory.high of its cgroup", "are used"),
        LimitName::HostMemory => ("of memory on this host", "are used"),
        LimitName::AddressSpace => ("of address space", "are mapped"),
        LimitName::DataSize => ("of private writable memory", "are mapped"),
        LimitName::GoMemory => ("of GOMEMLIMIT", "are filled with what is live"),
        LimitName::InotifyInstances => ("inotify instances of its user", "are open"),
        LimitName::InotifyWatches => ("inotify watches of its user", "are set"),
        LimitName::Ports => ("ports for connections", "are taken"),
    }
}

fn unit_word(limit: LimitName) -> &'static str {
    match limit {
        LimitName::OpenFiles => "fds",
        LimitName::Mappings => "mappings",
        LimitName::GoThreads => "threads",
        LimitName::UserProcesses | LimitName::CgroupPids | LimitName::HostTasks => "tasks",
        LimitName::CgroupMemory
        | LimitName::CgroupMemoryHigh
        | LimitName::HostMemory
        | LimitName::AddressSpace
        | LimitName::DataSize
        | LimitName::GoMemory => "bytes",
        LimitName::InotifyInstances => "instances",
        LimitName::InotifyWatches => "watches",
        LimitName::Ports => "ports",
    }
}

fn held(held: &Held, limit: LimitName) -> (String, Option<Frame>) {
    let at = |verb: &str, frame: &Frame| {
        let text = format!("{verb} {} ({}:{})", frame.function, frame.file, frame.line);
        (text, Some(frame.clone()))
    };
    let plain = |text: &str| (text.to_owned(), None);
    match held {
        Held::Line(frame) => match limit {
            LimitName::OpenFiles => at("opened at", frame),
            LimitName::Mappings => at("mapped at", frame),
            _ => at("allocated at", frame),
        },
        Held::Sitting(frame) => at("threads with goroutines at", frame),
        Held::Type(kind) => (format!("of type {}", type_name(*kind)), None),
        Held::Path(path) => match (path.strip_suffix("/*"), limit) {
            (_, LimitName::Mappings) if path.is_empty() => plain("of anonymous memory"),
            (Some(below), _) => (format!("of files in {below}"), None),
            (None, _) => (format!("of {path}"), None),
        },
        Held::Sockets { state, peer } => {
            let towards = match peer {
                Peer::None => String::new(),
                Peer::Client { ip, local_port } => format!(" from {ip} to port {local_port}"),
                other => format!(" to {}", peer_name(other)),
            };
            (format!("sockets in {}{towards}", state_name(*state)), None)
        }
        Held::Threads(name) => (format!("threads named {name}"), None),
        Held::OwnThreads => plain("threads of this process"),
        Held::Zombies => plain("children that exited and were not waited for"),
        Held::LiveHeap => plain("live objects"),
        Held::Heap => plain("on the Go heap"),
        Held::OutsideHeap => plain("outside the Go heap"),
        Held::Own => plain("of this process"),
        Held::Others => plain("of other processes"),
    }
}

/// What happens when a limit is reached, and where to look.
fn advice(limit: LimitName, pid: i32) -> String {
    match limit {
        LimitName::OpenFiles => format!(
            "At the limit each open, accept and dial fails with \"too many open files\". `watcher fds -p {pid}` lists \
             what is open."
        ),
        LimitName::Mappings => format!(
            "At the limit nothing more can be mapped, and Go ends a program that gets no memory. `watcher memory -p \
             {pid} --mappings` lists them."
        ),
        LimitName::GoThreads => format!(
            "With one thread more Go ends the program. `watcher goroutines -p {pid} --threads` says what they do."
        ),
        LimitName::UserProcesses | LimitName::CgroupPids | LimitName::HostTasks => {
            "At the limit no process and no thread can be started, and Go ends a program that needs a thread and gets \
             none."
                .to_owned()
        }
        LimitName::CgroupMemory => format!(
            "At the limit the kernel kills a process of the cgroup. `watcher heap -p {pid}` shows what the Go heap \
             holds."
        ),
        LimitName::CgroupMemoryHigh => {
            "From the limit on the kernel slows the processes of the cgroup down.".to_owned()
        }
        LimitName::HostMemory => {
            "When it is used up the kernel kills processes of its own choice.".to_owned()
        }
        LimitName::AddressSpace | LimitName::DataSize => {
            "At the limit nothing more can be mapped, and Go ends a program that gets no memory.".to_owned()
        }
        LimitName::InotifyInstances => {
            "At the limit nobody of this user can make another inotify instance: inotify_init fails with \"too many open \
             files\"."
                .to_owned()
        }
        LimitName::InotifyWatches => {
            "At the limit nobody of this user can watch another file: inotify_add_watch fails with \"no space left on \
             device\"."
                .to_owned()
        }
        LimitName::Ports => format!(
            "When all are taken, dialling that peer fails with \"cannot assign requested address\". `watcher fds -p \
             {pid} --group peer` shows the connections."
        ),
        LimitName::GoMemory => format!(
            "Near the limit the collector runs ever more often and takes its time from the program. `watcher heap -p \
             {pid}` shows what is live."
        ),
    }
}
