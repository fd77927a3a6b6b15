//! Profiles as values, and the format of `go tool pprof` for them.
//!
//! A [`Profile`] holds what profile.proto can say and no more: stacks with values and labels, and the places in the
//! program that they name. [`encode()`] writes the gzipped message that `go tool pprof` opens, [`decode()`] reads one
//! back with limits, [`diff()`] sets two against each other. Functions, locations and stacks are stored once and
//! referred to by index, so that a profile of a hundred thousand goroutines stays as small as its distinct stacks.

mod builder;
mod decode;
mod diff;
mod encode;
mod heap;
mod identity;
mod profile;
mod text_form;
mod wire;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use decode::{DecodeError, Limits, decode};
pub use diff::{Diff, DiffError, Growth, diff};
pub use encode::encode;
pub use heap::{HeapSite, Place, heap_profile};
pub use identity::{identity, identity_comment};
pub use profile::{Frame, Function, Label, LabelValue, Line, Location, Mapping, Profile, Sample, ValueType};
pub use text_form::{is_text, parse as parse_text};
