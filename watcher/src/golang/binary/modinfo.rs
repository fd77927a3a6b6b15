//! The module part of build information: a text of lines, as `runtime/debug.ParseBuildInfo` reads it.
//!
//! Of its lines only those are kept that are used. A program may list as many dependencies as it likes.

use crate::vocabulary::process::{GoProgram, Module, printable};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Sentinels before and behind the text (`infoStart` and `infoEnd` in `cmd/go/internal/modload/build.go`).
const FRAME_BYTES: usize = 16;
/// The longest import paths and versions have some hundred.
const MAX_TEXT_BYTES: usize = 512;
/// A hash of git has 40, or 64.
const MAX_REVISION_BYTES: usize = 64;

/// Adds package, main module and what is used of the settings to `program`. Lines that make no sense are passed over:
/// one strange setting must not cost the rest.
pub(in crate::golang) fn parse(framed: &[u8], program: &mut GoProgram) {
    let is_framed =
        framed.len() > 2 * FRAME_BYTES && framed.get(framed.len() - FRAME_BYTES - 1) == Some(&b'\n');
    if !is_framed {
        return;
    }
    let text = &framed[FRAME_BYTES..framed.len() - FRAME_BYTES];
    let mut settings = DefaultHasher::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some((word, rest)) = split_once(line, b'\t') else { continue };
        match word {
            b"path" => program.package = Some(short(rest, MAX_TEXT_BYTES)),
            b"mod" => program.module = module(rest),
            b"build" => {
                rest.hash(&mut settings);
                if let Some(revision) = rest.strip_prefix(b"vcs.revision=") {
                    program.revision = Some(short(revision, MAX_REVISION_BYTES));
                }
            }
            // Dependencies (`dep`), and what replaced the module above (`=>`).
            _ => {}
        }
    }
    program.settings_digest = settings.finish();
}

fn module(columns: &[u8]) -> Option<Module> {
    let mut columns = columns.split(|byte| *byte == b'\t');
    let path = columns.next().filter(|path| !path.is_empty())?;
    let version = columns.next()?;
    Some(Module { path: short(path, MAX_TEXT_BYTES), version: short(version, MAX_TEXT_BYTES) })
}

/// The text as people read it, cut where it is longer than that.
fn short(text: &[u8], most_bytes: usize) -> String {
    match text.get(..most_bytes) {
        Some(begin) if begin.len() < text.len() => printable(begin) + "…",
        _ => printable(text),
    }
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..position], &text[position + 1..]))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::golang::fixture::framed;
    use crate::vocabulary::process::GoProgram;
    use proptest::prelude::*;

    fn parsed(text: &str) -> GoProgram {
        let mut program = GoProgram::default();
        parse(&framed(text), &mut program);
        program
    }

    #[test]
    fn other_settings_are_another_build() {
        let one = parsed("build\t-tags=netgo\nbuild\tvcs.revision=0123abcd\n");
        assert_eq!(one.revision.as_deref(), Some("0123abcd"));
        assert_eq!(one, parsed("build\t-tags=netgo\ndep\tx\tv1\nbuild\tvcs.revision=0123abcd\n"));
        let other = parsed("build\t-tags=osusergo\nbuild\tvcs.revision=0123abcd\n");
        assert_ne!(one.settings_digest, other.settings_digest);
    }

    #[test]
    fn strange_lines_cost_only_themselves() {
        for line in ["build\t\"open", "build\t=x", "build\tno sign", "mod\tonly-path", "?", ""] {
            let program = parsed(&format!("{line}\npath\tx\n"));
            assert_eq!(program.package.as_deref(), Some("x"), "{line}");
            assert!(program.revision.is_none() && program.module.is_none(), "{line}");
        }
    }

    #[test]
    fn text_without_its_frame_is_not_trusted() {
        let mut program = GoProgram::default();
        parse(b"path\tx\n", &mut program);
        parse(&framed("path\tx"), &mut program);
        assert_eq!(program, GoProgram::default());
    }

    #[test]
    fn whatever_is_listed_little_is_kept() {
        let long = "x".repeat(500_000);
        let mut text = format!("path\t{long}\nmod\t{long}\t{long}\nbuild\tvcs.revision={long}\n");
        for number in 0..40_000 {
            text += &format!("dep\texample.com/{number}\tv1\t\nbuild\t{number}=1\n");
        }
        let program = parsed(&text);
        let module = program.module.unwrap();
        let kept = [program.package.unwrap(), module.path, module.version, program.revision.unwrap()];
        let bytes: usize = kept.iter().map(String::len).sum();
        assert!(kept.iter().all(|text| text.ends_with('…')) && bytes < 2_000, "{bytes} bytes");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(path|mod|dep|=>|build)?[\\t\\n=\"`\\\\xuU0-9a-f]{0,60}\n") {
            let _ = parsed(&text);
        }
    }
}
