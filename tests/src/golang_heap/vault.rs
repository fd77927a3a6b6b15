//! The programs `vault` and `cellar`: started, asked over their standard input, read over HTTP.

use crate::http::Address;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One of the programs, running; dropping it kills exactly this one and waits for it.
pub struct Vault {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens; only `vault` does.
    address: Option<Address>,
}

/// What `runtime.ReadMemStats` says.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct MemStats {
    pub num_gc: u64,
    pub next_gc: u64,
    pub heap_inuse: u64,
    pub stack_inuse: u64,
    pub mem_profile_rate: i64,
}

#[derive(Deserialize)]
struct Hello {
    address: Option<String>,
}

#[derive(Deserialize)]
struct Done {}

impl Vault {
    /// Starts it with these variables in its environment and waits until it has filled its shelves.
    pub fn start(executable: &Path, environment: &[(&str, &str)]) -> Result<Vault> {
        Vault::run(Command::new(executable).envs(environment.iter().copied()))
    }

    /// Starts `vault` so that it samples one allocation in so many bytes, on average; none where that is 0.
    pub fn sampling(executable: &Path, rate_bytes: i64) -> Result<Vault> {
        Vault::run(Command::new(executable).arg(format!("-grain={rate_bytes}")))
    }

    fn run(command: &mut Command) -> Result<Vault> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let questions = child.stdin.take().context("standard input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut vault = Vault { child, questions, answers, address: None };
        vault.address = vault.answer::<Hello>()?.address.map(Address::Tcp);
        Ok(vault)
    }

    /// Its pid. Until this guard is dropped no other process can get it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it collect garbage until its heap profile is up to date.
    pub fn collect(&mut self) -> Result<()> {
        self.ask::<Done>("gc").map(drop)
    }

    /// Lets it put up as much again as it has.
    pub fn fill(&mut self) -> Result<()> {
        self.ask::<Done>("fill").map(drop)
    }

    /// What it knows about itself.
    pub fn stats(&mut self) -> Result<MemStats> {
        self.ask("stat")
    }

    /// Its answer to `GET path`.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let address = self.address.as_ref().context("it has no endpoint")?;
        address.get(path)
    }

    fn ask<T: DeserializeOwned>(&mut self, question: &str) -> Result<T> {
        writeln!(self.questions, "{question}").with_context(|| format!("ask {question}"))?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read an answer")?;
        serde_json::from_str(&line).with_context(|| format!("understand {line:?}"))
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do but to wait.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
