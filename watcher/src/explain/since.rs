//! Since when something grows, in a sentence.

use super::words::{counted, duration};
use crate::judge::weigh::evidence::Begin;

pub(super) fn sentence(seconds: f64, begin: Begin) -> String {
    let ago = duration(seconds);
    match begin {
        Begin::ProcessStart => format!("It has grown since the process started, {ago} ago."),
        Begin::Watched => format!("It began to grow {ago} ago, while it was watched."),
        Begin::NoEarlier => {
            format!("It began to grow after the process had started, {ago} ago at the earliest by its pace.")
        }
    }
}

pub(super) fn lives(rising: usize, lives: usize, typical_seconds: f64) -> String {
    format!(
        "The program was started again and again: of {} that were seen {rising} rose in a line, each until a restart \
         close to the same limit, after {} as a rule.",
        counted(lives, "life", "lives"),
        duration(typical_seconds)
    )
}
