//! A process of the program `opener`, which opens and closes descriptors a step at a time, as a test tells it.

use crate::kernel_tables::holder;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process; dropping it kills it.
pub struct Opener {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So many descriptors more than before, by the results of the system calls.
    Gained(i64),
    /// This kernel does not have the call, and why.
    Absent(String),
}

impl Opener {
    /// Starts it and waits until it listens.
    pub fn start() -> Result<Self> {
        Opener::start_program(&holder::program("opener")?)
    }

    /// Starts another program that takes its steps in the same way.
    pub fn start_program(program: &Path) -> Result<Self> {
        let directory = tempfile::tempdir().context("create a directory")?;
        let mut child = Command::new(program)
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("standard input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut opener = Opener { child, input, output, _directory: directory };
        let line = opener.line()?;
        ensure!(line == "ready", "opener said {line:?}");
        Ok(opener)
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The names of all steps, in the order in which they are to be taken.
    pub fn names(&mut self) -> Result<Vec<String>> {
        Ok(self.ask("names")?.split(' ').map(str::to_owned).collect())
    }

    /// Has it take a step, and waits until it has.
    pub fn take(&mut self, step: &str) -> Result<Taken> {
        let answer = self.ask(step)?;
        let words = answer.strip_prefix(step.split(' ').next().unwrap_or_default());
        if let Some(gained) = words.and_then(|words| words.strip_prefix(" gained ")) {
            return Ok(Taken::Gained(gained.parse().with_context(|| format!("a number in {answer:?}"))?));
        }
        match words.and_then(|words| words.strip_prefix(" absent: ")) {
            Some(why) => Ok(Taken::Absent(why.to_owned())),
            None => bail!("to the step {step} opener said {answer:?}"),
        }
    }

    /// Has it take a step that every kernel has, and gives what it gained.
    pub fn gain(&mut self, step: &str) -> Result<i64> {
        match self.take(step)? {
            Taken::Gained(gained) => Ok(gained),
            Taken::Absent(why) => bail!("this kernel does not take the step {step}: {why}"),
        }
    }

    /// Ends it at once and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop).context("wait for opener")
    }

    /// The numbers of its open descriptors, as `/proc` lists them.
    pub fn open(&self) -> Result<BTreeSet<i32>> {
        let entries =
            fs::read_dir(format!("/proc/{}/fd", self.pid())).context("list the descriptors of opener")?;
        entries
            .map(|entry| {
                let name = entry?.file_name();
                name.to_str()
                    .and_then(|name| name.parse().ok())
                    .with_context(|| format!("{name:?} is no number"))
            })
            .collect()
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}").with_context(|| format!("tell opener {line:?}"))?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("read what opener says")?;
        ensure!(line.ends_with('\n'), "opener has ended; it said {line:?} last");
        line.pop();
        Ok(line)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // A failure leaves nothing to be done: the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
