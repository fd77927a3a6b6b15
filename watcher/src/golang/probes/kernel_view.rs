//! What a kernel program must know to get from a thread to the goroutine on it: where each thread keeps the address
//! of its goroutine, and where the fields that matter lie.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::Symbols;
use crate::golang::runtime::layouts::{GoroutineLayout, ThreadLayout};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashMap;

/// Offsets in bytes: of fields in `runtime.g` and `runtime.m`, and of the thread-local variable that holds the
/// address of the `g`.
///
/// A thread that runs none of Go's code has 0 there. In C code, and on a stack of the runtime's own, it holds
/// `m.g0`; then `m.curg` is the goroutine on whose behalf it runs, and its `sched` says where it left Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelView {
    /// Where a thread keeps the address of its `g`, counted from the thread's FS base. Negative on x86-64.
    pub tls_g: i32,
    /// `g.m`.
    pub g_m: u32,
    /// `g.sched.sp`.
    pub g_sched_sp: u32,
    /// `g.sched.pc`.
    pub g_sched_pc: u32,
    /// `g.sched.bp`.
    pub g_sched_bp: u32,
    /// `g.goid`.
    pub g_goid: u32,
    /// `g.parentGoid`; `None` before Go 1.21, which does not have it.
    pub g_parent_goid: Option<u32>,
    /// `g.gopc`: the `go` statement that created it.
    pub g_gopc: u32,
    /// `g.startpc`: the function that it began with.
    pub g_startpc: u32,
    /// `m.g0`: the `g` of the runtime's own stack.
    pub m_g0: u32,
    /// `m.curg`: the goroutine on the thread, or 0.
    pub m_curg: u32,
}

/// Functions in assembly that load or store the thread's `g`, and no other thread-local variable
/// (`runtime/asm_amd64.s`). Some have these names only in some versions; those in assembly may carry their ABI.
const USERS: [&str; 7] = [
    "gogo",
    "runtime.gogo",
    "runtime.asmcgocall",
    "runtime.asmcgocall.abi0",
    "runtime.asmcgocall_no_g.abi0",
    "runtime.cgocallback.abi0",
    "runtime.rt0_go.abi0",
];
const MAX_CODE_BYTES: u64 = 4096;

/// The view by these layouts; `None` where the code does not tell where threads keep their `g`, or is not of one
/// mind.
pub(in crate::golang) fn view(
    loaded: &Loaded,
    symbols: &mut Symbols,
    goroutine: &GoroutineLayout,
    thread: &ThreadLayout,
) -> Option<KernelView> {
    let offset = |bytes: usize| u32::try_from(bytes).ok();
    Some(KernelView {
        tls_g: thread_local_g(loaded, symbols)?,
        g_m: offset(GoroutineLayout::M)?,
        g_sched_sp: offset(goroutine.sched_sp)?,
        g_sched_pc: offset(goroutine.sched_pc())?,
        g_sched_bp: offset(goroutine.sched_bp)?,
        g_goid: offset(goroutine.goid)?,
        g_parent_goid: goroutine.parent_goid.and_then(offset),
        g_gopc: offset(goroutine.go_pc())?,
        g_startpc: offset(goroutine.start_pc)?,
        m_g0: 0,
        m_curg: offset(thread.current)?,
    })
}

fn thread_local_g(loaded: &Loaded, symbols: &mut Symbols) -> Option<i32> {
    let functions = symbols.functions_named(loaded, &USERS);
    let mut found = None;
    for function in functions.into_iter().flatten() {
        let length = (function.end - function.entry).min(MAX_CODE_BYTES);
        let mut code = vec![0; usize::try_from(length).unwrap_or(0)];
        let Some(filled) = loaded.read_static(function.entry, &mut code) else { continue };
        for offset in thread_local_offsets(&code[..filled], function.entry, |at| loaded.word(at)) {
            if found.is_some_and(|before| before != offset) {
                return None;
            }
            found = Some(offset);
        }
    }
    i32::try_from(found?).ok()
}

/// Offsets from the FS base of what `code` loads and stores there.
///
/// The offset is part of the instruction in executables that were linked in one go. In others a register has it,
/// loaded just before: from the instruction itself, or from a slot that the loader filled, which `word` reads.
pub(in crate::golang) fn thread_local_offsets(
    code: &[u8],
    address: u64,
    word: impl Fn(u64) -> Option<u64>,
) -> Vec<i64> {
    let mut registers: HashMap<Register, i64> = HashMap::new();
    let mut offsets = Vec::new();
    for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            break;
        }
        if instruction.segment_prefix() == Register::FS {
            offsets.extend(effective_offset(&instruction, &registers));
        }
        if instruction.flow_control() == FlowControl::Call {
            registers.clear();
        }
        let target = instruction.op0_register().full_register();
        if instruction.op0_kind() == OpKind::Register {
            match loaded_constant(&instruction, &word) {
                Some(constant) => registers.insert(target, constant),
                None => registers.remove(&target),
            };
        }
    }
    offsets
}

fn effective_offset(instruction: &Instruction, registers: &HashMap<Register, i64>) -> Option<i64> {
    let displacement = instruction.memory_displacement64().cast_signed();
    let part = |register: Register| match register {
        Register::None => Some(0),
        register => registers.get(&register).copied(),
    };
    if instruction.memory_index() != Register::None && instruction.memory_index_scale() != 1 {
        return None;
    }
    let base = part(instruction.memory_base())?;
    base.checked_add(part(instruction.memory_index())?)?.checked_add(displacement)
}

/// The value that the first operand gets, where the instruction says it.
fn loaded_constant(instruction: &Instruction, word: impl Fn(u64) -> Option<u64>) -> Option<i64> {
    if instruction.mnemonic() != Mnemonic::Mov || instruction.segment_prefix() != Register::None {
        return None;
    }
    match instruction.op1_kind() {
        OpKind::Immediate32to64 => Some(instruction.immediate32to64()),
        OpKind::Immediate64 => Some(instruction.immediate64().cast_signed()),
        OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
            word(instruction.ip_rel_memory_address()).map(u64::cast_signed)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::thread_local_offsets;
    use proptest::prelude::*;

    fn offsets(code: &str) -> Vec<i64> {
        let code: Vec<u8> =
            code.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let slot = |address| (address == 0x1017).then_some((-16_i64).cast_unsigned());
        thread_local_offsets(&code, 0x1000, slot)
    }

    #[test]
    fn the_offset_stands_in_the_code_or_comes_from_a_register() {
        for (what, code, expected) in [
            ("a load", "64 48 8b 3c 25 f8 ff ff ff", &[-8][..]),
            ("a store", "64 48 89 14 25 f0 ff ff ff", &[-16]),
            ("by register", "48 c7 c1 f8 ff ff ff 64 48 8b 39", &[-8]),
            ("from a slot", "48 8b 0d 10 00 00 00 64 48 8b 39", &[-16]),
            ("from a slot that cannot be read", "48 8b 0d 11 00 00 00 64 48 8b 39", &[]),
            ("a register that was lost", "48 c7 c1 f8 ff ff ff 48 89 c1 64 48 8b 39", &[]),
            ("a register that a call may change", "48 c7 c1 f8 ff ff ff e8 00 00 00 00 64 48 8b 39", &[]),
            ("two", "64 48 8b 3c 25 f8 ff ff ff 64 48 89 14 25 f0 ff ff ff", &[-8, -16]),
            ("another segment", "65 48 8b 3c 25 f8 ff ff ff", &[]),
            ("none", "48 89 c1 c3", &[]),
        ] {
            assert_eq!(offsets(code), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(code in proptest::collection::vec(any::<u8>(), 0..512)) {
            thread_local_offsets(&code, u64::MAX - 100, |address| Some(!address));
        }
    }
}
