//! The agent's side: one reader, and one question at a time.

use super::wire::{Answer, MAX_INLINE_BYTES, MAX_MESSAGE_BYTES, Numbered, Question};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, sendmsg, socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The argument by which a reader knows what it is.
pub const ARGUMENT: &str = "read-for-agent";

/// Questions that are on their way at the same time. With [`super::wire::MAX_SHORT_QUESTION_BYTES`] each, they fit into
/// what a socket holds by default, several times.
const IN_A_ROW: usize = 16;

/// How long a question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A reader that sleeps all the time waits for somebody who does not answer.
    pub asleep: Duration,
    /// One that runs, or would if it were its turn, has much to do.
    pub busy: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The reader waits and does not come back.
    Stuck,
    /// It is no longer there, or says what makes no sense.
    Broken,
}

/// A reader, and the way to it.
#[derive(Debug)]
pub struct Link {
    /// `None` in tests, where a thread answers.
    child: Option<Child>,
    socket: OwnedFd,
    shared: File,
    last_number: u64,
}

impl Link {
    /// Starts a reader: another process of this program.
    ///
    /// It has nothing of ours but its end of the socket and the shared memory, and ends when ours is closed.
    /// (`PR_SET_PDEATHSIG` would end it together with the thread that started it, and threads come and go.)
    ///
    /// # Errors
    /// Where the system lets us start no process.
    pub fn start(program: &Path) -> io::Result<Link> {
        let (ours, theirs, shared) = Link::way()?;
        let mut command = Command::new(program);
        command.arg0("watcher: reader").arg(ARGUMENT).env_clear().current_dir("/");
        // Of a process group of its own, so that what is typed at a terminal does not reach it.
        command.process_group(0);
        command.stdin(theirs).stdout(shared.try_clone()?).stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Link { child: Some(child), socket: ours, shared, last_number: 0 })
    }

    fn way() -> io::Result<(OwnedFd, OwnedFd, File)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let shared = File::from(memfd_create(c"watcher reader", MFdFlags::MFD_CLOEXEC)?);
        Ok((ours, theirs, shared))
    }

    /// A link whose other end is the caller's.
    #[cfg(test)]
    pub fn for_test() -> (Link, OwnedFd, File) {
        let (ours, theirs, shared) = Link::way().unwrap();
        let link = Link { child: None, socket: ours, shared: shared.try_clone().unwrap(), last_number: 0 };
        (link, theirs, shared)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The outer one where this reader is of no use any more, the inner one where it could not read what was asked for.
    pub fn ask(
        &mut self,
        question: Question,
        place: Option<BorrowedFd<'_>>,
        patience: Patience,
    ) -> Result<io::Result<Vec<u8>>, Lost> {
        self.last_number += 1;
        let number = self.last_number;
        self.send(&Numbered { number, body: question }.encode(), place)?;
        self.wait(patience)?;
        let mut message = vec![0; MAX_INLINE_BYTES.max(1024) + 64];
        let length = recv(&self.socket, &mut message[..], RecvFlags::DONTWAIT).map_err(|_| Lost::Broken)?.0;
        let answer = message.get(..length).and_then(Numbered::<Answer>::decode);
        match answer.filter(|answer| answer.number == number).ok_or(Lost::Broken)?.body {
            Answer::Bytes(bytes) => Ok(Ok(bytes)),
            Answer::Failed(errno) => Ok(Err(io::Error::from_raw_os_error(errno))),
            Answer::Shared(length) => {
                let mut bytes = vec![0; length];
                self.shared.read_exact_at(&mut bytes, 0).map_err(|_| Lost::Broken)?;
                Ok(Ok(bytes))
            }
        }
    }

    /// Asks one question after the other without waiting for each answer, of which none may be longer than
    /// [`MAX_INLINE_BYTES`], and tells `hear` each in their order.
    ///
    /// # Errors
    /// Where this reader is of no use any more: the first question that was not answered is at fault.
    pub fn ask_in_a_row(
        &mut self,
        questions: &[Question],
        patience: Patience,
        mut hear: impl FnMut(io::Result<Vec<u8>>),
    ) -> Result<(), Lost> {
        let first = self.last_number + 1;
        let (mut sent, mut message) = (0, vec![0; MAX_INLINE_BYTES.max(1024) + 64]);
        for heard in 0..questions.len() {
            for question in questions.iter().take(heard + IN_A_ROW).skip(sent) {
                self.last_number += 1;
                sent += 1;
                let numbered = Numbered { number: self.last_number, body: question.clone() };
                self.send(&numbered.encode(), None)?;
            }
            let length = loop {
                match recv(&self.socket, &mut message[..], RecvFlags::DONTWAIT) {
                    Ok((length, _)) => break length,
                    Err(rustix::io::Errno::AGAIN) => self.wait(patience)?,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return Err(Lost::Broken),
                }
            };
            let answer = message.get(..length).and_then(Numbered::<Answer>::decode);
            let is_next = |answer: &Numbered<Answer>| answer.number == first + heard as u64;
            match answer.filter(is_next).ok_or(Lost::Broken)?.body {
                Answer::Bytes(bytes) => hear(Ok(bytes)),
                Answer::Failed(errno) => hear(Err(io::Error::from_raw_os_error(errno))),
                // What is shared holds one answer at a time.
                Answer::Shared(_) => return Err(Lost::Broken),
            }
        }
        Ok(())
    }

    /// Says something to which there is no answer.
    pub fn tell(&mut self, question: Question) {
        self.last_number += 1;
        let message = Numbered { number: self.last_number, body: question };
        // Whoever asks next learns that the reader has gone.
        let _ = self.send(&message.encode(), None);
    }

    fn send(&self, message: &[u8], place: Option<BorrowedFd<'_>>) -> Result<(), Lost> {
        debug_assert!(message.len() <= MAX_MESSAGE_BYTES);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let places = place.map(|place| [place]);
        if let Some(places) = &places {
            ancillary.push(SendAncillaryMessage::ScmRights(places));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.socket, &[IoSlice::new(message)], &mut ancillary, flags).map_err(|_| Lost::Broken)?;
        Ok(())
    }

    fn wait(&self, patience: Patience) -> Result<(), Lost> {
        let began = Instant::now();
        loop {
            let timeout = Timespec::try_from(patience.asleep).map_err(|_| Lost::Broken)?;
            match poll(&mut [PollFd::new(&self.socket.as_fd(), PollFlags::IN)], Some(&timeout)) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return Err(Lost::Broken),
            }
            if !self.is_running() || began.elapsed() >= patience.busy {
                return Err(Lost::Stuck);
            }
        }
    }

    /// Whether it runs, or waits for its turn: then it is the machine that is slow.
    fn is_running(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let behind = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
        behind == Some(&b'R')
    }

    /// The pid of the reader.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Gives the reader up. What is left of it ends as soon as it can.
    pub fn leave_behind(self) -> Option<Child> {
        let mut child = self.child?;
        // What waits for a server that has the question already does not heed it before the server has answered.
        let _ = child.kill();
        match child.try_wait() {
            Ok(Some(_)) => None,
            _ => Some(child),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::serve::serve;
    use super::super::wire::{Answer, MAX_MESSAGE_BYTES, Numbered, Question};
    use super::{Link, Lost, Patience};
    use proptest::prelude::*;
    use rustix::net::{RecvFlags, SendFlags, recv, send};
    use std::io;
    use std::time::Duration;

    const SOON: Patience = Patience { asleep: Duration::from_millis(30), busy: Duration::from_millis(60) };
    const LONG: Patience = Patience { asleep: Duration::from_secs(20), busy: Duration::from_secs(20) };

    fn own_memory(of: &[u8]) -> Question {
        let pid = std::process::id().cast_signed();
        Question::Memory {
            pid,
            ranges: vec![(of.as_ptr().addr() as u64, u32::try_from(of.len()).unwrap()), (16, 2)],
        }
    }

    #[test]
    fn short_and_long_answers_come_whole() {
        let (mut link, theirs, shared) = Link::for_test();
        let server = std::thread::spawn(move || serve(&theirs, &shared));
        for length in [1, 100, 20 << 10, 3 << 20, 5] {
            let known: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let answer = link.ask(own_memory(&known), None, LONG).unwrap().unwrap();
            assert_eq!(answer[..2], [1, 0], "the second range is nowhere");
            assert!(answer[2..2 + length] == known[..]);
        }
        let gone = Question::Read { file: 99, offset: 0, length: 1 };
        assert_eq!(link.ask(gone, None, LONG).unwrap().unwrap_err().raw_os_error(), Some(libc::EBADF));
        drop(link);
        assert!(server.join().unwrap().is_ok(), "it ends when nobody asks any more");
    }

    #[test]
    fn many_questions_in_a_row_are_answered_in_their_order() {
        let (mut link, theirs, shared) = Link::for_test();
        let server = std::thread::spawn(move || serve(&theirs, &shared));
        let known: Vec<u8> = (0..100).collect();
        let questions: Vec<Question> = (0..100).map(|index| own_memory(&known[index..=index])).collect();
        let mut heard = Vec::new();
        link.ask_in_a_row(&questions, LONG, |answer| heard.push(answer.unwrap()[2])).unwrap();
        assert_eq!(heard, known);
        assert_eq!(
            link.ask(own_memory(&[7]), None, LONG).unwrap().unwrap()[2],
            7,
            "and nothing is left over"
        );
        drop(link);
        assert!(server.join().unwrap().is_ok());
    }

    #[test]
    fn of_many_in_a_row_the_first_without_an_answer_is_known() {
        let (mut link, theirs, _shared) = Link::for_test();
        for number in 1..=3_u64 {
            let answer = Numbered { number, body: Answer::Bytes(vec![1, 1, 7]) };
            send(&theirs, &answer.encode(), SendFlags::empty()).unwrap();
        }
        let questions = vec![own_memory(&[1]); 40];
        let mut heard = 0;
        assert!(matches!(link.ask_in_a_row(&questions, SOON, |_| heard += 1), Err(Lost::Stuck)));
        assert_eq!(heard, 3);
        drop(theirs);
        assert!(matches!(link.ask_in_a_row(&questions, SOON, |_| {}), Err(Lost::Broken)));
    }

    #[test]
    fn whoever_does_not_answer_is_given_up() {
        let (mut link, theirs, _shared) = Link::for_test();
        assert!(matches!(link.ask(own_memory(&[1]), None, SOON), Err(Lost::Stuck)));
        drop(theirs);
        assert!(matches!(link.ask(own_memory(&[1]), None, SOON), Err(Lost::Broken)));
    }

    #[test]
    fn a_late_answer_is_none_to_a_later_question() {
        let (mut link, theirs, _shared) = Link::for_test();
        assert!(matches!(link.ask(own_memory(&[1]), None, SOON), Err(Lost::Stuck)));
        let mut message = vec![0; MAX_MESSAGE_BYTES];
        let length = recv(&theirs, &mut message[..], RecvFlags::empty()).unwrap().0;
        let late = Numbered::<Question>::decode(&message[..length]).unwrap().number;
        let answer = Numbered { number: late, body: Answer::Bytes(vec![1, 1, 7]) };
        send(&theirs, &answer.encode(), SendFlags::empty()).unwrap();
        assert!(matches!(link.ask(own_memory(&[1]), None, SOON), Err(Lost::Broken)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn garbled_answers_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..64), right: bool, kind in 0_u8..4) {
            let (mut link, theirs, _shared) = Link::for_test();
            let mut answer = bytes.clone();
            if right {
                answer = [&1_u64.to_le_bytes()[..], &[kind], &bytes].concat();
            }
            send(&theirs, &answer, SendFlags::empty()).unwrap();
            match link.ask(own_memory(&[1]), None, SOON) {
                Ok(Ok(got)) => prop_assert!(right && kind == 0 && got == bytes),
                Ok(Err(error)) => prop_assert!(right && kind == 2 && error.raw_os_error().is_some()),
                Err(Lost::Broken) => {}
                Err(Lost::Stuck) => return Err(TestCaseError::fail("there was an answer")),
            }
        }
    }

    #[test]
    fn a_claim_to_more_than_there_is_in_the_shared_memory_is_refused() -> io::Result<()> {
        let (mut link, theirs, shared) = Link::for_test();
        shared.set_len(10)?;
        let answer = Numbered { number: 1, body: Answer::Shared(11) };
        send(&theirs, &answer.encode(), SendFlags::empty())?;
        assert!(matches!(link.ask(own_memory(&[1]), None, SOON), Err(Lost::Broken)));
        Ok(())
    }
}
