//! Programs at work, in groups that one agent watches.

use super::{Failure, Subject};
use crate::build;
use crate::scene::{Scene, Setting};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One agent keeps the ledgers of so many at once.
const IN_A_GROUP: usize = 8;
/// Side work is done five times a second, so that two hundred programs leave the machine idle.
const MORE: [&str; 2] = ["-breath=200ms", "-garbage=0.5"];
/// How many bytes of garbage are left is a flag of those programs only that import this.
const ERRANDS: &str = "internal/errands\"";

/// A program at work.
pub struct Member {
    /// What it is.
    pub subject: Subject,
    /// It, and its peer.
    pub scene: Scene,
}

/// Programs that are watched together.
pub struct Group {
    /// What their names, and no others, look like.
    pub glob: String,
    /// They.
    pub members: Vec<Member>,
}

/// Programs that were started together.
pub struct Cohort {
    /// When the last of them had been started.
    pub began: Instant,
    /// They, in groups.
    pub groups: Vec<Group>,
    _names: tempfile::TempDir,
}

/// Subjects with their executables.
pub type Built = Vec<(Subject, PathBuf)>;

/// Builds what has to be built; what cannot be is told.
pub fn build(subjects: Vec<Subject>) -> (Built, Vec<Failure>) {
    let (mut built, mut failures) = (Vec::new(), Vec::new());
    for subject in subjects {
        match build::build(subject.slow.row.program, subject.toolchain, subject.slow.row.variant()) {
            Ok(executable) => built.push((subject, executable)),
            Err(error) => failures.push(Failure { what: subject.name(), why: format!("{error:#}") }),
        }
    }
    (built, failures)
}

impl Cohort {
    /// Starts all of them, to live for `life`, under names that begin with `word`.
    ///
    /// # Errors
    /// Where one cannot be started.
    pub fn start(word: &str, built: &Built, life: Duration) -> Result<Cohort> {
        let names = tempfile::Builder::new().prefix("names-").tempdir().context("create a directory")?;
        let mut groups = Vec::new();
        for (number, some) in built.chunks(IN_A_GROUP).enumerate() {
            let prefix = format!("{word}{number}-");
            let mut members = Vec::new();
            for (subject, executable) in some {
                members.push(start(subject, executable, names.path(), &prefix, life)?);
            }
            groups.push(Group { glob: format!("{prefix}*"), members });
        }
        Ok(Cohort { began: Instant::now(), groups, _names: names })
    }
}

fn start(subject: &Subject, executable: &Path, names: &Path, prefix: &str, life: Duration) -> Result<Member> {
    let program = subject.slow.row.program;
    let name = names.join(format!("{prefix}{program}"));
    if !name.exists() && fs::hard_link(executable, &name).is_err() {
        // On another file system. The copy is closed before anything is started from it.
        fs::copy(executable, &name).with_context(|| format!("copy {}", executable.display()))?;
    }
    let source = build::programs().join(program).join("main.go");
    let imports = fs::read_to_string(&source).with_context(|| format!("read {}", source.display()))?;
    let more = if imports.contains(ERRANDS) { &MORE[..] } else { &MORE[..1] };
    let setting = Setting { executable: &name, peer: executable, life, more };
    let scene = Scene::begin(&subject.slow.row, subject.style, setting)
        .with_context(|| format!("start {}", subject.name()))?;
    Ok(Member { subject: *subject, scene })
}
