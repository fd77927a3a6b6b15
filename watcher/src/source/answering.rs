//! Which file systems answer by themselves, known without touching any file of them.
//!
//! A page or a file of a file system that some server stands behind (FUSE, NFS) comes when the server likes. The kernel
//! waits for it in a way that nothing ends, not even SIGKILL: whoever asks has to know before. What the kernel says of
//! mounts and mappings is enough, and reading that asks nobody. Only what is on the list answers by itself; what is not
//! known is not on it.

use crate::vocabulary::process::printable;
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// File systems that need nobody but the kernel and its block devices.
const LOCAL: [&str; 40] = [
    "bcachefs",
    "bdev",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "cramfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "hugetlbfs",
    "iso9660",
    "jfs",
    "minix",
    "mqueue",
    "msdos",
    "nilfs2",
    "ntfs3",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
    "zonefs",
];
/// Its layers decide.
const OVERLAY: &str = "overlay";
/// An overlay may lie on an overlay; the kernel stacks two (`FILESYSTEM_MAX_STACK_DEPTH`).
const DEEPEST_STACK: usize = 3;

/// Major and minor number of a device.
pub type Device = (u32, u32);

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device number of its file system: of files, mappings and mounts the same.
    pub device: Device,
    /// Where it is mounted, as the process sees it.
    pub point: Vec<u8>,
    /// Type of the file system.
    pub kind: String,
    /// Of an overlay, the directories it consists of.
    layers: Vec<Vec<u8>>,
}

impl Mount {
    /// `fuse.sshfs at /mnt/x`, printable form.
    pub fn place(&self) -> String {
        format!("{} at {}", printable(self.kind.as_bytes()), printable(&self.point))
    }
}

/// The mounts of one mount namespace.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    mounts: Vec<Mount>,
    by_device: HashMap<Device, usize>,
}

impl Mounts {
    /// From `/proc/PID/mountinfo`. Lines that make no sense are left out: what is on them is then not known to answer.
    pub fn parse(text: &[u8]) -> Mounts {
        let mounts: Vec<Mount> = text.split(|byte| *byte == b'\n').filter_map(mount).collect();
        let by_device = mounts.iter().enumerate().map(|(index, mount)| (mount.device, index)).collect();
        Mounts { mounts, by_device }
    }

    /// A mount of the file system with this device number.
    pub fn of_device(&self, device: Device) -> Option<&Mount> {
        self.by_device.get(&device).and_then(|index| self.mounts.get(*index))
    }

    /// The mount on which a path lies, by its text alone.
    pub fn of_path(&self, path: &[u8]) -> Option<&Mount> {
        let holds = |mount: &&Mount| {
            let rest = path.strip_prefix(mount.point.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || mount.point == b"/")
        };
        // Of several at the same point the last covers the others.
        self.mounts.iter().filter(holds).max_by_key(|mount| mount.point.len())
    }

    /// Whether the file system with this device number answers by itself. `own` are the mounts of our own namespace:
    /// only there do the names of an overlay's layers say where these lie, and only what is mounted there was mounted
    /// by somebody whose names we can believe.
    pub fn answers(&self, device: Device, own: &Mounts) -> bool {
        let Some(mount) = self.of_device(device).or_else(|| own.of_device(device)) else { return false };
        match mount.kind.as_str() {
            OVERLAY => own.of_device(device).is_some_and(|mount| own.layers_answer(mount, DEEPEST_STACK)),
            kind => LOCAL.contains(&kind),
        }
    }

    /// Whether it can be told without asking a server which file of it is open: FUSE keeps that in mind, network file
    /// systems make sure first that it is still there (`d_weak_revalidate`).
    pub fn is_quick(&self, device: Device, own: &Mounts) -> bool {
        let is_fuse = |kind: &str| kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
        let mount = self.of_device(device).or_else(|| own.of_device(device));
        self.answers(device, own) || mount.is_some_and(|mount| is_fuse(&mount.kind))
    }

    fn layers_answer(&self, overlay: &Mount, depth: usize) -> bool {
        let answers = |layer: &Vec<u8>| {
            let mount = self.of_path(layer).filter(|_| layer.starts_with(b"/"));
            mount.is_some_and(|mount| match mount.kind.as_str() {
                OVERLAY => depth > 0 && self.layers_answer(mount, depth - 1),
                kind => LOCAL.contains(&kind),
            })
        };
        !overlay.layers.is_empty() && overlay.layers.iter().all(answers)
    }
}

/// The devices of what the kernel keeps without a mount: memory that is shared, and what has no file.
pub fn kernels_own_devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let shared = memfd_create(c"device", MFdFlags::MFD_CLOEXEC).ok();
        let without_file = eventfd(0, EventfdFlags::CLOEXEC).ok();
        let device = |fd: OwnedFd| {
            let stat =
                statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
            Some((stat.stx_dev_major, stat.stx_dev_minor))
        };
        [shared, without_file].into_iter().flatten().filter_map(device).collect()
    })
}

/// `id parent major:minor root point options [fields] - type source super-options`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let device = std::str::from_utf8(words.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescaped(words.nth(1)?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let kind = String::from_utf8_lossy(words.next()?).into_owned();
    let options = words.nth(1).unwrap_or_default();
    let layers = if kind == OVERLAY { layers(options) } else { Vec::new() };
    Some(Mount { device: (major.parse().ok()?, minor.parse().ok()?), point, kind, layers })
}

/// The directories in the options of an overlay: `lowerdir=/a:/b,upperdir=/c,workdir=/d`, and `lowerdir+=/a` (since
/// Linux 6.8) for each.
fn layers(options: &[u8]) -> Vec<Vec<u8>> {
    let mut layers = Vec::new();
    for option in options.split(|byte| *byte == b',') {
        let Some(at) = option.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&option[..at], unescaped(&option[at + 1..]));
        match name {
            b"lowerdir" => {
                let parts = value.split(|byte| *byte == b':').filter(|part| !part.is_empty());
                layers.extend(parts.map(<[u8]>::to_vec));
            }
            b"lowerdir+" | b"datadir+" | b"upperdir" | b"workdir" => layers.push(value),
            _ => {}
        }
    }
    layers
}

/// The kernel writes blanks, newlines and backslashes as three octal digits (`seq_escape`).
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<3>().filter(|_| *byte == b'\\');
        let octal = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(octal.unwrap_or(*byte));
        rest = if octal.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Mounts, unescaped};
    use proptest::prelude::*;

    const OWN: &str = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        22 21 0:5 / /dev rw - devtmpfs udev rw\n\
        23 21 0:31 / /home rw,relatime shared:5 - nfs4 server:/home rw,addr=10.0.0.1\n\
        24 21 0:40 / /mnt/my\\040disk rw shared:7 - fuse.sshfs me@there: rw,user_id=0\n\
        25 21 0:50 / /run/c1/rootfs rw - overlay overlay rw,lowerdir=/var/l/A:/var/l/B,upperdir=/var/u,workdir=/var/w\n\
        26 21 0:51 / /run/c2/rootfs rw - overlay overlay rw,lowerdir=/mnt/my\\040disk/l:/var/l/B,upperdir=/var/u\n\
        27 21 0:52 / /run/c3/rootfs rw - overlay overlay rw,lowerdir+=/run/c1/rootfs/x,upperdir=/var/u\n\
        28 21 0:53 / /run/c4/rootfs rw - overlay overlay rw,lowerdir=l/A,upperdir=/var/u\n\
        29 21 0:54 / /run/c5/rootfs rw - overlay overlay rw,relatime\n\
        30 21 0:60 / /new rw - someday none rw\n";

    fn own() -> Mounts {
        Mounts::parse(OWN.as_bytes())
    }

    #[test]
    fn only_what_is_known_to_answer_answers() {
        let own = own();
        for (device, answers) in [
            ((8, 1), true),
            ((0, 5), true),
            ((0, 31), false), // NFS
            ((0, 40), false), // FUSE
            ((0, 60), false), // a type that nobody knows
            ((0, 99), false), // no mount at all: detached, or of another namespace
            ((0, 50), true),  // an overlay on the disk
            ((0, 51), false), // one layer on FUSE
            ((0, 52), true),  // an overlay on an overlay
            ((0, 53), false), // layers by names that say nothing here
            ((0, 54), false), // no layers told
        ] {
            assert_eq!(own.answers(device, &own), answers, "{device:?}");
        }
    }

    #[test]
    fn a_container_sees_its_own_mounts_and_its_overlay_is_known_by_ours() {
        let theirs = "91 1 0:50 / / rw - overlay overlay rw,lowerdir=/x\n92 91 0:70 / /data rw - fuse.s3 s3 rw\n\
            93 91 0:71 / /o rw - overlay overlay rw,lowerdir=/ok,upperdir=/ok\n94 91 0:72 / /t rw - tmpfs t rw\n";
        let theirs = Mounts::parse(theirs.as_bytes());
        assert!(theirs.answers((0, 50), &own()));
        assert!(theirs.answers((0, 72), &own()));
        assert!(!theirs.answers((0, 70), &own()));
        assert!(!theirs.answers((0, 71), &own()), "whoever mounted it chose the names");
        assert!(theirs.answers((8, 1), &own()), "mapped before it went into its container");
    }

    #[test]
    fn paths_lie_on_the_mount_that_is_nearest() {
        let own = own();
        let place = |path: &str| own.of_path(path.as_bytes()).map(super::Mount::place);
        assert_eq!(place("/mnt/my disk/bin/shop").as_deref(), Some("fuse.sshfs at /mnt/my disk"));
        assert_eq!(place("/mnt/my disk").as_deref(), Some("fuse.sshfs at /mnt/my disk"));
        assert_eq!(place("/mnt/my disks").as_deref(), Some("ext4 at /"));
        assert_eq!(place("/home/me/shop").as_deref(), Some("nfs4 at /home"));
        assert_eq!(place("homeless"), None);
    }

    #[test]
    fn the_machine_that_this_runs_on_answers() {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let mounts = Mounts::parse(&text);
        let proc = mounts.of_path(b"/proc/self").unwrap();
        assert_eq!(proc.kind, "proc");
        assert!(mounts.answers(proc.device, &mounts));
    }

    proptest! {
        #[test]
        fn garbage_is_none_that_answers(bytes in prop::collection::vec(any::<u8>(), 0..300), major: u32, minor: u32) {
            let mounts = Mounts::parse(&bytes);
            let _ = mounts.answers((major, minor), &mounts);
            let _ = mounts.of_path(&bytes);
            let _ = unescaped(&bytes);
        }

        #[test]
        fn a_garbled_line_takes_nothing_for_answering_that_does_not(at in 0_usize..OWN.len(), byte: u8) {
            let mut text = OWN.as_bytes().to_vec();
            let line = OWN[..at].matches('\n').count();
            text[at] = byte;
            // All but the line that was garbled, and the one that it may have run into.
            let garbled = Mounts::parse(&text);
            for (index, device) in [(2, (0, 31)), (3, (0, 40)), (9, (0, 60))] {
                if index != line && index != line + 1 {
                    prop_assert!(!garbled.answers(device, &garbled) || garbled.of_device(device).unwrap().kind != "nfs4");
                }
            }
        }
    }
}
