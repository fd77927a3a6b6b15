//! Go stacks as the views show them: frames as values, their JSON, and their locations in a profile.

use super::pprof::{self, Builder};
use serde::Serialize;
use std::sync::Arc;

/// One frame of a Go stack; stacks have their innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Full name as Go shows it; empty where unknown.
    pub function: Arc<str>,
    /// Full name as the linker has it, and Go's profiles: a generic function with its types.
    pub symbol: Arc<str>,
    /// Source file as the compiler recorded it; empty where unknown.
    pub file: Arc<str>,
    /// Line in it; 0 where unknown.
    pub line: u32,
    /// Line of its function's `func` keyword; 0 where unknown.
    pub start_line: u32,
    /// An instruction within the call.
    pub address: u64,
    /// First instruction of the function whose code holds `address`.
    pub entry: u64,
    /// Where execution is in that function: the `address` of the innermost of the calls that were inlined here.
    pub place: u64,
    /// The compiler inlined this call: into the next frame, or into a wrapper that is not shown.
    pub is_inlined: bool,
}

impl Frame {
    /// Go's own views leave these frames out at the innermost end (`printStackRecord` in `runtime/pprof/pprof.go`).
    pub fn is_runtime(&self) -> bool {
        self.function.starts_with("runtime.") || self.function.starts_with("internal/runtime/")
    }

    /// `function`, or the address where it has no name.
    pub fn name(&self) -> String {
        if self.function.is_empty() { format!("{:#x}", self.address) } else { self.function.to_string() }
    }

    /// `file:line`.
    pub fn position(&self) -> String {
        if self.file.is_empty() {
            "source unknown".to_owned()
        } else {
            format!("{}:{}", self.file, self.line)
        }
    }
}

/// The part of a stack that says something of the program: without what the runtime does at its innermost end and
/// without the function that all stacks begin with. The whole stack where that leaves nothing.
pub fn essential(stack: &[Frame]) -> Vec<&Frame> {
    let shown: Vec<&Frame> = stack
        .iter()
        .skip_while(|frame| frame.is_runtime())
        .filter(|frame| &*frame.function != "runtime.goexit")
        .collect();
    if !shown.is_empty() {
        return shown;
    }
    let all: Vec<&Frame> = stack.iter().filter(|frame| &*frame.function != "runtime.goexit").collect();
    if all.is_empty() { stack.iter().collect() } else { all }
}

/// The frame by which a person knows the stack: the innermost that is not the runtime's, and of a stack of the
/// runtime's own the outermost, which tells what it is for.
pub fn leading(stack: &[Frame]) -> Option<&Frame> {
    let shown = essential(stack);
    let own = shown.iter().find(|frame| !frame.is_runtime());
    own.or(shown.last()).copied()
}

/// The locations of a stack, calls that were inlined into one place together.
pub(super) fn locations(builder: &mut Builder, stack: &[Frame]) -> Vec<u32> {
    let mut locations = Vec::with_capacity(stack.len());
    let mut rest = stack;
    while let Some(first) = rest.first() {
        let inlined = rest
            .iter()
            .zip(&rest[1..])
            .take_while(|(frame, next)| frame.is_inlined && next.place == frame.place)
            .count();
        let (place, behind) = rest.split_at(inlined + 1);
        let lines = place.iter().filter(|frame| !frame.function.is_empty()).map(|frame| {
            let function = pprof::Function {
                name: frame.symbol.to_string(),
                file: frame.file.to_string(),
                start_line: Some(frame.start_line).filter(|line| *line != 0),
            };
            (function, frame.line)
        });
        locations.push(builder.location(first.address, lines.collect::<Vec<_>>()));
        rest = behind;
    }
    locations
}

/// A frame in JSON.
#[derive(Serialize)]
pub(super) struct FrameObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
    address: u64,
    inlined: bool,
}

/// A stack in JSON.
pub(super) fn objects(stack: &[Frame]) -> Vec<FrameObject<'_>> {
    stack
        .iter()
        .map(|frame| FrameObject {
            function: &frame.function,
            file: &frame.file,
            line: frame.line,
            address: frame.address,
            inlined: frame.is_inlined,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::fixture::frame;
    use super::{essential, leading};

    #[test]
    fn a_stack_is_known_by_its_innermost_frame_that_is_not_the_runtimes() {
        let stack =
            |names: &[&str]| names.iter().map(|name| frame(name, "x.go", 1, 0x10)).collect::<Vec<_>>();
        for (names, shown, name) in [
            (&["runtime.gopark", "main.serve", "runtime.main", "runtime.goexit"][..], 2, "main.serve"),
            (&["internal/runtime/maps.grow", "main.fill"], 1, "main.fill"),
            (
                &["runtime.gopark", "runtime.ensureSigM.func1", "runtime.goexit"],
                2,
                "runtime.ensureSigM.func1",
            ),
            (&["runtime.goexit"], 1, "runtime.goexit"),
        ] {
            let stack = stack(names);
            assert_eq!(essential(&stack).len(), shown, "{names:?}");
            assert_eq!(leading(&stack).map(|frame| &*frame.function), Some(name));
        }
        assert_eq!(leading(&[]), None);
    }
}

/// Frames, and a process, for tests.
#[cfg(test)]
pub(super) mod fixture {
    use super::Frame;
    use crate::vocabulary::process::{GoProgram, Limits, Lineage, Module, ProcessId, Target};
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    /// A Go process.
    pub fn process() -> Target {
        let module = Module { path: "example.com/parcels".to_owned(), version: "(devel)".to_owned() };
        let go = GoProgram { version: "go1.26.6".to_owned(), module: Some(module), ..GoProgram::default() };
        Target {
            id: ProcessId { pid: 812, start_ticks: 1 },
            parent_pid: 1,
            name: "parcels".to_owned(),
            exe: None,
            exe_deleted: false,
            args: Vec::new(),
            uid: Some(0),
            started: UNIX_EPOCH,
            go: Some(Arc::new(go)),
            container: None,
            cgroup: None,
            network_namespace: None,
            limits: Limits::default(),
            lineage: Lineage::default(),
        }
    }

    /// A frame by name and line; its address tells them apart.
    pub fn frame(function: &str, file: &str, line: u32, address: u64) -> Frame {
        Frame {
            function: function.into(),
            symbol: function.into(),
            file: file.into(),
            line,
            start_line: 1,
            address,
            entry: address & !0xff,
            place: address,
            is_inlined: false,
        }
    }
}
