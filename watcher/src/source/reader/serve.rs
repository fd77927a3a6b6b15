//! The reader's side: it answers one question after the other until nobody asks any more.

use super::wire::{Answer, MAX_INLINE_BYTES, MAX_MESSAGE_BYTES, Numbered, Question, encode_file};
use crate::source::proc::FileIdentity;
use crate::source::process_vm::{probe_directly, read_directly};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags, openat, statx};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Files that are kept open; what was opened first is closed where there are more.
const MAX_OPEN_FILES: usize = 64;

/// Answers what is asked through `socket`; long answers are put into `shared`. Returns when the other end is closed.
///
/// # Errors
/// Where the socket cannot be used.
pub fn serve(socket: &OwnedFd, shared: &File) -> io::Result<()> {
    let mut open = OpenFiles::default();
    let mut message = vec![0; MAX_MESSAGE_BYTES];
    loop {
        let (length, place) = match receive(socket, &mut message) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(());
        }
        let Some(Numbered { number, body }) = message.get(..length).and_then(Numbered::<Question>::decode)
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let is_answered = !matches!(body, Question::Close { .. });
        let answered = answer(body, place.as_ref(), &mut open);
        if !is_answered {
            continue;
        }
        let body = match answered {
            Ok(bytes) if bytes.len() <= MAX_INLINE_BYTES => Answer::Bytes(bytes),
            Ok(bytes) => match shared.write_all_at(&bytes, 0) {
                Ok(()) => Answer::Shared(bytes.len()),
                Err(error) => failed(&error),
            },
            Err(error) => failed(&error),
        };
        send(socket, &Numbered { number, body }.encode(), SendFlags::NOSIGNAL)?;
    }
}

/// The directory that came with a question, if one did.
fn receive(socket: &OwnedFd, message: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(message)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut place = None;
    for ancillary in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = ancillary {
            place = descriptors.next();
        }
    }
    Ok((received.bytes, place))
}

fn failed(error: &io::Error) -> Answer {
    let errno = error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::InvalidData => libc::EINVAL,
        _ => libc::EIO,
    });
    Answer::Failed(errno)
}

fn answer(question: Question, place: Option<&OwnedFd>, open: &mut OpenFiles) -> io::Result<Vec<u8>> {
    let place = || place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
    match question {
        Question::Memory { pid, ranges } => Ok(memory(pid, &ranges)),
        Question::Probe { pid, address } => probe_directly(pid, address).map(|()| Vec::new()),
        Question::Identify { name } => {
            // Not to ask the server is enough, and it may not answer.
            let stat = statx(place()?, &name, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?;
            Ok(encode_file(0, FileIdentity::from_statx(&stat).numbers()))
        }
        Question::Open { name, is_ordinary } => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = File::from(openat(place()?, &name, flags, Mode::empty())?);
            let all = StatxFlags::BASIC_STATS;
            let stat = statx(file.as_fd(), "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, all)?;
            if is_ordinary && FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let number = open.keep(file);
            Ok(encode_file(number, FileIdentity::from_statx(&stat).numbers()))
        }
        Question::Read { file, offset, length } => {
            let file = open.files.get(&file).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
            let mut bytes = vec![0; length as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Also where something was read before: less than was asked for means that there is no more.
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        }
        Question::Close { file } => {
            open.files.remove(&file);
            Ok(Vec::new())
        }
    }
}

fn memory(pid: i32, ranges: &[(u64, u32)]) -> Vec<u8> {
    let ranges: Vec<(u64, usize)> =
        ranges.iter().map(|(address, length)| (*address, *length as usize)).collect();
    let total: usize = ranges.iter().map(|(_, length)| length).sum();
    let mut answer = vec![0; ranges.len() + total];
    let (flags, bytes) = answer.split_at_mut(ranges.len());
    let mut readable = Vec::new();
    read_directly(pid, &ranges, bytes, &mut readable);
    for (flag, readable) in flags.iter_mut().zip(readable) {
        *flag = u8::from(readable);
    }
    answer
}

#[derive(Default)]
struct OpenFiles {
    files: BTreeMap<u64, File>,
    last: u64,
}

impl OpenFiles {
    fn keep(&mut self, file: File) -> u64 {
        self.last += 1;
        if self.files.len() >= MAX_OPEN_FILES {
            self.files.pop_first();
        }
        self.files.insert(self.last, file);
        self.last
    }
}
