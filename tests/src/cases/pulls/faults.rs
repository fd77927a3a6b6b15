//! Everything that an endpoint can do wrong, by a process that has the handlers and does it: each is told in one
//! sentence, and neither takes more memory nor more time than it may, nor holds up who comes next.

use super::{DOORMAN, LIFE, LIMIT, built, directory, guesthouse, pulled};
use crate::agent;
use crate::case::Case;
use crate::need::Need;
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Private memory that the agent may use for a pull, whatever comes (RLIMIT_DATA): a profile of 64 MiB is unpacked at
/// the most, beside threads and what the agent needs itself.
const MOST_DATA_BYTES: u64 = 320 << 20;
const TIMEOUT_SECONDS: u64 = 2;

/// What is answered and how, and words of the sentence that tells of it.
struct Row {
    name: &'static str,
    answer: fn(&Path) -> Result<Vec<u8>>,
    arguments: &'static [&'static str],
    told: &'static str,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    Row { name: "hangs", answer: |_| Ok(Vec::new()), arguments: &["-ending", "wait"], told: "no whole answer came within 2 s: 0 bytes did" },
    Row { name: "trickles", answer: |_| Ok([OK, &[0x1f; 5000]].concat()), arguments: &["-pieces", "3", "-pause", "20ms"], told: "no whole answer came within 2 s" },
    Row { name: "never_ends", answer: |_| Ok([OK, &[0; 1 << 20]].concat()), arguments: &["-ending", "again"], told: "the answer is larger than 16777216 bytes" },
    Row { name: "announces_for_ever", answer: |_| Ok(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), arguments: &["-ending", "again"], told: "bytes came without an end" },
    Row { name: "gzip_bomb", answer: |_| packed("head -c 1500000000 /dev/zero"), arguments: &[], told: "has more than 67108864 bytes" },
    Row { name: "html", answer: |_| Ok([OK, b"<!DOCTYPE html><html><body>Welcome</body></html>"].concat()), arguments: &[], told: "the answer is no profile: it is a page of HTML" },
    Row { name: "truncated", answer: truncated, arguments: &[], told: "the answer is no profile: unpack the profile" },
    Row { name: "hostile_lengths", answer: |_| packed(r"printf '\022\377\377\377\377\177ab'"), arguments: &[], told: "the answer is no profile: malformed pprof profile" },
    Row { name: "hostile_references", answer: |_| packed(r"printf '\012\004\010\377\377\003\062\000'"), arguments: &[], told: "the answer is no profile" },
    Row { name: "many_messages", answer: |_| packed(r"yes | tr -d '\n' | head -c 60000000 | tr y '\022' | sed 's/\x12/\x12\x00/g'"), arguments: &[], told: "the answer is no profile" },
    Row { name: "authentication", answer: |_| Ok(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec()), arguments: &[], told: "it asks for authentication (status 403)" },
    Row { name: "half_way", answer: |_| Ok(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n0123456789".to_vec()), arguments: &[], told: "the answer broke off after 10 bytes" },
];

pub(super) fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    let mut cases: Vec<Case> = ROWS
        .into_iter()
        .map(|row| Case::new(format!("pulls::fault_{}", row.name), needs, move || fault(&row)))
        .collect();
    cases.push(Case::new("pulls::fault_redirects", needs, redirects));
    cases.push(Case::new("pulls::who_hangs_holds_nobody_up", needs, who_hangs_holds_nobody_up));
    cases
}

/// An answer whose body is what a command prints, packed.
fn packed(command: &str) -> Result<Vec<u8>> {
    let output =
        Command::new("sh").args(["-c", &format!("{command} | gzip -1")]).output().context("run sh")?;
    ensure!(output.status.success() && !output.stdout.is_empty(), "{command}: {output:?}");
    Ok([OK, &output.stdout].concat())
}

/// The first half of a real profile.
fn truncated(directory: &Path) -> Result<Vec<u8>> {
    let mut house = guesthouse(&[])?;
    house.address()?;
    let pulled = pulled(house.pid(), "goroutine", directory, "")?;
    let whole = fs::read(pulled.file.context("it is kept")?).context("read a profile")?;
    Ok([OK, &whole[..whole.len() / 2]].concat())
}

/// Who answers every question with this. The same program for all of them, so that its code lies at the same place.
pub(super) fn doorman(directory: &Path, answer: &[u8], arguments: &[&str]) -> Result<Running> {
    let words = directory.join("words");
    fs::write(&words, answer).context("write an answer")?;
    let mut command = Command::new(built(DOORMAN)?);
    command.arg(format!("-for={}s", LIFE.as_secs())).arg("-words").arg(words).args(arguments);
    let mut doorman = Running::start(&mut command)?;
    doorman.address()?;
    Ok(doorman)
}

/// `watcher pull` with little memory and little time.
fn pull_in_little(pid: u32, directory: &Path) -> Result<agent::Outcome> {
    let settings = directory.join("settings.toml");
    let kept = directory.join("kept");
    fs::write(&settings, format!("timeout_seconds = {TIMEOUT_SECONDS}\ndirectory = '{}'\n", kept.display()))?;
    let mut command = Command::new("prlimit");
    command.arg(format!("--data={MOST_DATA_BYTES}")).arg(agent::binary()?);
    command.args(["pull", "--pid", &pid.to_string(), "--profile", "heap", "--format", "json"]);
    agent::finish(command.arg("--pprof-settings").arg(settings), LIMIT)
}

fn fault(row: &Row) -> Result<()> {
    let place = directory()?;
    let doorman = doorman(place.path(), &(row.answer)(place.path())?, row.arguments)?;
    let outcome = pull_in_little(doorman.pid(), place.path())?;
    outcome.expect_refusal(&[row.told])?;
    ensure!(outcome.stderr.contains("/debug/pprof/: "), "it does not say of whom: {outcome:?}");
    // Whoever comes next is served as ever, with as little memory.
    let mut house = guesthouse(&[])?;
    house.address()?;
    let next = pull_in_little(house.pid(), place.path())?;
    ensure!(next.status == Some(0), "the next one failed: {next:?}");
    Ok(())
}

fn redirects() -> Result<()> {
    let elsewhere = TcpListener::bind("127.0.0.1:0").context("listen elsewhere")?;
    elsewhere.set_nonblocking(true)?;
    let place = directory()?;
    let to = format!("http://{}/secret", elsewhere.local_addr()?);
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let doorman = doorman(place.path(), answer.as_bytes(), &[])?;
    let outcome = pull_in_little(doorman.pid(), place.path())?;
    outcome.expect_refusal(&[&format!("it redirects to {to}, which is not followed")])?;
    let followed = elsewhere.accept().map(|_| ());
    ensure!(followed.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the redirect was followed");
    Ok(())
}

/// More that hang, from the first question on, than are asked at once, and one that answers.
fn who_hangs_holds_nobody_up() -> Result<()> {
    let place = directory()?;
    let hang = || doorman(place.path(), b"", &["-room=false", "-ending", "wait"]);
    let hanging: Vec<Running> = (0..16).map(|_| hang()).collect::<Result<_>>()?;
    let mut house = guesthouse(&[])?;
    let address = house.address()?;
    let began = Instant::now();
    let (endpoint, why) = super::listed(house.pid())?;
    ensure!(endpoint.is_some_and(|it| it.contains(&address)), "it was not asked: {why:?}");
    // One after the other they would take three seconds each.
    ensure!(began.elapsed().as_secs() < 30, "{} that hang took {:?}", hanging.len(), began.elapsed());
    let (endpoint, why) = super::listed(hanging[0].pid())?;
    let told = why.unwrap_or_default();
    ensure!(endpoint.is_none() && told.contains("no whole answer came within"), "{endpoint:?} {told}");
    Ok(())
}
