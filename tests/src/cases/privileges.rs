//! What an ordinary user is told: less than root, never something false.

use crate::agent::{self, Outcome};
use crate::answer::{Diagnosis, List};
use crate::case::Case;
use crate::cases::leaks::expect_rate;
use crate::need::Need;
use crate::program::{self, Style, public_copy};
use crate::running::Running;
use anyhow::{Context, Result, anyhow, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIFE: Duration = Duration::from_secs(90);
/// The user nobody, as `setpriv` takes it.
const AS_NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root, Need::Go];
    vec![
        Case::new("privileges::ordinary_user_lists", needs, ordinary_user_lists),
        Case::new("privileges::ordinary_user_diagnoses", needs, ordinary_user_diagnoses),
        Case::new("privileges::hidden_processes", needs, hidden_processes),
        Case::new("privileges::doctor_tells_them_apart", [Need::Root], doctor_tells_them_apart),
        Case::new("privileges::a_pid_namespace_hides_no_lines", needs, within_a_pid_namespace),
    ]
}

/// A program of nobody's and one of root's that both leak descriptors, and copies of everything where nobody can run it.
struct Scene {
    theirs: Running,
    ours: Running,
    watcher: PathBuf,
    _directories: [TempDir; 2],
}

impl Scene {
    fn start() -> Result<Scene> {
        let (ingest_directory, ingest) = public_copy(&program::shipped("ingest")?, "ingest")?;
        let (watcher_directory, watcher) = public_copy(&agent::binary()?, "watcher")?;
        let mut setpriv = as_nobody(&ingest);
        setpriv.args(["-style=round", "-rate=6.1"]).arg(format!("-for={}s", LIFE.as_secs()));
        let mut theirs = Running::start(&mut setpriv)?;
        let mut ours = Running::start(&mut program::command(&ingest, Style::Round, 6.1, LIFE))?;
        theirs.holding(7)?;
        ours.holding(7)?;
        Ok(Scene { theirs, ours, watcher, _directories: [ingest_directory, watcher_directory] })
    }
}

fn as_nobody(program: &Path) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(AS_NOBODY).arg(program);
    setpriv
}

fn ordinary_user_lists() -> Result<()> {
    let scene = Scene::start()?;
    let outcome =
        agent::finish(as_nobody(&scene.watcher).args(["list", "--format", "json"]), Duration::from_secs(20))?;
    ensure!(outcome.status == Some(0), "list failed: {outcome:?}");
    let list: List = outcome.json()?;
    let theirs =
        list.process(scene.theirs.pid()).with_context(|| format!("own process missing: {list:?}"))?;
    ensure!(theirs.module.as_deref() == Some("example.com/parcels"), "wrong module: {theirs:?}");
    Ok(())
}

fn ordinary_user_diagnoses() -> Result<()> {
    let scene = Scene::start()?;
    let diagnose = |pid: u32| {
        let pid = pid.to_string();
        let mut command = as_nobody(&scene.watcher);
        command.args(["diagnose", "--pid", &pid, "-d", "45s", "--format", "json"]);
        agent::finish(&mut command, Duration::from_secs(75))
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| diagnose(scene.theirs.pid()));
        let ours = diagnose(scene.ours.pid());
        (theirs.join(), ours)
    });
    let theirs = theirs.map_err(|_| anyhow!("a thread panicked"))??;
    let diagnosis: Diagnosis = theirs.json()?;
    let primary = diagnosis.primary().with_context(|| format!("want a leak of their own: {diagnosis:#?}"))?;
    ensure!(primary.kind == "fd", "want fd: {diagnosis:#?}");
    expect_rate(primary, scene.theirs.rate_per_second(theirs.began, theirs.ended)?)?;
    expect_partial(&ours?, &scene.ours)
}

/// Of another user's process little can be read: either none of it is judged, or the little that grows is named, with
/// what could not be seen and what would help.
fn expect_partial(outcome: &Outcome, program: &Running) -> Result<()> {
    if outcome.status == Some(2) {
        return outcome.expect_refusal(&["root", "CAP_"]);
    }
    let diagnosis: Diagnosis = outcome.json()?;
    ensure!(diagnosis.verdict != "healthy", "most of it cannot be read: {diagnosis:#?}");
    if let Some(primary) = diagnosis.primary() {
        ensure!(
            primary.kind == "fd" && primary.detail.fd_type.is_none(),
            "only the number is known: {diagnosis:#?}"
        );
        expect_rate(primary, program.rate_per_second(outcome.began, outcome.ended)?)?;
    }
    let would_help = diagnosis.unseen.iter().any(|unseen| unseen.why.contains("root"));
    ensure!(would_help, "it should say what would help: {diagnosis:#?}");
    Ok(())
}

/// With hidepid=2 the processes of others do not even have a directory in /proc.
fn hidden_processes() -> Result<()> {
    let scene = Scene::start()?;
    let hidden = |arguments: &str| {
        let script = format!(
            "mount -t proc -o hidepid=2 proc /proc && exec setpriv {} \"$0\" {arguments}",
            AS_NOBODY.join(" ")
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation=private", "sh", "-c", &script]).arg(&scene.watcher);
        agent::finish(&mut unshare, Duration::from_secs(20))
    };
    let outcome = hidden("list --format json")?;
    ensure!(outcome.status == Some(0), "list failed: {outcome:?}");
    let list: List = outcome.json()?;
    ensure!(list.process(scene.theirs.pid()).is_some(), "own process missing: {list:?}");
    ensure!(list.process(scene.ours.pid()).is_none(), "root's process should be hidden: {list:?}");
    let pid = scene.ours.pid().to_string();
    hidden(&format!("diagnose --pid {pid} -d 30s --format json"))?.expect_refusal(&[&pid])
}

fn doctor_tells_them_apart() -> Result<()> {
    let (_directory, watcher) = public_copy(&agent::binary()?, "watcher")?;
    let limit = Duration::from_secs(30);
    let root = agent::finish(Command::new(&watcher).arg("doctor"), limit)?;
    let nobody = agent::finish(as_nobody(&watcher).arg("doctor"), limit)?;
    ensure!(root.status == Some(0), "as root all that matters works here: {root:?}");
    ensure!(nobody.status.is_some_and(|status| status != 0), "without root it does not: {nobody:?}");
    ensure!(root.stdout != nobody.stdout, "the same table for root and nobody: {root:?}");
    ensure!(nobody.stdout.contains("CAP_"), "it should name the capability that would help: {nobody:?}");
    Ok(())
}

/// Pids that the kernel counts otherwise than we do: whether watcher, or only what it watches, is in a namespace of its
/// own, the line that opens descriptors is seen.
fn within_a_pid_namespace() -> Result<()> {
    let ingest = program::shipped("ingest")?;
    let binary = agent::binary()?;
    let (ingest, watcher) = (ingest.display(), binary.display());
    let arguments = format!("-style=round -rate=20 -for={}s", LIFE.as_secs());
    let shown = "fds -d 3s --format json";
    for (place, script) in [
        ("inside", format!("{ingest} {arguments} >/dev/null & sleep 2; {watcher} {shown} --pid $!; kill $!")),
        (
            "outside",
            format!(
                "unshare --pid --fork --mount-proc {ingest} {arguments} >/dev/null & sleep 2; \
                 of=$(cat /proc/$!/task/$!/children); {watcher} {shown} --pid $of; kill $of"
            ),
        ),
    ] {
        let mut command = match place {
            "inside" => Command::new("unshare"),
            _ => Command::new("sh"),
        };
        if place == "inside" {
            command.args(["--pid", "--fork", "--mount-proc", "sh"]);
        }
        let outcome = agent::finish(command.args(["-c", &script]), Duration::from_secs(30))?;
        let told: serde_json::Value = outcome.json()?;
        let created = told["created"].as_u64().unwrap_or(0);
        ensure!(created >= 20, "{place}: it opens 20 a second: {told}");
        ensure!(told["missed"] == 0, "{place}: nothing comes unseen: {told}");
    }
    Ok(())
}
