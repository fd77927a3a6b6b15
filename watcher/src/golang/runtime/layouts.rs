//! Where the fields of the runtime's structures lie, by Go version, on 64-bit machines.
//!
//! Taken from the DWARF of programs built by each version. The tables are a hint: `calibrate` finds the same offsets
//! in the live process and has the last word.

/// A version of Go as far as layouts depend on it: the 26 of `go1.26.6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u32);

impl Minor {
    /// From a version as the linker records it: `go1.26.6`, `go1.22.1 X:nocoverageredesign`, `devel go1.28-0af3`.
    pub fn parse(version: &str) -> Option<Minor> {
        let behind = version.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
        let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().map(Minor)
    }
}

/// `runtime.g`: a goroutine. Offsets in bytes; `stack.lo`, `stack.hi` and `m` lie at 0, 8 and 48 in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoroutineLayout {
    /// `sched.sp`; `sched.pc` follows.
    pub sched_sp: usize,
    /// `sched.bp`.
    pub sched_bp: usize,
    /// `syscallsp`; `syscallpc` follows.
    pub syscall_sp: usize,
    /// `goid`; `atomicstatus` lies 8 bytes before it, `waitsince` 16 behind, `waitreason` 24 behind.
    pub goid: usize,
    /// `lockedm`; `None` where not known.
    pub locked_m: Option<usize>,
    /// `parentGoid`, from Go 1.21 on.
    pub parent_goid: Option<usize>,
    /// `startpc`; `gopc` lies 16 bytes before it, `labels` 48 behind.
    pub start_pc: usize,
}

impl GoroutineLayout {
    /// `stack.lo`.
    pub const STACK_LOW: usize = 0;
    /// `stack.hi`.
    pub const STACK_HIGH: usize = 8;
    /// `m`: the thread that runs it.
    pub const M: usize = 48;

    /// `sched.pc`.
    pub fn sched_pc(&self) -> usize {
        self.sched_sp + 8
    }

    /// `sched.g`: points back to the goroutine itself.
    pub fn sched_g(&self) -> usize {
        self.sched_sp + 16
    }

    /// `syscallpc`.
    pub fn syscall_pc(&self) -> usize {
        self.syscall_sp + 8
    }

    /// `atomicstatus`, 4 bytes.
    pub fn status(&self) -> usize {
        self.goid - 8
    }

    /// `waitsince`: nanoseconds of the runtime's clock; set only by a GC that finds the goroutine parked.
    pub fn wait_since(&self) -> usize {
        self.goid + 16
    }

    /// `waitreason`, 1 byte.
    pub fn wait_reason(&self) -> usize {
        self.goid + 24
    }

    /// `gopc`: the `go` statement that created it.
    pub fn go_pc(&self) -> usize {
        self.start_pc - 16
    }

    /// `labels`: pprof's labels.
    pub fn labels(&self) -> usize {
        self.start_pc + 48
    }

    /// How much of a goroutine is read: up to its last field that matters here.
    pub fn bytes(&self) -> usize {
        self.labels() + 8
    }
}

/// `runtime.m`: a thread. `g0` lies at 0 in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadLayout {
    /// `procid`: the kernel's thread id.
    pub procid: usize,
    /// `curg`: the goroutine that runs on it.
    pub current: usize,
    /// `incgo`: it executes C code, 1 byte.
    pub in_cgo: Option<usize>,
    /// `alllink`: the next thread in `runtime.allm`.
    pub all_link: usize,
    /// `lockedg`: the goroutine locked to it.
    pub locked_g: Option<usize>,
}

impl ThreadLayout {
    /// How much of a thread is read.
    pub fn bytes(&self) -> usize {
        [self.procid, self.current, self.in_cgo.unwrap_or(0), self.all_link, self.locked_g.unwrap_or(0)]
            .into_iter()
            .max()
            .unwrap_or(0)
            + 8
    }
}

/// All layouts of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts {
    /// Of goroutines.
    pub goroutine: GoroutineLayout,
    /// Of threads.
    pub thread: ThreadLayout,
    /// Of `gofunc` in `moduledata`.
    pub gofunc: usize,
}

/// The newest version that [`known`] knows.
pub const NEWEST: Minor = Minor(27);

/// The layouts of a version, where they are known.
pub fn known(minor: Minor) -> Option<Layouts> {
    Some(Layouts { goroutine: goroutine(minor)?, thread: thread(minor)?, gofunc: gofunc(minor)? })
}

fn goroutine(minor: Minor) -> Option<GoroutineLayout> {
    let layout = |sched_bp, goid, locked_m, parent_goid, start_pc| GoroutineLayout {
        sched_sp: 56,
        sched_bp,
        syscall_sp: sched_bp + 8,
        goid,
        locked_m: Some(locked_m),
        parent_goid,
        start_pc,
    };
    match minor.0 {
        19 | 20 => Some(layout(104, 152, 232, None, 312)),
        21 | 22 => Some(layout(104, 152, 208, Some(272), 296)),
        23 | 24 => Some(layout(104, 160, 216, Some(280), 304)),
        25 => Some(layout(96, 152, 208, Some(272), 296)),
        26 | 27 => Some(layout(96, 152, 208, Some(280), 304)),
        _ => None,
    }
}

fn thread(minor: Minor) -> Option<ThreadLayout> {
    let layout = |procid, current, in_cgo, all_link, locked_g| ThreadLayout {
        procid,
        current,
        in_cgo: Some(in_cgo),
        all_link,
        locked_g: Some(locked_g),
    };
    match minor.0 {
        19..=21 => Some(layout(72, 192, 280, 336, 352)),
        22 | 23 => Some(layout(72, 192, 280, 328, 344)),
        24 => Some(layout(72, 192, 280, 352, 368)),
        25 => Some(layout(64, 184, 272, 344, 360)),
        26 | 27 => Some(layout(64, 184, 280, 352, 384)),
        _ => None,
    }
}

fn gofunc(minor: Minor) -> Option<usize> {
    match minor.0 {
        18 | 19 => Some(304),
        20..=26 => Some(320),
        27 => Some(344),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Minor, NEWEST, known};

    #[test]
    fn versions_are_read_as_the_linker_writes_them() {
        for (version, minor) in [
            ("go1.26.6", Some(26)),
            ("go1.19", Some(19)),
            ("go1.22.1 X:nocoverageredesign", Some(22)),
            ("devel go1.28-0af3 Mon Nov 9", Some(28)),
            ("go1.27rc1", Some(27)),
            ("go2.0", None),
            ("devel +0af3", None),
            ("go1.", None),
        ] {
            assert_eq!(Minor::parse(version), minor.map(Minor), "{version}");
        }
    }

    #[test]
    fn what_is_said_of_every_version_holds() {
        for minor in 19..=NEWEST.0 {
            let layouts = known(Minor(minor)).unwrap();
            let goroutine = layouts.goroutine;
            // What `calibrate` derives from other offsets must be what the table has.
            assert_eq!(goroutine.parent_goid.is_some(), minor >= 21);
            if let Some(parent) = goroutine.parent_goid {
                assert_eq!(parent + 8, goroutine.go_pc(), "1.{minor}");
            }
            assert!(goroutine.sched_bp < goroutine.syscall_sp && goroutine.syscall_pc() < goroutine.status());
        }
        assert!(known(Minor(18)).is_none() && known(Minor(NEWEST.0 + 1)).is_none());
    }
}
