//! A process that a test started and that ends with it.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A started process; dropping it kills exactly this one and waits for it.
pub struct Running {
    child: Child,
    told: Arc<Mutex<Told>>,
}

/// What one of the programs has printed so far.
#[derive(Default)]
struct Told {
    address: Option<String>,
    held: Vec<Held>,
}

/// How many of its resource a program held at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// When.
    pub at: SystemTime,
    /// How many.
    pub count: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Address { address: String },
    Held { unix_nanos: u64, held: u64 },
}

impl Running {
    /// Starts `command` without standard input. Its standard output is read here; its standard error is the test's.
    pub fn start(command: &mut Command) -> Result<Running> {
        let told = Arc::new(Mutex::new(Told::default()));
        let teller = Arc::clone(&told);
        let child = hear(command, move |line| {
            let mut told = locked(&teller);
            match serde_json::from_str(line) {
                Ok(Line::Address { address }) => told.address = Some(address),
                Ok(Line::Held { unix_nanos, held }) => {
                    told.held.push(Held { at: UNIX_EPOCH + Duration::from_nanos(unix_nanos), count: held });
                }
                // Servers that are not ours print what they like.
                Err(_) => {}
            }
        })?;
        Ok(Running { child, told })
    }

    /// The same, with each line of its standard output given to `take`.
    pub fn start_heard(command: &mut Command, take: impl FnMut(&str) + Send + 'static) -> Result<Running> {
        Ok(Running { child: hear(command, take)?, told: Arc::default() })
    }

    /// Its pid. Until this guard is dropped no other process can get it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address on which it says that it listens.
    pub fn address(&mut self) -> Result<String> {
        self.wait_until("it says where it listens", |told| told.address.clone())
    }

    /// Waits until it says that it holds at least `count`.
    pub fn holding(&mut self, count: u64) -> Result<Held> {
        self.wait_until("it holds what it should", |told| {
            told.held.last().copied().filter(|held| held.count >= count)
        })
    }

    fn wait_until<T>(&mut self, what: &str, look: impl Fn(&Told) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = look(&locked(&self.told)) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait().context("ask after a child")? {
                bail!("process {} ended ({status}) before {what}", self.pid());
            }
            if Instant::now() > deadline {
                bail!("process {} took over 30 s until {what}", self.pid());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Growth per second of what it held between two moments, by its own count.
    pub fn rate_per_second(&self, from: SystemTime, to: SystemTime) -> Result<f64> {
        let told = locked(&self.told);
        let within: Vec<Held> = told.held.iter().copied().filter(|it| it.at >= from && it.at <= to).collect();
        let (Some(first), Some(last)) = (within.first(), within.last()) else {
            bail!("process {} said nothing in the window", self.child.id());
        };
        let seconds =
            last.at.duration_since(first.at).context("the program's clock went back")?.as_secs_f64();
        if seconds <= 0.0 {
            bail!("process {} said only one number in the window", self.child.id());
        }
        Ok((last.count as f64 - first.count as f64) / seconds)
    }

    /// What it held at a moment, by the last line before it.
    pub fn held_at(&self, moment: SystemTime) -> Option<Held> {
        locked(&self.told).held.iter().rfind(|held| held.at <= moment).copied()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("ask after a child")?.is_none())
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> Result<()> {
        self.child.wait().context("wait for a child")?;
        Ok(())
    }
}

/// Starts `command` and reads its standard output until it ends.
fn hear(command: &mut Command, mut take: impl FnMut(&str) + Send + 'static) -> Result<Child> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let output = child.stdout.take().context("standard output is a pipe")?;
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| take(&line));
    });
    Ok(child)
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended and was waited for, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn locked(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Running;
    use std::process::Command;
    use std::time::{Duration, UNIX_EPOCH};

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn what_a_program_tells_is_kept_and_differentiated() {
        let mut program = shell(
            r#"echo '{"address":"127.0.0.1:7"}'; echo noise
               for i in 0 1 2 3; do echo "{\"unix_nanos\":${i}000000000,\"held\":$((i * 5))}"; done; exec sleep 60"#,
        );
        assert_eq!(program.address().unwrap(), "127.0.0.1:7");
        assert_eq!(program.holding(15).unwrap().count, 15);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(program.rate_per_second(at(1), at(3)).unwrap(), 5.0);
        assert!(program.rate_per_second(at(2), at(2)).is_err());
        assert!(program.rate_per_second(at(7), at(9)).is_err());
    }

    #[test]
    fn a_program_that_ends_too_early_is_an_error_at_once() {
        let error = shell("exit 3").holding(1).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn it_ends_with_its_guard() {
        let program = shell("exec sleep 60");
        let pid = nix::unistd::Pid::from_raw(program.pid().try_into().unwrap());
        drop(program);
        assert_eq!(nix::sys::signal::kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }
}
