//! Others that watch what a process opens.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tests::need::find_program;

/// The core of such a ledger, without goroutines and counts: the stack of what is open. The last
/// probe tells that the others are attached.
const SCRIPT: &str = "
tracepoint:syscalls:sys_exit_openat, tracepoint:syscalls:sys_exit_socket, tracepoint:syscalls:sys_exit_accept4
/pid == PID/ { @open[(int64)args->ret] = ustack; }
tracepoint:syscalls:sys_enter_close /pid == PID/ { delete(@open[(int64)args->fd]); }
interval:ms:200 { printf(\"attached\\n\"); }
";

/// The same of mappings.
const MAPPINGS_SCRIPT: &str = "
tracepoint:syscalls:sys_exit_mmap /pid == PID/ { @mapped[args->ret] = ustack; }
tracepoint:syscalls:sys_enter_munmap /pid == PID/ { delete(@mapped[args->addr]); }
interval:ms:200 { printf(\"attached\\n\"); }
";

/// How long one may take until it watches: they bring compilers.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Prints a line for every file that the process opens; neither stacks nor what is closed.
    Opensnoop,
    /// Keeps the stack of every descriptor that is open.
    Bpftrace,
    /// Keeps the stack of every mapping that is there.
    BpftraceMappings,
}

/// One that watches; dropping it ends it.
pub struct Watching(Child);

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 3] = [Peer::Opensnoop, Peer::Bpftrace, Peer::BpftraceMappings];

    /// What it is called in a table.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Opensnoop => "opensnoop-bpfcc, which prints opens",
            Peer::Bpftrace => "bpftrace, stacks of what is open",
            Peer::BpftraceMappings => "bpftrace, stacks of what is mapped",
        }
    }

    /// The program, and the Debian package that has it.
    pub fn program(self) -> (&'static str, &'static str) {
        match self {
            Peer::Opensnoop => ("opensnoop-bpfcc", "bpfcc-tools"),
            Peer::Bpftrace | Peer::BpftraceMappings => ("bpftrace", "bpftrace"),
        }
    }

    /// Begins to watch a process; returns when it does.
    pub fn watch(self, pid: u32) -> Result<Watching> {
        let (program, package) = self.program();
        let path = find_program(program).with_context(|| format!("Debian's package {package} has it"))?;
        let mut command = Command::new(path);
        let (arguments, sign) = match self {
            Peer::Opensnoop => (["-p".to_owned(), pid.to_string()], "COMM"),
            Peer::Bpftrace | Peer::BpftraceMappings => {
                let script = if self == Peer::Bpftrace { SCRIPT } else { MAPPINGS_SCRIPT };
                (["-e".to_owned(), script.replace("PID", &pid.to_string())], "attached")
            }
        };
        command.args(arguments).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {program}"))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let watching = Watching(child);
        let attached = lines(output.context("standard output is a pipe")?);
        let complaints = lines(errors.context("standard error is a pipe")?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attached.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(sign) => return Ok(watching),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("it does not watch after {} s", PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => bail!(words(&complaints)),
            }
        }
    }
}

/// What a program says, line by line. It is read to the end also where nobody listens: a full pipe would stop it.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens any more.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// What a program that has ended said first, which is often why, and last.
fn words(complaints: &Receiver<String>) -> String {
    let mut lines = Vec::new();
    while let Ok(line) = complaints.recv_timeout(Duration::from_secs(5)) {
        if !line.trim().is_empty() {
            lines.push(line.trim().to_owned());
        }
    }
    match lines.as_slice() {
        [] => "it ended without a word".to_owned(),
        [only] => only.clone(),
        [first, .., last] => format!("{first} ... {last}"),
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // As from a terminal: then it detaches what it attached before it ends.
        if let Ok(pid) = self.0.id().try_into() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        // Both fail only where it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
