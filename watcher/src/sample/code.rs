//! Places in the watched program's code, as sites of goroutines and of allocations name them.

use crate::golang::symbols;
use crate::process::printable;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Frames that are kept of a stack; deeper ones lose their outermost.
pub const MAX_FRAMES: usize = 64;

/// One frame of a stack, in printable form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// Function, as Go names it: `net/http.(*Transport).dialConn`.
    pub function: Arc<str>,
    /// Source file as the compiler recorded it.
    pub file: Arc<str>,
    /// Line, from 1; 0 where unknown.
    pub line: u32,
}

impl Frame {
    /// A frame of these.
    pub fn new(function: &str, file: &str, line: u32) -> Frame {
        Frame { function: function.into(), file: file.into(), line }
    }
}

/// Makes frames that share their texts: a program has few functions and many stacks.
#[derive(Debug, Default)]
pub(super) struct Frames {
    texts: HashSet<Arc<str>>,
}

impl Frames {
    /// The innermost frames of a stack.
    pub fn of(&mut self, frames: &[symbols::Frame]) -> Arc<[Frame]> {
        let frame = |frame: &symbols::Frame| Frame {
            function: self.text(&frame.function),
            file: self.text(&frame.file),
            line: frame.line,
        };
        frames.iter().take(MAX_FRAMES).map(frame).collect()
    }

    /// The same text in printable form, kept once.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        let harmless = printable(text.as_bytes());
        if let Some(known) = self.texts.get(harmless.as_str()) {
            return Arc::clone(known);
        }
        let new: Arc<str> = harmless.into();
        self.texts.insert(Arc::clone(&new));
        new
    }
}
