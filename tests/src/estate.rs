//! The program `estate`: many kinds of holders in one process, filled when it is told to.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program, running; dropping it kills exactly this one and waits for it.
pub struct Estate {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it said last.
    pub books: Books,
}

/// What it says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Books {
    /// How much each room holds.
    pub held: BTreeMap<String, u64>,
    /// Where the variables lie.
    pub places: BTreeMap<String, u64>,
}

impl Estate {
    /// Starts it with nothing in it.
    pub fn start(executable: &Path) -> Result<Estate> {
        let mut child = Command::new(executable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", executable.display()))?;
        let orders = child.stdin.take().context("standard input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut estate = Estate { child, orders, answers, books: Books::default() };
        estate.listen()?;
        Ok(estate)
    }

    /// Puts so many things more into a room.
    pub fn put(&mut self, room: &str, count: u64) -> Result<()> {
        writeln!(self.orders, "{room} {count}").context("tell it to")?;
        self.listen()
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn listen(&mut self) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read its answer")?;
        self.books = serde_json::from_str(&line).with_context(|| format!("its answer {line:?}"))?;
        Ok(())
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        // It has no other children, and nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
