//! The vocabulary for a watched process: who it is, what it runs, what bounds it.
//!
//! Plain values; nothing here reads the system.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// One process for as long as it lives. Pids come back, so a pid alone is never a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Thread group id, as the pid namespace of `/proc` counts it.
    pub pid: i32,
    /// Start time in clock ticks after boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)
    }
}

/// One program that a process runs. Executing another, or the same again, keeps pid and start, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramId {
    /// The process.
    pub process: ProcessId,
    /// Where its stack begins, chosen at random for each program; `None` where that is hidden from us.
    pub stack_start: Option<u64>,
    /// Device and inode of its executable; `None` where it may not be looked at.
    pub executable: Option<(u64, u64)>,
}

impl ProgramId {
    /// Whether nothing that is known of both tells them apart. The kernel chooses the stack's begin out of two billion
    /// places (`fs/exec.c`, `arch_align_stack` in `arch/x86/kernel/process.c`), unless it was told not to; then a
    /// program that is executed again with the same arguments looks the same.
    pub fn may_be(&self, other: &ProgramId) -> bool {
        fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one == other)
        }
        self.process == other.process
            && agree(self.stack_start, other.stack_start)
            && agree(self.executable, other.executable)
    }
}

/// A process that we watch, with everything about it that does not change from beat to beat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Who it is.
    pub id: ProcessId,
    /// The process that started it, when it was first seen.
    pub parent_pid: i32,
    /// `comm`: at most 15 bytes, set by the program, printable form (see [`printable`]).
    pub name: String,
    /// The executable as the kernel names it, without ` (deleted)`; `None` where it could not be read.
    #[serde(serialize_with = "printable_path")]
    pub exe: Option<PathBuf>,
    /// The executable's file has been unlinked or replaced since the process started.
    pub exe_deleted: bool,
    /// `argv`, printable form; empty where unreadable. Never written anywhere: passwords are passed in it.
    #[serde(skip)]
    pub args: Vec<String>,
    /// Effective user id; `None` where it could not be read.
    pub uid: Option<u32>,
    /// Wall-clock start time, derived from `start_ticks` and the boot time.
    #[serde(with = "crate::vocabulary::reading::wall")]
    pub started: SystemTime,
    /// What the Go linker recorded in the executable; `None` for a program that is not Go.
    pub go: Option<Arc<GoProgram>>,
    /// The container it runs in, read off its cgroup path.
    pub container: Option<Container>,
    /// Path of its cgroup below the hierarchy's mount, memory controller first.
    #[serde(skip)]
    pub cgroup: Option<String>,
    /// Inode number of its network namespace.
    pub network_namespace: Option<u64>,
    /// What stops it from growing for ever.
    pub limits: Limits,
    /// The chain of restarts it belongs to.
    pub lineage: Lineage,
}

/// Build information of a Go executable (`debug/buildinfo` in Go's standard library): what of it is used, each text cut
/// where it is longer than any real one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoProgram {
    /// Toolchain version, such as `go1.26.6`.
    pub version: String,
    /// Import path of the main package, such as `example.com/x/cmd/x`.
    pub package: Option<String>,
    /// Main module; `None` for programs built without modules.
    pub module: Option<Module>,
    /// The begin of `vcs.revision`, where the build noted it.
    #[serde(skip)]
    pub revision: Option<String>,
    /// Differs where the build settings do. They are not kept: `-ldflags` is used to compile keys in.
    #[serde(skip)]
    pub settings_digest: u64,
    /// The shared library that it is, where a program of another language has loaded it; `None` for an executable.
    #[serde(default)]
    pub library: Option<Library>,
}

/// A shared library of Go (`-buildmode=c-shared`) in a program that is none of Go's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Its path as the kernel names it, printable form.
    pub path: String,
    /// Which file it is: major and minor number of the device, and inode.
    pub file: ((u32, u32), u64),
    /// More such libraries in the same process. Each has a runtime of its own; only the first one's is read.
    pub others: usize,
}

impl GoProgram {
    /// What people call the program: its main module, or where it was built without modules its main package.
    pub fn module_path(&self) -> Option<&str> {
        self.module.as_ref().map(|module| module.path.as_str()).or(self.package.as_deref())
    }
}

/// A Go module and its version; the version of a local build is `(devel)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Module path.
    pub path: String,
    /// Module version.
    pub version: String,
}

/// A word of our own. Behind this name, because serde's derive takes a plain `&str` for one that it may borrow.
pub type Word = &'static str;

/// A container as its cgroup path names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Full id, 64 hexadecimal digits for the usual runtimes.
    pub id: String,
    /// `docker`, `containerd`, `crio`, `podman`, `kubernetes`, … where the path tells.
    #[serde(deserialize_with = "known_runtime")]
    pub runtime: Option<Word>,
}

impl Container {
    /// The words for what runs containers.
    pub const RUNTIMES: [&str; 8] =
        ["docker", "containerd", "crio", "podman", "kubernetes", "ecs", "lxc", "systemd-nspawn"];
}

/// A word that is not known tells nothing.
fn known_runtime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'static str>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(Container::RUNTIMES.into_iter().find(|known| word.as_deref() == Some(known)))
}

/// A path as people read it.
fn printable_path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| printable(path.as_os_str().as_bytes())).serialize(serializer)
}

/// Limits of a process, each `None` where there is none or it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Soft RLIMIT_NOFILE: descriptors it may hold open.
    pub open_files: Option<u64>,
    /// Soft RLIMIT_NPROC: processes and threads of its user.
    pub user_processes: Option<u64>,
    /// `vm.max_map_count`: mappings it may hold.
    pub mappings: Option<u64>,
    /// Soft RLIMIT_AS: address space in bytes.
    pub address_space_bytes: Option<u64>,
    /// Soft RLIMIT_DATA: private writable mappings in bytes.
    pub data_bytes: Option<u64>,
}

/// A chain of restarts of the same program in the same place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The same for all members of a chain, unique otherwise.
    pub id: u64,
    /// How many members of the chain ended before this one began, as far as we have seen.
    pub restarts: u32,
    /// Tells the builds of the program apart: the same for the same content, wherever it lies.
    pub build: u64,
}

/// Makes bytes from a hostile process safe to print: invalid UTF-8 becomes U+FFFD, and what would move the cursor,
/// turn text around or not be seen becomes its escape. What is printable already stays as it is.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for c in String::from_utf8_lossy(bytes).chars() {
        if is_plain(c) {
            text.push(c);
        } else {
            text.extend(c.escape_default());
        }
    }
    text
}

/// Whether a reader sees this character, and sees it where it stands. Not so: control characters, marks of direction,
/// spaces of no width, ends of lines and paragraphs, tags, blanks that only look like one, what Unicode has not given a
/// meaning.
pub fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !draws_nothing(c) && !is_escaped_by_std(c)
}

/// Characters that are no letters to those who read, and letters to Unicode: of its property
/// `Default_Ignorable_Code_Point`, those that the standard library prints.
fn draws_nothing(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// The standard library knows by Unicode's tables what is printable. Behind another character a mark that combines
/// with it is.
fn is_escaped_by_std(c: char) -> bool {
    let mut behind_another = [b'a', 0, 0, 0, 0];
    let length = 1 + c.encode_utf8(&mut behind_another[1..]).len();
    let text = std::str::from_utf8(&behind_another[..length]).unwrap_or_default();
    text.escape_debug().nth(1) != Some(c)
}

#[cfg(test)]
mod tests {
    use super::{ProcessId, ProgramId, printable};

    #[test]
    fn a_process_that_executes_again_runs_another_program() {
        let process = ProcessId { pid: 812, start_ticks: 4_000 };
        let before = ProgramId { process, stack_start: Some(0x7ffd_1000), executable: Some((8, 77)) };
        for (what, now, may_be) in [
            ("the same", before, true),
            ("the same file again", ProgramId { stack_start: Some(0x7ffe_3000), ..before }, false),
            ("another file", ProgramId { executable: Some((8, 78)), ..before }, false),
            (
                "another process",
                ProgramId { process: ProcessId { start_ticks: 4_001, ..process }, ..before },
                false,
            ),
            (
                "what is hidden tells nothing",
                ProgramId { stack_start: None, executable: None, ..before },
                true,
            ),
        ] {
            assert_eq!(before.may_be(&now), may_be, "{what}");
            assert_eq!(now.may_be(&before), may_be, "{what}");
        }
    }

    #[test]
    fn hostile_names_become_harmless() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"two\nlines", "two\\nlines"),
            (b"\x1b[31mred", "\\u{1b}[31mred"),
            (b"bad\xff\xfe", "bad\u{fffd}\u{fffd}"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            ("grün".as_bytes(), "grün"),
            ("a\"b'c\\d".as_bytes(), "a\"b'c\\d"),
            ("हिन्दी ไทย 日本 naïve…·→".as_bytes(), "हिन्दी ไทย 日本 naïve…·→"),
        ] {
            assert_eq!(printable(bytes), text);
            assert_eq!(printable(text.as_bytes()), text, "what is printable stays");
        }
    }

    #[test]
    fn nothing_that_is_not_seen_comes_out_raw() {
        let alone = [
            0x7f, 0x85, 0xa0, 0xad, 0x34f, 0x61c, 0x115f, 0x180e, 0x2028, 0x2029, 0x3164, 0xfe0f, 0xfeff,
            0xfffe, 0xffff,
        ];
        let ranges = [
            (0, 0x1f),
            (0x200b, 0x200f),
            (0x202a, 0x202f),
            (0x2060, 0x206f),
            (0xfff9, 0xfffb),
            (0xe000, 0xe0ff),
            (0xe0000, 0xe01ef),
        ];
        let all = alone.into_iter().chain(ranges.into_iter().flat_map(|(first, last)| first..=last));
        for c in all.filter_map(char::from_u32) {
            let text = printable(format!("a{c}b").as_bytes());
            let expected = format!("a{}b", c.escape_default());
            assert_eq!(text, expected);
            assert!(text.is_ascii(), "{text:?}");
        }
    }
}
