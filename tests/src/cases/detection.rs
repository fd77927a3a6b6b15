//! Go programs are found with version and module, whichever toolchain built them and in whichever way.

use crate::agent;
use crate::answer::ListedProcess;
use crate::build::{Variant, build};
use crate::case::Case;
use crate::need::{C_COMPILER, Need};
use crate::program::{self, Style, public_copy};
use crate::running::Running;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const VARIANTS: [Variant; 5] =
    [Variant::PLAIN, Variant::STRIPPED, Variant::PIE, Variant::CGO, Variant::HEADERLESS];
const LIFE: Duration = Duration::from_secs(60);

/// The cases.
pub fn cases() -> Vec<Case> {
    let matrix = MINORS.iter().flat_map(|minor| {
        VARIANTS.into_iter().map(move |variant| {
            let mut needs = vec![Need::GoMinor(*minor)];
            needs.extend(variant.cgo.then_some(C_COMPILER));
            let name = format!("detection::go1_{minor}_{}", variant.name().replace('-', "_"));
            Case::new(name, needs, move || found(*minor, variant))
        })
    });
    let odd_places = [
        Case::new("detection::deleted_executable", [Need::Go], deleted_executable),
        Case::new("detection::other_mount_namespace", [Need::Root, Need::Go], other_mount_namespace),
        Case::new("detection::hostile_name", [Need::Go], hostile_name),
    ];
    matrix.chain(odd_places).collect()
}

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    Toolchain::all()
        .iter()
        .flat_map(|toolchain| VARIANTS.into_iter().map(move |variant| ("depot", toolchain, variant)))
}

fn found(minor: u32, variant: Variant) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    let executable = build("depot", toolchain, variant)?;
    let running = program::depot(&executable, 3, LIFE)?;
    let listed = listed(running.pid())?;
    expect_ours(&listed, &toolchain.version)?;
    ensure!(listed.exe.as_deref() == Some(&*executable), "wrong executable: {listed:?}");
    ensure!(listed.name == "depot", "wrong name: {listed:?}");
    Ok(())
}

fn deleted_executable() -> Result<()> {
    let (_directory, copy) = public_copy(&program::shipped("depot")?, "depot")?;
    let running = program::depot(&copy, 3, LIFE)?;
    fs::remove_file(&copy).context("delete the executable")?;
    let listed = listed(running.pid())?;
    expect_ours(&listed, newest_version()?)?;
    ensure!(listed.exe.as_deref() == Some(&*copy), "want the path without the kernel's suffix: {listed:?}");
    Ok(())
}

/// The path that the kernel names is not there in our namespace: only `/proc/PID/exe` leads to the file.
fn other_mount_namespace() -> Result<()> {
    let script = r#"mount -t tmpfs none /mnt && cp "$0" /mnt/elsewhere && exec /mnt/elsewhere -for=60s"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation=private", "sh", "-c", script]).arg(program::shipped("depot")?);
    let mut running = Running::start(&mut unshare)?;
    running.holding(0)?;
    ensure!(!Path::new("/mnt/elsewhere").exists(), "the mount should be private to the program");
    expect_ours(&listed(running.pid())?, newest_version()?)
}

fn hostile_name() -> Result<()> {
    let name = OsStr::from_bytes(b"two\nli\x1b[31m\xff\xfe");
    let (_directory, copy) = public_copy(&program::shipped("depot")?, name)?;
    let mut running = Running::start(&mut program::command(&copy, Style::Square, 1.0, LIFE))?;
    running.holding(0)?;
    let listed = listed(running.pid())?;
    expect_ours(&listed, newest_version()?)?;
    ensure!(listed.name.starts_with("two\\nli"), "the newline should be escaped: {listed:?}");
    ensure!(!listed.name.chars().any(char::is_control), "a control character got through: {listed:?}");
    let text = agent::run(&["list"], Duration::from_secs(20))?.stdout;
    ensure!(!text.contains('\x1b'), "an escape sequence got through: {text:?}");
    let pid = running.pid().to_string();
    let lines = text.lines().filter(|line| line.split_whitespace().any(|word| word == pid)).count();
    ensure!(lines == 1, "want one line for process {pid}: {text}");
    Ok(())
}

fn listed(pid: u32) -> Result<ListedProcess> {
    let list = agent::list()?;
    let position = list.processes.iter().position(|process| process.pid == pid);
    let position = position.with_context(|| format!("process {pid} is not listed: {list:?}"))?;
    list.processes.into_iter().nth(position).context("it was there")
}

fn expect_ours(listed: &ListedProcess, version: &str) -> Result<()> {
    ensure!(listed.go_version.as_deref() == Some(version), "want {version}: {listed:?}");
    ensure!(listed.module.as_deref() == Some("example.com/parcels"), "wrong module: {listed:?}");
    ensure!(listed.module_version.as_deref() == Some("(devel)"), "wrong module version: {listed:?}");
    ensure!(listed.container.is_none(), "it runs in no container: {listed:?}");
    Ok(())
}

fn newest_version() -> Result<&'static str> {
    Ok(&Toolchain::newest().context("no Go toolchain is here")?.version)
}
