//! System calls as the kernel knows them: libraries choose among calls that do the same, and the steps must not.

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use std::ffi::CString;
use std::path::Path;

/// Makes a call whose arguments are numbers or addresses of what the caller keeps. Gives its result.
pub fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> Result<i32, Errno> {
    let mut six = [0usize; 6];
    six[..N].copy_from_slice(&arguments);
    let [first, second, third, fourth, fifth, sixth] = six;
    #[expect(unsafe_code, reason = "a system call as such has no safe form")]
    // SAFETY: the callers pass numbers, and addresses of their own variables with their true lengths.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    Errno::result(result).map(|result| result as i32)
}

/// Makes it `times` times, each of which has to give a new descriptor; gives how many that are.
pub fn repeat<const N: usize>(times: i64, number: libc::c_long, arguments: [usize; N]) -> Result<i64> {
    for _ in 0..times {
        call(number, arguments)?;
    }
    Ok(times)
}

/// The call has to fail in this way.
pub fn refused<const N: usize>(expected: Errno, number: libc::c_long, arguments: [usize; N]) -> Result<()> {
    let result = call(number, arguments);
    ensure!(result == Err(expected), "a call that has to fail with {expected} gave {result:?}");
    Ok(())
}

/// A path for the kernel.
pub fn text(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).context("a path without a zero byte")
}

/// The address of a value, as an argument.
pub fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value).addr()
}

/// The address of a value that the kernel writes to.
pub fn address_mut<T>(value: &mut T) -> usize {
    std::ptr::from_mut(value).expose_provenance()
}

/// A descriptor as an argument; -1 as the kernel takes it.
pub fn number(value: i32) -> usize {
    (value as isize).cast_unsigned()
}
