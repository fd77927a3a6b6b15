//! Reads off a diagnosis what it comes to.

use super::Subject;
use crate::answer::{Diagnosis, Finding};
use crate::corpus::expect::{FIRST, accused, names_lines, rank};
use anyhow::Result;

/// What a diagnosis comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A leak of the right kind. Of an innocent it is any leak.
    Named {
        /// All its lines are among the first culprits.
        has_line: bool,
        /// Kind and lines, in words.
        said: String,
    },
    /// A leak of another kind.
    Other {
        /// Kind and lines, in words.
        said: String,
    },
    /// No leak yet, but the right kind is suspected. Of an innocent it is any suspicion.
    Suspected {
        /// A line of it, or else its type, state or peer, is named.
        has_place: bool,
        /// Kinds, in words.
        said: String,
    },
    /// Not decided, and not this suspected.
    Undecided,
    /// Said to be healthy.
    Healthy,
}

impl Answer {
    /// What `diagnosis` says of the subject.
    ///
    /// # Errors
    /// Where a line of the row is not in its sources.
    pub fn of(subject: &Subject, diagnosis: &Diagnosis) -> Result<Answer> {
        let row = &subject.slow.row;
        let guilt = subject.guilt();
        let is_it = |kind: &str| guilt.is_none_or(|guilt| guilt == kind);
        if diagnosis.verdict == "leak" || !diagnosis.findings.is_empty() {
            let said = accused(diagnosis);
            return Ok(match diagnosis.primary() {
                Some(primary) if is_it(&primary.kind) => {
                    Answer::Named { has_line: names_lines(row, primary)?, said }
                }
                _ => Answer::Other { said },
            });
        }
        let suspected: Vec<&Finding> = diagnosis.suspected.iter().map(|it| &it.finding).collect();
        let right = suspected.iter().copied().filter(|finding| is_it(&finding.kind));
        let mut has_place = None;
        for finding in right {
            let has_line = rank(row, finding)?.is_some_and(|rank| rank < FIRST);
            *has_place.get_or_insert(false) |= has_line || names_things(finding);
        }
        Ok(match (has_place, &*diagnosis.verdict) {
            (Some(has_place), _) => {
                let kinds = suspected.iter().map(|finding| &*finding.kind);
                Answer::Suspected { has_place, said: kinds.collect::<Vec<_>>().join(", ") }
            }
            (None, "healthy") => Answer::Healthy,
            (None, _) => Answer::Undecided,
        })
    }

    /// One or two words for a table of single programs.
    pub fn words(&self) -> &'static str {
        match self {
            Answer::Named { has_line: true, .. } => "named",
            Answer::Named { has_line: false, .. } => "named, no line",
            Answer::Other { .. } => "another kind",
            Answer::Suspected { has_place: true, .. } => "suspected",
            Answer::Suspected { has_place: false, .. } => "susp., no place",
            Answer::Undecided => "undecided",
            Answer::Healthy => "HEALTHY",
        }
    }

    /// What was said of a leak or a suspicion.
    pub fn said(&self) -> &str {
        match self {
            Answer::Named { said, .. } | Answer::Other { said } | Answer::Suspected { said, .. } => said,
            Answer::Undecided | Answer::Healthy => self.words(),
        }
    }

    /// It accuses.
    pub fn is_accusation(&self) -> bool {
        matches!(self, Answer::Named { .. } | Answer::Other { .. })
    }
}

/// Who opened something is not known of what is older than the watch; what it is may be.
fn names_things(finding: &Finding) -> bool {
    let detail = &finding.detail;
    [&detail.state, &detail.peer, &detail.fd_type].into_iter().any(Option::is_some)
}
