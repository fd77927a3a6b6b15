//! From a profile to the gzipped message that `go tool pprof` opens.

use super::{LabelValue, Location, Profile, ValueType, wire};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// Writes the profile to `out`, compressed.
///
/// # Errors
/// What `out` says of a failed write.
pub fn encode(profile: &Profile, out: impl Write) -> io::Result<()> {
    let mut compressed = GzEncoder::new(out, Compression::fast());
    compressed.write_all(&message(profile).encode_to_vec())?;
    compressed.finish()?.flush()
}

fn message(profile: &Profile) -> wire::Profile {
    let mut texts = Texts::new();
    let mut message = wire::Profile {
        sample_type: profile.sample_types.iter().map(|each| value_type(each, &mut texts)).collect(),
        period_type: Some(value_type(&profile.period_type, &mut texts)),
        period: profile.period,
        time_nanos: profile.taken.and_then(|taken| taken.duration_since(UNIX_EPOCH).ok()).map_or(0, nanos),
        duration_nanos: nanos(profile.duration),
        default_sample_type: profile.default_sample_type.as_deref().map_or(0, |kind| texts.index(kind)),
        comment: profile.comments.iter().map(|text| texts.index(text)).collect(),
        ..wire::Profile::default()
    };
    message.mapping = (0..)
        .zip(&profile.mappings)
        .map(|(index, mapping)| {
            // pprof looks for symbols on its own machine for a mapping that is said to have none.
            let in_it = |location: &&Location| location.mapping == Some(index);
            let has_symbols =
                profile.locations.iter().filter(in_it).all(|location| !location.lines.is_empty());
            // `go tool pprof` takes the first two digits for a directory name without looking whether they are there.
            let build_id = if mapping.build_id.len() > 2 { mapping.build_id.as_str() } else { "" };
            wire::Mapping {
                id: id(index),
                memory_start: mapping.start,
                memory_limit: mapping.end,
                file_offset: mapping.file_offset,
                filename: texts.index(&mapping.file),
                build_id: texts.index(build_id),
                has_functions: has_symbols,
                has_filenames: has_symbols,
                has_line_numbers: has_symbols,
                has_inline_frames: has_symbols,
            }
        })
        .collect();
    message.function = (0..)
        .zip(&profile.functions)
        .map(|(index, function)| {
            let name = texts.index(&function.name);
            wire::Function {
                id: id(index),
                name,
                system_name: name,
                filename: texts.index(&function.file),
                start_line: function.start_line.map_or(0, i64::from),
            }
        })
        .collect();
    message.location = (0..)
        .zip(&profile.locations)
        .map(|(index, location)| wire::Location {
            id: id(index),
            mapping_id: location.mapping.map_or(0, id),
            address: location.address,
            line: location
                .lines
                .iter()
                .map(|line| wire::Line { function_id: id(line.function), line: i64::from(line.line) })
                .collect(),
            is_folded: false,
        })
        .collect();
    for sample in &profile.samples {
        let label = |label: &super::Label| {
            let key = texts.index(&label.key);
            match &label.value {
                LabelValue::Text(text) => {
                    wire::Label { key, str: texts.index(text), ..wire::Label::default() }
                }
                LabelValue::Number(num, unit) => {
                    wire::Label { key, num: *num, num_unit: texts.index(unit), ..wire::Label::default() }
                }
            }
        };
        message.sample.push(wire::Sample {
            label: sample.labels.iter().map(label).collect(),
            location_id: sample.stack.iter().copied().map(id).collect(),
            value: sample.values.clone(),
        });
    }
    message.string_table = texts.table;
    message
}

fn value_type(value_type: &ValueType, texts: &mut Texts) -> wire::ValueType {
    wire::ValueType { kind: texts.index(&value_type.kind), unit: texts.index(&value_type.unit) }
}

/// Ids count from 1; 0 means that there is none.
fn id(index: u32) -> u64 {
    u64::from(index) + 1
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// The string table: each text once, the empty one first.
struct Texts {
    table: Vec<Vec<u8>>,
    index: HashMap<String, i64>,
}

impl Texts {
    fn new() -> Texts {
        Texts { table: vec![Vec::new()], index: HashMap::from([(String::new(), 0)]) }
    }

    fn index(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.index.get(text) {
            return index;
        }
        let index = i64::try_from(self.table.len()).unwrap_or(0);
        self.table.push(text.as_bytes().to_vec());
        self.index.insert(text.to_owned(), index);
        index
    }
}
