//! What addresses of code stand for: frames as people read them, and functions that a walk treats in a special way.

use std::sync::Arc;

/// A frame of a stack as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Function, as Go shows it: `net/http.(*Transport).dialConn`, `main.generic[...]`. Empty where unknown.
    pub function: Arc<str>,
    /// Function, as the linker names it: `main.generic[go.shape.int]`; Go's own profiles carry this name. The same as
    /// `function` where it is not generic, and before Go 1.21.
    pub symbol: Arc<str>,
    /// Source file as the compiler recorded it; empty where unknown.
    pub file: Arc<str>,
    /// Line in it, from 1; 0 where unknown.
    pub line: u32,
    /// Line of the `func` keyword; 0 where unknown (before Go 1.20).
    pub start_line: u32,
    /// An instruction within the call: the position that pprof reports as the frame's address.
    pub pc: u64,
}

/// One address of a stack, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackPc {
    /// The address.
    pub pc: u64,
    /// It is the instruction that was executed itself, not the return address behind a call: a trap, or a goroutine
    /// that has not begun to run.
    pub is_exact: bool,
}

/// Numbers of the functions that a walk treats in a special way. They differ between versions, so they are read off
/// the functions themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionIds {
    /// `runtime.sigpanic`.
    pub sigpanic: Option<u8>,
    /// `runtime.gopanic`.
    pub gopanic: Option<u8>,
    /// `runtime.panicwrap`.
    pub panicwrap: Option<u8>,
    /// `runtime.asyncPreempt`.
    pub async_preempt: Option<u8>,
    /// `runtime.debugCallV2`.
    pub debug_call: Option<u8>,
    /// `runtime.cgocallback`.
    pub cgocallback: Option<u8>,
    /// Wrappers that the compiler generates: the number after that of `runtime.systemstack_switch`.
    pub wrapper: Option<u8>,
}

/// A frame, at the address that it has without bias, and its special role.
#[derive(Clone, Debug)]
pub(in crate::golang) struct Located {
    pub frame: Frame,
    pub id: u8,
}
