//! Where in a program the kernel may be asked to look, and what it needs to know there.

pub mod handlers;
pub mod kernel_view;
pub mod span_probes;
