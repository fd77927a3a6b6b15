//! What is the same of several commands: whether a program asked, and where the answer goes.

use super::{Command, DiffFormat, Format, GoroutineFormat, ProfileFormat};
use std::path::Path;

impl Command {
    /// Whether JSON was asked for: then errors are JSON too.
    pub fn wants_json(&self) -> bool {
        match self {
            Command::Run(args) => args.format == Format::Json,
            Command::List(args) => args.format == Format::Json,
            Command::Diagnose(args) => args.format == Format::Json,
            Command::Replay(args) => args.format == Format::Json,
            Command::Doctor(args) => args.format == Format::Json,
            Command::Goroutines(args) => args.format == GoroutineFormat::Json,
            Command::Heap(args) => args.format == ProfileFormat::Json,
            Command::Fds(args) => args.format == ProfileFormat::Json,
            Command::Memory(args) => args.format == ProfileFormat::Json,
            Command::Pull(args) => args.format == ProfileFormat::Json,
            Command::Diff(args) => args.format == DiffFormat::Json,
            Command::Record(_) | Command::Show(_) | Command::BenchSweep(_) | Command::BenchGoroutines(_) => {
                false
            }
        }
    }

    /// The file that the answer is to be written to.
    pub fn output(&self) -> Option<&Path> {
        let output = match self {
            Command::List(args) => &args.output,
            Command::Diagnose(args) => &args.output,
            Command::Goroutines(args) => &args.output,
            Command::Heap(args) => &args.output,
            Command::Fds(args) => &args.output,
            Command::Memory(args) => &args.output,
            Command::Diff(args) => &args.output,
            Command::Pull(args) => &args.output,
            Command::Show(args) => &args.output,
            Command::Replay(args) => &args.output,
            Command::Record(args) => return Some(&args.output),
            Command::Run(_) | Command::Doctor(_) | Command::BenchSweep(_) | Command::BenchGoroutines(_) => {
                return None;
            }
        };
        output.as_deref()
    }
}
