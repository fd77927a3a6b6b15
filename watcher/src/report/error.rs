//! What went wrong, in a sentence for people and as JSON for programs.

use crate::vocabulary::process::printable;
use serde::Serialize;

/// An error and what caused it, outermost first, as one sentence. Many errors repeat their cause: what has been said is
/// not said again.
pub fn sentence<'a>(chain: impl IntoIterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut sentence = String::new();
    for error in chain {
        let text = error.to_string();
        if sentence.contains(&text) {
            continue;
        }
        if !sentence.is_empty() {
            sentence += ": ";
        }
        sentence += &text;
    }
    // Names of files may come from anywhere.
    printable(sentence.as_bytes())
}

/// A line of JSON (schema `watcher.error/1`). Ends in a newline.
///
/// # Errors
/// None that a text can cause; what serde reports is passed on.
pub fn json(sentence: &str) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        schema: &'static str,
        error: &'a str,
    }
    Ok(serde_json::to_string(&Line { schema: "watcher.error/1", error: sentence })? + "\n")
}

#[cfg(test)]
mod tests {
    use super::{json, sentence};
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("no such file");
        let error = anyhow::Error::new(cause).context("unpack it: no such file").context("read a.pb.gz");
        assert_eq!(sentence(error.chain()), "read a.pb.gz: unpack it: no such file");
        let error = Err::<(), _>(std::io::Error::other("it is full")).context("write it").unwrap_err();
        assert_eq!(sentence(error.chain()), "write it: it is full");
    }

    #[test]
    fn programs_read_an_object() {
        assert_eq!(json("a \"b\"").unwrap(), "{\"schema\":\"watcher.error/1\",\"error\":\"a \\\"b\\\"\"}\n");
    }
}
