//! `programs/turnstile`: so many pairs of calls a turn, and what they took; and an HTTP server that is asked over a new
//! connection each time.

use anyhow::{Context, Result, bail};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tests::http::Address;
use tests::program;

/// A running turnstile; dropping it ends it.
pub struct Turnstile {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    server: Address,
    gate: String,
}

/// What goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A file is opened and closed.
    File,
    /// A TCP connection is accepted and closed.
    Connection,
    /// Some pages are mapped and unmapped, untouched.
    Mapping,
    /// A system call that no ledger is interested in.
    Nothing,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 4] = [Way::File, Way::Connection, Way::Mapping, Way::Nothing];

    /// How many make a batch: some milliseconds.
    pub fn batch(self) -> u32 {
        match self {
            Way::File | Way::Mapping => 1000,
            Way::Connection => 200,
            Way::Nothing => 20_000,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Way::File => "file",
            Way::Connection => "connection",
            Way::Mapping => "mapping",
            Way::Nothing => "nothing",
        }
    }
}

/// What requests took.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Requests per second, by the clients' count.
    pub per_second: f64,
    /// The server's CPU time for each, in microseconds.
    pub cpu_microseconds: f64,
}

impl Turnstile {
    /// Starts one and waits until it listens.
    pub fn start() -> Result<Turnstile> {
        let mut command = Command::new(program::shipped("turnstile")?);
        command.args(["-still", "-for=10m"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the turnstile")?;
        let input = child.stdin.take().context("standard input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("standard output is a pipe")?);
        let mut turnstile =
            Turnstile { child, input, output, server: Address::Tcp(String::new()), gate: String::new() };
        let line = turnstile.line()?;
        let (server, gate) = line.split_once(' ').context("two addresses")?;
        (turnstile.server, turnstile.gate) = (Address::Tcp(server.to_owned()), gate.to_owned());
        Ok(turnstile)
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time in nanoseconds of each of one batch.
    pub fn pass(&mut self, way: Way) -> Result<f64> {
        let count = way.batch();
        // They wait in the backlog, so that nobody waits for them.
        let waiting = match way {
            Way::Connection => (0..count).map(|_| self.knock()).collect::<Result<Vec<_>>>()?,
            Way::File | Way::Mapping | Way::Nothing => Vec::new(),
        };
        writeln!(self.input, "{} {count}", way.word()).context("tell the turnstile")?;
        let nanos: u64 = self.line()?.parse().context("nanoseconds")?;
        drop(waiting);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        Ok(nanos as f64 / f64::from(count))
    }

    /// Asks it from several threads for so long, over a new connection each time.
    pub fn serve(&self, clients: u32, time: Duration) -> Result<Served> {
        let (spent, began) = (self.cpu_time()?, Instant::now());
        let requests = thread::scope(|scope| {
            let client = || -> Result<u32> {
                let mut requests = 0;
                while began.elapsed() < time {
                    self.server.get("/")?;
                    requests += 1;
                }
                Ok(requests)
            };
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            clients.into_iter().try_fold(0, |sum, client| match client.join() {
                Ok(requests) => anyhow::Ok(sum + requests?),
                Err(_) => bail!("a client panicked"),
            })
        })?;
        let requests = f64::from(requests);
        let (spent, taken) = (self.cpu_time()?.saturating_sub(spent), began.elapsed());
        Ok(Served {
            per_second: requests / taken.as_secs_f64(),
            cpu_microseconds: spent.as_secs_f64() * 1e6 / requests,
        })
    }

    /// Connects to the gate. What was a connection leaves nothing behind when it is dropped.
    fn knock(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.gate).context("connect to the turnstile")?;
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).context("set no linger")?;
        Ok(stream)
    }

    fn cpu_time(&self) -> Result<Duration> {
        let pid = Pid::from_raw(self.pid().try_into().context("a pid")?);
        let clock = clock_getcpuclockid(pid).context("find the turnstile's CPU clock")?;
        Ok(clock_gettime(clock).context("read the turnstile's CPU clock")?.into())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("read what the turnstile says")?;
        match line.trim_end() {
            "" => bail!("the turnstile ended too early"),
            line => Ok(line.to_owned()),
        }
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        // Both fail only where it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
