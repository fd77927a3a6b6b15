use super::{Chains, Sitters, Starter, Starters, Texts, join};
use crate::capture::named::Named;
use crate::capture::starters::tests::Names;
use crate::ledger::descriptor_book::{DescriptorBook, Opening, Scan};
use crate::observed::ledger::Route;
use crate::source::kernel::ledger::{RawDescriptor, RawLedger, RawSite, RawTally};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId, WalkedStack};
use crate::vocabulary::reading::Moment;
use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
use expect_test::expect;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn at(seconds: u64) -> Moment {
    let since_boot = Duration::from_secs(seconds);
    Moment { since_boot, wall: SystemTime::UNIX_EPOCH + since_boot }
}

fn stack(functions: &[&str]) -> Arc<[Frame]> {
    functions.iter().map(|function| Frame::new(function, "f.go", 1)).collect()
}

const WORKER: CreatingGoroutine = CreatingGoroutine { id: 20, parent_id: Some(1), created_at: 0x100 };

fn noted(fd: i32, by: Option<u64>, goroutine: Option<CreatingGoroutine>, opened: u64) -> RawDescriptor {
    let origin = Origin { stack: by.map(StackId), tid: 9, goroutine };
    RawDescriptor { fd, inode: Some(1), at: Duration::from_secs(opened), origin, weight: 1, file: None }
}

fn file(fd: i32, opening: Opening) -> (OpenDescriptor, Opening) {
    (OpenDescriptor { pid: 9, fd, kind: DescriptorType::File, inode: 1, socket: None }, opening)
}

fn socket(fd: i32, peer: &str, opening: Opening) -> (OpenDescriptor, Opening) {
    let socket = Socket {
        family: Family::Inet,
        transport: Transport::Tcp,
        state: SocketState::CloseWait,
        local: "10.0.0.1:40000".parse().ok(),
        peer: peer.parse().ok(),
        path: None,
    };
    let kind = DescriptorType::Socket;
    (OpenDescriptor { pid: 9, fd, kind, inode: 1, socket: Some(socket) }, opening)
}

fn site(created: u64, ended: u64) -> RawSite {
    let longest_ended = (ended > 0).then_some(Duration::from_secs(2));
    RawSite { stack: WalkedStack::default(), created, ended, longest_ended }
}

#[test]
fn sites_say_what_they_opened_and_what_of_it_is_left() {
    let raw = RawLedger {
        began: at(10),
        route: Route::SystemCalls,
        things: Vec::new(),
        // The second is the same line by another way through the machine code; nothing of the fourth is left.
        sites: [(1, site(5, 3)), (2, site(2, 0)), (3, site(3, 0)), (4, site(7, 7))]
            .map(|(id, site)| (StackId(id), site))
            .into(),
        tally: RawTally { created: 2, ended: 1, unsampled: 0, lost: 4 },
        one_in: 1,
    };
    let scan = Scan {
        open: vec![
            file(3, Opening::Before),
            file(4, Opening::Missed),
            file(5, Opening::Noted(noted(5, Some(1), None, 40))),
            file(6, Opening::Noted(noted(6, Some(1), None, 90))),
            file(7, Opening::Noted(noted(7, Some(2), None, 20))),
            socket(8, "10.0.0.5:5432", Opening::Noted(noted(8, Some(3), Some(WORKER), 50))),
            socket(9, "10.0.0.5:5432", Opening::Noted(noted(9, Some(3), Some(WORKER), 60))),
            file(10, Opening::Noted(noted(10, None, None, 70))),
        ],
        stale: vec![noted(30, Some(3), Some(WORKER), 55)],
        // Opened when the table had been read: neither there nor gone.
        young: vec![noted(40, Some(2), None, 101)],
    };
    let named = |functions: &[&str]| Named { frames: stack(functions), native: 0 };
    let texts = Texts {
        stacks: HashMap::from([
            (StackId(1), named(&["os.Open", "main.keep"])),
            (StackId(2), named(&["os.Open", "main.keep"])),
            (StackId(3), named(&["net.Dial", "main.work"])),
            (StackId(4), named(&["os.Open", "main.tidy"])),
        ]),
        chains: Chains::of(
            [Starter::goroutine(&WORKER)].into_iter(),
            Starters::default(),
            &mut Names { statements: [(WORKER.created_at, "main.main")].into(), ..Names::default() },
        ),
        // Two wait for one descriptor, one for another, and one for something that was open before.
        sitters: Sitters {
            stacks: HashMap::from([
                (3, vec![stack(&["main.idle"])]),
                (8, vec![stack(&["net.Read", "main.hear"]), stack(&["net.Write", "main.speak"])]),
                (9, vec![stack(&["net.Read", "main.hear"])]),
            ]),
            unknown: Some(1),
        },
    };
    let opened = join(&mut DescriptorBook::default(), at(100), &raw, scan, &texts, &HashSet::new());
    let mut text = format!("{:?}\n", opened.ledger.accounts);
    for site in &opened.ledger.sites {
        let functions = |frames: &[Frame]| {
            frames.iter().map(|frame| frame.function.to_string()).collect::<Vec<_>>().join(" < ")
        };
        let _ = writeln!(
            text,
            "{} ({}): {} created, {} ended within {:?}, {} left of {:?} to {:?}, {:?} {:?} {:?}",
            functions(&site.stack),
            site.started_by.iter().map(|frames| functions(frames)).collect::<String>(),
            site.created,
            site.ended,
            site.longest_ended,
            site.outstanding,
            site.oldest,
            site.youngest,
            site.what.types,
            site.what.connections.iter().map(|(key, count)| (key.state, count)).collect::<Vec<_>>(),
            site.what.waiting.iter().map(|(stack, count)| (functions(stack), count)).collect::<Vec<_>>(),
        );
    }
    for one in &opened.each {
        let opened = one.opened_at.map(|at| at.since_boot);
        let waiting = one.waiting.len();
        let _ =
            writeln!(text, "{} site {:?} opened {opened:?}, {waiting} waiting", one.descriptor.fd, one.site);
    }
    let _ = writeln!(text, "{:?} elsewhere", opened.waiting_elsewhere);
    expect![[r#"
        Accounts { outstanding: 8, before: 1, missed: 1, without_stack: 1, copies: 0, created: 18, ended: 12, corrected: 0, lost: 4, one_in: 1 }
        os.Open < main.keep (): 6 created, 3 ended within Some(2s), 3 left of 80s to 10s, [(File, 3)] [] []
        net.Dial < main.work (main.main): 3 created, 1 ended within None, 2 left of 50s to 40s, [(Socket, 2)] [(CloseWait, 2)] [("net.Read < main.hear", 2), ("net.Write < main.speak", 1)]
         (): 1 created, 0 ended within None, 1 left of 30s to 30s, [(File, 1)] [] []
        os.Open < main.tidy (): 7 created, 7 ended within Some(2s), 0 left of 0ns to 0ns, [] [] []
        3 site None opened None, 1 waiting
        4 site None opened None, 0 waiting
        5 site Some(0) opened Some(40s), 0 waiting
        6 site Some(0) opened Some(90s), 0 waiting
        7 site Some(0) opened Some(20s), 0 waiting
        8 site Some(1) opened Some(50s), 2 waiting
        9 site Some(1) opened Some(60s), 1 waiting
        10 site None opened Some(70s), 0 waiting
        Some(1) elsewhere
    "#]].assert_eq(&text);
}
