//! What makes readings of a Go runtime less sure than those of one whose layout is known.

use serde::{Deserialize, Serialize};

/// A structure of the runtime, and why what is read by way of it is less sure, or is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Which structure.
    pub structure: Structure,
    /// Why.
    pub why: Why,
}

/// The structures of the runtime that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structure {
    /// `runtime.g`: goroutines.
    Goroutine,
    /// `runtime.m`: threads.
    Thread,
    /// `runtime.gcController` and `mheap_`: totals of the heap.
    Heap,
    /// `runtime.mspan`: what the heap consists of.
    Span,
}

/// Why a reading is less sure, or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// This version of Go is none whose layout is known: offsets were found in the process.
    UnknownVersion(String),
    /// The layout that is known of this version is not that in the process, and what was found there is used.
    Disagreement,
    /// What is in the process does not look as it should, and no other layout fits.
    NotConfirmed,
    /// It could not be found, or makes no sense; completes a sentence: why.
    NotRead(String),
}
