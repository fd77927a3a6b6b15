//! The programs themselves: of twins, one piles up goroutines and the other does not, by their own count.

use crate::build::Variant;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

const RATE_PER_SECOND: f64 = 20.0;
/// What is given back is given back within two seconds, so that 40 are in balance.
const LONG_ENOUGH: Duration = Duration::from_secs(6);
const MUCH: u64 = 90;
const LITTLE: u64 = 70;

/// Programs whose resource is goroutines, with further arguments.
const ROWS: [(&str, &[&str]); 9] = [
    ("alarms", &[]),
    ("brokers", &[]),
    ("journal", &[]),
    ("pulses", &[]),
    ("queues", &["-lane=channel"]),
    ("queues", &["-lane=full"]),
    ("queues", &["-lane=group"]),
    ("queues", &["-lane=mutex"]),
    ("tickets", &[]),
];

/// The cases.
pub fn cases() -> Vec<Case> {
    ROWS.into_iter()
        .map(|(program, arguments)| {
            let lane = arguments.iter().filter_map(|argument| argument.strip_prefix("-lane="));
            let name = [program].into_iter().chain(lane).collect::<Vec<_>>().join("_");
            Case::new(format!("fixtures::{name}"), [Need::Go], move || differs_from_twin(program, arguments))
        })
        .collect()
}

/// What these cases build with the toolchain that ships.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ROWS.iter().map(move |(program, _)| (*program, toolchain, Variant::STRIPPED))
}

fn differs_from_twin(program: &str, arguments: &[&str]) -> Result<()> {
    let executable = program::shipped(program)?;
    let start = |style| {
        let life = Duration::from_secs(60);
        Running::start(program::command(&executable, style, RATE_PER_SECOND, life).args(arguments))
    };
    let (mut round, mut square) = (start(Style::Round)?, start(Style::Square)?);
    thread::sleep(LONG_ENOUGH);
    let (much, little) = (round.holding(0)?.count, square.holding(0)?.count);
    ensure!(much > MUCH, "the one that keeps holds only {much}");
    ensure!(little < LITTLE, "the one that gives back holds {little}");
    Ok(())
}
