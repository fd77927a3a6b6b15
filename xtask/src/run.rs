//! `cargo xtask run`: builds the agent and becomes it, as root.

use crate::workspace;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// `cargo xtask run`.
#[derive(clap::Args)]
pub struct Run {
    /// Arguments of `watcher`; `run` where there are none.
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Run {
    /// Returns only where the agent could not be started.
    pub fn carry_out(self) -> Result<()> {
        let watcher = workspace::build_watcher()?;
        let mut command = command(&watcher, &self.arguments, workspace::is_root());
        let error = command.exec();
        if error.kind() == io::ErrorKind::NotFound && command.get_program() == "sudo" {
            return Err(error).with_context(|| {
                format!(
                    "the agent needs root to read other processes, and sudo is not installed; as root, run {}",
                    watcher.display()
                )
            });
        }
        Err(error).with_context(|| format!("run {}", workspace::line_of(&command)))
    }
}

fn command(watcher: &Path, arguments: &[OsString], is_root: bool) -> Command {
    let mut command = if is_root {
        Command::new(watcher)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("--").arg(watcher);
        sudo
    };
    if arguments.is_empty() {
        command.arg("run");
    }
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::command;
    use crate::workspace::line_of;
    use std::path::Path;

    #[test]
    fn root_runs_it_and_others_ask_sudo() {
        for (arguments, is_root, expected) in [
            (&[][..], true, "watcher run"),
            (&["list"], true, "watcher list"),
            (&[], false, "sudo -- /x/watcher run"),
            (&["doctor", "--format", "json"], false, "sudo -- /x/watcher doctor --format json"),
        ] {
            let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
            assert_eq!(line_of(&command(Path::new("/x/watcher"), &arguments, is_root)), expected);
        }
    }
}
