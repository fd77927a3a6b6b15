//! What each part of the agent may and must not know: the table of ARCHITECTURE.md, row by row.

use super::Violation;
use super::imports::{Named, module_of, named};
use std::path::Path;

/// A row of the table.
struct Rule {
    /// What the row is called.
    name: &'static str,
    /// Modules below `crate` that it covers.
    covers: &'static [&'static str],
    /// Modules below `crate` that it may name, besides itself and the vocabulary.
    may_know: &'static [&'static str],
    /// Everything outside the crate that it must not name.
    must_not_know: &'static [&'static [&'static str]],
}

const VOCABULARY: [&str; 1] = ["vocabulary"];
/// The operating system, and crates that speak with it.
const SYSTEM: &[&str] =
    &["std::env", "std::fs", "std::process", "std::thread", "aya", "netlink_sys", "nix", "procfs", "tokio"];
/// What asks endpoints: only the client and its settings know it.
const HTTP: &[&str] = &["http_body_util", "hyper", "hyper_util", "tokio_rustls"];
const KERNEL_NUMBERS: &[&str] = &["libc"];
const CLOCKS: &[&str] = &["std::time::Instant", "std::time::SystemTime::now"];
const LOGS: &[&str] = &["tracing"];
const FORMATS: &[&str] = &["serde", "serde_json"];
/// Plain values are raw readings, which are recorded: they may say that they can be written, but not how.
const JSON: &[&str] = &["serde_json"];
const COMMAND_LINES: &[&str] = &["clap"];
const STREAMS: &[&str] = &["std::io"];
const RATES: &[&str] = &["crate::vocabulary::reading::per_second"];

#[rustfmt::skip]
const RULES: [Rule; 17] = [
    Rule { name: "the vocabulary", covers: &VOCABULARY, may_know: &[], must_not_know: &[HTTP, SYSTEM, CLOCKS, LOGS, JSON, COMMAND_LINES] },
    Rule { name: "observed", covers: &["observed"], may_know: &[], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, JSON, COMMAND_LINES, STREAMS] },
    Rule { name: "source", covers: &["source"], may_know: &["golang", "observed"], must_not_know: &[FORMATS, COMMAND_LINES] },
    Rule { name: "golang", covers: &["golang"], may_know: &["observed"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, JSON] },
    Rule { name: "discover", covers: &["discover"], may_know: &["config", "golang", "source"], must_not_know: &[HTTP, FORMATS, RATES] },
    Rule { name: "capture", covers: &["capture"], may_know: &["source", "golang", "observed"], must_not_know: &[HTTP, JSON, RATES] },
    Rule { name: "sample", covers: &["sample"], may_know: &["source", "golang", "observed", "capture"], must_not_know: &[HTTP, JSON, RATES] },
    Rule { name: "ledger", covers: &["ledger"], may_know: &["source", "golang", "observed", "capture", "sample"], must_not_know: &[HTTP, JSON, RATES] },
    Rule { name: "store", covers: &["store"], may_know: &["observed"], must_not_know: &[HTTP, CLOCKS, LOGS] },
    Rule { name: "judge", covers: &["judge"], may_know: &["store", "observed"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, FORMATS, COMMAND_LINES, STREAMS] },
    Rule { name: "explain", covers: &["explain"], may_know: &["judge", "observed"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, FORMATS, COMMAND_LINES, STREAMS] },
    Rule { name: "report", covers: &["report"], may_know: &["explain", "news"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS] },
    Rule { name: "agent", covers: &["agent"], may_know: &["capture", "cli", "config", "discover", "explain", "golang", "judge", "ledger", "news", "observed", "report", "sample", "source", "store"], must_not_know: &[COMMAND_LINES] },
    Rule { name: "config", covers: &["config"], may_know: &["cli"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, FORMATS, COMMAND_LINES, STREAMS] },
    Rule { name: "cli", covers: &["cli"], may_know: &["config"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, FORMATS, STREAMS] },
    Rule { name: "commands", covers: &["commands"], may_know: &["agent", "cli", "config", "explain", "report", "source", "store"], must_not_know: &[HTTP, KERNEL_NUMBERS, COMMAND_LINES] },
    Rule { name: "news", covers: &["news"], may_know: &["explain"], must_not_know: &[HTTP, SYSTEM, KERNEL_NUMBERS, CLOCKS, LOGS, FORMATS, COMMAND_LINES, STREAMS] },
];

/// Violations in a file of the agent; `inside` is its path below `watcher/src`.
pub fn check(inside: &Path, file: &syn::File) -> Vec<Violation> {
    // `mod tests;` under `#[cfg(test)]`: a test may know more than what it tests.
    if inside.ends_with("tests.rs") {
        return Vec::new();
    }
    let module = module_of(inside);
    let Some(rule) = RULES.iter().find(|rule| module.get(1).is_some_and(|top| rule.covers.contains(&&**top)))
    else {
        return Vec::new();
    };
    let mut violations: Vec<Violation> =
        named(file, module).iter().filter_map(|named| rule.broken_by(named)).collect();
    // A path in a macro's arguments and the like is met more than once.
    violations.dedup_by(|a, b| a.line == b.line && a.what == b.what);
    violations
}

impl Rule {
    fn broken_by(&self, named: &Named) -> Option<Violation> {
        let forbidden = self.unknown_module(&named.path).or_else(|| self.unknown_name(&named.path))?;
        let what = format!("{} must not know {forbidden}: {}", self.name, named.path.join("::"));
        Some(Violation { line: named.line, what })
    }

    fn unknown_module(&self, path: &[String]) -> Option<String> {
        let [first, module, ..] = path else { return None };
        let known =
            [&VOCABULARY[..], self.covers, self.may_know].into_iter().flatten().any(|it| it == module);
        (first == "crate" && !known).then(|| format!("crate::{module}"))
    }

    fn unknown_name(&self, path: &[String]) -> Option<String> {
        let all = self.must_not_know.iter().copied().flatten();
        all.copied().find(|forbidden| is_within(path, forbidden)).map(str::to_owned)
    }
}

/// `path` is `forbidden`, lies below it, or brings it in with a `*`.
fn is_within(path: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    match path.split_last() {
        Some((last, base)) if last == "*" => {
            let common = base.len().min(forbidden.len());
            base[..common].iter().zip(&forbidden).all(|(a, b)| a == b)
        }
        _ => path.len() >= forbidden.len() && path.iter().zip(&forbidden).all(|(a, b)| a == b),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::path::Path;

    fn first(inside: &str, text: &str) -> Option<String> {
        let found = check(Path::new(inside), &syn::parse_file(text).unwrap());
        found.into_iter().next().map(|violation| violation.what)
    }

    #[test]
    fn every_row_forbids_what_it_says() {
        for (inside, text, forbidden) in [
            (
                "vocabulary/process.rs",
                "use crate::source::proc;",
                "the vocabulary must not know crate::source: crate::source::proc",
            ),
            (
                "vocabulary/reading.rs",
                "use serde_json::Value;",
                "the vocabulary must not know serde_json: serde_json::Value",
            ),
            (
                "source/proc/mod.rs",
                "use crate::judge::Kind;",
                "source must not know crate::judge: crate::judge::Kind",
            ),
            ("source/mod.rs", "use crate::store;", "source must not know crate::store: crate::store"),
            (
                "golang/mod.rs",
                "use crate::source::proc;",
                "golang must not know crate::source: crate::source::proc",
            ),
            ("golang/x.rs", "async fn f() { tokio::spawn(g()) }", "golang must not know tokio: tokio::spawn"),
            ("golang/x.rs", "use std::fs::File;", "golang must not know std::fs: std::fs::File"),
            (
                "discover.rs",
                "use crate::sample::Sample;",
                "discover must not know crate::sample: crate::sample::Sample",
            ),
            (
                "sample/x.rs",
                "use crate::vocabulary::reading::{self, Via}; fn f() { reading::per_second() }",
                "sample must not know crate::vocabulary::reading::per_second: crate::vocabulary::reading::per_second",
            ),
            ("agent/x.rs", "use crate::commands;", "agent must not know crate::commands: crate::commands"),
            ("commands.rs", "use crate::judge;", "commands must not know crate::judge: crate::judge"),
            ("cli.rs", "use crate::agent;", "cli must not know crate::agent: crate::agent"),
            ("config.rs", "use std::fs;", "config must not know std::fs: std::fs"),
            ("observed/x.rs", "use crate::source;", "observed must not know crate::source: crate::source"),
            ("capture/x.rs", "use crate::ledger;", "capture must not know crate::ledger: crate::ledger"),
            (
                "source/x.rs",
                "use crate::sample::Sample;",
                "source must not know crate::sample: crate::sample::Sample",
            ),
            ("store/x.rs", "use crate::ledger;", "store must not know crate::ledger: crate::ledger"),
            ("sample/x.rs", "use crate::judge;", "sample must not know crate::judge: crate::judge"),
            ("store/x.rs", "use crate::judge::Kind;", "store must not know crate::judge: crate::judge::Kind"),
            (
                "judge/x.rs",
                "use std::time::SystemTime; fn f() { SystemTime::now() }",
                "judge must not know std::time::SystemTime::now: std::time::SystemTime::now",
            ),
            ("judge/x.rs", "use std::time::*;", "judge must not know std::time::Instant: std::time::*"),
            ("judge/x.rs", "fn f() { tracing::warn!(\"x\") }", "judge must not know tracing: tracing::warn"),
            (
                "judge/x.rs",
                "fn f() { g(std::fs::read(\"x\")) }",
                "judge must not know std::fs: std::fs::read",
            ),
            ("judge/x.rs", "use serde::Serialize;", "judge must not know serde: serde::Serialize"),
            ("judge/x.rs", "use hyper::Request;", "judge must not know hyper: hyper::Request"),
            ("sample/x.rs", "use hyper::Request;", "sample must not know hyper: hyper::Request"),
            ("judge/x.rs", "use super::super::source;", "judge must not know crate::source: crate::source"),
            ("judge/x.rs", "use crate::explain;", "judge must not know crate::explain: crate::explain"),
            ("explain.rs", "use serde_json::json;", "explain must not know serde_json: serde_json::json"),
            (
                "report/text.rs",
                "use crate::judge::Kind;",
                "report must not know crate::judge: crate::judge::Kind",
            ),
            (
                "vocabulary/health.rs",
                "use crate::judge;",
                "the vocabulary must not know crate::judge: crate::judge",
            ),
        ] {
            assert_eq!(first(inside, text).as_deref(), Some(forbidden), "{inside}: {text}");
        }
    }

    #[test]
    fn every_row_allows_what_it_needs() {
        for (inside, text) in [
            (
                "vocabulary/process.rs",
                "use std::time::SystemTime; use std::path::PathBuf; use serde::Serialize;",
            ),
            ("vocabulary/socket.rs", "use crate::vocabulary::process::printable;"),
            ("source/pprof/client.rs", "use hyper::Request; use crate::vocabulary::process::printable;"),
            (
                "source/proc/mod.rs",
                "use crate::vocabulary::reading::Reading; use std::fs; use crate::source::clock;",
            ),
            ("golang/mod.rs", "use crate::vocabulary::process::GoProgram; use super::golang::pclntab;"),
            ("sample/mod.rs", "use crate::source::proc; use crate::vocabulary::reading::{Moment, Via};"),
            ("store/window.rs", "use crate::observed::Sample;"),
            (
                "judge/mod.rs",
                "use crate::store::Window; use crate::observed::connections::Peer; use std::time::Duration;",
            ),
            ("judge/mod.rs", "#[cfg(test)] mod tests { use std::fs; }"),
            ("explain.rs", "use crate::judge::Judgement; use crate::vocabulary::health;"),
            ("report/json.rs", "use crate::explain::Diagnosis; use serde::Serialize; use std::io::Write;"),
            ("judge/tests.rs", "use std::fs;"),
            ("agent.rs", "use crate::judge; use tokio::time; use std::fs;"),
            ("main.rs", "use watcher::cli; use std::process::ExitCode;"),
        ] {
            assert_eq!(first(inside, text), None, "{inside}: {text}");
        }
    }
}
