//! The repository, and cargo called in it.

use anyhow::{Context, Result, bail};
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies below the root")
}

/// The cargo that runs us, in the repository's root.
pub fn cargo() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()?);
    // What cargo says to us of our own package is none of the business of others: build scripts that ask for it would
    // run again, and all that depends on them be compiled again, whenever cargo is called by hand in between.
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|of_package| name.to_string_lossy().starts_with(of_package))
        {
            cargo.env_remove(name);
        }
    }
    Ok(cargo)
}

/// Runs a command and fails with a sentence unless it succeeds.
pub fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {}", line_of(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line_of(command));
    }
    Ok(())
}

/// The command as a person would type it.
pub fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = [program].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Builds the agent as it is shipped and returns its path.
pub fn build_watcher() -> Result<PathBuf> {
    succeed(cargo()?.args(["build", "--release", "--package", "watcher"]))?;
    Ok(target_directory()?.join("release/watcher"))
}

/// Builds the agent, and brings what real programs are watched with: as root, the kernel's list of tracepoints.
pub fn prepare_to_watch() -> Result<PathBuf> {
    let watcher = build_watcher()?;
    if is_root() && is_empty(Path::new(TRACEFS)) {
        let mounted = succeed(Command::new("mount").args(["-t", "tracefs", "nodev", TRACEFS]));
        if let Err(error) = mounted {
            // In a container root may not. Everything but the ledgers works without, and says what it lacks.
            writeln!(std::io::stdout(), "The kernel's list of tracepoints is not here: {error:#}")?;
        }
    }
    Ok(watcher)
}

/// Where the kernel expects its list of tracepoints to be mounted.
const TRACEFS: &str = "/sys/kernel/tracing";

/// It is a directory, and nothing is mounted on it.
fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Where cargo puts what it builds.
pub fn target_directory() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(root()?.join(target))
}

/// We are root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::{line_of, succeed};
    use std::process::Command;

    #[test]
    fn a_failing_command_is_named() {
        let error = succeed(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert_eq!(error, "sh -c exit 3 failed (exit status: 3)");
        assert_eq!(line_of(Command::new("cargo").arg("build")), "cargo build");
    }
}
