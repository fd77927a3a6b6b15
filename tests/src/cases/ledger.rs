//! The ledgers of the kernel half, on whatever kernel is running.

use crate::case::Case;
use crate::need::Need;
use crate::opener::{Opener, Taken};
use anyhow::{Result, ensure};

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root];
    vec![Case::new("ledger::steps_gain_what_they_say", needs, steps_gain_what_they_say)]
}

/// What the other cases build on: each step changes the table of descriptors as it says.
fn steps_gain_what_they_say() -> Result<()> {
    let mut opener = Opener::start()?;
    let mut absent = Vec::new();
    for step in opener.names()? {
        let before = opener.open()?;
        match opener.take(&step)? {
            Taken::Gained(gained) => {
                let after = opener.open()?;
                let grown = i64::try_from(after.len())? - i64::try_from(before.len())?;
                ensure!(grown == gained, "step {step}: {grown} descriptors more, not {gained}");
            }
            Taken::Absent(why) => absent.push(format!("{step} ({why})")),
        }
    }
    ensure!(absent.len() <= 1, "this kernel has not enough of the calls: {absent:?}");
    Ok(())
}
