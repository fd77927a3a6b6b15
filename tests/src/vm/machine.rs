//! One virtual machine, from its start to its end.

use super::ending::{self, Ending};
use super::packages::Emulator;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Of the kernel: the console that we read, a panic that ends the machine at once, and neither the cost of guards
/// against other guests nor addresses that differ from boot to boot.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=5 panic=-1 mitigations=off nokaslr";
/// The machine has neither disk nor network: all it needs is in memory. Its second serial port is for the cases
/// alone, so that the kernel's words do not fall between theirs.
const EMULATOR_ARGUMENTS: [&str; 16] = [
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,la57=off",
    "-smp",
    "2",
    "-m",
    "1536",
    "-nic",
    "none",
    "-display",
    "none",
    "-monitor",
    "none",
    "-no-reboot",
    "-nodefaults",
];

/// A machine that has not been started.
pub struct Machine {
    /// What runs it.
    pub emulator: Emulator,
    /// The compressed kernel.
    pub kernel: PathBuf,
    /// What it sees as files.
    pub image: PathBuf,
    /// For what it prints.
    pub directory: PathBuf,
}

impl Machine {
    /// Runs it until it switches itself off, for `longest` at most, and no longer than `longest_case` without a word of
    /// a case. An error where it could not be started.
    pub fn run(&self, longest: Duration, longest_case: Duration) -> Result<Ending> {
        let (console, cases) = (self.directory.join("console"), self.directory.join("cases"));
        // The emulator ends with us even where we are killed.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.emulator.program)
            .args(&self.emulator.arguments);
        command.envs(self.emulator.environment.iter().map(|(name, value)| (name, value)));
        command.args(EMULATOR_ARGUMENTS).args(["-append", KERNEL_ARGUMENTS]);
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.image);
        for port in [&console, &cases] {
            command.arg("-serial").arg(format!("file:{}", port.display()));
        }
        let said = self.directory.join("emulator");
        let errors = fs::File::create(&said).with_context(|| format!("create {}", said.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut running = Running(command.spawn().context("run setpriv")?);
        let began = Instant::now();
        let (mut told_bytes, mut told) = (0, began);
        let mut stopped_after = None;
        while running.0.try_wait().context("wait for the emulator")?.is_none() {
            let bytes = fs::metadata(&cases).map_or(0, |file| file.len());
            if bytes > told_bytes {
                (told_bytes, told) = (bytes, Instant::now());
            }
            if began.elapsed() > longest || told.elapsed() > longest_case {
                stopped_after = Some(began.elapsed());
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        drop(running);
        let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
        let read = |path| text(path).unwrap_or_default();
        Ok(ending::of(&read(&cases), &read(&console), &read(&said), stopped_after))
    }
}

/// The emulator; dropping it ends it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // A failure leaves nothing to be done: the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
