//! `cargo xtask tidy`: what neither compiler nor clippy checks.
//!
//! - `imports`: what a module must not know, by the table in `rules`, which mirrors ARCHITECTURE.md.
//! - `hygiene`: file heads, file lengths, tests that are switched off, things left undone.

mod circles;
mod documents;
mod hygiene;
mod imports;
mod rules;

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where our own code lies.
const TREES: [&str; 8] = [
    "watcher/src",
    "watcher-ebpf/src",
    "xtask/src",
    "tests/src",
    "tests/tests",
    "tests/programs",
    "tests/fuzz/src",
    "tests/fuzz/fuzz_targets",
];

/// Something in a file that must not be there.
#[derive(Debug)]
struct Violation {
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// Prints every violation in the repository and fails where there is one.
pub fn carry_out() -> Result<()> {
    let root = workspace::root()?;
    let mut files = Vec::new();
    for tree in TREES {
        list(&root.join(tree), &mut files)?;
    }
    files.sort();
    let mut out = io::stdout().lock();
    let mut count = 0;
    let mut agent = circles::Files::default();
    for path in &files {
        let name = path.strip_prefix(root).context("a file below the root")?;
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        for violation in check(name, &text).with_context(|| format!("read {}", name.display()))? {
            writeln!(out, "{}:{violation}", name.display())?;
            count += 1;
        }
        if let Ok(inside) = name.strip_prefix("watcher/src")
            && let Ok(file) = syn::parse_file(&text)
        {
            agent.add(inside, &file);
        }
    }
    for complaint in agent.complaints() {
        writeln!(out, "{complaint}")?;
        count += 1;
    }
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).context("read ARCHITECTURE.md")?;
    for name in documents::names_of_no_file(&architecture, &files) {
        writeln!(out, "ARCHITECTURE.md: there is no file {name}")?;
        count += 1;
    }
    if count > 0 {
        bail!("tidy: {count} to put in order");
    }
    writeln!(out, "tidy: {} files are in order", files.len())?;
    Ok(())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let path = entry.with_context(|| format!("list {}", directory.display()))?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "rs" || it == "go") {
            files.push(path);
        }
    }
    Ok(())
}

/// The violations in one file; `name` is its path from the root.
fn check(name: &Path, text: &str) -> Result<Vec<Violation>> {
    let mut violations = hygiene::undone(text);
    if name.extension().is_some_and(|it| it == "rs") {
        let file = syn::parse_file(text).context("parse it as Rust")?;
        violations.extend(hygiene::check(name, text, &file));
        if let Ok(inside) = name.strip_prefix("watcher/src") {
            violations.extend(rules::check(inside, &file));
        }
    }
    violations.sort_by_key(|violation| violation.line);
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::check;
    use expect_test::expect;
    use std::path::Path;

    #[test]
    fn all_kinds_of_violation_are_found_in_one_file() {
        let text = "use std::fs;\nfn f() { todo!() }\n";
        let found = check(Path::new("watcher/src/judge/trend.rs"), text).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        expect![[r#"
            1: it has no `//!` head that says what it is for
            1: judge must not know std::fs: std::fs
            2: `todo!` is left undone"#]]
        .assert_eq(&found.join("\n"));
    }

    #[test]
    fn imports_are_checked_in_the_agent_only() {
        let text = "//! Head.\nuse std::fs;\n";
        for (name, count) in [
            ("watcher/src/judge/trend.rs", 1),
            ("watcher/src/agent.rs", 0),
            ("xtask/src/judge/trend.rs", 0),
            ("tests/programs/x/main.go", 0),
            ("watcher/src/judge/trend/tests.rs", 0),
        ] {
            assert_eq!(check(Path::new(name), text).unwrap().len(), count, "{name}");
        }
    }
}
