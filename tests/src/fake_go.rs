//! Executables of a few kilobytes that the build information in them calls Go: any user can make them, by the thousand,
//! with whatever names.

use crate::running::Running;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whom nobody else's files belong to.
pub const ATTACKER: u32 = 4242;

/// What build information begins with (`debug/buildinfo`, `buildInfoMagic`).
const MAGIC: &[u8] = b"\xff Go buildinf:";
const POINTER_BYTES: u8 = 8;
const STRINGS_FOLLOW: u8 = 2;

const BASE: u64 = 0x40_0000;
const PAGE: u64 = 0x1000;
/// `pause(2)` for ever: mov eax, 34; syscall; jmp.
const CODE: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
const CODE_OFFSET: u64 = 0x200;

/// Writes such an executable of this main module to a file of this name, which everybody may execute.
pub fn executable(directory: &Path, name: impl AsRef<OsStr>, module: &str) -> Result<PathBuf> {
    let information = format!("path\t{module}\nmod\t{module}\tv1.0.0\t\n");
    with_build_information(directory, name, &information)
}

/// The same with these lines of build information.
pub fn with_build_information(directory: &Path, name: impl AsRef<OsStr>, lines: &str) -> Result<PathBuf> {
    with_data(directory, name, &build_information(lines))
}

/// One whose data are nothing but begins of build information without a version, over and over.
pub fn with_false_begins(directory: &Path, name: impl AsRef<OsStr>, bytes: usize) -> Result<PathBuf> {
    let one = [MAGIC, &[POINTER_BYTES, STRINGS_FOLLOW], &[0; 16]].concat();
    with_data(directory, name, &one.repeat(bytes / one.len()))
}

fn with_data(directory: &Path, name: impl AsRef<OsStr>, data: &[u8]) -> Result<PathBuf> {
    let path = directory.join(name.as_ref());
    fs::write(&path, file(data)).with_context(|| format!("write {}", path.display()))?;
    for (place, mode) in [(directory, 0o755), (&*path, 0o755)] {
        fs::set_permissions(place, Permissions::from_mode(mode)).context("let everybody in")?;
    }
    Ok(path)
}

/// Starts one as the attacker.
pub fn start(executable: &Path) -> Result<Running> {
    start_as(executable, ATTACKER)
}

/// Starts one as this user.
pub fn start_as(executable: &Path, uid: u32) -> Result<Running> {
    Running::start(Command::new(executable).uid(uid).gid(uid))
}

/// As the linker writes it since Go 1.18 (`cmd/link/internal/ld/data.go`, `buildinfo`).
fn build_information(lines: &str) -> Vec<u8> {
    const HEADER_BYTES: usize = 32;
    const SENTINEL: [u8; 16] = [0x30; 16];
    let mut bytes = MAGIC.to_vec();
    bytes.extend([POINTER_BYTES, STRINGS_FOLLOW]);
    bytes.resize(HEADER_BYTES, 0);
    counted(&mut bytes, b"go1.26.0");
    counted(&mut bytes, &[&SENTINEL[..], lines.as_bytes(), &SENTINEL].concat());
    bytes
}

fn counted(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(text);
}

/// A static executable for x86-64 of a page of code and a segment of data.
fn file(data: &[u8]) -> Vec<u8> {
    const EXECUTABLE: u16 = 2;
    const X86_64: u16 = 62;
    const HEADER: u64 = 64;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(EXECUTABLE.to_le_bytes());
    bytes.extend(X86_64.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for number in [BASE + CODE_OFFSET, HEADER, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for number in [64_u16, 56, 2, 64, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    let (read_execute, read_write) = (5_u32, 6_u32);
    for (flags, offset, length) in [(read_execute, 0, PAGE), (read_write, PAGE, data.len() as u64)] {
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for number in [offset, BASE + offset, BASE + offset, length, length, PAGE] {
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.resize(CODE_OFFSET as usize, 0);
    bytes.extend(CODE);
    bytes.resize(PAGE as usize, 0);
    bytes.extend(data);
    bytes
}
