//! What one look at ages says, in sentences.

use super::Kind;
use super::words::{clock_time, count, duration};
use crate::explain::names::growing;
use crate::judge::judgement::Finding as Judged;
use crate::judge::weigh::evidence::Evidence;
use crate::vocabulary::socket::SocketState;

/// What is dead and still held; `None` where its growth says more.
pub(super) fn headline(judged: &Judged) -> Option<String> {
    if let [Evidence::SameFile { count: opened, path }] = &judged.evidence[..] {
        return Some(format!("{} descriptors are open on one file, {path}", count(*opened as f64)));
    }
    let (dead, seconds) = judged.evidence.iter().find_map(|evidence| match evidence {
        Evidence::DeadAndHeld { count, oldest_seconds, .. } => Some((*count, *oldest_seconds)),
        _ => None,
    })?;
    if judged.evidence.iter().any(|it| matches!(it, Evidence::Rose { .. })) {
        return None;
    }
    let (dead, seconds) = (count(dead as f64), duration(seconds));
    Some(match judged.kind {
        Kind::Child => {
            format!("{dead} children have exited and were never waited for, the first {seconds} ago")
        }
        _ => format!(
            "{} are dead and still held: {dead}, the first for {seconds}",
            growing(judged.kind, &judged.detail)
        ),
    })
}

pub(super) fn sentence(evidence: &Evidence, judged: &Judged) -> String {
    match *evidence {
        Evidence::OneByOne { count: came, since, seconds, each_seconds, unused } => {
            let used = match (judged.kind, unused) {
                (_, None) => "",
                (Kind::Thread, Some(_)) => ", and none has run since",
                (Kind::Goroutine, Some(_)) => ", and none has run since",
                (_, Some(_)) => ", and none was used since",
            };
            let batch = came as f64 * each_seconds / seconds.max(1.0);
            let pace = if batch >= 2.0 {
                format!("some {} each {}", count(batch), duration(each_seconds))
            } else {
                format!("one each {}", duration(each_seconds))
            };
            format!(
                "{} have come since {}, {pace}{used}: their ages tell, estimated from one look.",
                count(came as f64),
                clock_time(since)
            )
        }
        Evidence::SameFile { .. } => {
            "Nothing was ever read or written through any of them; since when they are open no kernel notes."
                .to_owned()
        }
        Evidence::DeadAndHeld { count: dead, of, oldest_seconds } => {
            let (dead, of, first) = (count(dead as f64), count(of as f64), duration(oldest_seconds));
            match (judged.kind, judged.detail.state) {
                (Kind::Child, _) => {
                    format!(
                        "{dead} of {of} exited longer ago than a parent takes to notice, the first {first} ago."
                    )
                }
                (_, Some(SocketState::Close)) => format!(
                    "{dead} of {of} are dead for up to {first}: the peer has closed, and the kernel has given the connection \
                     up; only the descriptor is left."
                ),
                _ => format!(
                    "The peer has closed {dead} of {of}, the first {first} ago, and nothing went over them since."
                ),
            }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::judge::judgement::{Detail, Finding};
    use crate::judge::terms::{Kind, Rate};
    use crate::judge::weigh::evidence::Evidence;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_history_is_told() {
        let judged = Finding {
            kind: Kind::Thread,
            primary: false,
            consequence_of: None,
            confidence: 0.6,
            rate: Rate { per_second: 1.0, low: 1.0, high: 1.0 },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        };
        let told = |count, each_seconds| {
            let since = UNIX_EPOCH + Duration::from_secs(1_000);
            sentence(
                &Evidence::OneByOne { count, since, seconds: 1_260.0, each_seconds, unused: Some(true) },
                &judged,
            )
        };
        assert!(told(42, 30.0).contains(", one each 30 s, and none has run since: "), "{}", told(42, 30.0));
        assert!(told(3_150, 20.0).contains("3,150 have come since "), "{}", told(3_150, 20.0));
        assert!(told(3_150, 20.0).contains("some 50 each 20 s"), "{}", told(3_150, 20.0));
    }
}
