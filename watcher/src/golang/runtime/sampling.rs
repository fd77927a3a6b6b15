//! Whether a program samples its allocations, and where it keeps the rate.
//!
//! `runtime.MemProfileRate` is a plain variable of any value, so that nothing about its content gives it away. It is
//! found in the code of the function that draws the distance to the next sample.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::Symbols;

/// Functions that load the rate (`runtime/malloc.go`). The compiler inlines one into the other in some versions.
const USERS: [&str; 2] = ["runtime.nextSample", "runtime.profilealloc"];
/// Functions that report the profile: the linker turns sampling off where neither is in the program
/// (`cmd/link/internal/ld/lib.go`; the second from Go 1.23 on).
const REPORTERS: [&str; 2] = ["runtime.MemProfile", "runtime.memProfileInternal"];
/// Both functions have a few hundred bytes.
const MAX_CODE_BYTES: u64 = 16 << 10;

/// Whether the program holds a function that reports the heap profile.
pub fn is_linked(loaded: &Loaded, symbols: &mut Symbols) -> bool {
    symbols.functions_named(loaded, &REPORTERS).iter().any(Option::is_some)
}

/// The address of `runtime.MemProfileRate`. `None` where it cannot be told from other variables.
///
/// Its users load one other number-like variable, `mcache0`, which is zero as soon as the runtime has started.
pub fn rate(loaded: &Loaded, symbols: &mut Symbols) -> Option<u64> {
    let module = symbols.modules().next()?.clone();
    let functions = symbols.functions_named(loaded, &USERS);
    functions.into_iter().flatten().find_map(|function| {
        let length = function.end.checked_sub(function.entry)?.min(MAX_CODE_BYTES);
        let mut code = vec![0; usize::try_from(length).ok()?];
        let filled = loaded.read_static(function.entry, &mut code)?;
        let mut candidates: Vec<u64> = loads(&code[..filled], function.entry)
            .filter(|address| address.is_multiple_of(8))
            .filter(|address| module.noptrdata.contains(address) || module.noptrbss.contains(address))
            .collect();
        candidates.dedup();
        let is_set = |address: &&u64| loaded.word(**address).is_some_and(|value| value != 0);
        let mut set = candidates.iter().filter(is_set);
        match (set.next(), set.next()) {
            (Some(rate), None) => Some(*rate),
            // The other is loaded before.
            (None, _) => candidates.last().copied(),
            (Some(_), Some(_)) => None,
        }
    })
}

/// Addresses of the variables that x86-64 code loads eight bytes from: `mov r64, [rip + displacement]`.
fn loads(code: &[u8], address: u64) -> impl Iterator<Item = u64> {
    code.windows(7).enumerate().filter_map(move |(offset, bytes)| {
        let [rex, opcode, registers, displacement @ ..] = *bytes.first_chunk::<7>()?;
        // REX.W with or without REX.R; the register number stands in the middle of the third byte.
        let is_load = matches!(rex, 0x48 | 0x4c) && opcode == 0x8b && registers & 0b1100_0111 == 0b0000_0101;
        let displacement = i32::from_le_bytes(displacement);
        is_load.then(|| address.wrapping_add(offset as u64 + 7).wrapping_add_signed(displacement.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::loads;

    #[test]
    fn only_loads_relative_to_the_instruction_count() {
        let code = [
            0x48, 0x8b, 0x05, 0x10, 0x00, 0x00, 0x00, // mov rax, [rip + 0x10]
            0x4c, 0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff, // mov r8, [rip - 0x10]
            0x48, 0x8b, 0x45, 0x10, 0x90, 0x90, 0x90, // mov rax, [rbp + 0x10]
            0x48, 0x89, 0x05, 0x10, 0x00, 0x00, 0x00, // mov [rip + 0x10], rax
            0x48, 0x8b, 0x35, 0x00, 0x01, 0x00, 0x00, // mov rsi, [rip + 0x100]
            0x48, 0x8b, 0x3d, // cut off
        ];
        let found: Vec<u64> = loads(&code, 0x1000).collect();
        assert_eq!(found, [0x1017, 0x0ffe, 0x1123]);
    }
}
