//! A small world for tests: things that come and go at stacks, and what ledgers say of them at any second.

use crate::judge::simulation::moment;
use crate::observed::connections::{ConnectionKey, Peer, Role};
use crate::observed::ledger::{Accounts, Descriptors, Ledger, Route, Site};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use std::sync::Arc;
use std::time::Duration;

/// A stack, innermost first, and whoever started its goroutine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub stack: &'static [&'static str],
    pub started_by: &'static [&'static [&'static str]],
}

pub const POLL: Place = Place {
    stack: &[
        "syscall.socket",
        "net.socket",
        "net.(*Dialer).Dial",
        "main.pollUpstream",
        "main.main",
        "runtime.main",
    ],
    started_by: &[],
};
pub const LOOKUP: Place = Place {
    stack: &["syscall.socket", "net.socket", "net.Dial", "main.lookup", "runtime.goexit"],
    started_by: &[],
};
pub const TRANSPORT: Place = Place {
    stack: &[
        "syscall.socket",
        "net.socket",
        "net/http.(*Transport).dialConn",
        "net/http.(*Transport).dialConnFor",
    ],
    started_by: &[&[
        "net/http.(*Transport).startDialConnForLocked",
        "net/http.(*Client).Get",
        "main.fetch",
        "main.main",
    ]],
};
pub const READ: Place = Place {
    stack: &["syscall.openat", "os.Open", "main.readHeader", "main.take", "runtime.goexit"],
    started_by: &[],
};
pub const LOG: Place =
    Place { stack: &["syscall.openat", "os.OpenFile", "main.log", "runtime.goexit"], started_by: &[] };

/// One thing: who made it, when it came and when it went, in seconds of the window.
#[derive(Clone, Copy, Debug)]
pub struct Thing {
    pub place: Option<Place>,
    pub born: f64,
    pub dies: f64,
}

pub const NEVER: f64 = f64::INFINITY;

pub fn thing(place: Place, born: f64, dies: f64) -> Thing {
    Thing { place: Some(place), born, dies }
}

/// What came before anybody watched.
pub fn older(dies: f64) -> Thing {
    Thing { place: None, born: -600.0, dies }
}

/// So many a second for the whole window, each for this long.
pub fn every(per_second: f64, place: Place, lives: f64) -> Vec<Thing> {
    let births = (0..).map(|number| (f64::from(number) + 0.5) / per_second).take_while(|born| *born < 45.0);
    births.map(|born| thing(place, born, born + lives)).collect()
}

pub fn frames(functions: &[&str]) -> Arc<[Frame]> {
    (1..).zip(functions).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect()
}

/// What the ledger says at a second, by what truly is.
pub fn ledger<T>(second: f64, things: &[Thing], what: impl Fn(&Place, u64) -> T) -> Ledger<T> {
    let lives = |it: &&Thing| it.born <= second && it.dies > second;
    let duration = |seconds: f64| Duration::from_secs_f64(seconds.max(0.0));
    let mut places: Vec<Place> = Vec::new();
    for place in things.iter().filter(|it| it.born <= second).filter_map(|it| it.place) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let sites: Vec<Site<T>> = places
        .iter()
        .map(|place| {
            let of = || things.iter().filter(|it| it.place == Some(*place) && it.born <= second);
            let ages: Vec<f64> = of().filter(lives).map(|it| second - it.born).collect();
            let ended: Vec<f64> = of().filter(|it| it.dies <= second).map(|it| it.dies - it.born).collect();
            Site {
                stack: frames(place.stack),
                started_by: place.started_by.iter().map(|stack| frames(stack)).collect(),
                created: of().count() as u64,
                ended: ended.len() as u64,
                outstanding: ages.len() as u64,
                oldest: duration(ages.iter().copied().fold(0.0, f64::max)),
                youngest: duration(ages.iter().copied().fold(second, f64::min)),
                longest_ended: ended.iter().copied().reduce(f64::max).map(duration),
                what: what(place, ages.len() as u64),
            }
        })
        .collect();
    let before = things.iter().filter(|it| it.place.is_none()).filter(lives).count() as u64;
    let sum = |of: fn(&Site<T>) -> u64| sites.iter().map(of).sum::<u64>();
    Ledger {
        at: moment(second),
        began: moment(0.0),
        route: Route::Exact,
        accounts: Accounts {
            outstanding: before + sum(|site| site.outstanding),
            before,
            created: sum(|site| site.created),
            ended: sum(|site| site.ended),
            one_in: 1,
            ..Accounts::default()
        },
        sites,
    }
}

pub fn sockets(_: &Place, outstanding: u64) -> Descriptors {
    let key = ConnectionKey {
        family: Family::Inet,
        transport: Transport::Tcp,
        state: SocketState::Established,
        role: Role::Dialled,
        peer: Peer::Server { ip: [127, 0, 0, 1].into(), port: 8081 },
    };
    match outstanding {
        0 => Descriptors::default(),
        _ => Descriptors {
            types: vec![(DescriptorType::Socket, outstanding)],
            connections: vec![(key, outstanding)],
            waiting: Vec::new(),
        },
    }
}

pub fn files(_: &Place, outstanding: u64) -> Descriptors {
    let types = if outstanding == 0 { Vec::new() } else { vec![(DescriptorType::File, outstanding)] };
    Descriptors { types, ..Descriptors::default() }
}

pub fn alive(things: &[Thing], second: usize) -> u64 {
    alive_at(things, second as f64)
}

pub fn alive_at(things: &[Thing], second: f64) -> u64 {
    things.iter().filter(|it| it.born <= second && it.dies > second).count() as u64
}
