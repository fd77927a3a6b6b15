//! Whether an answer is what net/http/pprof gives. A status says nothing: many a server answers 200 to any path.

use super::profile::ProfileName;

/// Text of the index page since Go 1.11 and before (`indexTmpl` and `indexTmplExecute`, `net/http/pprof/pprof.go`).
const INDEX_TITLE: &[u8] = b"<title>/debug/pprof/</title>";
const INDEX_TEXTS: [&[u8]; 2] = [b"Types of profiles available", b"profiles:<br>"];

/// The profiles that an index page offers; `None` where this is no index page.
pub fn index(body: &[u8]) -> Option<Vec<ProfileName>> {
    let holds = |text: &[u8]| memchr::memmem::find(body, text).is_some();
    if !holds(INDEX_TITLE) || !INDEX_TEXTS.iter().any(|text| holds(text)) {
        return None;
    }
    // Each row links to `NAME?debug=1`, in quotes of either kind.
    let links = |name: &ProfileName| {
        ['\'', '"'].iter().any(|quote| holds(format!("{quote}{}?debug=1{quote}", name.path()).as_bytes()))
    };
    Some(ProfileName::ALL.into_iter().filter(links).collect())
}

/// Whether this begins as the text form of this profile does (`debug=1`; `runtime/pprof/pprof.go`).
pub fn is_text_of(name: ProfileName, body: &[u8]) -> bool {
    let (begins, then): (&[u8], u8) = match name {
        ProfileName::Heap => (b"heap profile: ", b'0'),
        _ => (b"goroutine profile: total ", b'0'),
    };
    body.strip_prefix(begins).and_then(|rest| rest.first()).is_some_and(|byte| byte.wrapping_sub(then) < 10)
}

/// Whether this is packed as profiles are, which only unpacking can tell for sure.
pub fn is_packed(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

/// The beginning of an answer that is none of these, in a few words.
pub fn describe(body: &[u8]) -> String {
    let text = body.trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    match text.first() {
        None => "it is empty".to_owned(),
        Some(_) if begins(b"<!doctype html") || begins(b"<html") => "it is a page of HTML".to_owned(),
        Some(b'{' | b'[') => "it is JSON".to_owned(),
        Some(_) => "it is something else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{describe, index, is_text_of};
    use crate::source::pprof::ProfileName;

    #[test]
    fn index_pages_of_all_ages_are_told_from_other_pages() {
        let new =
            b"<html>\n<head>\n<title>/debug/pprof/</title>\n<style></style></head><body>/debug/pprof/<br>\n\
            <p>Set debug=1</p>Types of profiles available:\n<table><tr><td>4</td><td>\
            <a href='allocs?debug=1'>allocs</a></td></tr><tr><td>1</td><td>\
            <a href='goroutine?debug=1'>goroutine</a></td></tr>";
        assert_eq!(index(new).unwrap(), [ProfileName::Allocs, ProfileName::Goroutine]);
        let old = b"<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/<br>\n<br>\n\
            profiles:<br>\n<table><tr><td align=right>2<td><a href=\"heap?debug=1\">heap</a>";
        assert_eq!(index(old).unwrap(), [ProfileName::Heap]);
        for other in [&b""[..], b"ok", b"<html><title>/debug/pprof/</title>not found</html>", &new[60..]] {
            assert_eq!(index(other), None);
        }
    }

    #[test]
    fn text_forms_begin_as_they_must() {
        assert!(is_text_of(ProfileName::Goroutine, b"goroutine profile: total 12\n"));
        assert!(is_text_of(ProfileName::Heap, b"heap profile: 1: 2 [3: 4] @ heap/1048576\n"));
        assert!(!is_text_of(ProfileName::Goroutine, b"goroutine profile: total many"));
        assert!(!is_text_of(ProfileName::Goroutine, b"heap profile: 1:"));
        assert!(!is_text_of(ProfileName::Heap, b""));
    }

    #[test]
    fn what_it_is_not_is_named() {
        for (body, words) in [
            (&b""[..], "it is empty"),
            (b" \n<!DOCTYPE html><html>", "it is a page of HTML"),
            (b"{\"a\":1}", "it is JSON"),
            (b"\x00\x01", "it is something else"),
        ] {
            assert_eq!(describe(body), words);
        }
    }
}
