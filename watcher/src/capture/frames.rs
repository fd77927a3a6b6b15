//! Places in the watched program's code, as sites of goroutines and of allocations name them.

use crate::golang::binary::symbols;
use crate::vocabulary::frame::{Frame, MAX_FRAMES};
use crate::vocabulary::process::printable;
use std::collections::HashSet;
use std::sync::Arc;

/// Makes frames that share their texts: a program has few functions and many stacks.
#[derive(Debug, Default)]
pub(crate) struct Frames {
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
