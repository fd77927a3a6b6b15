//! Real libraries, at versions of which somebody reported in public that they leak or are easily used so that they do:
//! `cargo xtask accuracy --real`.
//!
//! `table` is what is known of each program under `programs/real/`, `measure` runs and watches them, `tally` compares
//! what was said with what is true, `report` prints that. Each program has a twin: the same sources with the version in
//! which the library was mended, or the same work done as the library wants it done.

pub mod measure;
pub mod report;
mod table;
pub mod tally;

pub use table::PROGRAMS;

use crate::build::{self, Variant};
use crate::program::Style;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// A program that uses a library which leaks.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its folder in `programs/real/`.
    pub name: &'static str,
    /// The library's module.
    pub library: &'static str,
    /// The version that leaks.
    pub version: &'static str,
    /// What its twin does about it.
    pub fix: Fix,
    /// Where that was reported: `OWNER/REPOSITORY#NUMBER`.
    pub report: &'static str,
    /// What may be called the cause. What leaks first; then what the same event makes as many of.
    pub kinds: &'static [&'static str],
    /// Lines of the program that a person would edit, as they stand in its sources: one of them must be named.
    pub lines: &'static [&'static str],
    /// It needs a server, which a second process of it is.
    pub has_server: bool,
    /// There is C in the library.
    pub cgo: bool,
    /// How much it does per second.
    pub rate_per_second: f64,
}

/// What the innocent twin of a program does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// The same, with this version of the library: `fixed.mod`.
    Version(&'static str),
    /// It uses the same version as the library wants to be used.
    Use,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// It leaks.
    Reported,
    /// It does not.
    Fixed,
}

impl Program {
    /// Builds one of the twins.
    ///
    /// # Errors
    /// Where the compiler refuses, or a module can be had neither from the cache nor from the proxy.
    pub fn build(&self, twin: Twin, toolchain: &Toolchain) -> Result<PathBuf> {
        let modfile = match (twin, self.fix) {
            (Twin::Fixed, Fix::Version(_)) => "fixed.mod",
            _ => "go.mod",
        };
        let variant = Variant { cgo: self.cgo, ..Variant::STRIPPED };
        build::build_real(self.name, modfile, toolchain, variant)
    }

    /// How that twin is to be run.
    pub fn style(&self, twin: Twin) -> Style {
        match (twin, self.fix) {
            (Twin::Fixed, Fix::Use) => Style::Square,
            _ => Style::Round,
        }
    }

    /// The number of the first line of its `main.go` that holds `text`, from 1.
    ///
    /// # Errors
    /// Where no line does.
    pub fn line(&self, text: &str) -> Result<u32> {
        let path = self.folder().join("main.go");
        let source = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let number = source.lines().position(|line| line.contains(text));
        let number = number.with_context(|| format!("{text:?} is not in {}", path.display()))?;
        Ok(u32::try_from(number)? + 1)
    }

    fn folder(&self) -> PathBuf {
        build::programs().join("real").join(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fix, PROGRAMS, Program};
    use std::collections::BTreeSet;
    use std::fs;

    /// The version of a module that a file such as `go.mod` requires.
    fn required(program: &Program, modfile: &str) -> String {
        let text = fs::read_to_string(program.folder().join(modfile)).unwrap();
        let mut words = text.split_whitespace().skip_while(|word| *word != program.library);
        words.nth(1).unwrap_or_else(|| panic!("{} is not in {modfile}", program.library)).to_owned()
    }

    #[test]
    fn each_program_has_the_versions_and_lines_that_the_table_tells() {
        for program in &PROGRAMS {
            assert_eq!(required(program, "go.mod"), program.version, "{}", program.name);
            let fixed = program.folder().join("fixed.mod");
            match program.fix {
                Fix::Version(version) => assert_eq!(required(program, "fixed.mod"), version),
                Fix::Use => assert!(!fixed.exists(), "{} is fixed by its use", program.name),
            }
            for text in program.lines {
                program.line(text).unwrap();
            }
            assert!(!program.lines.is_empty() && !program.kinds.is_empty(), "{}", program.name);
            let (repository, number) = program.report.split_once('#').unwrap();
            assert!(
                repository.split('/').count() == 2 && number.parse::<u32>().is_ok(),
                "{}",
                program.report
            );
        }
    }

    #[test]
    fn each_folder_is_in_the_table_once() {
        let folders = fs::read_dir(crate::build::programs().join("real")).unwrap();
        let folders: Vec<String> =
            folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
        let named: BTreeSet<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        assert_eq!(named.len(), PROGRAMS.len());
        assert_eq!(named, folders.iter().map(String::as_str).collect());
    }
}
