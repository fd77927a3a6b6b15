//! Heads, lengths, tests that are switched off, things left undone.

use super::Violation;
use std::path::Path;
use syn::visit::{self, Visit};

/// Above this a file must say in its head why it is so long.
const LONGEST_FILE_LINES: usize = 600;
/// How that reason begins.
const REASON: &str = "Longer than 600 lines because";

/// Words that mark something left undone, spelled so that this file has none of them.
const UNDONE: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
/// Macros that stand for something left undone.
const UNDONE_MACROS: [&str; 2] = ["todo", "unimplemented"];

/// Comments and texts that say something is undone, in any language.
pub fn undone(text: &str) -> Vec<Violation> {
    let is_word = |line: &str, word: &str| line.split(|c: char| !c.is_alphanumeric()).any(|it| it == word);
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(index, line)| {
            let words = UNDONE.into_iter().filter(move |word| is_word(line, word));
            words.map(move |word| Violation { line: index + 1, what: format!("{word} is left undone") })
        })
        .collect()
}

/// What holds for every Rust file. The head of a `tests.rs` could only repeat whose tests they are.
pub fn check(name: &Path, text: &str, file: &syn::File) -> Vec<Violation> {
    let mut violations = Vec::new();
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let headless = head.iter().all(|line| line.trim_start_matches("//!").trim().is_empty());
    if headless && !name.ends_with("tests.rs") {
        violations
            .push(Violation { line: 1, what: "it has no `//!` head that says what it is for".to_owned() });
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE_LINES && !head.iter().any(|line| line.contains(REASON)) {
        let what = format!("it has {lines} lines, and no `{REASON} …` in its head");
        violations.push(Violation { line: 1, what });
    }
    let mut finder = Finder { violations };
    finder.visit_file(file);
    finder.violations
}

struct Finder {
    violations: Vec<Violation>,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("ignore") {
            let line = attribute.pound_token.span.start().line;
            let what = "a test is switched off: leave it out at run time, with the reason".to_owned();
            self.violations.push(Violation { line, what });
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(last) = call.path.segments.last()
            && UNDONE_MACROS.iter().any(|name| last.ident == name)
        {
            let what = format!("`{}!` is left undone", last.ident);
            self.violations.push(Violation { line: last.ident.span().start().line, what });
        }
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::{check, undone};
    use std::path::Path;

    fn found(text: &str) -> Vec<String> {
        let mut violations = undone(text);
        violations.extend(check(Path::new("file.rs"), text, &syn::parse_file(text).unwrap()));
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let head_only = "//! Head.\n";
        let rows: [(String, &[&str]); 8] = [
            (head_only.to_owned(), &[]),
            ("fn f() {}".to_owned(), &["1: it has no `//!` head that says what it is for"]),
            ("//!\n//!  \nfn f() {}".to_owned(), &["1: it has no `//!` head that says what it is for"]),
            (
                format!("{head_only}#[test]\n#[ignore]\nfn f() {{}}"),
                &["3: a test is switched off: leave it out at run time, with the reason"],
            ),
            (
                format!("{head_only}#[ignore = \"slow\"]\nfn f() {{}}"),
                &["2: a test is switched off: leave it out at run time, with the reason"],
            ),
            (format!("{head_only}fn f() {{ unimplemented!() }}"), &["2: `unimplemented!` is left undone"]),
            (
                format!("{head_only}// {}: later\nfn f() {{}}", concat!("TO", "DO")),
                &[concat!("2: TO", "DO is left undone")],
            ),
            (format!("{head_only}// {}list\nfn f() {{}}", concat!("TO", "DO")), &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(found(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let lines = "\n".repeat(600);
        assert_eq!(
            found(&format!("//! Head.\n{lines}")),
            ["1: it has 601 lines, and no `Longer than 600 lines because …` in its head"]
        );
        let reason = "//! Head.\n//! Longer than 600 lines because it is one table.\n";
        assert!(found(&format!("{reason}{lines}")).is_empty());
        assert!(found(&format!("//! Head.\n{}", "\n".repeat(599))).is_empty());
    }
}
