//! Executables that pose as programs of Go: they hold build information of any kind and do nothing but wait.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::running::Running;

/// A user who owns nothing here.
pub const STRANGER: u32 = 4242;

const PAGE: usize = 4096;
const CODE_ADDRESS: u64 = 0x40_1000;
const DATA_ADDRESS: u64 = 0x60_0000;
/// `for (;;) pause();`
const CODE: [u8; 9] = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];

/// The build information blob of Go 1.18 and newer with this text about its modules.
pub fn build_information(version: &str, modules: &str) -> Vec<u8> {
    let mut blob = b"\xff Go buildinf:\x08\x02".to_vec();
    blob.resize(32, 0);
    counted(&mut blob, version.as_bytes());
    // The sentinels of the go command stand before and behind the text.
    counted(&mut blob, &[&[0x30; 16], modules.as_bytes(), &[0xf9; 16]].concat());
    blob
}

/// A length of seven bits a byte, and what is so long.
fn counted(blob: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        blob.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    blob.push(u8::try_from(length).unwrap_or_default());
    blob.extend_from_slice(text);
}

/// The text of a program that depends on so much that it takes `bytes`.
pub fn modules_of(bytes: usize) -> String {
    let mut text = "path\texample.com/posing\nmod\texample.com/posing\t(devel)\t\n".to_owned();
    while text.len() + 8 <= bytes {
        text += "dep\tx\tv\n";
    }
    text
}

/// Bytes that hold the magic of build information wherever it could be, without anything behind it.
pub fn magics(bytes: usize) -> Vec<u8> {
    b"\xff Go buildinf:\x08\x02".iter().copied().cycle().take(bytes).collect()
}

/// An executable whose writable segment holds `data`.
fn executable(data: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]); // ET_EXEC, EM_X86_64, EV_CURRENT
    for word in [CODE_ADDRESS, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes()); // e_entry, e_phoff, e_shoff
    }
    file.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let segments = [
        (5_u32, PAGE as u64, CODE_ADDRESS, CODE.len() as u64),
        (6, 2 * PAGE as u64, DATA_ADDRESS, data.len() as u64),
    ];
    for (flags, offset, address, bytes) in segments {
        file.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
        file.extend_from_slice(&flags.to_le_bytes());
        for word in [offset, address, address, bytes, bytes, PAGE as u64] {
            file.extend_from_slice(&word.to_le_bytes());
        }
    }
    file.resize(PAGE, 0);
    file.extend_from_slice(&CODE);
    file.resize(2 * PAGE, 0);
    file.extend_from_slice(data);
    file
}

/// Writes an executable into `directory`, which everybody may look into.
pub fn write(directory: &Path, name: &str, data: &[u8]) -> Result<PathBuf> {
    // Another process writes it: while this one does, a child that another thread forks would hold it open for
    // writing, and the kernel runs no file that is.
    let made = directory.join(format!("{name}.made"));
    fs::write(&made, executable(data)).context("write an executable")?;
    let path = directory.join(name);
    let status = Command::new("install").args(["-m", "755"]).arg(&made).arg(&path).status();
    ensure!(status.context("run install")?.success(), "install could not copy {name}");
    fs::remove_file(made).context("remove what was copied")?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).context("open it to all")?;
    Ok(path)
}

/// Starts it as [`STRANGER`].
pub fn start(executable: &Path) -> Result<Running> {
    let mut command = Command::new(executable);
    command.uid(STRANGER).gid(STRANGER).current_dir("/").stderr(Stdio::null());
    Running::start(&mut command)
}
