//! The story of a program across its restarts, in sentences.

use super::words::{count, duration, quantity, rate};
use crate::explain::diagnosis::{Life, Story};
use crate::judge::judgement::Story as Judged;
use crate::judge::terms::Exhaustion;
use crate::judge::weigh::story::Total;

pub(super) fn explain(story: &Judged) -> Story {
    let lives = story.chapters.iter().map(|chapter| Life {
        started: chapter.started,
        seconds: chapter.seconds,
        from: chapter.from,
        to: chapter.to,
        rate_per_second: chapter.rate.map(|rate| rate.per_second),
    });
    Story {
        text: text(story),
        total: word(story.total),
        typical_seconds: story.typical_seconds,
        rate_per_second: story.rate.per_second,
        exhausts: story.exhausts.as_ref().map(exhaustion),
        changed_since: story.changed.as_ref().map(|change| change.since),
        lives: lives.collect(),
    }
}

fn exhaustion(judged: &Exhaustion) -> crate::explain::diagnosis::Exhaustion {
    crate::explain::diagnosis::Exhaustion {
        limit: super::time_left::limit_name(judged.limit),
        in_seconds: judged.in_seconds,
        low_seconds: judged.low_seconds,
        high_seconds: judged.high_seconds,
    }
}

fn word(total: Total) -> &'static str {
    match total {
        Total::Memory => "memory",
        Total::LiveHeap => "live heap",
        Total::Descriptors => "descriptors",
        Total::Goroutines => "goroutines",
    }
}

fn text(story: &Judged) -> String {
    let unit = story.total.signal().unit();
    let risen = story.chapters.iter().filter(|it| it.rate.is_some()).count();
    let subject = match story.total {
        Total::Memory => "its memory",
        Total::LiveHeap => "its live heap",
        Total::Descriptors => "the number of its open descriptors",
        Total::Goroutines => "the number of its goroutines",
    };
    let ended = story.chapters.split_last().map(|(_, ended)| ended).unwrap_or_default();
    let mut text = format!(
        "This program was seen to be started {} times; in {} of these lives {subject} rose in a line, by {}",
        count(story.chapters.len() as f64),
        count(risen as f64),
        rate(story.rate.per_second, unit)
    );
    let ends = ended.iter().filter(|it| it.rate.is_some()).map(|it| it.to);
    let (low, high) = ends.fold((f64::INFINITY, 0.0_f64), |(low, high), to| (low.min(to), high.max(to)));
    if low.is_finite() {
        let (low, high) = (quantity(low, unit), quantity(high, unit));
        let at = if low == high { low } else { format!("{low} to {high}") };
        text += &format!(", and each restart brought it down from {at}");
    }
    text += &format!(". A life lasts {}.", duration(story.typical_seconds));
    if let Some(left) = &story.exhausts {
        text += &format!(" The present one has {}.", super::time_left::sentence(left));
    }
    if let Some(change) = &story.changed {
        let build = change.build_name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let pace = |per_second: f64| {
            if per_second > 0.0 { format!("by {}", rate(per_second, unit)) } else { "not at all".to_owned() }
        };
        text += &format!(
            " Since the build{build} was started it grows {}, before that it grew {}.",
            pace(change.after),
            pace(change.before)
        );
    }
    text
}
