//! Where probes see the spans of the heap go to the threads that allocate from them, and come back.
//!
//! A thread of the runtime allocates small objects from a span of its own. When that is full,
//! `(*mcache).refill` gets it another by `(*mcentral).cacheSpan`; a large object gets a span for itself in
//! `(*mcache).allocLarge` by `(*mheap).alloc` (`runtime/mcache.go`). Both check at once that they did get one:
//! `TEST RAX, RAX; JE`. A probe on that branch finds the new span in RAX, with its bookkeeping still as the last
//! collection left it, and the frame of the function is complete, so that the stack can be walked. The kernel
//! emulates branches and calls for probes instead of stepping through them (`arch/x86/kernel/uprobes.c`), at a
//! tenth of the cost.
//!
//! Each collection takes the spans back, full or not: `(*mcache).releaseAll` calls `(*mcentral).uncacheSpan`, with the
//! span in RBX.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::pclntab::Function;
use crate::golang::binary::symbols::Symbols;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// The functions have some 600 bytes.
const MAX_CODE_BYTES: u64 = 8192;

/// Where to put the probes, as positions in the executable's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanProbes {
    /// A thread has got a span for small objects: it is in RAX.
    pub filled: u64,
    /// A span for one large object has been made: it is in RAX. `None` where it was not found.
    pub large: Option<u64>,
    /// A thread gives a span back before it is full: it is in RBX. `None` where it was not found.
    pub returned: Option<u64>,
}

/// Finds them; `None` where the runtime's code is not what is known of Go 1.21 to 1.27.
pub fn locate(loaded: &Loaded, symbols: &mut Symbols) -> Option<SpanProbes> {
    let functions = symbols.functions_named(
        loaded,
        &[
            "runtime.(*mcache).refill",
            "runtime.(*mcentral).cacheSpan",
            "runtime.(*mcache).allocLarge",
            "runtime.(*mheap).alloc",
            "runtime.(*mcache).releaseAll",
            "runtime.(*mcentral).uncacheSpan",
        ],
    );
    symbols.forget_pages();
    let [refill, cache_span, alloc_large, alloc, release_all, uncache_span] = functions[..] else {
        return None;
    };
    let find = |caller: Option<Function>, callee: Option<Function>, pick: Pick| {
        let (caller, callee) = (caller?, callee?);
        let length = caller.end.checked_sub(caller.entry)?.min(MAX_CODE_BYTES);
        let mut code = vec![0; usize::try_from(length).ok()?];
        let filled = loaded.read_static(caller.entry, &mut code)?;
        let address = pick(&code[..filled], caller.entry, callee.entry)?;
        loaded.image.file_range(address.wrapping_sub(loaded.bias)).map(|(offset, _)| offset)
    };
    Some(SpanProbes {
        filled: find(refill, cache_span, checked_result)?,
        large: find(alloc_large, alloc, checked_result),
        returned: find(release_all, uncache_span, only_call),
    })
}

/// Both ways to find an instruction, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub(in crate::golang) fn look_through(code: &[u8], address: u64, callee: u64) {
    let picks: [Pick; 2] = [checked_result, only_call];
    for pick in picks {
        let _ = pick(code, address, callee);
    }
}

type Pick = fn(code: &[u8], address: u64, callee: u64) -> Option<u64>;

/// The branch that follows the only call of `callee` and asks whether its result is nil.
fn checked_result(code: &[u8], address: u64, callee: u64) -> Option<u64> {
    let call = only_call(code, address, callee)?;
    let mut behind = instructions(code, address).skip_while(|it| it.ip() != call).skip(1);
    let test = behind.find(|it| it.mnemonic() != Mnemonic::Nop)?;
    let is_test = test.mnemonic() == Mnemonic::Test
        && test.op0_register() == Register::RAX
        && test.op1_register() == Register::RAX;
    behind.next().filter(|branch| is_test && branch.mnemonic() == Mnemonic::Je).map(|branch| branch.ip())
}

/// The only call of `callee`; `None` where there is none, or more than one.
fn only_call(code: &[u8], address: u64, callee: u64) -> Option<u64> {
    let is_call = |it: &Instruction| {
        it.flow_control() == FlowControl::Call
            && it.op0_kind() == OpKind::NearBranch64
            && it.near_branch64() == callee
    };
    let mut calls = instructions(code, address).filter(is_call).map(|it| it.ip());
    let call = calls.next()?;
    calls.next().is_none().then_some(call)
}

/// As far as they make sense.
fn instructions(code: &[u8], address: u64) -> impl Iterator<Item = Instruction> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    std::iter::from_fn(move || {
        let instruction = decoder.can_decode().then(|| decoder.decode())?;
        (!instruction.is_invalid()).then_some(instruction)
    })
}

#[cfg(test)]
mod tests {
    use super::{checked_result, only_call};
    use proptest::prelude::*;

    const ENTRY: u64 = 0x41_0000;
    /// What `e8 f0 00 00 00` at the entry calls.
    const CALLEE: u64 = ENTRY + 0xf5;

    fn bytes(code: &str) -> Vec<u8> {
        code.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn the_branch_behind_the_call_is_found() {
        for (what, code, expected) in [
            ("Go 1.21", "e8 f0 00 00 00 48 85 c0 0f 84 82 00 00 00", Some(8)),
            ("Go 1.27", "e8 f0 00 00 00 48 85 c0 74 7a", Some(8)),
            ("a gap of one byte", "e8 f0 00 00 00 90 48 85 c0 74 7a", Some(9)),
            ("a gap of three bytes", "e8 f0 00 00 00 0f 1f 00 48 85 c0 74 7a", Some(11)),
            ("another call first", "e8 10 00 00 00 e8 eb 00 00 00 48 85 c0 74 7a", Some(13)),
            ("another register", "e8 f0 00 00 00 48 85 db 74 7a", None),
            ("half of the register", "e8 f0 00 00 00 85 c0 74 7a", None),
            ("another condition", "e8 f0 00 00 00 48 85 c0 75 7a", None),
            ("something between", "e8 f0 00 00 00 48 85 c0 50 74 7a", None),
            ("two calls", "e8 f0 00 00 00 48 85 c0 74 7a e8 e6 00 00 00", None),
            ("cut off", "e8 f0 00 00 00 48 85 c0", None),
            ("nothing", "", None),
        ] {
            let found = checked_result(&bytes(code), ENTRY, CALLEE);
            assert_eq!(found, expected.map(|offset: u64| ENTRY + offset), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(code in proptest::collection::vec(any::<u8>(), 0..512)) {
            let call = only_call(&code, u64::MAX - 100, 17);
            let branch = checked_result(&code, u64::MAX - 100, 17);
            prop_assert!(branch.is_none() || call.is_some());
        }
    }
}
