//! A process of the program `holder`, which holds still while a test looks at it.

use anyhow::{Context, Result, ensure};
use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The process; dropping it kills it.
pub struct Holder {
    child: Child,
    /// Its end tells the process to end, should this one die.
    _input: Option<ChildStdin>,
}

impl Holder {
    /// Starts it and waits until it has what it shall hold.
    pub fn start(args: &[&str]) -> Result<Self> {
        let program = program("holder")?;
        let mut child = Command::new(&program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("standard output is a pipe")?;
        let holder = Holder { child, _input: input };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "ready\n", "holder {args:?} said {line:?}");
        Ok(holder)
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }
}

/// Where a program of this package lies: tests run from `target/PROFILE/deps`, programs of the package lie one above.
pub fn program(name: &str) -> Result<PathBuf> {
    env::current_exe()?
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|program| program.exists())
        .with_context(|| format!("the program {name} was not built"))
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A failure leaves nothing to be done: the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
