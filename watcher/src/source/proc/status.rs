//! `/proc/PID/status`, pure over bytes.
//!
//! Our own parser and not that of the `procfs` crate, which puts all sixty lines into a map: a sweep reads this
//! file once per process.

use crate::observed::memory::Memory;

/// What we use of the file (`fs/proc/array.c`, `proc_pid_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Effective user id.
    pub uid: u32,
    /// Threads of the process.
    pub threads: u64,
    /// `None` for a task without memory: a kernel thread, or a process that has exited.
    pub memory: Option<Memory>,
    /// Effective capabilities, in the process's own user namespace; `None` where the line is missing.
    pub capabilities: Option<u64>,
}

impl Status {
    /// It has CAP_SYS_ADMIN in its user namespace.
    pub fn may_administer(&self) -> bool {
        const SYS_ADMIN: u32 = 21;
        self.capabilities.is_some_and(|held| held & 1 << SYS_ADMIN != 0)
    }
}

/// Parses the file; `None` where a line that every kernel writes is missing or broken.
pub fn parse(bytes: &[u8]) -> Option<Status> {
    let mut uid = None;
    let mut threads = None;
    let mut capabilities = None;
    let mut memory = Memory::default();
    let mut parts_seen = 0;
    // The first line holds the name. The kernel escapes newlines in it, so it cannot forge other lines.
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // A line without its end was cut off, and with it perhaps digits.
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let part = match name {
            b"Uid" => {
                uid = Some(words(value).nth(1)?.parse().ok()?);
                continue;
            }
            b"Threads" => {
                threads = Some(words(value).next()?.parse().ok()?);
                // It follows upon all the lines about memory; only the capabilities are of interest behind it.
                continue;
            }
            b"CapEff" => {
                let digits = words(value).next()?;
                capabilities = Some(u64::from_str_radix(digits, 16).ok()?);
                break;
            }
            _ if threads.is_some() => continue,
            b"VmSize" => &mut memory.virtual_bytes,
            b"VmHWM" => &mut memory.peak_rss_bytes,
            b"RssAnon" => &mut memory.anon_bytes,
            b"RssFile" => &mut memory.file_bytes,
            b"RssShmem" => &mut memory.shmem_bytes,
            b"VmPTE" => &mut memory.page_tables_bytes,
            b"VmData" => &mut memory.data_bytes,
            b"VmSwap" => &mut memory.swap_bytes,
            _ => continue,
        };
        *part = kibibytes(value)?;
        parts_seen += 1;
    }
    let memory = match parts_seen {
        0 => None,
        MEMORY_PARTS => Some(memory),
        // Some lines and not others: an unknown kernel. A part that is missing must not read as 0.
        _ => return None,
    };
    Some(Status { uid: uid?, threads: threads?, memory, capabilities })
}

const MEMORY_PARTS: usize = 8;

/// `     1234 kB` in bytes.
fn kibibytes(value: &[u8]) -> Option<u64> {
    let mut words = words(value);
    let number: u64 = words.next()?.parse().ok()?;
    (words.next()? == "kB").then_some(())?;
    number.checked_mul(1024)
}

fn words(value: &[u8]) -> impl Iterator<Item = &str> {
    value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map_while(|word| std::str::from_utf8(word).ok())
}

#[cfg(test)]
mod tests {
    use super::{Status, parse};
    use crate::observed::memory::Memory;
    use proptest::prelude::*;

    const WHOLE: &str = "Name:\tVmSwap: 9 kB\\nThreads:\t99\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\n\
        Uid:\t0\t1000\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t1 2 \nVmPeak:\t 300 kB\nVmSize:\t 200 kB\n\
        VmLck:\t 0 kB\nVmPin:\t 0 kB\nVmHWM:\t 90 kB\nVmRSS:\t 60 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\n\
        RssShmem:\t 30 kB\nVmData:\t 4 kB\nVmStk:\t 4 kB\nVmExe:\t 4 kB\nVmLib:\t 4 kB\nVmPTE:\t 5 kB\n\
        VmSwap:\t 7 kB\nHugetlbPages:\t 0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\nThreads:\t13\nSigQ:\t0/3\n";

    #[test]
    fn capabilities_stand_behind_all_else() {
        let with = |held: &str| {
            parse(format!("{WHOLE}CapInh:\t0\nCapPrm:\t1\nCapEff:\t{held}\nCapBnd:\t0\n").as_bytes())
        };
        let root = with("000001ffffffffff").unwrap();
        assert!(root.may_administer());
        let all_but_one = with("000001ffffdfffff").unwrap();
        assert_eq!((all_but_one.capabilities, all_but_one.may_administer()), (Some(0x1ff_ffdf_ffff), false));
        assert!(!parse(WHOLE.as_bytes()).unwrap().may_administer(), "what is not known is not there");
        assert_eq!(with("x"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let memory = Memory {
            anon_bytes: 10 << 10,
            file_bytes: 20 << 10,
            shmem_bytes: 30 << 10,
            swap_bytes: 7 << 10,
            page_tables_bytes: 5 << 10,
            virtual_bytes: 200 << 10,
            data_bytes: 4 << 10,
            peak_rss_bytes: 90 << 10,
        };
        assert_eq!(
            parse(WHOLE.as_bytes()),
            Some(Status { uid: 1000, threads: 13, memory: Some(memory), capabilities: None })
        );
    }

    #[test]
    fn a_task_without_memory_has_none() {
        let zombie = "Name:\tx\nState:\tZ (zombie)\nUid:\t5\t5\t5\t5\nThreads:\t1\nSigQ:\t0/3\n";
        assert_eq!(
            parse(zombie.as_bytes()),
            Some(Status { uid: 5, threads: 1, memory: None, capabilities: None })
        );
    }

    #[test]
    fn a_missing_part_is_not_zero() {
        for part in [
            "VmData", "RssAnon", "RssFile", "RssShmem", "VmSwap", "VmPTE", "VmSize", "VmHWM", "Uid",
            "Threads",
        ] {
            let without: String =
                WHOLE.split_inclusive('\n').filter(|line| !line.starts_with(part)).collect();
            assert_eq!(parse(without.as_bytes()), None, "{part}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let needed = WHOLE.find("SigQ").unwrap();
        for end in 0..needed {
            assert_eq!(parse(&WHOLE.as_bytes()[..end]), None, "cut at {end}");
        }
        assert!(parse(&WHOLE.as_bytes()[..needed]).is_some());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn never_panics_on_a_damaged_file(at in 0..WHOLE.len(), byte in any::<u8>()) {
            let mut damaged = WHOLE.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = parse(&damaged);
        }
    }
}
