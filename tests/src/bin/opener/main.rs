//! Opens and closes descriptors in every way that there is, one step at a time, so that a test can compare what it
//! believes with the kernel's own table after each.
//!
//! It reads the name of a step from standard input, a line each, takes the step, and prints
//!
//! `NAME gained N`     the descriptors that it has more than before, by what the system calls returned
//! `NAME absent: WHY`  this kernel does not have the call
//!
//! `names` instead of a step prints the names of all steps in their order. It ends when its standard input does.
//! What a step opens stays open, unless closing it is the step. Each call is made an odd number of times: two
//! mistakes that are alike must not make up for each other.

mod anonymous;
mod call;
mod closing;
mod copies;
mod files;
mod ring;
mod sockets;
mod tasks;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

/// What a step gained, in descriptors.
type Gained = Result<i64>;

/// A step: its name, and what takes it in a directory for files.
type Step = (&'static str, fn(&Place) -> Gained);

/// Where a step may create files.
struct Place {
    directory: PathBuf,
}

const STEPS: &[&[Step]] = &[
    files::STEPS,
    copies::STEPS,
    sockets::STEPS,
    anonymous::STEPS,
    ring::STEPS,
    closing::STEPS,
    tasks::STEPS,
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, done) = match arguments.as_slice() {
        [directory] => (directory, "ready".to_owned()),
        // It has replaced itself, which was a step.
        [directory, again, gained] if again == tasks::AGAIN => (directory, format!("exec gained {gained}")),
        _ => bail!("opener DIRECTORY"),
    };
    let place = Place { directory: PathBuf::from(directory) };
    say(&done)?;
    // What is read ahead would be lost when the program replaces itself. The test sends a
    // line only when the one before was answered.
    for line in stdin().lock().lines() {
        let line = line.context("read a step")?;
        let answer = match line.as_str() {
            "names" => names(),
            name => take(name, &place)?,
        };
        say(&answer)?;
    }
    Ok(())
}

fn names() -> String {
    STEPS.iter().copied().flatten().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn take(line: &str, place: &Place) -> Result<String> {
    if let Some(("fill", count)) = line.split_once(' ') {
        let gained = files::fill(count.parse().context("how many")?)?;
        return Ok(format!("fill gained {gained}"));
    }
    let step = STEPS.iter().copied().flatten().find(|(name, _)| *name == line);
    let (name, take) = step.with_context(|| format!("there is no step {line:?}"))?;
    match take(place) {
        Ok(gained) => Ok(format!("{name} gained {gained}")),
        Err(error) => match error.downcast_ref::<Errno>() {
            Some(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM | Errno::EINVAL) => {
                Ok(format!("{name} absent: {error:#}"))
            }
            _ => Err(error.context(format!("step {name}"))),
        },
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
