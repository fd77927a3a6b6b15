//! Whether what a process maps and runs lies where it answers by itself; see [`answering`].

use super::file::understood;
use super::{FileIdentity, ProcessDir, maps};
use crate::source::{answering, reader, target_file};
use crate::vocabulary::reading::Reading;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx};
use std::io;
use std::os::fd::OwnedFd;

/// Some hundred thousand mappings.
const MOST_MAPS_BYTES: usize = 64 << 20;

impl ProcessDir {
    /// Whether all that it maps is anonymous, or of file systems that answer by themselves.
    pub fn every_mapping_answers(&self) -> bool {
        let maps = target_file::open(self.pid, &self.dir, "maps", false);
        let text = maps.and_then(|mut maps| maps.read_rest(MOST_MAPS_BYTES));
        // A list that is longer than that is none that was read.
        let Some(text) = text.ok().filter(|text| text.len() < MOST_MAPS_BYTES) else { return false };
        let (Some(theirs), Some(own)) = (reader::mounts_of(self.pid), reader::own_mounts()) else {
            return false;
        };
        let kernels = answering::kernels_own_devices();
        let answers = |device: &answering::Device| kernels.contains(device) || theirs.answers(*device, &own);
        maps::devices(&text).iter().all(answers)
    }

    /// The executable's place, held, if its file system answers by itself. Nothing of it is read.
    pub fn executable_that_answers(&self) -> Reading<OwnedFd> {
        let mounts = || understood(reader::mounts_of(self.pid).zip(reader::own_mounts()));
        let hold = || -> io::Result<OwnedFd> {
            // By the reader first: where a server has to say whether it is still there, it may not.
            let device = reader::identify_file(self.pid, &self.dir, "exe")?.device();
            let (theirs, own) = mounts()?;
            understood(theirs.answers(device, &own).then_some(()))?;
            let held = openat(&self.dir, "exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
            let stat = statx(&held, "", flags, StatxFlags::BASIC_STATS)?;
            understood((FileIdentity::from_statx(&stat).device() == device).then_some(held))
        };
        hold().into()
    }

    /// Whether which file an executable on this device is can be told without asking a server. FUSE keeps that in mind;
    /// network file systems ask whether it is still there.
    pub fn executable_is_quick(&self, identity: &FileIdentity) -> bool {
        let mounts = reader::mounts_of(self.pid).zip(reader::own_mounts());
        mounts.is_some_and(|(theirs, own)| theirs.is_quick(identity.device(), &own))
    }
}
