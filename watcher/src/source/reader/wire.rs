//! What the agent and its reader say to each other: one message for each question, one for each answer.
//!
//! Every question has a number, which its answer repeats. The reader has read what watched processes control, so that
//! its answers are no better than theirs: nothing in them is believed that is not checked here.

use std::io;

/// More bytes than this are not asked for at once: the reader keeps no more.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;
/// Ranges of memory in one question: `UIO_MAXIOV`.
pub const MAX_RANGES: usize = 1024;
/// A longer answer goes through the memory that both share.
pub const MAX_INLINE_BYTES: usize = 16 << 10;
/// No message is longer.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// A question that may be asked together with others is no longer.
pub const MAX_SHORT_QUESTION_BYTES: usize = 2 << 10;
/// Longest name below the directory of a process.
const MAX_NAME_BYTES: usize = 4096 + 64;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// These ranges (address, bytes) of the memory of a process. The answer has one byte for each range, 1 where it
    /// could be read, and then what was read, one behind the other.
    Memory {
        /// Whose.
        pid: i32,
        /// Which.
        ranges: Vec<(u64, u32)>,
    },
    /// Whether one byte of the memory of a process can be read; an error says why not.
    Probe {
        /// Whose.
        pid: i32,
        /// Its address.
        address: u64,
    },
    /// Which file this is, by its name in the directory that comes with the question.
    Identify {
        /// The name.
        name: String,
    },
    /// Opens a file by its name in the directory that comes with the question: its number, and which file it is.
    Open {
        /// The name.
        name: String,
        /// Anything but an ordinary file is refused.
        is_ordinary: bool,
    },
    /// Bytes of an open file.
    Read {
        /// Its number.
        file: u64,
        /// From where on.
        offset: u64,
        /// How many at most.
        length: u32,
    },
    /// An open file is of no use any more.
    Close {
        /// Its number.
        file: u64,
    },
}

/// The number that a message begins with, and the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered<T> {
    /// The number of the question.
    pub number: u64,
    /// What is asked or answered.
    pub body: T,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Bytes(Vec<u8>),
    /// So many bytes are in the memory that both share.
    Shared(usize),
    /// The system's number of an error.
    Failed(i32),
}

impl Numbered<Question> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.number.to_le_bytes().to_vec();
        let name_of = |bytes: &mut Vec<u8>, name: &str| bytes.extend_from_slice(name.as_bytes());
        match &self.body {
            Question::Memory { pid, ranges } => {
                bytes.push(1);
                bytes.extend_from_slice(&pid.to_le_bytes());
                for (address, length) in ranges {
                    bytes.extend_from_slice(&address.to_le_bytes());
                    bytes.extend_from_slice(&length.to_le_bytes());
                }
            }
            Question::Probe { pid, address } => {
                bytes.push(6);
                bytes.extend_from_slice(&pid.to_le_bytes());
                bytes.extend_from_slice(&address.to_le_bytes());
            }
            Question::Identify { name } => {
                bytes.push(2);
                name_of(&mut bytes, name);
            }
            Question::Open { name, is_ordinary } => {
                bytes.extend_from_slice(&[3, u8::from(*is_ordinary)]);
                name_of(&mut bytes, name);
            }
            Question::Read { file, offset, length } => {
                bytes.push(4);
                bytes.extend_from_slice(&file.to_le_bytes());
                bytes.extend_from_slice(&offset.to_le_bytes());
                bytes.extend_from_slice(&length.to_le_bytes());
            }
            Question::Close { file } => {
                bytes.push(5);
                bytes.extend_from_slice(&file.to_le_bytes());
            }
        }
        bytes
    }

    /// From bytes; `None` where they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = take_u64(bytes)?;
        let (kind, rest) = rest.split_first()?;
        let name = |bytes: &[u8]| {
            let name =
                std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty() && !name.contains('\0'))?;
            (name.len() <= MAX_NAME_BYTES).then(|| name.to_owned())
        };
        let body = match kind {
            1 => {
                let (pid, rest) = rest.split_first_chunk()?;
                let ranges = rest.chunks_exact(12).map(|range| {
                    let (address, length) = take_u64(range)?;
                    Some((address, u32::from_le_bytes(*length.first_chunk()?)))
                });
                let is_whole = rest.len() % 12 == 0 && rest.len() / 12 <= MAX_RANGES;
                let ranges: Vec<(u64, u32)> = ranges.collect::<Option<_>>().filter(|_| is_whole)?;
                let total: usize = ranges.iter().map(|(_, length)| *length as usize).sum();
                if total > MAX_ANSWER_BYTES {
                    return None;
                }
                Question::Memory { pid: i32::from_le_bytes(*pid), ranges }
            }
            2 => Question::Identify { name: name(rest)? },
            3 => {
                let (is_ordinary, rest) = rest.split_first()?;
                Question::Open { name: name(rest)?, is_ordinary: *is_ordinary != 0 }
            }
            4 => {
                let (file, rest) = take_u64(rest)?;
                let (offset, rest) = take_u64(rest)?;
                let length = u32::from_le_bytes(rest.try_into().ok()?);
                if length as usize > MAX_ANSWER_BYTES {
                    return None;
                }
                Question::Read { file, offset, length }
            }
            6 => {
                let (pid, rest) = rest.split_first_chunk()?;
                let (address, rest) = take_u64(rest)?;
                rest.is_empty().then_some(Question::Probe { pid: i32::from_le_bytes(*pid), address })?
            }
            5 => Question::Close { file: take_u64(rest).filter(|(_, rest)| rest.is_empty())?.0 },
            _ => return None,
        };
        Some(Numbered { number, body })
    }
}

impl Numbered<Answer> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.number.to_le_bytes().to_vec();
        match &self.body {
            Answer::Bytes(answer) => {
                bytes.push(0);
                bytes.extend_from_slice(answer);
            }
            Answer::Shared(length) => {
                bytes.push(1);
                bytes.extend_from_slice(&(*length as u64).to_le_bytes());
            }
            Answer::Failed(errno) => {
                bytes.push(2);
                bytes.extend_from_slice(&errno.to_le_bytes());
            }
        }
        bytes
    }

    /// From bytes; `None` where they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = take_u64(bytes)?;
        let (kind, rest) = rest.split_first()?;
        let body = match kind {
            0 => Answer::Bytes(rest.to_vec()),
            1 => {
                let (length, rest) = take_u64(rest)?;
                let length =
                    usize::try_from(length).ok().filter(|length| *length <= MAX_ANSWER_BYTES + MAX_RANGES)?;
                rest.is_empty().then_some(Answer::Shared(length))?
            }
            2 => Answer::Failed(i32::from_le_bytes(rest.try_into().ok()?)),
            _ => return None,
        };
        Some(Numbered { number, body })
    }
}

/// Which file it is, and under which number it is open: device, inode, size, and when it was changed last.
pub fn encode_file(number: u64, identity: [u64; 5]) -> Vec<u8> {
    [number].iter().chain(&identity).flat_map(|word| word.to_le_bytes()).collect()
}

/// The inverse.
///
/// # Errors
/// Where the bytes are no such answer.
pub fn decode_file(bytes: &[u8]) -> io::Result<(u64, [u64; 5])> {
    let mut words = [0; 6];
    if bytes.len() != 8 * words.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = take_u64(bytes).map_or(0, |(word, _)| word);
    }
    let [number, identity @ ..] = words;
    Ok((number, identity))
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests {
    use super::{Answer, MAX_ANSWER_BYTES, MAX_RANGES, Numbered, Question, decode_file, encode_file};
    use proptest::prelude::*;

    fn question() -> impl Strategy<Value = Question> {
        let name = "[a-z/0-9-]{1,40}";
        prop_oneof![
            (any::<i32>(), prop::collection::vec((any::<u64>(), 0_u32..4096), 0..40))
                .prop_map(|(pid, ranges)| Question::Memory { pid, ranges }),
            (any::<i32>(), any::<u64>()).prop_map(|(pid, address)| Question::Probe { pid, address }),
            name.prop_map(|name| Question::Identify { name }),
            (name, any::<bool>()).prop_map(|(name, is_ordinary)| Question::Open { name, is_ordinary }),
            (any::<u64>(), any::<u64>(), 0..=MAX_ANSWER_BYTES as u32)
                .prop_map(|(file, offset, length)| Question::Read { file, offset, length }),
            any::<u64>().prop_map(|file| Question::Close { file }),
        ]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Answer::Bytes),
            (0..=MAX_ANSWER_BYTES).prop_map(Answer::Shared),
            any::<i32>().prop_map(Answer::Failed),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_understood(number: u64, question in question(), answer in answer()) {
            let question = Numbered { number, body: question };
            prop_assert_eq!(Numbered::<Question>::decode(&question.encode()), Some(question));
            let answer = Numbered { number, body: answer };
            prop_assert_eq!(Numbered::<Answer>::decode(&answer.encode()), Some(answer));
        }

        #[test]
        fn garbage_is_refused_or_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some(Numbered { body: Question::Memory { ranges, .. }, .. }) = Numbered::<Question>::decode(&bytes) {
                prop_assert!(ranges.len() <= MAX_RANGES);
                prop_assert!(ranges.iter().map(|(_, length)| *length as usize).sum::<usize>() <= MAX_ANSWER_BYTES);
            }
            if let Some(Numbered { body: Answer::Shared(length), .. }) = Numbered::<Answer>::decode(&bytes) {
                prop_assert!(length <= MAX_ANSWER_BYTES + MAX_RANGES);
            }
            let _ = decode_file(&bytes);
        }
    }

    #[test]
    fn what_asks_for_too_much_is_refused() {
        let asked = |ranges: Vec<(u64, u32)>| {
            Numbered::<Question>::decode(
                &Numbered { number: 1, body: Question::Memory { pid: 1, ranges } }.encode(),
            )
        };
        assert!(asked(vec![(0, 1); MAX_RANGES]).is_some());
        assert!(asked(vec![(0, 1); MAX_RANGES + 1]).is_none());
        assert!(asked(vec![(0, MAX_ANSWER_BYTES as u32), (0, 1)]).is_none());
        let too_long = Question::Read { file: 1, offset: 0, length: MAX_ANSWER_BYTES as u32 + 1 };
        assert!(Numbered::<Question>::decode(&Numbered { number: 1, body: too_long }.encode()).is_none());
    }

    #[test]
    fn a_file_has_a_number_and_an_identity() {
        let bytes = encode_file(7, [1, 2, 3, 4, 5]);
        assert_eq!(decode_file(&bytes).unwrap(), (7, [1, 2, 3, 4, 5]));
        assert!(decode_file(&bytes[1..]).is_err());
    }
}
