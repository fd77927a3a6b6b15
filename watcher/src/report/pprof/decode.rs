//! From bytes to a profile, for files that somebody else may have written.
//!
//! A few kilobytes can unpack to gigabytes, and a message of two bytes becomes a struct of a hundred: so sizes are
//! bounded before anything is unpacked, and messages are counted before any is decoded.

use super::{Function, Label, LabelValue, Line, Location, Mapping, Profile, Sample, ValueType, wire};
use crate::vocabulary::process::printable;
use flate2::read::GzDecoder;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::time::{Duration, UNIX_EPOCH};

/// Names of generic functions are long, but not that long.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// How much a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after unpacking.
    pub unpacked_bytes: usize,
    /// Messages, and repeated numbers, of all kinds together.
    pub items: usize,
}

impl Default for Limits {
    /// Some ten times what the largest programs yield.
    fn default() -> Limits {
        Limits { unpacked_bytes: 128 << 20, items: 8 << 20 }
    }
}

/// Why bytes are no profile that is read here.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The compressed stream is cut off or damaged.
    #[error("unpack the profile: {0}")]
    Unpack(#[source] io::Error),
    /// Larger than allowed after unpacking.
    #[error("the profile has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Not a message of profile.proto.
    #[error("not a pprof profile: {0}")]
    Message(#[from] prost::DecodeError),
    /// A message that contradicts itself.
    #[error("malformed pprof profile: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads a profile, compressed or not. Texts come out printable.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Profile, DecodeError> {
    let bytes = unpack(bytes, limits.unpacked_bytes)?;
    let mut items = 0;
    count(&bytes, PROFILE, &mut items, limits.items)?;
    profile(&wire::Profile::decode(&bytes[..])?, limits)
}

fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut unpacked = Vec::new();
    if bytes.starts_with(&GZIP_MAGIC) {
        let one_too_many = limit as u64 + 1;
        GzDecoder::new(bytes).take(one_too_many).read_to_end(&mut unpacked).map_err(DecodeError::Unpack)?;
    } else {
        unpacked.extend_from_slice(&bytes[..bytes.len().min(limit.saturating_add(1))]);
    }
    if unpacked.len() > limit {
        return Err(DecodeError::TooLarge { what: "bytes", limit });
    }
    Ok(unpacked)
}

/// Fields of a message that repeat: those that hold messages, and those that hold packed numbers.
struct Shape {
    messages: &'static [(u32, Shape)],
    numbers: &'static [u32],
}

const LEAF: Shape = Shape { messages: &[], numbers: &[] };
const PROFILE: Shape = Shape {
    messages: &[
        (1, LEAF),
        (2, Shape { messages: &[(3, LEAF)], numbers: &[1, 2] }),
        (3, LEAF),
        (4, Shape { messages: &[(4, LEAF)], numbers: &[] }),
        (5, LEAF),
        (6, LEAF),
    ],
    numbers: &[13],
};

/// Counts what decoding `bytes` would have to store, without storing anything.
fn count(mut bytes: &[u8], shape: Shape, items: &mut usize, limit: usize) -> Result<(), DecodeError> {
    while !bytes.is_empty() {
        let (field, wire_type) = decode_key(&mut bytes)?;
        let mut content: &[u8] = &[];
        match wire_type {
            WireType::Varint => {
                decode_varint(&mut bytes)?;
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes)?).unwrap_or(usize::MAX);
                content = bytes.get(..length).ok_or(DecodeError::Malformed { what: "a field is cut off" })?;
                bytes = &bytes[length..];
            }
            WireType::SixtyFourBit | WireType::ThirtyTwoBit => {
                let length = if wire_type == WireType::SixtyFourBit { 8 } else { 4 };
                bytes = bytes.get(length..).ok_or(DecodeError::Malformed { what: "a field is cut off" })?;
            }
            // profile.proto has no groups, and nested ones would have to be followed.
            WireType::StartGroup | WireType::EndGroup => {
                return Err(DecodeError::Malformed { what: "it holds a group" });
            }
        }
        if shape.numbers.contains(&field) && wire_type == WireType::LengthDelimited {
            *items += content.iter().filter(|&&byte| byte & 0x80 == 0).count();
        } else {
            *items += 1;
        }
        if *items > limit {
            return Err(DecodeError::TooLarge { what: "entries", limit });
        }
        if let Some((_, inner)) = shape
            .messages
            .iter()
            .find(|(tag, inner)| *tag == field && !(inner.messages.is_empty() && inner.numbers.is_empty()))
        {
            let inner = Shape { messages: inner.messages, numbers: inner.numbers };
            count(content, inner, items, limit)?;
        }
    }
    Ok(())
}

fn profile(message: &wire::Profile, limits: &Limits) -> Result<Profile, DecodeError> {
    let texts = Texts { table: &message.string_table, budget: Cell::new(limits.unpacked_bytes), limits };
    let value_type = |each: &wire::ValueType| -> Result<ValueType, DecodeError> {
        Ok(ValueType { kind: texts.at(each.kind)?, unit: texts.at(each.unit)? })
    };
    let mappings = by_id(message.mapping.iter().map(|mapping| mapping.id), "two mappings have one id")?;
    let functions = by_id(message.function.iter().map(|function| function.id), "two functions have one id")?;
    let locations = by_id(message.location.iter().map(|location| location.id), "two locations have one id")?;
    let mut decoded = Profile {
        sample_types: message.sample_type.iter().map(value_type).collect::<Result<_, _>>()?,
        default_sample_type: Some(texts.at(message.default_sample_type)?).filter(|kind| !kind.is_empty()),
        period_type: message.period_type.as_ref().map(value_type).transpose()?.unwrap_or_default(),
        period: message.period,
        taken: u64::try_from(message.time_nanos)
            .ok()
            .filter(|&nanos| nanos > 0)
            .and_then(|nanos| UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))),
        duration: Duration::from_nanos(u64::try_from(message.duration_nanos).unwrap_or(0)),
        comments: message.comment.iter().map(|&index| texts.at(index)).collect::<Result<_, _>>()?,
        ..Profile::default()
    };
    for mapping in &message.mapping {
        decoded.mappings.push(Mapping {
            start: mapping.memory_start,
            end: mapping.memory_limit,
            file_offset: mapping.file_offset,
            file: texts.at(mapping.filename)?,
            build_id: texts.at(mapping.build_id)?,
        });
    }
    for function in &message.function {
        decoded.functions.push(Function {
            name: texts.at(function.name)?,
            file: texts.at(function.filename)?,
            start_line: u32::try_from(function.start_line).ok().filter(|&line| line > 0),
        });
    }
    for location in &message.location {
        let line = |line: &wire::Line| -> Result<Line, DecodeError> {
            let function = *functions.get(&line.function_id).ok_or(malformed("a line names no function"))?;
            Ok(Line { function, line: u32::try_from(line.line).unwrap_or(0) })
        };
        let mapping = (location.mapping_id != 0)
            .then(|| {
                mappings.get(&location.mapping_id).copied().ok_or(malformed("a location names no mapping"))
            })
            .transpose()?;
        let lines = location.line.iter().map(line).collect::<Result<_, _>>()?;
        decoded.locations.push(Location { address: location.address, mapping, lines });
    }
    for sample in &message.sample {
        if sample.value.len() != decoded.sample_types.len() {
            return Err(malformed("a sample has more or fewer values than there are sample types"));
        }
        let place = |id| locations.get(id).copied().ok_or(malformed("a sample names no location"));
        let stack = sample.location_id.iter().map(place).collect::<Result<_, _>>()?;
        let labels = sample.label.iter().map(|label| texts.label(label)).collect::<Result<_, _>>()?;
        decoded.samples.push(Sample { stack, values: sample.value.clone(), labels });
    }
    Ok(decoded)
}

/// Index by id; ids are any distinct numbers but 0.
fn by_id(ids: impl Iterator<Item = u64>, when_twice: &'static str) -> Result<HashMap<u64, u32>, DecodeError> {
    let mut index = HashMap::new();
    for (position, id) in (0..).zip(ids) {
        if id == 0 {
            return Err(malformed("an id is 0"));
        }
        if index.insert(id, position).is_some() {
            return Err(malformed(when_twice));
        }
    }
    Ok(index)
}

fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

/// The string table. A long text that is referred to often is stored often, so what is handed out is bounded too.
struct Texts<'a> {
    table: &'a [Vec<u8>],
    budget: Cell<usize>,
    limits: &'a Limits,
}

impl Texts<'_> {
    fn at(&self, index: i64) -> Result<String, DecodeError> {
        if index == 0 {
            return Ok(String::new());
        }
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let bytes = self.table.get(index).ok_or(malformed("a text is not in the string table"))?;
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(DecodeError::TooLarge { what: "bytes in one text", limit: MAX_TEXT_BYTES });
        }
        let text = printable(bytes);
        let left = self.budget.get().checked_sub(text.len());
        let limit = self.limits.unpacked_bytes;
        self.budget.set(left.ok_or(DecodeError::TooLarge { what: "bytes of text", limit })?);
        Ok(text)
    }

    fn label(&self, label: &wire::Label) -> Result<Label, DecodeError> {
        let value = if label.str == 0 {
            LabelValue::Number(label.num, self.at(label.num_unit)?)
        } else {
            LabelValue::Text(self.at(label.str)?)
        };
        Ok(Label { key: self.at(label.key)?, value })
    }
}
