//! The program `roster`: told what to do over its standard input.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// It, running; dropping it kills exactly this one and waits for it.
pub struct Roster {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Roster {
    /// Starts it and waits until it listens.
    pub fn start(executable: &Path) -> Result<Roster> {
        let mut child = Command::new(executable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", executable.display()))?;
        let questions = child.stdin.take().context("standard input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut roster = Roster { child, questions, answers };
        roster.answer(0)?;
        Ok(roster)
    }

    /// Its pid. Until this guard is dropped no other process can get it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts so many goroutines that stay.
    pub fn call(&mut self, count: u64) -> Result<()> {
        self.tell("call", count)
    }

    /// Starts so many goroutines that end at once, after their stacks have grown.
    pub fn pass(&mut self, count: u64) -> Result<()> {
        self.tell("pass", count)
    }

    /// Makes so many HTTP requests, each over a connection of its own that stays open.
    pub fn ask(&mut self, count: u64) -> Result<()> {
        self.tell("ask", count)
    }

    fn tell(&mut self, what: &str, count: u64) -> Result<()> {
        writeln!(self.questions, "{what} {count}").with_context(|| format!("tell it to {what}"))?;
        self.answer(count)
    }

    fn answer(&mut self, expected: u64) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read an answer")?;
        ensure!(line.trim() == expected.to_string(), "it answered {line:?}");
        Ok(())
    }
}

impl Drop for Roster {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do but to wait.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
