//! A profile as a value.

use std::time::{Duration, SystemTime};

/// Stacks of a program with what was counted at each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What each value of a sample counts.
    pub sample_types: Vec<ValueType>,
    /// The [`ValueType::kind`] that is shown where nothing else is asked for; the last one where `None`.
    pub default_sample_type: Option<String>,
    /// What the distance between samples is counted in.
    pub period_type: ValueType,
    /// The distance between samples, in the unit of `period_type`: the sampling rate of a heap profile in bytes.
    pub period: i64,
    /// When it was taken; `None` where the file does not say.
    pub taken: Option<SystemTime>,
    /// How long was measured; zero for a state at one moment.
    pub duration: Duration,
    /// What was mapped where. The first is the main executable.
    pub mappings: Vec<Mapping>,
    /// Functions, each once.
    pub functions: Vec<Function>,
    /// Places in the program, each once.
    pub locations: Vec<Location>,
    /// Stacks with their values.
    pub samples: Vec<Sample>,
    /// Remarks that `pprof -comments` prints.
    pub comments: Vec<String>,
    /// Stacks lack what the runtime does at their innermost end, as in the texts of Go. The file does not say so.
    pub lacks_leaves: bool,
}

/// What a number counts, and in what unit: `inuse_space` in `bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// What is counted, in pprof's own word.
    pub kind: String,
    /// The unit, in pprof's own word: `count`, `bytes`, `nanoseconds`.
    pub unit: String,
}

/// A part of the address space that belongs to one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Position in the file of the byte at `start`.
    pub file_offset: u64,
    /// Path of the file.
    pub file: String,
    /// Build id: the hexadecimal GNU one, or Go's own.
    pub build_id: String,
}

/// A function of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// Full name, such as `example.com/x/store.(*Cache).Put`.
    pub name: String,
    /// Source file as the compiler recorded it.
    pub file: String,
    /// Line of its `func` keyword; `None` where unknown.
    pub start_line: Option<u32>,
}

/// One address, and the lines of source it stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// Address of the instruction: for a call, inside the call and not behind it.
    pub address: u64,
    /// Which of [`Profile::mappings`] it lies in.
    pub mapping: Option<u32>,
    /// Source lines, innermost first: more than one where calls were inlined, none where it has no symbol.
    pub lines: Vec<Line>,
}

/// One line of source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Which of [`Profile::functions`] it is in.
    pub function: u32,
    /// Line number; 0 where unknown.
    pub line: u32,
}

/// A stack and what was counted there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Which of [`Profile::locations`], leaf first.
    pub stack: Vec<u32>,
    /// One value for each of [`Profile::sample_types`].
    pub values: Vec<i64>,
    /// What else is known about the sample.
    pub labels: Vec<Label>,
}

/// A key with a text or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// What it is about.
    pub key: String,
    /// What it says.
    pub value: LabelValue,
}

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelValue {
    /// A text, as `pprof.Do` sets them.
    Text(String),
    /// A number with its unit; the unit may be empty, and is then that of the key (`bytes`).
    Number(i64, String),
}

/// A frame as one line of a stack: function and line, borrowed from the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame<'a> {
    /// The function; `None` for an address without symbol.
    pub function: Option<&'a Function>,
    /// Line number; 0 where unknown.
    pub line: u32,
    /// Address of the instruction.
    pub address: u64,
}

impl Profile {
    /// The frames of a sample, leaf first, inlined calls each as a frame of their own.
    pub fn frames<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = Frame<'a>> {
        self.frames_of(&sample.stack)
    }

    /// The frames of a stack of [`Profile::locations`], leaf first.
    pub fn frames_of<'a>(&'a self, stack: &'a [u32]) -> impl Iterator<Item = Frame<'a>> {
        stack.iter().filter_map(|&index| self.locations.get(index as usize)).flat_map(|location| {
            let unknown = location.lines.is_empty().then_some(Frame {
                function: None,
                line: 0,
                address: location.address,
            });
            let known = location.lines.iter().map(|line| Frame {
                function: self.functions.get(line.function as usize),
                line: line.line,
                address: location.address,
            });
            unknown.into_iter().chain(known)
        })
    }

    /// Which value of a sample to show: the one named `kind`, else the default, else the last. `None` where the
    /// profile has no value of that name.
    pub fn value_index(&self, kind: Option<&str>) -> Option<usize> {
        let position = |kind: &str| self.sample_types.iter().position(|each| each.kind == kind);
        match kind {
            Some(kind) => position(kind),
            None => self
                .default_sample_type
                .as_deref()
                .and_then(position)
                .or_else(|| self.sample_types.len().checked_sub(1)),
        }
    }
}

impl ValueType {
    /// From pprof's own words.
    pub fn new(kind: &str, unit: &str) -> ValueType {
        ValueType { kind: kind.to_owned(), unit: unit.to_owned() }
    }
}
