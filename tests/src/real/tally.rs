//! Compares what was said of programs with what is true, and counts. Pure but for the lines of the sources.

use super::{Program, Twin};
use crate::answer::{Diagnosis, Finding};
use crate::corpus::expect::FIRST;
use anyhow::Result;
use serde::Serialize;

/// Of the leaks this share must be called by their kind,
const KIND: f64 = 0.95;
/// ... and of this share a line of the program itself must be among the first culprits.
const LINE: f64 = 0.85;

/// What is right and wrong about an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// `leak`, `healthy` or `inconclusive`.
    pub verdict: String,
    /// The kind that is called the cause.
    pub kind: Option<String>,
    /// It is a kind that may be called so. Of a twin: it is not accused.
    pub is_kind_right: bool,
    /// The place of the program's line among the culprits of the cause, from 0.
    pub rank: Option<usize>,
    /// The first culprits of the cause, in words.
    pub culprits: Vec<String>,
    /// All that is accused beside the cause.
    pub others: Vec<String>,
}

impl Judged {
    /// Judges what was said of a program.
    ///
    /// # Errors
    /// Where a line of the table is not in the program's sources.
    pub fn of(program: &Program, twin: Twin, diagnosis: &Diagnosis) -> Result<Judged> {
        let primary = diagnosis.primary().filter(|_| diagnosis.verdict == "leak");
        let kind = primary.map(|finding| finding.kind.clone());
        let is_kind_right = match twin {
            Twin::Reported => kind.as_deref().is_some_and(|kind| program.kinds.contains(&kind)),
            Twin::Fixed => diagnosis.verdict != "leak",
        };
        let rank = primary.map(|finding| rank(program, finding)).transpose()?.flatten();
        let others = diagnosis.findings.iter().filter(|finding| !finding.primary);
        let other = |finding: &Finding| match &finding.consequence_of {
            Some(of) => format!("{} (of {of})", finding.kind),
            None => finding.kind.clone(),
        };
        Ok(Judged {
            verdict: diagnosis.verdict.clone(),
            kind,
            is_kind_right,
            rank,
            culprits: primary.map(culprits).unwrap_or_default(),
            others: others.map(other).collect(),
        })
    }

    /// The program's own line is among those that a reader looks at.
    pub fn has_line(&self) -> bool {
        self.is_kind_right && self.rank.is_some_and(|rank| rank < FIRST)
    }

    /// Nothing is wrong.
    pub fn is_right(&self, twin: Twin) -> bool {
        match twin {
            Twin::Reported => self.has_line(),
            Twin::Fixed => self.is_kind_right,
        }
    }
}

fn rank(program: &Program, finding: &Finding) -> Result<Option<usize>> {
    let file = format!("/{}/main.go", program.name);
    let numbers = program.lines.iter().map(|text| program.line(text)).collect::<Result<Vec<u32>>>()?;
    Ok(finding.culprits.iter().position(|it| it.file.ends_with(&file) && numbers.contains(&it.line)))
}

fn culprits(finding: &Finding) -> Vec<String> {
    let one = |it: &crate::answer::Culprit| {
        let file = it.file.rsplit('/').next().unwrap_or_default();
        format!("{} {file}:{} ({:.0} %)", it.function, it.line, 100.0 * it.share)
    };
    finding.culprits.iter().take(FIRST).map(one).collect()
}

/// How many were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Programs that leak.
    pub leaks: usize,
    /// Of them: said to leak, whatever it was.
    pub seen: usize,
    /// The right kind called the cause.
    pub right_kind: usize,
    /// The program's own line among the first three culprits.
    pub own_line: usize,
    /// ... and the very first.
    pub first_line: usize,
    /// Said to be healthy.
    pub called_healthy: usize,
    /// Twins that do not leak.
    pub fixed: usize,
    /// Of them: accused.
    pub accused: usize,
    /// Of them: neither accused nor acquitted.
    pub undecided: usize,
}

impl Tally {
    /// Counts.
    pub fn of<'a>(all: impl IntoIterator<Item = (Twin, &'a Judged)>) -> Tally {
        let mut tally = Tally::default();
        for (twin, judged) in all {
            match twin {
                Twin::Reported => {
                    tally.leaks += 1;
                    tally.seen += usize::from(judged.verdict == "leak");
                    tally.right_kind += usize::from(judged.is_kind_right);
                    tally.own_line += usize::from(judged.has_line());
                    tally.first_line += usize::from(judged.is_kind_right && judged.rank == Some(0));
                    tally.called_healthy += usize::from(judged.verdict == "healthy");
                }
                Twin::Fixed => {
                    tally.fixed += 1;
                    tally.accused += usize::from(judged.verdict == "leak");
                    tally.undecided += usize::from(judged.verdict == "inconclusive");
                }
            }
        }
        tally
    }

    /// What is to be reached, in words, what was, and whether that is enough.
    pub fn goals(&self) -> [(&'static str, String, bool); 3] {
        let of = |part: usize| format!("{part} of {}", self.leaks);
        let enough = |part: usize, share: f64| part as f64 >= share * self.leaks as f64;
        [
            (
                "right kind as the cause in 95 % of the leaks",
                of(self.right_kind),
                enough(self.right_kind, KIND),
            ),
            (
                "a line of the program among the first three culprits in 85 % of the leaks",
                of(self.own_line),
                enough(self.own_line, LINE),
            ),
            ("no fixed twin accused", format!("{} of {}", self.accused, self.fixed), self.accused == 0),
        ]
    }
}

const _: () = assert!(FIRST == 3, "the goals say three");

#[cfg(test)]
mod tests {
    use super::{Judged, Tally};
    use crate::real::Twin;

    fn judged(verdict: &str, is_kind_right: bool, rank: Option<usize>) -> Judged {
        Judged {
            verdict: verdict.to_owned(),
            kind: None,
            is_kind_right,
            rank,
            culprits: Vec::new(),
            others: Vec::new(),
        }
    }

    #[test]
    fn a_line_counts_only_under_the_right_kind_and_among_the_first_three() {
        let first = judged("leak", true, Some(0));
        let third = judged("leak", true, Some(2));
        let fourth = judged("leak", true, Some(3));
        let wrong_kind = judged("leak", false, Some(0));
        let healthy = judged("healthy", false, None);
        let all = [&first, &third, &fourth, &wrong_kind, &healthy].map(|it| (Twin::Reported, it));
        let tally = Tally::of(all);
        assert_eq!((tally.leaks, tally.seen, tally.right_kind), (5, 4, 3));
        assert_eq!((tally.own_line, tally.first_line, tally.called_healthy), (2, 1, 1));
        assert_eq!(tally.goals().map(|(_, _, is_met)| is_met), [false, false, true]);
    }

    #[test]
    fn one_twin_that_is_accused_is_one_too_many() {
        let (healthy, accused, undecided) =
            (judged("healthy", true, None), judged("leak", false, None), judged("inconclusive", true, None));
        let tally = Tally::of([&healthy, &accused, &undecided].map(|it| (Twin::Fixed, it)));
        assert_eq!((tally.fixed, tally.accused, tally.undecided), (3, 1, 1));
        assert!(!tally.goals()[2].2);
    }
}
