//! What became of the things that single stacks created, in sentences.

use super::Kind;
use super::words::{bytes, count, counted, duration, percent, state_name, type_name};
use crate::judge::judgement::Finding;
use crate::judge::weigh::evidence::{Created, Evidence, Hold};

/// The words for things of one kind: what they are, how they come, and how they go.
struct Words {
    things: &'static str,
    came: &'static str,
    went: &'static str,
}

fn words(kind: Kind) -> Words {
    let words = |things, came, went| Words { things, came, went };
    match kind {
        Kind::Connection => words("connections", "opened", "closed"),
        Kind::Fd => words("descriptors", "opened", "closed"),
        Kind::Child => words("children", "started", "waited for"),
        Kind::Thread => words("threads", "started", "ended"),
        Kind::Goroutine => words("goroutines", "started", "ended"),
        Kind::Mapping | Kind::Native => words("mappings", "made", "given back"),
        Kind::Heap => words("objects", "allocated", "freed"),
    }
}

/// The sentence for evidence of this sort; empty for any other, which has its sentence elsewhere.
pub(super) fn sentence(evidence: &Evidence, kind: Kind) -> String {
    match *evidence {
        Evidence::Survivors { here, elsewhere, seconds, keeping_stacks } => {
            survivors(&words(kind), here, elsewhere, seconds, keeping_stacks)
        }
        Evidence::WithoutStack { count: without } => {
            format!("Of {} that came meanwhile nobody saw who created them.", count(without as f64))
        }
        Evidence::ClosedByCollector { collections: 1, count: went } => format!(
            "{} were gone at once after a collection: nothing but the garbage collector closes them.",
            count(went as f64)
        ),
        Evidence::ClosedByCollector { collections, count: went } => format!(
            "After each of {} collections many were gone at once, {} in all: nothing but the garbage collector closes \
             them.",
            count(collections as f64),
            count(went as f64)
        ),
        Evidence::SittingOn { goroutines, ref function } => {
            let sit = if goroutines == 1 {
                "1 goroutine sits"
            } else {
                &format!("{} goroutines sit", count(goroutines as f64))
            };
            format!("{sit} on these sockets, most of them in {function}.")
        }
        Evidence::BothEnds { port, dialled, accepted, by_client } => format!(
            "Both ends are in this process: {} dialled to port {port}, {} accepted there. The {} does not close its end.",
            count(dialled as f64),
            count(accepted as f64),
            if by_client { "client" } else { "server" }
        ),
        Evidence::Mapped { bytes: held, mappings, seconds, by_c } => format!(
            "{}{} asked the system for {} in {}, in {}, and has not given them back.",
            if by_c { "C code that is called from " } else { "" },
            if by_c { "this line" } else { "This line" },
            bytes(held as f64),
            duration(seconds),
            counted(usize::try_from(mappings).unwrap_or(usize::MAX), "mapping", "mappings")
        ),
        Evidence::ThreadStacks { count: stacks, seconds } => format!(
            "{} of the mappings that were made in {} are stacks of threads.",
            count(stacks as f64),
            duration(seconds)
        ),
        Evidence::HoldingThreads { grown, threads, hold } => format!(
            "{} more goroutines of one place hold a thread each, {}, while the number of threads rose by {}.",
            count(grown as f64),
            match hold {
                Hold::Locked => "locked to it",
                Hold::SystemCall => "blocked in a system call",
                Hold::C => "in C",
            },
            count(threads as f64)
        ),
        Evidence::Retained { bytes: live, objects, share, seconds } => format!(
            "{} of what was allocated in {} and is still live was allocated at one line: {} in {}.",
            percent(share),
            duration(seconds),
            bytes(live as f64),
            match objects {
                1 => "1 object".to_owned(),
                objects => format!("{} objects", count(objects as f64)),
            }
        ),
        Evidence::LargeObjects { objects, object_bytes } => format!(
            "What it keeps are large objects of {} each, {} of them. Whatever refers to a few bytes of such an object, a \
             substring or a short slice of it, keeps all of it: far more may be held than is still needed.",
            bytes(object_bytes as f64),
            count(objects as f64)
        ),
        Evidence::Stairs { steps, from, to } => format!(
            "The live heap rose in {}, from {} to {}, and stayed level in between: something on it is allocated anew, \
             larger each time, as a slice is that is only ever appended to.",
            counted(steps, "step", "steps"),
            bytes(from),
            bytes(to)
        ),
        _ => String::new(),
    }
}

/// "538 connections opened at this stack in 45 s, none closed; 214 opened elsewhere, all closed within 3 s."
fn survivors(
    words: &Words,
    here: Created,
    elsewhere: Created,
    seconds: f64,
    keeping_stacks: usize,
) -> String {
    let Words { things, came, .. } = words;
    let made = count(here.created as f64);
    let mut text =
        format!("{made} {things} {came} at this stack in {}, {}", duration(seconds), ended(words, here));
    if elsewhere.created > 0 {
        text +=
            &format!("; {} {came} elsewhere, {}", count(elsewhere.created as f64), ended(words, elsewhere));
    }
    text += ".";
    if keeping_stacks > 1 {
        text += &format!(" In all, things stay from {} stacks.", count(keeping_stacks as f64));
    }
    text
}

/// "7 descriptors opened in 45 s, none closed".
pub(super) fn stayed(kind: Kind, stayed: u64, seconds: f64) -> String {
    let Words { things, came, went } = words(kind);
    let things = if stayed == 1 { one(kind) } else { things };
    format!("{} {things} {came} in {}, none {went}", count(stayed as f64), duration(seconds))
}

/// What a suspicion rests on, in a line: "7 inotify descriptors opened at main.watch, none closed in 45 s". `None`
/// where it rests on other things.
pub(super) fn few(finding: &Finding) -> Option<String> {
    let (made, gone, elsewhere, seconds) = finding.evidence.iter().find_map(|evidence| match *evidence {
        Evidence::Survivors { here, elsewhere, seconds, .. } => {
            Some((here.created, here.ended, elsewhere, seconds))
        }
        Evidence::Stayed { count, seconds } => Some((count, 0, Created::default(), seconds)),
        _ => None,
    })?;
    let Words { things, came, went } = words(finding.kind);
    let things = if made == 1 { one(finding.kind) } else { things };
    let what = match (finding.detail.descriptor_type, finding.detail.state) {
        (Some(kind), _) => format!("{} {things}", type_name(kind)),
        (None, Some(state)) => format!("{things} in {}", state_name(state)),
        (None, None) => things.to_owned(),
    };
    let place = finding.culprits.first().map(|it| format!(" at {}", it.frame.function)).unwrap_or_default();
    let gone = match gone {
        0 => format!("none {went}"),
        gone => format!("{} of them {went}", count(gone as f64)),
    };
    let mut text = format!("{} {what} {came}{place}, {gone} in {}", count(made as f64), duration(seconds));
    if elsewhere.created > 0 {
        let ended = ended(&words(finding.kind), elsewhere);
        text += &format!("; {} {came} elsewhere, {ended}", count(elsewhere.created as f64));
    }
    Some(text)
}

/// The word for a single thing.
fn one(kind: Kind) -> &'static str {
    match kind {
        Kind::Connection => "connection",
        Kind::Fd => "descriptor",
        Kind::Child => "child",
        Kind::Thread => "thread",
        Kind::Goroutine => "goroutine",
        Kind::Mapping | Kind::Native => "mapping",
        Kind::Heap => "object",
    }
}

/// What became of them: "none closed", "all closed within 3 s", "7 of them closed".
fn ended(words: &Words, created: Created) -> String {
    let Words { went, .. } = words;
    match created.ended {
        0 => format!("none {went}"),
        ended if ended >= created.created => {
            let within = created.longest_seconds.map(|seconds| match seconds {
                seconds if seconds < 0.1 => " at once".to_owned(),
                seconds => format!(" within {}", duration(seconds)),
            });
            format!("all {went}{}", within.unwrap_or_default())
        }
        ended => format!("{} of them {went}", count(ended as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::judge::terms::Kind;
    use crate::judge::weigh::evidence::{Created, Evidence, Hold};
    use expect_test::expect;

    fn created(created: u64, ended: u64, longest_seconds: Option<f64>) -> Created {
        Created { created, ended, longest_seconds }
    }

    #[test]
    fn survivors_read_well() {
        let survivors = |here, elsewhere, keeping_stacks| Evidence::Survivors {
            here,
            elsewhere,
            seconds: 45.0,
            keeping_stacks,
        };
        let rows = [
            (Kind::Connection, survivors(created(538, 0, None), created(214, 214, Some(3.0)), 1)),
            (Kind::Fd, survivors(created(1_538, 12, Some(1.0)), created(0, 0, None), 1)),
            (Kind::Fd, survivors(created(290, 0, None), created(153, 153, Some(0.02)), 1)),
            (Kind::Child, survivors(created(90, 0, None), created(7, 3, None), 2)),
            (Kind::Mapping, survivors(created(90, 0, None), created(7, 7, None), 1)),
            (Kind::Fd, Evidence::WithoutStack { count: 1_214 }),
            (Kind::Fd, Evidence::ClosedByCollector { collections: 1, count: 212 }),
            (Kind::Fd, Evidence::ClosedByCollector { collections: 3, count: 640 }),
            (Kind::Connection, Evidence::SittingOn { goroutines: 41, function: "main.attend".into() }),
            (
                Kind::Connection,
                Evidence::BothEnds { port: 46_433, dialled: 440, accepted: 438, by_client: true },
            ),
            (Kind::Native, Evidence::Mapped { bytes: 48 << 20, mappings: 192, seconds: 45.0, by_c: true }),
            (Kind::Native, Evidence::Mapped { bytes: 48 << 20, mappings: 1, seconds: 45.0, by_c: false }),
            (Kind::Mapping, Evidence::ThreadStacks { count: 1_320, seconds: 45.0 }),
            (Kind::Thread, Evidence::HoldingThreads { grown: 118, threads: 120, hold: Hold::Locked }),
            (Kind::Thread, Evidence::HoldingThreads { grown: 118, threads: 120, hold: Hold::SystemCall }),
            (Kind::Heap, Evidence::Retained { bytes: 44 << 20, objects: 11_000, share: 0.98, seconds: 45.0 }),
        ];
        let text: String = rows.iter().map(|(kind, evidence)| sentence(evidence, *kind) + "\n").collect();
        expect![[r#"
            538 connections opened at this stack in 45 s, none closed; 214 opened elsewhere, all closed within 3 s.
            1,538 descriptors opened at this stack in 45 s, 12 of them closed.
            290 descriptors opened at this stack in 45 s, none closed; 153 opened elsewhere, all closed at once.
            90 children started at this stack in 45 s, none waited for; 7 started elsewhere, 3 of them waited for. In all, things stay from 2 stacks.
            90 mappings made at this stack in 45 s, none given back; 7 made elsewhere, all given back.
            Of 1,214 that came meanwhile nobody saw who created them.
            212 were gone at once after a collection: nothing but the garbage collector closes them.
            After each of 3 collections many were gone at once, 640 in all: nothing but the garbage collector closes them.
            41 goroutines sit on these sockets, most of them in main.attend.
            Both ends are in this process: 440 dialled to port 46433, 438 accepted there. The client does not close its end.
            C code that is called from this line asked the system for 48 MiB in 45 s, in 192 mappings, and has not given them back.
            This line asked the system for 48 MiB in 45 s, in 1 mapping, and has not given them back.
            1,320 of the mappings that were made in 45 s are stacks of threads.
            118 more goroutines of one place hold a thread each, locked to it, while the number of threads rose by 120.
            118 more goroutines of one place hold a thread each, blocked in a system call, while the number of threads rose by 120.
            98 % of what was allocated in 45 s and is still live was allocated at one line: 44 MiB in 11,000 objects.
        "#]].assert_eq(&text);
    }
}
