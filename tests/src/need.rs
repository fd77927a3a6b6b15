//! What a case can need beyond a plain Linux machine.

use crate::cgroup::Controller;
use crate::toolchain::Toolchain;
use std::env;
use std::path::{Path, PathBuf};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Effective user id 0.
    Root,
    /// Any Go toolchain.
    Go,
    /// Go 1.N.
    GoMinor(u32),
    /// A cgroup that can be made and bounded.
    Cgroup(Controller),
    /// A program on PATH, and the Debian package that brings it.
    Program {
        /// Its file name.
        program: &'static str,
        /// The package.
        package: &'static str,
    },
}

/// A C compiler, for programs built with cgo.
pub const C_COMPILER: Need = Need::Program { program: "gcc", package: "gcc" };

impl Need {
    /// A sentence that says what is missing and how to bring it; `None` where it is there.
    pub fn lacking(&self) -> Option<String> {
        match *self {
            Need::Root => (!nix::unistd::geteuid().is_root()).then(|| "It needs root.".to_owned()),
            Need::Go => Toolchain::newest()
                .is_none()
                .then(|| "It needs a Go toolchain: `cargo xtask test` fetches them.".to_owned()),
            Need::GoMinor(minor) => Toolchain::minor(minor).is_none().then(|| match minor {
                19 => "It needs Go 1.19: Debian's package golang-1.19-go has it.".to_owned(),
                _ => format!("It needs Go 1.{minor}: `cargo xtask test` fetches it."),
            }),
            Need::Cgroup(controller) => controller.lacking(),
            Need::Program { program, package } => find_program(program)
                .is_none()
                .then(|| format!("It needs the program {program}: Debian's package {package} has it.")),
        }
    }
}

/// The first executable of that name on PATH or in the directories where Debian keeps servers.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::find_program;

    #[test]
    fn programs_are_found_by_name_only() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
