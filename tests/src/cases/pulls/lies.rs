//! Answers that are profiles, and not those that were asked for.

use super::faults::doorman;
use super::{directory, pull, pulled};
use crate::case::Case;
use crate::http::Address;
use crate::need::Need;
use crate::running::Running;
use anyhow::{Result, ensure};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// What is offered by every version of Go, and, of each, another that must not be taken for it.
const PROFILES: [(&str, &str); 6] = [
    ("heap", "allocs"),
    ("allocs", "heap"),
    ("goroutine", "heap"),
    ("threadcreate", "goroutine"),
    ("block", "heap"),
    ("mutex", "threadcreate"),
];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("pulls::another_profile_is_not_believed", [Need::Root, Need::Go], another),
        Case::new("pulls::an_older_profile_is_not_believed", [Need::Root, Need::Go], older),
    ]
}

fn answer(doorman: &mut Running, profile: &str) -> Result<Vec<u8>> {
    let body = Address::Tcp(doorman.address()?).get(&format!("/debug/pprof/{profile}"))?;
    Ok([b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat())
}

fn another() -> Result<()> {
    let place = directory()?;
    let mut honest = doorman(place.path(), b"", &["-honest"])?;
    for (profile, other) in PROFILES {
        // Who answers what was asked for is believed.
        pulled_or_empty(honest.pid(), profile, place.path())?;
        let lying = doorman(place.path(), &answer(&mut honest, other)?, &[])?;
        let outcome = pull(lying.pid(), profile, place.path(), "")?;
        outcome.expect_refusal(&["the answer is another profile than was asked for"])?;
    }
    Ok(())
}

fn older() -> Result<()> {
    let place = directory()?;
    let mut honest = doorman(place.path(), b"", &["-honest"])?;
    let answers: Vec<Vec<u8>> =
        PROFILES.iter().map(|(profile, _)| answer(&mut honest, profile)).collect::<Result<_>>()?;
    sleep(Duration::from_secs(4));
    for ((profile, _), old) in PROFILES.iter().zip(answers) {
        let lying = doorman(place.path(), &old, &[])?;
        let outcome = pull(lying.pid(), profile, place.path(), "")?;
        outcome.expect_refusal(&["s before it was asked for"])?;
    }
    pulled(honest.pid(), "goroutine", place.path(), "")?;
    Ok(())
}

/// Nobody waits for a lock in it, so that there may be nothing in a profile.
fn pulled_or_empty(pid: u32, profile: &str, directory: &Path) -> Result<()> {
    let outcome = pull(pid, profile, directory, "")?;
    ensure!(outcome.status == Some(0), "{profile} is refused: {outcome:?}");
    Ok(())
}
