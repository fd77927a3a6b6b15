//! Documents name files; a file that has moved leaves a name of nothing behind.

use std::path::PathBuf;

/// Names in backticks that end in `.rs` and are the end of no path among `files`.
pub fn names_of_no_file(text: &str, files: &[PathBuf]) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.filter(|name| name.ends_with(".rs") && !name.contains(char::is_whitespace));
    let exists = |name: &&str| files.iter().any(|file| file.ends_with(name));
    names.filter(|name| !exists(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::names_of_no_file;

    #[test]
    fn a_name_is_the_end_of_a_path_or_wrong() {
        let files = ["/a/watcher/src/judge/weigh/few.rs".into()];
        let text = "see `weigh/few.rs`, `few.rs`, `judge/few.rs`, `few`, and `ew.rs`";
        assert_eq!(names_of_no_file(text, &files), ["judge/few.rs", "ew.rs"]);
    }
}
