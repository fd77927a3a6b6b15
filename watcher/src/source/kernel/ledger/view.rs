//! From what the Go reader found out to what the kernel's side is told.

use crate::golang::probes::kernel_view::KernelView;
use watcher_ebpf::{GoView, NO_FIELD};

/// Where the programs find the goroutines of a process.
pub fn go_view(view: &KernelView) -> GoView {
    GoView {
        g_from_fs_base: view.tls_g,
        is_known: 1,
        g_m: view.g_m,
        g_sched_pc: view.g_sched_pc,
        g_sched_bp: view.g_sched_bp,
        g_goid: view.g_goid,
        g_parent: view.g_parent_goid.unwrap_or(NO_FIELD),
        g_gopc: view.g_gopc,
        m_curg: view.m_curg,
        m_g0: view.m_g0,
        reserved: [0; 2],
    }
}
