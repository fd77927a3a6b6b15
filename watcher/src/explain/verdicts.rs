//! The verdict, what was ruled out, what is undecided, and what to do next, in sentences.

use super::words::{self, counted, duration, quantity, range, rate};
use super::{Kind, Verdict, advice};
use crate::explain::diagnosis::{Finding, RuledOut, Suspected, Undecided};
use crate::explain::names::subject;
use crate::judge::judgement::{Judgement, Lacking};
use crate::judge::terms::Unit;
use crate::judge::weigh::reasons::{MemoryPart, Steady, SteadyWhy, Undecided as Unjudged, UndecidedWhy};
use crate::vocabulary::frame::Frame;

/// The verdict in one sentence.
pub(super) fn headline(judgement: &Judgement, findings: &[Finding], suspected: &[Suspected]) -> String {
    let standing_still = judgement.lacking.iter().find_map(|one| match one {
        Lacking::Running(why) if judgement.verdict != Verdict::Leak => Some(*why),
        _ => None,
    });
    if let Some(why) = standing_still {
        let why = super::unseen::standing_still(why);
        return format!("It stands still, so that nothing can be said of it: {why}");
    }
    match (judgement.verdict, findings.first()) {
        (Verdict::Leak, Some(first)) => first.headline.clone(),
        (Verdict::Healthy, _) => "Nothing that was watched grows without end".to_owned(),
        _ if !suspected.is_empty() => suspicion(&suspected[0]),
        _ => judgement.undecided.iter().find_map(stored_headline).unwrap_or_else(|| {
            match waiting_time(judgement) {
                Some(seconds) => {
                    format!("No verdict yet; {} of watching should bring one", duration(seconds))
                }
                None => "No leak is shown, but not everything could be judged".to_owned(),
            }
        }),
    }
}

/// What may leak, in a line.
fn suspicion(one: &Suspected) -> String {
    format!("A leak is suspected: {}", one.finding.headline)
}

/// The window that should decide what a longer window can decide.
pub(super) fn waiting_time(judgement: &Judgement) -> Option<f64> {
    let undecided = judgement.undecided.iter().filter_map(|one| one.why.need_seconds());
    let suspected = judgement.suspected.iter().filter_map(|one| one.need_seconds);
    undecided.chain(suspected).max_by(f64::total_cmp).map(words::rounded_up)
}

/// What grows with what is stored, in a line.
fn stored_headline(one: &Unjudged) -> Option<String> {
    let UndecidedWhy::Stored { per_second, place, .. } = &one.why else { return None };
    let place =
        place.as_ref().map(|frame| format!(", most of it from {}", frame.function)).unwrap_or_default();
    Some(format!(
        "The Go heap grows by {} in a process that stores data{place}",
        rate(*per_second, Unit::Bytes)
    ))
}

fn stored(per_second: f64, written_per_second: f64, place: Option<&Frame>, file: &str) -> String {
    let [grows, writes] = [per_second, written_per_second].map(|it| rate(it, Unit::Bytes));
    let place = place.map(|frame| {
        format!(", most of them allocated in {} ({}:{})", frame.function, frame.file, frame.line)
    });
    format!(
        "grow by {grows}{}; meanwhile the process writes {writes} to data files, {file} among them. What clients store \
         in it looks the same as a leak from outside, so it is not called one",
        place.unwrap_or_default()
    )
}

/// What to do next, most urgent first.
pub(super) fn next_steps(judgement: &Judgement, pid: i32) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(primary) = judgement.findings.first() {
        steps.push(advice::for_finding(primary).to_owned());
        let no_samples = judgement.lacking.iter().any(|one| matches!(one, Lacking::HeapProfile { .. }));
        let shows = match primary.kind {
            Kind::Heap if no_samples => "shows how large they are",
            _ => "lists them",
        };
        let listing = format!("`{}` {shows}.", advice::listing(primary.kind, pid));
        let restart = primary.exhausts.as_ref().and_then(super::time_left::restart);
        steps.push([Some(listing), restart].into_iter().flatten().collect::<Vec<_>>().join(" "));
        return steps;
    }
    if judgement.lacking.iter().any(|one| matches!(one, Lacking::Running(_))) {
        steps.push("Let it run on, and watch it then.".to_owned());
        return steps;
    }
    if let Some(seconds) = waiting_time(judgement) {
        steps.push(format!("Watch for longer: --duration {}.", words::as_flag(seconds)));
    }
    let growing = |one: &Unjudged| matches!(one.why, UndecidedWhy::CompositionUnknown { .. });
    if judgement.undecided.iter().any(growing) {
        steps.push(
            "Watch the memory for some minutes more: what a garbage collector frees it gives back late, so that a \
             rise that ends is none."
                .to_owned(),
        );
    }
    if judgement.undecided.iter().any(|one| stored_headline(one).is_some()) {
        steps.push(
            "Ask whether clients store ever more: keys, series or messages without an expiry or a bound. If they do \
             not, that line keeps what it should not."
                .to_owned(),
        );
    }
    if judgement.undecided.iter().any(|one| one.why == UndecidedWhy::NotRead) {
        steps.push("See what could not be read with `watcher doctor`; most of it takes root.".to_owned());
    }
    steps
}

/// Whether pieces come and go by so many that "stayed" would be the wrong word.
fn swings(low: f64, high: f64, unit: Unit) -> bool {
    const MANY: f64 = 20.0;
    unit != Unit::Bytes && high - low >= MANY && high >= 2.0 * low
}

pub(super) fn ruled_out(steady: &Steady) -> RuledOut {
    let kind = steady.kind;
    let unit = kind.unit();
    let (what, short) = steady_subject(kind);
    let (why, phrase) = match steady.why {
        SteadyWhy::Flat { low, high } if swings(low, high, unit) => {
            let range = range(low, high, unit);
            (
                format!(
                    "{what} rise and fall within {range}, without a trend, as what follows the load does."
                ),
                format!("{short} {range}"),
            )
        }
        SteadyWhy::Flat { low, high } => {
            (format!("{what} {}.", stayed(low, high, unit)), format!("{short} {}", range(low, high, unit)))
        }
        SteadyWhy::Sawtooth { low, high } => {
            let range = range(low, high, unit);
            (format!("{what} rise and fall back, within {range}."), format!("{short} {range}, a sawtooth"))
        }
        SteadyWhy::Plateau { flat_seconds, level } => {
            let (level, flat) = (quantity(level, unit), duration(flat_seconds));
            (
                format!(
                    "{what} rose and have stayed at about {level} for {flat}: warm-up, or a pool that is full."
                ),
                format!("{short} level at {level}"),
            )
        }
        SteadyWhy::LiveHeap { low, high, cycles } => {
            let (range, cycles) = (range(low, high, unit), counted(cycles, "collection", "collections"));
            (
                format!("{} stayed at {range} after each of {cycles}.", subject(kind)),
                format!("live heap {range}"),
            )
        }
        SteadyWhy::LittleAllocated { per_second, seconds_left } => {
            let per_second = rate(per_second, Unit::Bytes);
            let left = seconds_left.map(|left| {
                format!(" If none of it were garbage, no limit would be reached within {}.", duration(left))
            });
            (
                format!(
                    "{} cannot grow by more than {per_second}, which is all that is allocated; there were too few \
                     collections to see them.{}",
                    subject(kind),
                    left.unwrap_or_default()
                ),
                format!("live heap grows by {per_second} at most"),
            )
        }
        SteadyWhy::ComeAndGo { created, ended, longest_seconds } => {
            let lived = longest_seconds.map(|longest| format!(" within {}", duration(longest)));
            let (created, ended) = (words::count(created as f64), words::count(ended as f64));
            (
                format!(
                    "{what} come and go: of {created} new ones {ended} went again{}, at every stack that makes them.",
                    lived.unwrap_or_default()
                ),
                format!("{short} come and go"),
            )
        }
        SteadyWhy::LiveHeapFilled { flat_seconds, level } => {
            let (level, flat) = (quantity(level, unit), duration(flat_seconds));
            (
                format!(
                    "{} rose and have stayed at about {level} for {flat}: warm-up, or a cache that is full.",
                    subject(kind)
                ),
                format!("live heap level at {level}"),
            )
        }
        SteadyWhy::HeldByLimit { limit, level, live, cycles } => {
            let (limit, level, live) = (quantity(limit, unit), quantity(level, unit), quantity(live, unit));
            let cycles = counted(cycles, "collection", "collections");
            (
                format!(
                    "The memory limit of {limit} (GOMEMLIMIT) holds it: the runtime takes up to {level}, {cycles} \
                     kept it there, and the last one found {live} live."
                ),
                format!("held at {level} by GOMEMLIMIT"),
            )
        }
        SteadyWhy::NotReturned { idle, in_use } => {
            let (idle, in_use) = (quantity(idle, unit), quantity(in_use, unit));
            (
                format!(
                    "{idle} of the heap are free and not yet given back to the system, {in_use} are in use: the heap \
                     was larger once, and its memory stays resident for a while."
                ),
                format!("{idle} of heap free, not returned"),
            )
        }
        SteadyWhy::HeapSawtooth { live, peak, gogc_percent, cycles } => {
            let (live, peak) = (quantity(live, unit), quantity(peak, unit));
            let cycles = counted(cycles, "collection", "collections");
            let setting = gogc_percent.map_or("GOGC=off".to_owned(), |percent| format!("GOGC={percent}"));
            (
                format!(
                    "The heap rises to {peak} and falls back to {live} at each of {cycles} ({setting}): a sawtooth."
                ),
                format!("heap a sawtooth, {live} live"),
            )
        }
        SteadyWhy::PageCache { from, to } => {
            let (from, to) = (quantity(from, Unit::Bytes), quantity(to, Unit::Bytes));
            (
                format!(
                    "Resident pages of mapped files rose from {from} to {to} by being read: no more is mapped than \
                     before, and the kernel takes such pages back when it needs memory."
                ),
                format!("page cache {to}"),
            )
        }
        SteadyWhy::OutsideGo { low, high } => {
            let phrase = format!("outside the Go heap {}", range(low, high, unit));
            (format!("{} {}.", subject(kind), stayed(low, high, unit)), phrase)
        }
        SteadyWhy::Falling { from, to } => {
            let (from, to) = (quantity(from, unit), quantity(to, unit));
            (format!("{what} fell from {from} to {to}."), format!("{short} falling to {to}"))
        }
    };
    RuledOut { kind, why, phrase }
}

/// That it stayed, and where.
fn stayed(low: f64, high: f64, unit: Unit) -> String {
    let (low, high) = (quantity(low, unit), quantity(high, unit));
    if low == high { format!("stayed at {low}") } else { format!("stayed within {low} to {high}") }
}

/// What was found steady, for a sentence and for a phrase. Heap and native memory were judged together.
fn steady_subject(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Heap | Kind::Native => {
            ("Bytes of anonymous memory, Go heap and native together,", "anonymous memory")
        }
        Kind::Fd => (subject(kind), "descriptors"),
        Kind::Connection => (subject(kind), "sockets"),
        Kind::Thread => (subject(kind), "threads"),
        Kind::Child => (subject(kind), "unreaped children"),
        Kind::Mapping => (subject(kind), "mappings"),
        Kind::Goroutine => (subject(kind), "goroutines"),
    }
}

pub(super) fn undecided(one: &Unjudged) -> Undecided {
    let (what, phrase) = match one.why {
        // Each of the two was judged by itself.
        UndecidedWhy::Ambiguous { .. } if one.kind == Kind::Heap => (subject(one.kind), "live heap"),
        UndecidedWhy::TooSlowToShow { .. } => (
            subject(one.kind),
            if one.kind == Kind::Heap { "live heap" } else { "memory outside the Go heap" },
        ),
        _ => steady_subject(one.kind),
    };
    let unit = one.kind.unit();
    // How long to watch is said once for all of them.
    let reason = match one.why {
        UndecidedWhy::Stored { per_second, written_per_second, ref place, ref file } => {
            stored(per_second, written_per_second, place.as_ref(), file)
        }
        UndecidedWhy::TooFewSamples { have, need, .. } => {
            format!("{have} readings are too few, {need} are needed")
        }
        UndecidedWhy::TooShort { have_seconds, .. } => {
            format!("{} of watching are too short", duration(have_seconds))
        }
        UndecidedWhy::OneLook { dated: true } => {
            "were looked at once; their ages tell of no leak, but a slow or a young one may not show"
                .to_owned()
        }
        UndecidedWhy::OneLook { dated: false } => {
            "were looked at once, and nothing tells how old they are".to_owned()
        }
        UndecidedWhy::NotRead => "could not be read".to_owned(),
        UndecidedWhy::Ambiguous { per_second, slowing, .. } => {
            let because = if slowing {
                "but ever more slowly, as a pool does that fills"
            } else {
                "but not steadily or not long enough to be told from warm-up or load"
            };
            format!("rise by {}, {because}", rate(per_second, unit))
        }
        UndecidedWhy::Unmoved { count, .. } => format!(
            "are {} at one line, always the same ones; whether any of them has run meanwhile shows after the next \
             collection",
            words::count(count as f64)
        ),
        UndecidedWhy::MayAwait { count } => format!(
            "are {} at one line, always the same ones; one that was started like them waits for something outside of \
             the program, and they may wait for its answer",
            words::count(count as f64)
        ),
        UndecidedWhy::TooSlowToShow { level_bytes, per_second, .. } => format!(
            "are {}, and a leak of {} since the process started would have brought all of them; that is too slow to \
             show in this window",
            quantity(level_bytes, Unit::Bytes),
            rate(per_second, Unit::Bytes)
        ),
        UndecidedWhy::TooFewCollections { have, need, .. } => {
            let seen = match have {
                0 => "no collection was seen".to_owned(),
                1 => "only 1 collection was seen".to_owned(),
                have => format!("only {have} collections were seen"),
            };
            format!("cannot be told from garbage yet: {seen}, and it takes {need}")
        }
        UndecidedWhy::NeverCollected { have } => {
            let seen = match have {
                0 => "there was no collection".to_owned(),
                have => format!("{} tell too little", counted(have, "collection", "collections")),
            };
            format!("cannot be told from garbage: {seen}, and the program has switched them off (GOGC=off)")
        }
        UndecidedWhy::WithinACycle { rise_bytes, .. } => format!(
            "moved by {}, which is less than garbage between two collections makes",
            quantity(rise_bytes, Unit::Bytes)
        ),
        UndecidedWhy::CompositionUnknown { part, per_second } => composition(part, per_second),
    };
    let why = match one.why {
        UndecidedWhy::CompositionUnknown { .. } => format!("{reason}."),
        UndecidedWhy::TooFewSamples { .. } | UndecidedWhy::TooShort { .. } => format!("{what}: {reason}."),
        UndecidedWhy::TooFewCollections { .. }
        | UndecidedWhy::NeverCollected { .. }
        | UndecidedWhy::Stored { .. } => {
            format!("{} {reason}.", subject(one.kind))
        }
        UndecidedWhy::NotRead
        | UndecidedWhy::OneLook { .. }
        | UndecidedWhy::WithinACycle { .. }
        | UndecidedWhy::Ambiguous { .. }
        | UndecidedWhy::MayAwait { .. }
        | UndecidedWhy::TooSlowToShow { .. }
        | UndecidedWhy::Unmoved { .. } => {
            format!("{what} {reason}.")
        }
    };
    Undecided { kind: one.kind, why, phrase, reason, need_seconds: one.why.need_seconds() }
}

/// Resident memory that grows, and why that decides nothing.
fn composition(part: MemoryPart, per_second: f64) -> String {
    let rate = rate(per_second, Unit::Bytes);
    match part {
        MemoryPart::Anonymous => format!(
            "Anonymous memory grows by {rate}; how much of it is live heap, garbage, freed memory not yet returned, \
             or C memory is not read"
        ),
        MemoryPart::File => format!(
            "Resident pages of mapped files grow by {rate}; reading through a mapped file does that, and the kernel \
             takes them back when it needs to"
        ),
        MemoryPart::OutsideGo => format!(
            "Anonymous memory outside the Go heap grows by {rate}: C memory or anonymous mappings; who asks for it \
             is not read"
        ),
        MemoryPart::Shared => format!("Shared memory grows by {rate}; who else holds it is not read"),
    }
}

#[cfg(test)]
mod tests {
    use super::ruled_out;
    use crate::judge::terms::Kind;
    use crate::judge::weigh::reasons::{Steady, SteadyWhy};

    #[test]
    fn a_heap_that_was_not_seen_is_acquitted_with_the_bound_that_acquits_it() {
        let told = |seconds_left| {
            let why = SteadyWhy::LittleAllocated { per_second: 4_096.0, seconds_left };
            ruled_out(&Steady { kind: Kind::Heap, why }).why
        };
        assert_eq!(
            told(None),
            "Live objects on the Go heap cannot grow by more than 4 KiB per second, which is all that is allocated; \
             there were too few collections to see them."
        );
        let far = told(Some(3.0 * 86_400.0));
        assert!(
            far.ends_with("If none of it were garbage, no limit would be reached within 3 days."),
            "{far}"
        );
    }
}
