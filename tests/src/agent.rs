//! Calls the agent's own command and reads its answers.

use crate::answer::{Diagnosis, List};
use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use std::env;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// What one call of the command came to.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; `None` where a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// When it was started.
    pub began: SystemTime,
    /// When it had ended.
    pub ended: SystemTime,
}

/// The agent's executable: `WATCHER_BIN`, else what `cargo build` left under `target/`.
pub fn binary() -> Result<PathBuf> {
    if let Some(set) = env::var_os("WATCHER_BIN") {
        let binary = PathBuf::from(set);
        ensure!(binary.is_file(), "WATCHER_BIN is {}, and no file is there", binary.display());
        return Ok(binary);
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    ["release/watcher", "debug/watcher"]
        .map(|path| target.join(path))
        .into_iter()
        .find(|path| path.is_file())
        .context("watcher is not built: `cargo xtask test` does it, or set WATCHER_BIN")
}

/// Runs the agent with these arguments, for at most `limit`.
pub fn run(arguments: &[&str], limit: Duration) -> Result<Outcome> {
    finish(Command::new(binary()?).args(arguments), limit)
}

/// Runs any command without standard input, for at most `limit`.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Outcome> {
    // Files, not pipes: nobody has to read while it runs, so nothing can block.
    let mut stdout = tempfile::tempfile().context("create a file for its output")?;
    let mut stderr = tempfile::tempfile().context("create a file for its errors")?;
    let began = SystemTime::now();
    let deadline = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let status = loop {
        if let Some(status) = child.try_wait().context("ask after a child")? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().context("kill a child that takes too long")?;
            child.wait().context("wait for a killed child")?;
            bail!("{command:?} ran for over {limit:?}; it said: {}", text_of(&mut stderr)?);
        }
        thread::sleep(Duration::from_millis(10));
    };
    Ok(Outcome {
        status: status.code(),
        stdout: text_of(&mut stdout)?,
        stderr: text_of(&mut stderr)?,
        began,
        ended: SystemTime::now(),
    })
}

fn text_of(file: &mut std::fs::File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().context("read back what a command said")?;
    file.read_to_end(&mut bytes).context("read back what a command said")?;
    String::from_utf8(bytes).context("the command's output is no UTF-8")
}

impl Outcome {
    /// Standard output as JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.stdout).with_context(|| {
            format!("no such JSON (status {:?}): {}\nstderr: {}", self.status, self.stdout, self.stderr)
        })
    }

    /// Fails unless it refused: status 2, nothing but that error on standard output, where JSON was asked for, and one
    /// clear sentence on standard error that holds one of `words`.
    pub fn expect_refusal(&self, words: &[&str]) -> Result<()> {
        ensure!(self.status == Some(2), "want exit status 2: {self:?}");
        let sentence = self.stderr.trim();
        if !self.stdout.is_empty() {
            let told: serde_json::Value = self.json()?;
            let said = told["error"].as_str().with_context(|| format!("want nothing else: {self:?}"))?;
            ensure!(told["schema"] == "watcher.error/1", "want nothing else on standard output: {self:?}");
            ensure!(sentence == format!("watcher: {said}"), "the same sentence in both: {self:?}");
        }
        ensure!(!sentence.is_empty() && !sentence.contains('\n'), "want one sentence: {self:?}");
        ensure!(words.iter().any(|word| sentence.contains(word)), "want one of {words:?}: {self:?}");
        Ok(())
    }
}

/// `watcher list`, parsed.
pub fn list() -> Result<List> {
    let outcome = run(&["list", "--format", "json"], Duration::from_secs(20))?;
    ensure!(outcome.status == Some(0), "list failed: {outcome:?}");
    let list: List = outcome.json()?;
    ensure!(list.schema == "watcher.list/1", "unknown schema {}", list.schema);
    Ok(list)
}

/// `watcher diagnose` of one process over `seconds`, parsed, after checking that verdict and exit status agree.
pub fn diagnose(pid: u32, seconds: u64) -> Result<(Diagnosis, Outcome)> {
    diagnose_with(pid, seconds, &[])
}

/// The same with more arguments.
pub fn diagnose_with(pid: u32, seconds: u64, more: &[&str]) -> Result<(Diagnosis, Outcome)> {
    let (pid_text, window) = (pid.to_string(), format!("{seconds}s"));
    let arguments = ["diagnose", "--pid", &pid_text, "-d", &window, "-i", "1s", "--format", "json"];
    let outcome = run(&[&arguments, more].concat(), Duration::from_secs(seconds + 30))?;
    let diagnosis: Diagnosis = outcome.json()?;
    ensure!(diagnosis.schema == "watcher.diagnosis/1", "unknown schema {}", diagnosis.schema);
    ensure!(diagnosis.process.pid == pid, "asked for {pid}, got {}", diagnosis.process.pid);
    let expected = match &*diagnosis.verdict {
        _ if diagnosis.near_limit => 1,
        "leak" => 1,
        "inconclusive" => 3,
        _ => 0,
    };
    ensure!(
        outcome.status == Some(expected),
        "verdict {} with exit status {:?}",
        diagnosis.verdict,
        outcome.status
    );
    ensure!(
        diagnosis.findings.iter().filter(|finding| finding.primary).count()
            == usize::from(diagnosis.verdict == "leak"),
        "a leak has exactly one primary finding, anything else none: {diagnosis:?}"
    );
    Ok((diagnosis, outcome))
}

#[cfg(test)]
mod tests {
    use super::finish;
    use std::process::Command;
    use std::time::Duration;

    fn shell(script: &str, limit: Duration) -> anyhow::Result<super::Outcome> {
        finish(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn a_call_gives_status_and_both_outputs() {
        let outcome = shell("echo out; echo err >&2; exit 2", Duration::from_secs(10)).unwrap();
        assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (Some(2), "out\n", "err\n"));
    }

    #[test]
    fn a_call_that_hangs_is_ended_and_told() {
        let error = shell("echo waiting >&2; exec sleep 60", Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("waiting"), "{error}");
    }

    #[test]
    fn a_refusal_is_one_sentence_with_status_2() {
        for (script, refuses) in [
            ("echo No process has pid 7. >&2; exit 2", true),
            ("echo No process has pid 7. >&2; exit 1", false),
            ("echo {}; echo No process has pid 7. >&2; exit 2", false),
            (
                "echo '{\"schema\":\"watcher.error/1\",\"error\":\"No process.\"}'; echo watcher: No process. >&2; exit 2",
                true,
            ),
            (
                "echo '{\"schema\":\"watcher.error/1\",\"error\":\"Another.\"}'; echo watcher: No process. >&2; exit 2",
                false,
            ),
            ("echo No process has pid 7. >&2; echo backtrace >&2; exit 2", false),
            ("exit 2", false),
            ("echo something else >&2; exit 2", false),
        ] {
            let outcome = shell(script, Duration::from_secs(10)).unwrap();
            assert_eq!(outcome.expect_refusal(&["No process"]).is_ok(), refuses, "{script}");
        }
    }
}
