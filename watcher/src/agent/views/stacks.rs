//! From the frames of the Go reader to those of the reports.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{self, StackPc, Symbols};
use crate::report::stack::Frame;
use std::collections::HashMap;

/// Turns frames into those of the reports, and remembers what it looked up.
pub(super) struct Converter<'a> {
    pub symbols: &'a mut Symbols,
    pub loaded: Loaded<'a>,
    entries: HashMap<u64, u64>,
}

impl<'a> Converter<'a> {
    pub fn new((symbols, loaded): (&'a mut Symbols, Loaded<'a>)) -> Self {
        Converter { symbols, loaded, entries: HashMap::new() }
    }

    /// A stack whose `frames` were expanded from `addresses`.
    pub fn stack(&mut self, frames: &[symbols::Frame], addresses: &[StackPc]) -> Vec<Frame> {
        let mut stack: Vec<Frame> = frames.iter().map(|frame| self.frame(frame)).collect();
        let mut next = 0;
        for address in addresses {
            let here = self.symbols.expand(&self.loaded, &[*address]);
            // A wrapper that called a panic function stands in the stack but not here.
            let mut places = frames.get(next..).unwrap_or_default().windows(here.len().max(1));
            let Some(skipped) = places.position(|window| window == here) else { continue };
            let end = next + skipped + here.len();
            self.mark_inlined(&mut stack[next + skipped..end]);
            next = end;
        }
        stack
    }

    /// The frames at one place, innermost first.
    pub fn place(&mut self, frames: &[symbols::Frame]) -> Vec<Frame> {
        let mut place: Vec<Frame> = frames.iter().map(|frame| self.frame(frame)).collect();
        self.mark_inlined(&mut place);
        place
    }

    /// Marks which frames of one place were inlined: all but the last, and that too where the function whose code it
    /// is has another name, as it is a wrapper then.
    fn mark_inlined(&mut self, place: &mut [Frame]) {
        let Some(innermost) = place.first().map(|frame| frame.address) else { return };
        let function = self.symbols.function_at(&self.loaded, innermost);
        let name = function.and_then(|function| self.symbols.name(&self.loaded, &function));
        let last = place.len() - 1;
        for (index, frame) in place.iter_mut().enumerate() {
            frame.place = innermost;
            frame.is_inlined = index < last || name.as_ref().is_some_and(|name| *name != frame.function);
        }
    }

    /// A frame by itself.
    pub fn frame(&mut self, frame: &symbols::Frame) -> Frame {
        let (symbols, loaded) = (&mut *self.symbols, &self.loaded);
        let entry = *self.entries.entry(frame.pc).or_insert_with(|| {
            symbols.function_at(loaded, frame.pc).map_or(frame.pc, |function| function.entry)
        });
        Frame {
            function: frame.function.clone(),
            symbol: frame.symbol.clone(),
            file: frame.file.clone(),
            line: frame.line,
            start_line: frame.start_line,
            address: frame.pc,
            entry,
            place: frame.pc,
            is_inlined: false,
        }
    }
}
