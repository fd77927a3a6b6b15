//! The programs `vault` and `cellar`: started, asked over their standard input, read over HTTP.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// One of the programs, running; dropping it kills exactly this one and waits for it.
pub struct Vault {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens; only `vault` does.
    address: Option<String>,
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
        let mut child = Command::new(executable)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", executable.display()))?;
        let questions = child.stdin.take().context("standard input is a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut vault = Vault { child, questions, answers, address: None };
        vault.address = vault.answer::<Hello>()?.address;
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
        let address = self.address.as_deref().context("it has no endpoint")?;
        let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).context("set a timeout")?;
        // HTTP/1.0: the body ends with the connection, and is not cut into chunks.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").context("ask")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("read the answer")?;
        ensure!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
        let head =
            answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer has a head")?;
        Ok(answer.split_off(head + 4))
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
