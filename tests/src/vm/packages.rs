//! Emulator, kernels and tools for virtual machines, out of Debian packages that are unpacked in the cache.
//!
//! Nothing is installed: packages are downloaded and unpacked, so that neither root nor room in the system is
//! needed. Which versions there are is what apt's lists say.

use crate::cache;
use crate::need::find_program;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const EMULATOR: &str = "qemu-system-x86";
const PROGRAM: &str = "qemu-system-x86_64";

/// How to start the emulator.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// What it is and where it comes from.
    pub package: String,
    /// The program.
    pub program: PathBuf,
    /// Arguments that tell it where its data is.
    pub arguments: Vec<OsString>,
    /// Environment that tells it where its libraries and modules are.
    pub environment: Vec<(&'static str, OsString)>,
}

/// A kernel to boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The package and its version.
    pub package: String,
    /// The compressed kernel.
    pub file: PathBuf,
}

/// The installed emulator, else one that is fetched with the libraries that this system lacks.
pub fn emulator() -> Result<Emulator> {
    if let Some(program) = find_program(PROGRAM) {
        let package = format!("the installed {}", program.display());
        return Ok(Emulator { package, program, arguments: Vec::new(), environment: Vec::new() });
    }
    let packages = closure(EMULATOR)?;
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let name = format!("vm/{EMULATOR}-{:016x}", hasher.finish());
    let place = cache::entry(&name, |directory| unpack(&packages, directory, None))?;
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| place.join(path));
    let data = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"].map(|path| place.join(path));
    let version = packages.iter().find_map(|package| package.strip_prefix("qemu-system-x86=")).unwrap_or("?");
    Ok(Emulator {
        package: format!("{EMULATOR} {version}"),
        program: place.join("usr/bin").join(PROGRAM),
        arguments: data.into_iter().flat_map(|path| ["-L".into(), path.into_os_string()]).collect(),
        environment: vec![
            ("LD_LIBRARY_PATH", std::env::join_paths(&libraries)?),
            // The emulator without hardware support is a module.
            ("QEMU_MODULE_DIR", libraries[0].join("qemu").into_os_string()),
        ],
    })
}

/// The newest of Debian's kernels for virtual machines whose version begins with `version`.
pub fn kernel(version: &str) -> Result<Kernel> {
    let pattern = format!("^linux-image-{}\\.[^ ]*-cloud-amd64(-unsigned)?$", version.replace('.', "\\."));
    let listed = apt_cache(["search", "--names-only", &pattern])?;
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    let newest =
        newest(names).with_context(|| format!("apt knows no package linux-image-{version}.*-cloud-amd64"))?;
    let (place, package) = single(newest, Some("./boot/vmlinuz-*"))?;
    let boot = place.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("list {}", boot.display()))?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let [file] = files.as_slice() else { bail!("{package} has not one kernel but {}", files.len()) };
    Ok(Kernel { package, file: file.clone() })
}

/// The program that is a shell and all small tools in one.
pub fn busybox() -> Result<PathBuf> {
    Ok(single("busybox-static", None)?.0.join("bin/busybox"))
}

/// One package without what it depends on: where it lies unpacked, and its name with its version.
fn single(name: &str, members: Option<&str>) -> Result<(PathBuf, String)> {
    let shown = apt_cache(["show", "--no-all-versions", name])?;
    let version = shown
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))
        .with_context(|| format!("apt knows no version of {name}"))?;
    let package = format!("{name}={version}");
    let place =
        cache::entry(&format!("vm/{name}_{version}"), |directory| unpack(&[package], directory, members))?;
    Ok((place, format!("{name} {version}")))
}

/// `name` and whatever it depends on and this system lacks, as `package=version`, sorted.
fn closure(name: &str) -> Result<Vec<String>> {
    lists()?;
    let arguments = ["install", "--simulate", "--no-install-recommends", "--quiet=2", name];
    let mut packages: Vec<String> =
        output(Command::new("apt-get").args(arguments))?.lines().filter_map(to_install).collect();
    packages.sort();
    Ok(packages)
}

/// From a line such as `Inst libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])`.
fn to_install(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let version = rest.split_once('(')?.1.split_whitespace().next()?;
    Some(format!("{name}={version}"))
}

/// Downloads packages and unpacks them into `directory`, whole or only what `members` matches.
fn unpack(packages: &[String], directory: &Path, members: Option<&str>) -> Result<()> {
    let archives = tempfile::tempdir_in(directory).context("create a directory for archives")?;
    let mut download = Command::new("apt-get");
    // As root apt would download as a user of its own, who may not write here.
    download.args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"]).args(packages);
    output(download.current_dir(archives.path()))?;
    let mut unpacked = 0;
    for archive in fs::read_dir(archives.path())? {
        let archive = archive?.path();
        match members {
            None => output(Command::new("dpkg-deb").arg("--extract").args([archive.as_path(), directory]))?,
            Some(members) => output(
                Command::new("sh")
                    .args([
                        "-ec",
                        "dpkg-deb --fsys-tarfile \"$1\" | tar -x -C \"$2\" --wildcards \"$3\"",
                        "sh",
                    ])
                    .args([archive.as_os_str(), directory.as_os_str(), OsStr::new(members)]),
            )?,
        };
        unpacked += 1;
    }
    ensure!(unpacked == packages.len(), "{unpacked} packages came of {}", packages.len());
    Ok(())
}

/// Of names that differ in their numbers the one with the greatest; a signed kernel before an unsigned one.
fn newest<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let numbers = |name: &str| -> Vec<u64> {
        let digits = name.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        digits.map(|part| part.parse().unwrap_or(0)).collect()
    };
    names.max_by_key(|name| (numbers(name), std::cmp::Reverse(name.len())))
}

fn apt_cache<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    lists()?;
    output(Command::new("apt-cache").args(arguments))
}

/// Has apt fetch its lists once where it has none, as in a fresh container.
fn lists() -> Result<()> {
    static FETCHED: OnceLock<Result<(), String>> = OnceLock::new();
    let outcome = FETCHED.get_or_init(|| {
        if find_program("apt-get").is_none() {
            return Err("this is no Debian: there is no apt-get that could fetch packages".to_owned());
        }
        let known = output(Command::new("apt-cache").args(["show", "--no-all-versions", EMULATOR]));
        if known.is_ok() {
            return Ok(());
        }
        let update = output(Command::new("apt-get").args(["update", "--quiet=2"]));
        update.map(drop).map_err(|error| format!("apt has no lists, and could not fetch them: {error:#}"))
    });
    outcome.clone().map_err(anyhow::Error::msg)
}

/// Standard output of a command that succeeds; else an error with the last thing that it said.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        bail!("{program} failed: {last}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{newest, to_install};

    #[test]
    fn the_newest_kernel_is_the_greatest_by_its_numbers_and_signed() {
        for (names, expected) in [
            (vec!["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"], Some(1)),
            (
                vec![
                    "linux-image-6.12.117+deb12-cloud-amd64",
                    "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
                    "linux-image-6.12.9+deb12-cloud-amd64",
                ],
                Some(0),
            ),
            (vec![], None),
        ] {
            assert_eq!(newest(names.iter().copied()), expected.map(|index: usize| names[index]), "{names:?}");
        }
    }

    #[test]
    fn what_apt_would_install_is_read_with_its_version() {
        for (line, expected) in [
            ("Inst libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])", Some("libaio1=0.3.113-4")),
            (
                "Inst libpam0g [1.5.2-6] (1.5.2-6+deb12u1 Debian:12.15/oldstable [amd64])",
                Some("libpam0g=1.5.2-6+deb12u1"),
            ),
            ("Conf libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])", None),
            ("", None),
        ] {
            assert_eq!(to_install(line).as_deref(), expected, "{line}");
        }
    }
}
