//! Where a probe on a function is best put: behind the check of the stack, before the frame is made.
//!
//! At its entry a function has not yet checked that its stack suffices: where it does not, the stack is moved and the
//! function begun once more, and a probe there counts twice. Behind the check, registers and stack are still what
//! they were at entry (arguments in registers, the return address on top of the stack, the caller's frame pointer in
//! RBP). From Go 1.21 on the first instruction there pushes RBP, which the kernel emulates for a probe instead of
//! stepping through it, at a tenth of the cost (`arch/x86/kernel/uprobes.c`). Older versions move RSP instead.
//!
//! The instruction is found by decoding from the entry on: its bytes may as well be part of another one.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// A prologue has up to a dozen instructions before the frame; they are followed no farther.
const MAX_INSTRUCTIONS: usize = 24;
/// Bytes of a function that [`frame_begin`] needs at most.
pub(in crate::golang) const MAX_BYTES: usize = 192;

/// Where a probe can be put into a function. `file_offset` is what the kernel's uprobes count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Address of the instruction as the executable has it, without what the kernel adds when it loads it.
    pub address: u64,
    /// Position of the instruction in the executable's file.
    pub file_offset: u64,
    /// It is `push rbp`, followed by `mov rbp, rsp`: the kernel emulates it. Otherwise it moves RSP, and costs more.
    pub is_push: bool,
}

/// The first instruction that makes the frame of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::golang) struct FrameBegin {
    pub address: u64,
    pub is_push: bool,
}

/// Where the function whose code begins with `code`, at `address`, makes its frame; `None` where it has none, or
/// does something first that prologues do not do.
pub(in crate::golang) fn frame_begin(code: &[u8], address: u64) -> Option<FrameBegin> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = next(&mut decoder)?;
        if is_push_of_frame_pointer(&instruction) {
            let follows = next(&mut decoder)?;
            let is_frame = follows.mnemonic() == Mnemonic::Mov
                && follows.op0_register() == Register::RBP
                && follows.op1_register() == Register::RSP;
            return is_frame.then_some(FrameBegin { address: instruction.ip(), is_push: true });
        }
        if instruction.op0_register() == Register::RSP && writes_first_operand(&instruction) {
            return moves_stack_pointer(&instruction)
                .then_some(FrameBegin { address: instruction.ip(), is_push: false });
        }
        if !may_come_before_frame(&instruction) {
            return None;
        }
    }
    None
}

fn next(decoder: &mut Decoder) -> Option<Instruction> {
    let instruction = decoder.can_decode().then(|| decoder.decode())?;
    (!instruction.is_invalid()).then_some(instruction)
}

fn is_push_of_frame_pointer(instruction: &Instruction) -> bool {
    instruction.code() == Code::Push_r64 && instruction.op0_register() == Register::RBP
}

/// `sub rsp, N`, or `add rsp, -128`, which is a byte shorter.
fn moves_stack_pointer(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Sub | Mnemonic::Add)
        && !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory)
}

fn writes_first_operand(instruction: &Instruction) -> bool {
    !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test)
}

/// Comparing the stack pointer (or what it will be) with the goroutine's bound, and the like: nothing that leaves the
/// function, but for the branch to where the stack grows, nor touches RBP or the stack.
fn may_come_before_frame(instruction: &Instruction) -> bool {
    let flows = matches!(instruction.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch);
    let keeps_frame_pointer =
        instruction.op0_register() != Register::RBP || !writes_first_operand(instruction);
    flows && keeps_frame_pointer && !matches!(instruction.mnemonic(), Mnemonic::Push | Mnemonic::Pop)
}

#[cfg(test)]
mod tests {
    use super::{FrameBegin, MAX_BYTES, frame_begin};
    use proptest::prelude::*;

    const ENTRY: u64 = 0x45_4280;

    fn begin(code: &[u8]) -> Option<(u64, bool)> {
        frame_begin(code, ENTRY).map(|FrameBegin { address, is_push }| (address - ENTRY, is_push))
    }

    #[test]
    fn the_frame_begins_behind_the_check_of_the_stack() {
        for (what, code, expected) in [
            ("a small frame", "49 3b 66 10 0f 86 93 04 00 00 55 48 89 e5 48 83 ec 50", Some((10, true))),
            ("its other encoding", "49 3b 66 10 76 30 55 48 8b ec", Some((6, true))),
            (
                "a large frame",
                "4c 8d a4 24 48 fe ff ff 4d 3b 66 10 0f 86 0b 08 00 00 55 48 89 e5",
                Some((18, true)),
            ),
            ("no check", "55 48 89 e5 48 83 ec 18", Some((0, true))),
            ("a push in the bytes of a comparison", "48 3d 55 48 89 e5 76 30 55 48 89 e5", Some((8, true))),
            ("Go 1.19", "49 3b 66 10 0f 86 8a 03 00 00 48 83 ec 48 48 89 6c 24 40", Some((10, false))),
            ("Go 1.19, 128 bytes", "49 3b 66 10 76 30 48 83 c4 80 48 89 6c 24 78", Some((6, false))),
            ("no frame", "48 8b 40 08 c3 55 48 89 e5", None),
            ("a push of something else", "53 55 48 89 e5", None),
            ("a push that makes no frame", "55 48 89 c5 48 89 e5", None),
            ("a jump away", "eb 10 55 48 89 e5", None),
            ("a call", "e8 00 00 00 00 55 48 89 e5", None),
            ("another stack", "4c 89 e4 55 48 89 e5", None),
            ("a lost frame pointer", "48 89 c5 55 48 89 e5", None),
            ("cut off", "49 3b 66 10 76 30 55", None),
            ("no code", "06 07 55 48 89 e5", None),
            ("nothing", "", None),
        ] {
            let code: Vec<u8> =
                code.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            assert_eq!(begin(&code), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn a_push_is_found_only_where_its_bytes_are(code in proptest::collection::vec(any::<u8>(), 0..MAX_BYTES)) {
            if let Some((offset, true)) = begin(&code) {
                let rest = &code[usize::try_from(offset).unwrap()..];
                let is_push = rest.iter().position(|byte| *byte == 0x55).is_some_and(|before| before <= 1);
                prop_assert!(is_push, "{rest:x?}");
            }
        }
    }
}
