//! How old the things are that a process holds, as far as one look can tell.
//!
//! A process that has leaked for an hour shows it in the first second: its oldest threads, sockets and files tell since
//! when they are there. What no kernel notes has no age here; nothing is guessed.

use super::connections::{Peer, Role};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use serde::{Deserialize, Serialize};

/// Members of a cohort that are kept one by one. Of more, every so many-th by age is kept, so that the shape stays.
pub const MAX_MEMBERS: usize = 512;
/// Cohorts that are kept, the largest first.
pub const MAX_COHORTS: usize = 64;
/// Fewer alike are no cohort.
pub const LEAST_MEMBERS: usize = 8;

/// What one look at a process tells of ages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ages {
    /// When it was taken.
    pub at: Moment,
    /// How long the process had lived then, in seconds.
    pub process_seconds: f64,
    /// Things of one kind from one place, the largest cohort first.
    pub cohorts: Vec<Cohort>,
    /// Things of which there were fewer than [`LEAST_MEMBERS`] alike.
    pub single: u64,
    /// Things that were not looked at: too many.
    pub beyond: u64,
    /// What could not be dated for want of a route.
    pub unread: Unread,
}

/// Which routes were not to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Threads and children were not listed.
    pub tasks: bool,
    /// Descriptors were not listed, or what tells their ages was not.
    pub descriptors: bool,
}

/// Things of one kind that came from one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    /// What they have in common.
    pub group: Group,
    /// How many there are.
    pub count: u64,
    /// How many of them have an age.
    pub dated: u64,
    /// Of those that are sockets, and nearly all in it: the state.
    pub state: Option<SocketState>,
    /// The peer that nearly all of them have.
    pub peer: Option<Peer>,
    /// Addresses at the other end.
    pub peers: u64,
    /// How many of them were never read or written through.
    pub never_used: u64,
    /// Each of them, or every so many-th: by age where it is known, the oldest first.
    pub members: Vec<Member>,
}

/// What the things of a cohort have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Threads of the process.
    Threads,
    /// Children that have exited and were not waited for. Their age is that of their end where it is known.
    Zombies,
    /// Goroutines of one origin; their ages follow from a capture of them.
    Goroutines,
    /// Sockets of a family and protocol that were dialled to one port, or accepted on one.
    Sockets {
        /// Address family.
        family: Family,
        /// Protocol.
        transport: Transport,
        /// Which side opened them.
        role: Role,
        /// The port that they share; 0 for what has none.
        port: u16,
        /// The path or abstract name that they share; empty for what has none.
        path: String,
    },
    /// Other descriptors of one type, and where they are files of one path.
    Descriptors {
        /// What they refer to.
        kind: DescriptorType,
        /// The path, printable form, where it is known.
        path: Option<String>,
    },
}

/// One of a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its number: of a thread, a process or a descriptor.
    pub number: u64,
    /// Seconds since it is there; `None` where nothing tells.
    pub age_seconds: Option<f64>,
    /// How far that may be off, in seconds.
    pub error_seconds: f64,
    /// Seconds since it was used last: since it ran, or carried data. `None` where nothing tells.
    pub idle_seconds: Option<f64>,
    /// Seconds since it is dead: an exited child, a socket whose peer has closed. `None` for what lives.
    pub dead_seconds: Option<f64>,
}

impl Cohort {
    /// Of these, sorted and thinned out.
    pub fn of(group: Group, mut members: Vec<Member>) -> Cohort {
        let (count, dated) = (members.len(), members.iter().filter(|it| it.age_seconds.is_some()).count());
        let key = |member: &Member| member.age_seconds.or(member.idle_seconds).unwrap_or(0.0);
        members.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.number.cmp(&b.number)));
        if count > MAX_MEMBERS {
            members = (0..MAX_MEMBERS)
                .filter_map(|index| members.get(index * (count - 1) / (MAX_MEMBERS - 1)).copied())
                .collect();
        }
        Cohort {
            group,
            count: count as u64,
            dated: dated as u64,
            state: None,
            peer: None,
            peers: 0,
            never_used: 0,
            members,
        }
    }
}

impl Cohort {
    /// Of goroutines that each stand for so many.
    pub fn of_goroutines(members: Vec<Member>, one_in: u64) -> Cohort {
        Cohort::of(Group::Goroutines, members).standing_for(one_in)
    }

    /// The same where each member stands for so many.
    pub fn standing_for(self, one_in: u64) -> Cohort {
        let cohort = self;
        let one_in = one_in.max(1);
        Cohort {
            count: cohort.count.saturating_mul(one_in),
            dated: cohort.dated.saturating_mul(one_in),
            never_used: cohort.never_used.saturating_mul(one_in),
            ..cohort
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cohort, Group, MAX_MEMBERS, Member};

    #[test]
    fn a_large_cohort_is_thinned_out_evenly_and_keeps_its_ends() {
        let member = |number: u64| Member {
            number,
            age_seconds: Some(number as f64),
            error_seconds: 0.0,
            idle_seconds: None,
            dead_seconds: None,
        };
        let cohort = Cohort::of(Group::Threads, (1..=10_000).map(member).collect());
        assert_eq!((cohort.count, cohort.dated, cohort.members.len()), (10_000, 10_000, MAX_MEMBERS));
        let ages: Vec<f64> = cohort.members.iter().filter_map(|it| it.age_seconds).collect();
        assert_eq!((ages.first(), ages.last()), (Some(&10_000.0), Some(&1.0)));
        assert!(ages.windows(2).all(|pair| (18.0..=21.0).contains(&(pair[0] - pair[1]))), "{ages:?}");
    }
}
