//! A file system that answers until it is told not to, by the protocol of `/dev/fuse`.
//!
//! It has one file in one directory, and speaks the protocol itself, since a library for it answers to the end.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Everything.
    All,
    /// Everything but what stands in the file.
    NotReads,
    /// Nothing.
    None,
}

/// A mounted file system. When this is dropped it is unmounted, and whoever waits for it is let go.
pub struct Hanging {
    directory: tempfile::TempDir,
    name: String,
    answers: Arc<AtomicU8>,
    server: Option<JoinHandle<()>>,
}

/// Numbers of `include/uapi/linux/fuse.h`.
mod number {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const RELEASEDIR: u32 = 29;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
}

const HEADER_BYTES: usize = 40;
const ROOT: u64 = 1;
const FILE: u64 = 2;
const LONGEST_WRITE_BYTES: u32 = 64 << 10;

impl Hanging {
    /// Mounts one that has a file of this name and content, which everybody may read and execute.
    pub fn mount(name: &str, content: Vec<u8>) -> Result<Hanging> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("fuse-{name}-"))
            .tempdir_in("/tmp")
            .context("create a directory")?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).context("open it to all")?;
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("open /dev/fuse")?;
        let mut mount = Command::new("mount");
        mount.args([
            "-i",
            "-t",
            "fuse",
            "-o",
            "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other",
            "none",
        ]);
        let mounted = mount.arg(directory.path()).stdin(Stdio::from(device.try_clone()?)).status();
        ensure!(mounted.context("run mount")?.success(), "a FUSE file system could not be mounted");
        let answers = Arc::new(AtomicU8::new(0));
        let server = Server { device, name: name.to_owned(), content, answers: Arc::clone(&answers) };
        let server = thread::spawn(move || server.serve());
        Ok(Hanging { directory, name: name.to_owned(), answers, server: Some(server) })
    }

    /// Where it is mounted.
    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    /// Its file.
    pub fn file(&self) -> PathBuf {
        self.place().join(&self.name)
    }

    /// From now on answers this.
    pub fn answer(&self, answers: Answers) {
        self.answers.store(answers as u8, Ordering::SeqCst);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // By force, which lets all go that wait, and then for good.
        for how in ["-f", "-l"] {
            let _ = Command::new("umount").arg(how).arg(self.place()).stderr(Stdio::null()).status();
        }
        if let Some(server) = self.server.take() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while !server.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

struct Server {
    device: File,
    name: String,
    content: Vec<u8>,
    answers: Arc<AtomicU8>,
}

impl Server {
    fn serve(self) {
        let mut request = vec![0; HEADER_BYTES + 4096 + LONGEST_WRITE_BYTES as usize];
        loop {
            let length = match (&self.device).read(&mut request) {
                Ok(length) => length,
                // It was taken back, or interrupted.
                Err(error) if [Some(libc::ENOENT), Some(libc::EINTR)].contains(&error.raw_os_error()) => {
                    continue;
                }
                // Unmounted.
                Err(_) => return,
            };
            let Some(request) = request.get(..length).filter(|request| request.len() >= HEADER_BYTES) else {
                return;
            };
            let opcode = u32_at(request, 4);
            let answers = self.answers.load(Ordering::SeqCst);
            let is_answered =
                answers != Answers::None as u8 && (answers == Answers::All as u8 || opcode != number::READ);
            if is_answered && self.answer(opcode, request).is_err() {
                return;
            }
        }
    }

    fn answer(&self, opcode: u32, request: &[u8]) -> io::Result<()> {
        let (unique, node, body) = (u64_at(request, 8), u64_at(request, 16), &request[HEADER_BYTES..]);
        let answer = match opcode {
            number::FORGET | number::BATCH_FORGET | number::INTERRUPT | number::DESTROY => return Ok(()),
            number::INIT => Ok(init()),
            number::LOOKUP if node == ROOT && body.strip_suffix(&[0]) == Some(self.name.as_bytes()) => {
                // Number, generation, and how long it all holds.
                let head = [FILE, 0, 3600, 3600, 0].into_iter().flat_map(u64::to_le_bytes);
                Ok(head.chain(self.attributes(FILE)).collect())
            }
            number::LOOKUP => Err(libc::ENOENT),
            number::GETATTR => Ok([3600_u64, 0]
                .into_iter()
                .flat_map(u64::to_le_bytes)
                .chain(self.attributes(node))
                .collect()),
            number::OPEN | number::OPENDIR => Ok(vec![0; 16]),
            number::READ => {
                let start = usize::try_from(u64_at(body, 8)).unwrap_or(usize::MAX).min(self.content.len());
                let end = start.saturating_add(u32_at(body, 16) as usize).min(self.content.len());
                Ok(self.content[start..end].to_vec())
            }
            number::STATFS => Ok(vec![0; 80]),
            number::RELEASE | number::RELEASEDIR | number::FLUSH => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(errno) => (-errno, Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
        let head = [&length.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes()].concat();
        match (&self.device).write_vectored(&[IoSlice::new(&head), IoSlice::new(&body)]) {
            // Whoever asked has gone.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            written => written.map(drop),
        }
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (mode, size) = if node == ROOT { (0o040_755, 0) } else { (0o100_755, self.content.len() as u64) };
        let long = [node, size, size.div_ceil(512), 0, 0, 0].into_iter().flat_map(u64::to_le_bytes);
        // Fractions of the times, mode, links, owners, device, size of a block, flags.
        let short = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32].into_iter().flat_map(u32::to_le_bytes);
        long.chain(short).collect()
    }
}

/// Version 7.31, no features.
fn init() -> Vec<u8> {
    let words = [7, 31, 128 << 10, 0, 0x000c_0010, LONGEST_WRITE_BYTES, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0_u32];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
