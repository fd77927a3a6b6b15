//! The module part of build information: a text of lines, as `runtime/debug.ParseBuildInfo` reads it.

use crate::process::{GoProgram, Module, printable};

/// Sentinels before and behind the text (`infoStart` and `infoEnd` in `cmd/go/internal/modload/build.go`).
const FRAME_BYTES: usize = 16;

/// Adds package, modules and settings to `program`. Lines that make no sense are passed over: one strange setting
/// must not cost the rest.
pub(super) fn parse(framed: &[u8], program: &mut GoProgram) {
    let is_framed =
        framed.len() > 2 * FRAME_BYTES && framed.get(framed.len() - FRAME_BYTES - 1) == Some(&b'\n');
    if !is_framed {
        return;
    }
    let text = &framed[FRAME_BYTES..framed.len() - FRAME_BYTES];
    for line in text.split(|byte| *byte == b'\n') {
        let Some((word, rest)) = split_once(line, b'\t') else { continue };
        match word {
            b"path" => program.package = Some(printable(rest)),
            b"mod" => program.module = module(rest),
            b"dep" => program.dependencies.extend(module(rest)),
            b"build" => {
                if let Some((key, value)) = setting(rest) {
                    program.settings.insert(printable(&key), printable(&value));
                }
            }
            // A `=>` line names what replaced the module above it. Its packages keep the paths of the replaced
            // one, and paths are what stacks are told apart by.
            _ => {}
        }
    }
}

fn module(columns: &[u8]) -> Option<Module> {
    let mut columns = columns.split(|byte| *byte == b'\t');
    let path = columns.next().filter(|path| !path.is_empty())?;
    let version = columns.next()?;
    Some(Module { path: printable(path), version: printable(version) })
}

/// `key=value`, either of them quoted where it holds blanks or quotes.
fn setting(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, rest) = match text.first()? {
        b'"' | b'`' => {
            let (key, rest) = quoted(text)?;
            (key, rest.strip_prefix(b"=")?)
        }
        _ => {
            let (key, rest) = split_once(text, b'=')?;
            (key.to_vec(), rest)
        }
    };
    let value = match rest.first() {
        Some(b'"' | b'`') => quoted(rest).filter(|(_, behind)| behind.is_empty())?.0,
        _ => rest.to_vec(),
    };
    (!key.is_empty()).then_some((key, value))
}

/// A Go string literal at the begin of `text` and what follows it (`strconv.QuotedPrefix` and `Unquote`).
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (quote, mut rest) = text.split_first()?;
    if *quote == b'`' {
        let (content, behind) = split_once(rest, b'`')?;
        return Some((content.to_vec(), behind));
    }
    let mut content = Vec::new();
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            b'"' => return Some((content, rest)),
            b'\\' => rest = escape(rest, &mut content)?,
            other => content.push(*other),
        }
    }
}

/// One escape sequence behind its backslash.
fn escape<'a>(text: &'a [u8], content: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (letter, rest) = text.split_first()?;
    let digits = |count: usize, radix: u32| {
        let digits = std::str::from_utf8(rest.get(..count)?).ok()?;
        u32::from_str_radix(digits, radix).ok()
    };
    let simple = match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' | b'"' => *letter,
        b'x' => {
            content.push(u8::try_from(digits(2, 16)?).ok()?);
            return rest.get(2..);
        }
        b'u' | b'U' => {
            let count = if *letter == b'u' { 4 } else { 8 };
            let character = char::from_u32(digits(count, 16)?)?;
            content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return rest.get(count..);
        }
        b'0'..=b'7' => {
            let octal = std::str::from_utf8(text.get(..3)?).ok()?;
            content.push(u8::from_str_radix(octal, 8).ok()?);
            return text.get(3..);
        }
        _ => return None,
    };
    content.push(simple);
    Some(rest)
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..position], &text[position + 1..]))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::framed;
    use super::parse;
    use crate::process::GoProgram;
    use proptest::prelude::*;

    fn parsed(text: &str) -> GoProgram {
        let mut program = GoProgram::default();
        parse(&framed(text), &mut program);
        program
    }

    #[test]
    fn settings_are_unquoted_as_go_does() {
        for (line, key, value) in [
            ("-tags=netgo", "-tags", "netgo"),
            ("vcs.modified=", "vcs.modified", ""),
            (r#"-ldflags="-X \"a=b c\"""#, "-ldflags", r#"-X "a=b c""#),
            (r#"x="tab\tnewline\u00e9\x41\101""#, "x", "tab\\tnewlineéAA"),
            ("x=`raw \\n`", "x", "raw \\n"),
            (r#""odd key"=1"#, "odd key", "1"),
            ("a=b=c", "a", "b=c"),
        ] {
            assert_eq!(
                parsed(&format!("build\t{line}\n")).settings.get(key).map(String::as_str),
                Some(value),
                "{line}"
            );
        }
    }

    #[test]
    fn strange_lines_cost_only_themselves() {
        for line in
            ["build\t\"open", "build\t=x", "build\tno sign", "build\t\"\\q\"=1", "mod\tonly-path", "?", ""]
        {
            let program = parsed(&format!("{line}\npath\tx\n"));
            assert_eq!(program.package.as_deref(), Some("x"), "{line}");
            assert!(program.settings.is_empty() && program.module.is_none(), "{line}");
        }
    }

    #[test]
    fn text_without_its_frame_is_not_trusted() {
        let mut program = GoProgram::default();
        parse(b"path\tx\n", &mut program);
        parse(&framed("path\tx"), &mut program);
        assert_eq!(program, GoProgram::default());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(path|mod|dep|=>|build)?[\\t\\n=\"`\\\\xuU0-9a-f]{0,60}\n") {
            let _ = parsed(&text);
        }
    }
}
