use super::{DescriptorBook, Noted, Opening};
use crate::source::kernel::ledger::RawDescriptor;
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::origin::Origin;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
use std::time::{Duration, SystemTime};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn file(fd: i32, inode: u64) -> OpenDescriptor {
    OpenDescriptor { pid: 7, fd, kind: DescriptorType::File, inode, socket: None }
}

fn note(fd: i32, inode: u64, at: u64) -> RawDescriptor {
    let origin = Origin { stack: None, tid: 7, goroutine: None };
    RawDescriptor { fd, inode: Some(inode), at: seconds(at), origin, weight: 1, file: None }
}

/// Opened, before, missed, left out, and those that are stale.
type Told = (Vec<i32>, Vec<i32>, Vec<i32>, Vec<i32>, Vec<i32>);

/// What a scan at second 100 makes of it.
fn told(
    book: &mut DescriptorBook,
    before: &[RawDescriptor],
    open: Vec<OpenDescriptor>,
    after: &[RawDescriptor],
) -> Told {
    let noted = Noted { before, after, since: seconds(100) };
    let scan = book.scan(open, &noted, |fd| fd == 99);
    let those = |wanted: fn(&Opening) -> bool| {
        let found = scan.open.iter().filter(|(_, opening)| wanted(opening));
        found.map(|(descriptor, _)| descriptor.fd).collect::<Vec<i32>>()
    };
    let mut stale: Vec<i32> = scan.stale.iter().map(|raw| raw.fd).collect();
    stale.sort_unstable();
    (
        those(|it| matches!(it, Opening::Noted(_))),
        those(|it| *it == Opening::Before),
        those(|it| *it == Opening::Missed),
        those(|it| *it == Opening::LeftOut),
        stale,
    )
}

#[test]
fn every_descriptor_is_accounted_for_once() {
    let noted = [note(4, 40, 50), note(5, 51, 60), note(6, 60, 70)];
    // 3 was there before; 4 was opened between the beginning of the watching and of the book.
    let mut book = DescriptorBook::begin(vec![file(3, 30), file(4, 40)], &noted[..1]);
    // 5 was closed and given to another file, both unseen; 6 was closed unseen; 8 was opened unseen.
    let open = vec![file(3, 30), file(4, 40), file(5, 52), file(8, 80), file(99, 1)];
    assert_eq!(told(&mut book, &noted, open, &noted), (vec![4], vec![3], vec![5, 8], vec![99], vec![5, 6]));
    assert_eq!(book.corrected(), 2);
}

#[test]
fn what_comes_and_goes_during_a_scan_is_no_difference() {
    let mut book = DescriptorBook::begin(Vec::new(), &[]);
    let before = [note(3, 30, 50), note(4, 40, 50), note(6, 60, 50)];
    // 4 is closed after the table was read, 5 opened before that; 6 is closed before and another opened after it.
    let after = [note(3, 30, 50), note(5, 50, 101), note(6, 61, 102), note(7, 70, 103)];
    let open = vec![file(3, 30), file(4, 40), file(5, 50)];
    let told = told(&mut book, &before, open.clone(), &after);
    assert_eq!(told, (vec![3, 4, 5], vec![], vec![], vec![], vec![]));
    assert_eq!(book.corrected(), 0);
    let noted = Noted { before: &before, after: &after, since: seconds(100) };
    let mut young: Vec<i32> = book.scan(open, &noted, |_| false).young.iter().map(|raw| raw.fd).collect();
    young.sort_unstable();
    assert_eq!(young, [6, 7], "opened and not there yet is not closed");
}

#[test]
fn what_was_there_before_is_so_only_until_it_is_closed() {
    let mut book = DescriptorBook::begin(vec![file(3, 30), file(4, 40)], &[]);
    assert_eq!(told(&mut book, &[], vec![file(3, 30)], &[]).1, [3]);
    // 4 is back, unseen, with the same file.
    let noted = [note(3, 30, 90)];
    let told = told(&mut book, &noted, vec![file(3, 30), file(4, 40)], &noted);
    assert_eq!((told.0, told.1, told.2), (vec![3], vec![], vec![4]));
}

#[test]
fn what_is_stale_is_corrected_once() {
    let mut book = DescriptorBook::begin(Vec::new(), &[]);
    for (noted, corrected) in [(note(3, 30, 50), 1), (note(3, 30, 50), 1), (note(3, 30, 60), 2)] {
        told(&mut book, &[noted], Vec::new(), &[noted]);
        assert_eq!(book.corrected(), corrected);
    }
}

#[test]
fn a_socket_is_in_its_state_since_it_was_first_seen_in_it() {
    let socket = |inode, state| OpenDescriptor {
        socket: Some(Socket {
            family: Family::Inet,
            transport: Transport::Tcp,
            state,
            local: None,
            peer: None,
            path: None,
        }),
        kind: DescriptorType::Socket,
        ..file(3, inode)
    };
    let mut book = DescriptorBook::default();
    for (at, socket, since) in [
        (10, socket(30, SocketState::Established), 10),
        (20, socket(30, SocketState::Established), 10),
        (30, socket(30, SocketState::CloseWait), 30),
        (40, socket(30, SocketState::CloseWait), 30),
        // Another socket at the same number.
        (50, socket(31, SocketState::CloseWait), 50),
    ] {
        let at = Moment { since_boot: seconds(at), wall: SystemTime::UNIX_EPOCH };
        let states = book.states(at, std::iter::once(&socket));
        assert_eq!(states[&3].since_boot, seconds(since), "at {at:?}");
    }
}

#[test]
fn the_pace_is_that_since_the_last_scan() {
    let mut book = DescriptorBook::default();
    assert_eq!(book.pace(500, seconds(10)), None);
    assert_eq!(book.pace(1_500, seconds(12)), Some(500));
    assert_eq!(book.pace(1_500, seconds(12)), None);
}
