//! The files that a virtual machine sees: an archive that the kernel unpacks into memory.

use crate::build::build;
use crate::cases;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const INIT: &str = include_str!("init.sh");
/// Our own programs that the cases start, beside the runner.
const PROGRAMS: [&str; 4] = ["vm", "holder", "opener", "watcher"];
/// Where kernel and init mount something or write.
const DIRECTORIES: [&str; 10] =
    ["bin", "dev", "etc", "proc", "programs", "root", "sys", "target", "tmp", "run"];

/// Writes the image to `file`: the shell and tools of `busybox`, our own programs out of `programs`, the Go programs
/// that the cases name, and what the first process does.
pub fn write(file: &Path, busybox: &Path, programs: &Path, filter: Option<&str>) -> Result<()> {
    let tree = tempfile::tempdir().context("create a directory")?;
    for directory in DIRECTORIES {
        fs::create_dir(tree.path().join(directory)).with_context(|| format!("create {directory}"))?;
    }
    tools(busybox, &tree.path().join("bin"))?;
    for program in PROGRAMS {
        copy(&programs.join(program), &tree.path().join("target").join(program))?;
    }
    go_programs(&tree.path().join("programs"))?;
    fs::write(tree.path().join("filter"), filter.unwrap_or_default())?;
    // Unknown users have no name, and some programs ask for root's.
    fs::write(tree.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    let init = tree.path().join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    // Cases run programs as other users too.
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755))?;
    archive(tree.path(), busybox, file)
}

/// `busybox` under the name of each tool that it is.
fn tools(busybox: &Path, directory: &Path) -> Result<()> {
    copy(busybox, &directory.join("busybox"))?;
    let output = Command::new(busybox).arg("--list").output().context("run busybox")?;
    for name in String::from_utf8_lossy(&output.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", directory.join(name)).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

/// Where [`build`] finds them inside: by toolchain, variant and name.
fn go_programs(directory: &Path) -> Result<()> {
    for (name, toolchain, variant) in cases::guest_programs() {
        let place = directory.join(&toolchain.version).join(variant.name());
        fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
        copy(&build(name, toolchain, variant)?, &place.join(name))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}

/// All below `tree` in the format that the kernel unpacks.
fn archive(tree: &Path, busybox: &Path, file: &Path) -> Result<()> {
    let mut cpio = Command::new(busybox)
        .args(["cpio", "-o", "-H", "newc", "-F"])
        .arg(file)
        .current_dir(tree)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("run busybox")?;
    let mut names = cpio.stdin.take().context("standard input is a pipe")?;
    let mut waiting = vec![tree.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let entry = entry?;
            let path = entry.path();
            let Some(name) = path.strip_prefix(tree)?.to_str() else {
                bail!("{} is no text", path.display())
            };
            writeln!(names, "{name}").context("tell busybox a name")?;
            if entry.file_type()?.is_dir() {
                waiting.push(path);
            }
        }
    }
    drop(names);
    ensure!(cpio.wait()?.success(), "busybox could not write {}", file.display());
    Ok(())
}
