//! Stacks as kernels before 5.17 let programs take them: the kernel walks, and a goroutine that has left its stack is
//! followed with a read for each frame.

use super::mix;
use super::walk::{Start, get_number, put_number};
use crate::kernel::probe_user;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::generated::bpf_get_stack;
use core::ffi::c_void;
use watcher_ebpf::{RESUMED_FRAMES, StackRecord, WALKED_FRAMES};

/// From where the thread is; none where it could not be walked.
#[inline(always)]
pub fn walked(ctx: *mut c_void, mut hash: u64, record: &mut StackRecord) -> u64 {
    let walked = (&raw mut record.walked).cast::<u64>();
    // SAFETY: `walked` has room for that many bytes.
    let bytes = unsafe {
        bpf_get_stack(
            ctx,
            walked.cast(),
            size_of::<[u64; WALKED_FRAMES]>() as u32,
            u64::from(BPF_F_USER_STACK),
        )
    };
    if bytes <= 0 {
        return hash;
    }
    put_number(&raw mut record.walked_count, bytes as u32 / size_of::<u64>() as u32);
    for index in 0..WALKED_FRAMES {
        if index as u32 >= get_number(&raw const record.walked_count) {
            break;
        }
        // SAFETY: the index is in bounds.
        hash = mix(hash, unsafe { *walked.wrapping_add(index) });
    }
    hash
}

/// From where the goroutine left its stack.
#[inline(always)]
pub fn resumed(start: &Start, mut hash: u64, record: &mut StackRecord) -> u64 {
    let resumed = (&raw mut record.resumed).cast::<u64>();
    let (mut pc, mut frame) = (start.pc, start.frame);
    for index in 0..RESUMED_FRAMES {
        if pc == 0 {
            break;
        }
        // SAFETY: the index is in bounds.
        unsafe { *resumed.wrapping_add(index) = pc };
        put_number(&raw mut record.resumed_count, index as u32 + 1);
        hash = mix(hash, pc);
        // The outermost frame has no other below it. Stacks grow down: anything else is nonsense.
        if frame == 0 {
            break;
        }
        let Some([outer, return_address]) = probe_user::<[u64; 2]>(frame) else { break };
        pc = return_address;
        frame = if outer > frame { outer } else { 0 };
    }
    hash
}
