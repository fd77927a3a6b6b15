//! Memory of many processes, asked for without waiting for one answer after the other.
//!
//! To wait for an answer costs several times what reading costs: two processes have to be woken. The reader answers in
//! the order of the questions, so that whoever holds it up is known: it is the first without an answer.

use super::link::{Link, Lost};
use super::wire::{MAX_INLINE_BYTES, MAX_SHORT_QUESTION_BYTES, Question};
use super::{Asked, Left, POOL, Pool, State, identify};

/// Ranges (address, bytes) of the memory of a process.
pub type Ranges = Vec<(u64, usize)>;

/// A range in a question: address and length.
const RANGE_BYTES: usize = 12;
const HEAD_BYTES: usize = 16;

/// Whether ranges of one process can be asked for together with those of others.
pub fn fits(ranges: &[(u64, usize)]) -> bool {
    let answer = ranges.iter().fold(ranges.len(), |sum, (_, length)| sum.saturating_add(*length));
    let question = ranges.len().saturating_mul(RANGE_BYTES).saturating_add(HEAD_BYTES);
    !ranges.is_empty() && answer <= MAX_INLINE_BYTES && question <= MAX_SHORT_QUESTION_BYTES
}

/// Reads ranges that [`fits`] of the memory of each of these processes (by pid): of each range whether it could be read,
/// and what stood there, one behind the other. `None` for a process that does not answer, and where there is no reader.
pub fn memory_of(asked: &[(i32, Ranges)]) -> Vec<Option<(Vec<bool>, Vec<u8>)>> {
    let mut answers = vec![None; asked.len()];
    if let Some(pool) = POOL.get() {
        let mut state = pool.lock();
        // Each round but the last ends with a process that holds up its reader, or with a reader that has ended.
        let (mut next, mut ended) = (0, 0);
        while next < asked.len() && ended < 2 {
            let (done, is_broken) = state.ask_in_a_row(pool, asked, next, &mut answers);
            (next, ended) = (done, ended + u32::from(is_broken));
        }
    }
    answers
}

impl State {
    /// Asks from the one with this index on; gives the index of the next, and whether the reader has ended by itself.
    fn ask_in_a_row(
        &mut self,
        pool: &Pool,
        asked: &[(i32, Ranges)],
        from: usize,
        answers: &mut [Option<(Vec<bool>, Vec<u8>)>],
    ) -> (usize, bool) {
        let (mut indices, mut questions) = (Vec::new(), Vec::new());
        for (index, (pid, ranges)) in asked.iter().enumerate().skip(from) {
            let short = ranges.iter().map(|(address, length)| Some((*address, u32::try_from(*length).ok()?)));
            let short: Option<Vec<_>> = short.collect();
            if let Some(ranges) = short.filter(|_| fits(ranges))
                && self.refuse(*pid, None).is_ok()
            {
                indices.push(index);
                questions.push(Question::Memory { pid: *pid, ranges });
            }
        }
        if self.link(&pool.program).is_err() {
            return (asked.len(), false);
        }
        let patience = self.patience();
        let Some(link) = &mut self.link else { return (asked.len(), false) };
        let mut heard = 0;
        let lost = link.ask_in_a_row(&questions, patience, |answer| {
            let index = indices.get(heard).copied().unwrap_or(usize::MAX);
            heard += 1;
            if let (Some((_, ranges)), Some(place), Ok(bytes)) =
                (asked.get(index), answers.get_mut(index), answer)
            {
                *place = understood(ranges, bytes);
            }
        });
        if !self.silences.is_empty() {
            for (pid, _) in indices.iter().take(heard).filter_map(|index| asked.get(*index)) {
                if self.silences.has_pid(*pid) {
                    identify(*pid).into_iter().for_each(|id| self.silences.answered(id));
                }
            }
        }
        let at_fault = indices.get(heard).copied().unwrap_or(asked.len());
        match (lost, asked.get(at_fault)) {
            (Err(Lost::Stuck), Some((pid, _))) => {
                self.left_by(&pool.program, *pid, Asked::Memory, None);
                (at_fault + 1, false)
            }
            (Err(_), _) => {
                if let Some(child) = self.link.take().and_then(Link::leave_behind) {
                    self.left.push(Left { child, id: None, uid: None, device: None });
                }
                (at_fault, true)
            }
            (Ok(()), _) => (asked.len(), false),
        }
    }
}

/// One byte for each range, and then the bytes.
fn understood(ranges: &[(u64, usize)], answer: Vec<u8>) -> Option<(Vec<bool>, Vec<u8>)> {
    let (flags, bytes) = answer.split_at_checked(ranges.len())?;
    let expected: usize = ranges.iter().map(|(_, length)| length).sum();
    (bytes.len() == expected).then(|| (flags.iter().map(|flag| *flag == 1).collect(), bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::{fits, understood};

    #[test]
    fn only_what_is_short_in_both_directions_is_asked_for_together() {
        assert!(fits(&[(1, 8), (2, 16_000)]));
        assert!(!fits(&[]));
        assert!(!fits(&[(1, 8), (2, 16 << 10)]), "the answer would be shared");
        assert!(!fits(&vec![(1, 1); 200]), "the question is long");
        assert!(!fits(&[(1, usize::MAX), (2, usize::MAX)]));
    }

    #[test]
    fn an_answer_of_another_length_is_none() {
        let ranges = [(1, 2), (9, 1)];
        assert_eq!(understood(&ranges, vec![1, 0, 7, 8, 9]), Some((vec![true, false], vec![7, 8, 9])));
        assert_eq!(understood(&ranges, vec![1, 0, 7, 8]), None);
        assert_eq!(understood(&ranges, vec![1]), None);
    }
}
