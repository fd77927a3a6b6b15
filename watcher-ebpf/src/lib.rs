//! The wire format that the kernel programs and user space share.
#![no_std]
