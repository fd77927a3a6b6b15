//! Foreign names in tables and lines: as long as one reads, however long they are.

/// Widest cell of a table in letters: the longest module paths and versions in use fit.
const CELL: usize = 80;
/// Longest name in a line of its own, in letters: names of generic functions are long.
const NAME: usize = 400;

/// A cell of a table that no name makes wider than others can read.
pub(super) fn cell(text: &str) -> String {
    shortened(text, CELL)
}

/// A name that stands in a sentence, or at the end of a line.
pub(super) fn name(text: &str) -> String {
    shortened(text, NAME)
}

/// The begin, which tells where a module is hosted, and the end, which tells it from its neighbours.
fn shortened(text: &str, most: usize) -> String {
    // As many bytes are at least as many letters.
    if text.len() <= most || text.chars().count() <= most {
        return text.to_owned();
    }
    let (head, tail) = (most / 3, most - most / 3 - 1);
    let mut end: Vec<char> = text.chars().rev().take(tail).collect();
    end.reverse();
    text.chars().take(head).chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::{CELL, NAME, cell, name};

    #[test]
    fn what_fits_stays_and_of_the_rest_both_ends() {
        let ordinary = "github.com/prometheus/prometheus/v3/cmd/prometheus";
        assert_eq!(cell(ordinary), ordinary);
        let umlauts = "ü".repeat(CELL);
        assert_eq!(cell(&umlauts), umlauts);
        let long = format!("example.com/{}/parcels", "x".repeat(500_000));
        for (shown, most) in [(cell(&long), CELL), (name(&long), NAME)] {
            assert_eq!(shown.chars().count(), most);
            assert!(shown.starts_with("example.com/x") && shown.ends_with("x/parcels"), "{shown}");
        }
    }
}
