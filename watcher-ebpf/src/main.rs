//! The kernel programs: one file per family of hooks.
//!
//! They count and copy; what it means is user space's affair. Each program opens with why this hook.
#![no_std]
#![no_main]
// An atomic addition, see `ledger::add`.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), allow(internal_features))]

mod descriptors;
mod goroutines;
mod kernel;
mod ledger;
mod lifecycle;
mod mappings;
mod probes;
mod spans;
mod stacks;
mod tables;
mod tasks;
mod trials;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier admits no program from which this could be reached.
    loop {}
}

/// The tracing helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
