//! `/proc/PID/maps`: the mappings of a process, without what of them is resident.

use super::overlap::make_room;
use crate::vocabulary::process::printable;
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// Longest line that is looked at: a path has 4 KiB, escaped four times as much.
const MAX_LINE_BYTES: u64 = 32 << 10;
/// Mappings that are read: `vm.max_map_count` is 65,530 unless somebody has raised it, some to a million.
const MAX_MAPPINGS: usize = 1 << 20;
/// Programs have some dozens of libraries, large ones a few hundred.
const MAX_CODE_FILES: usize = 1024;
/// The page that ends the list on x86 and belongs to the kernel: it is in no process's count.
const KERNEL_PAGE: &str = "[vsyscall]";

/// One mapping (VMA).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// Something may be done there: it is more than a reservation of addresses.
    pub is_accessible: bool,
    /// Code may be executed there.
    pub is_executable: bool,
    /// Where it begins in its file, in bytes.
    pub file_offset: u64,
    /// Major and minor number of the device of its file.
    pub device: (u32, u32),
    /// Inode number of its file; 0 for anonymous memory. Shared anonymous memory and memfd have one.
    pub inode: u64,
    /// Path of the file, or the kernel's name for it in brackets, printable form; empty for plain anonymous memory.
    pub name: String,
}

impl Mapping {
    /// It maps a file, shared memory among them.
    pub fn is_file(&self) -> bool {
        self.inode != 0
    }

    /// Nobody asked for it by a system call: the kernel made it, or lets it grow by itself.
    pub fn is_kernels_own(&self) -> bool {
        ["[stack]", "[vdso]", "[vvar]", "[vvar_vclock]", "[uprobes]", "[gate]", "[sigpage]"]
            .contains(&self.name.as_str())
    }
}

/// Reads the list.
pub(super) fn read(mut file: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut mappings = Vec::new();
    let mut line = Vec::new();
    while mappings.len() < MAX_MAPPINGS {
        line.clear();
        if Read::by_ref(&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let mapping = line.strip_suffix(b"\n").and_then(parse);
        let mapping = mapping.ok_or(io::ErrorKind::InvalidData)?;
        if mapping.name != KERNEL_PAGE {
            make_room(&mut mappings, mapping.range.start, |mapping: &mut Mapping| &mut mapping.range);
            mappings.push(mapping);
        }
    }
    Ok(mappings)
}

/// Mappings of files that hold code, each file once, as far as `text` goes: it may end within a line.
pub(super) fn code_files(mut text: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut line = Vec::new();
    while mappings.len() < MAX_CODE_FILES {
        line.clear();
        Read::by_ref(&mut text).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        // Most lines are not understood any further.
        let permissions = whole.split(|byte| *byte == b' ').nth(1);
        if permissions.and_then(|permissions| permissions.get(2)) != Some(&b'x') {
            continue;
        }
        let mapping = parse(whole).ok_or(io::ErrorKind::InvalidData)?;
        let is_known = |known: &Mapping| (known.device, known.inode) == (mapping.device, mapping.inode);
        if mapping.is_file() && !mappings.iter().any(is_known) {
            mappings.push(mapping);
        }
    }
    Ok(mappings)
}

/// The devices of the files that are mapped, each once, as far as `text` goes.
pub(in crate::source) fn devices(text: &[u8]) -> Vec<(u32, u32)> {
    let mut devices = Vec::new();
    let files = text.split(|byte| *byte == b'\n').filter_map(parse).filter(Mapping::is_file);
    for mapping in files {
        if !devices.contains(&mapping.device) {
            devices.push(mapping.device);
        }
    }
    devices
}

/// `start-end permissions offset device inode   name`.
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let range = number(start)?..number(end)?;
    let permissions = word()?.as_bytes();
    let is_accessible = permissions.get(..3).is_some_and(|access| access != b"---");
    let is_executable = permissions.get(2) == Some(&b'x');
    let file_offset = number(word()?)?;
    let (major, minor) = word()?.split_once(':')?;
    let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let inode = word()?.parse().ok()?;
    let name = printable(words.next().unwrap_or_default().trim_ascii());
    (range.start < range.end).then_some(Mapping {
        range,
        is_accessible,
        is_executable,
        file_offset,
        device,
        inode,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::{Mapping, code_files, read};
    use crate::source::proc::ProcRoot;
    use proptest::prelude::*;

    #[test]
    fn mappings_by_line() {
        let maps: &[u8] = b"\
00400000-00401000 r-xp 00002000 08:01 1234                       /usr/bin/a b\\012c
c000000000-c000400000 rw-p 00000000 00:00 0 
c000400000-c004000000 ---p 00000000 00:00 0 
7ffc00000000-7ffd00000000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]
";
        let file = Mapping {
            range: 0x40_0000..0x40_1000,
            is_accessible: true,
            is_executable: true,
            file_offset: 0x2000,
            device: (8, 1),
            inode: 1234,
            name: "/usr/bin/a b\\012c".into(),
        };
        let anonymous = |range, is_accessible, name: &str| Mapping {
            range,
            is_accessible,
            name: name.into(),
            ..Mapping::default()
        };
        let heap = anonymous(0xc0_0000_0000..0xc0_0040_0000, true, "");
        let reserved = anonymous(0xc0_0040_0000..0xc0_0400_0000, false, "");
        let stack = anonymous(0x7ffc_0000_0000..0x7ffd_0000_0000, true, "[stack]");
        let mappings = read(maps).unwrap();
        assert_eq!(mappings, [file, heap, reserved, stack]);
        assert_eq!(mappings.iter().map(Mapping::is_file).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(
            mappings.iter().map(Mapping::is_kernels_own).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }

    #[test]
    fn files_with_code_are_told_once_and_as_far_as_the_text_goes() {
        let maps = "\
1000-2000 r--p 00000000 08:01 7 /lib/a.so
2000-3000 r-xp 00001000 08:01 7 /lib/a.so
4000-5000 rwxp 00000000 00:00 0 
5000-6000 r-xp 00002000 08:01 7 /lib/a.so
6000-7000 r-xp 00001000 08:02 7 /lib/b.so
8000-9000 r-xp 00001000 08:01 9 /lib/c.so
";
        let names = |text: &str| -> Vec<String> {
            code_files(text.as_bytes()).unwrap().into_iter().map(|file| file.name).collect()
        };
        assert_eq!(names(maps), ["/lib/a.so", "/lib/b.so", "/lib/c.so"]);
        assert_eq!(names(&maps[..maps.len() - 3]), ["/lib/a.so", "/lib/b.so"]);
    }

    #[test]
    fn a_mapping_that_grows_while_it_is_listed_is_listed_once() {
        let maps = "1000-3000 rw-p 00000000 00:00 0 \n1000-5000 rw-p 00000000 00:00 0 \n5000-6000 ---p 00000000 00:00 0 \n";
        let ranges: Vec<_> =
            read(maps.as_bytes()).unwrap().into_iter().map(|mapping| mapping.range).collect();
        assert_eq!(ranges, [0x1000..0x5000, 0x5000..0x6000]);
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for maps in
            ["x\n", "1-2 r-xp 0 08:01\n", "2-1 r--p 0 0:0 0\n", "1-2 r--p 0 0:0 0", "1-2 r--p 0 0:0 g\n"]
        {
            assert!(read(maps.as_bytes()).is_err(), "{maps}");
        }
    }

    #[test]
    fn our_own_are_as_many_as_are_counted() {
        let process = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        // Other tests map and unmap beside this one.
        let agree = || {
            process.mappings().into_seen().unwrap().len() as u64
                == process.mapping_count().into_seen().unwrap()
        };
        assert!((0..100).any(|_| agree()));
    }

    proptest! {
        #[test]
        fn garbled_lists_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mappings) = read(&*bytes) {
                prop_assert!(mappings.iter().all(|mapping| mapping.range.start < mapping.range.end));
            }
        }
    }
}
