//! Why a finding is believed.

use crate::judge::terms::Unit;
use crate::vocabulary::frame::Frame;
use std::sync::Arc;
use std::time::SystemTime;

/// Why we believe a finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// Sockets carried data at the window's end: they are in use.
    InUse {
        /// So many.
        count: u64,
        /// Within so many seconds.
        within_seconds: f64,
    },
    /// A total rose.
    Rose {
        /// At the window's begin.
        from: f64,
        /// At its end.
        to: f64,
        /// Over so many seconds.
        seconds: f64,
        /// In so many samples.
        samples: usize,
    },
    /// A few came, and none of them has gone: who made them is not known, or not from their own stacks.
    Stayed {
        /// How many.
        count: u64,
        /// Seconds that were watched.
        seconds: f64,
    },
    /// How much of the rise falls into each quarter of the window.
    Quarters {
        /// The rises, oldest first.
        rises: [f64; 4],
    },
    /// Which part of all open descriptors the growth belongs to, known from so many readings of what they are.
    Share {
        /// Part of the growth of all open descriptors: 0 to 1.
        of_descriptors: f64,
        /// Readings of the types that it rests on.
        readings: usize,
    },
    /// Steps up against steps down between neighbouring samples.
    Steps {
        /// Steps up.
        up: usize,
        /// Steps down.
        down: usize,
    },
    /// One goroutine asks a library for the same goroutines at several lines; from which of them those came that stay
    /// was not seen.
    SeveralAskers {
        /// How many lines.
        lines: usize,
    },
    /// Who started these goroutines was not seen; the goroutine that they go back to is here, and has gone on since.
    ParentNow {
        /// The program's own line at which it is now.
        line: Frame,
        /// How many go back to it.
        count: u64,
    },
    /// A library's goroutines make it, and the program's own line that is named started those.
    InGoroutinesOf {
        /// The function that they run.
        start: Arc<str>,
        /// How many of them are here that this line started.
        count: u64,
    },
    /// Other leaks bring goroutines with them, which are left out here.
    WithoutCompanions {
        /// Growth of all goroutines, those left out included.
        in_all_per_second: f64,
    },
    /// Both ends of these connections are in this process.
    BothEnds {
        /// Port of the server.
        port: u16,
        /// Connections that were dialled to it since watching began, and are open.
        dialled: u64,
        /// ... and accepted by it.
        accepted: u64,
        /// The client is the one who does not close; else the server.
        by_client: bool,
    },
    /// Most of the growth comes from one `go` statement.
    Origin {
        /// So many more than at the window's begin.
        grown: u64,
        /// Part of the growth of all goroutines: 0 to 1.
        share: f64,
        /// Seconds between the two captures.
        seconds: f64,
        /// Those that came in the first half of that time; 0 where nothing was captured in between.
        came: u64,
        /// Those of them that are still there.
        stayed: u64,
        /// For what most of them wait, in the runtime's words; `None` for those that do not wait.
        wait: Option<Arc<str>>,
    },
    /// Goroutines wait at one line, and none of them has run.
    Stuck {
        /// How many.
        count: u64,
        /// Of so many in all.
        total: u64,
        /// For so many seconds at least.
        seconds: f64,
        /// For what they wait, in the runtime's words.
        wait: Option<Arc<str>>,
        /// Workers without work would look the same.
        may_be_idle: bool,
        /// Nothing can ever end what they wait for.
        for_ever: bool,
    },
    /// Objects that one stack allocated are kept.
    Allocated {
        /// Bytes in use more than at the window's begin, estimated.
        bytes: u64,
        /// Objects more, estimated.
        objects: u64,
        /// Part of the growth of all that is in use: 0 to 1.
        share: f64,
        /// Seconds between the two captures.
        seconds: f64,
    },
    /// The line that keeps most keeps large objects of one size.
    LargeObjects {
        /// How many more than at the window's begin, estimated.
        objects: u64,
        /// Size of each.
        object_bytes: u64,
    },
    /// The live heap rose in steps, as it does where one thing is allocated anew and larger each time.
    Stairs {
        /// How many.
        steps: usize,
        /// Live bytes before the first.
        from: f64,
        /// After the last.
        to: f64,
    },
    /// The live heap rose from collection to collection.
    Collections {
        /// Collections that were seen.
        cycles: usize,
        /// Live bytes after the first of them.
        from: f64,
        /// After the last.
        to: f64,
    },
    /// What the process's own endpoint says to it.
    Endpoint(Said),
    /// The growth is concentrated in one group.
    Concentrated {
        /// Part of the growth that the group explains: 0 to 1.
        share: f64,
        /// How many the group holds now.
        now: u64,
    },
    /// What was created at the stack that keeps most, and what became of it, beside all other stacks.
    Survivors {
        /// At that stack.
        here: Created,
        /// At all other stacks that create things of this kind.
        elsewhere: Created,
        /// Seconds that were watched for it.
        seconds: f64,
        /// Stacks that keep what they create.
        keeping_stacks: usize,
    },
    /// What the things are that the keeping stacks hold is not all of the growth: so much of it has no stack.
    WithoutStack {
        /// So many, in the kind's unit.
        count: u64,
    },
    /// Collections closed what the program had not: each time some of them went at once.
    ClosedByCollector {
        /// Collections after which that was seen.
        collections: usize,
        /// How many went with them.
        count: u64,
    },
    /// Goroutines sit on the sockets that grow.
    SittingOn {
        /// So many goroutines.
        goroutines: u64,
        /// The function of the program's own, or of the library, in which most of them are.
        function: Arc<str>,
    },
    /// Bytes that one stack asked of the system and has not given back.
    Mapped {
        /// So many bytes.
        bytes: u64,
        /// In so many mappings.
        mappings: u64,
        /// Seconds that were watched for it.
        seconds: f64,
        /// C asked, by way of cgo.
        by_c: bool,
    },
    /// Mappings that are the stacks of threads which C started: whoever needed the next thread asked for them.
    ThreadStacks {
        /// So many, of threads that are there.
        count: u64,
        /// Seconds that were watched for it.
        seconds: f64,
    },
    /// Goroutines hold OS threads.
    HoldingThreads {
        /// So many more than at the window's begin.
        grown: u64,
        /// Of so many more OS threads.
        threads: u64,
        /// How they hold them.
        hold: Hold,
    },
    /// Since when it grows.
    Since {
        /// Seconds before the newest sample.
        seconds: f64,
        /// What happened then.
        begin: Begin,
    },
    /// They came one by one up to now, and are there: told by the age of each at one look.
    OneByOne {
        /// So many.
        count: u64,
        /// When the oldest of them came.
        since: SystemTime,
        /// The same in seconds before the look.
        seconds: f64,
        /// Seconds from one to the next.
        each_seconds: f64,
        /// None was used since it came; `None` where nothing tells.
        unused: Option<bool>,
    },
    /// They are one file, opened again and again, and never read or written through them.
    SameFile {
        /// So many.
        count: u64,
        /// Its path, printable form.
        path: Arc<str>,
    },
    /// They are dead and still held.
    DeadAndHeld {
        /// So many for long.
        count: u64,
        /// Of so many in all.
        of: u64,
        /// The first of them for so many seconds.
        oldest_seconds: f64,
    },
    /// The lives of a program across its restarts, cut by the same limit.
    Lives {
        /// Ended ones and the present one that rise in a line.
        rising: usize,
        /// All that were seen.
        lives: usize,
        /// Seconds from start to end: the median.
        typical_seconds: f64,
    },
    /// Objects that one stack allocated are still live, counted where no heap profile is recorded.
    Retained {
        /// Live bytes.
        bytes: u64,
        /// Live objects.
        objects: u64,
        /// Part of all that was allocated since and is live: 0 to 1.
        share: f64,
        /// Seconds that were watched for it.
        seconds: f64,
    },
}

/// With what growth begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the process.
    ProcessStart,
    /// While it was watched.
    Watched,
    /// Before it was watched, and no earlier: at this pace what there is now would have come sooner.
    NoEarlier,
}

/// What was created and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Created {
    /// Created while it was watched.
    pub created: u64,
    /// ... and ended since.
    pub ended: u64,
    /// The longest that any of the ended ones lived, in seconds, where it is known.
    pub longest_seconds: Option<f64>,
}

/// How a goroutine holds an OS thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is locked to it (`runtime.LockOSThread`) and waits.
    Locked,
    /// It is in a system call.
    SystemCall,
    /// It is in C.
    C,
}

/// What the endpoint says to a finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// How much it has at the finding's stacks, or on its line.
    Holds {
        /// Seen from outside.
        outside: u64,
        /// In its profile.
        endpoint: u64,
        /// Goroutines or bytes.
        unit: Unit,
        /// The two are as equal as two looks can be.
        agrees: bool,
    },
    /// How much more it has there than in its first profile.
    Grew {
        /// In the first.
        before: u64,
        /// In the newest.
        after: u64,
        /// Seconds between the two.
        seconds: f64,
        /// Goroutines or bytes.
        unit: Unit,
    },
    /// Which line the difference of its profiles names.
    Line {
        /// The line.
        frame: Frame,
        /// Its part of the growth: 0 to 1.
        share: f64,
        /// It is in a function that was named from outside too.
        is_known: bool,
    },
    /// Of these goroutines its leak profile says that nothing can wake them.
    Unreachable {
        /// How many.
        count: u64,
    },
    /// Goroutines that sit on connections of net/http.
    HttpConnections {
        /// Those that the program dialled.
        client: u64,
        /// Those that it accepted.
        server: u64,
    },
}
