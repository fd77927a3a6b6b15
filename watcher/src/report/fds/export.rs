//! Open descriptors for programs: JSON (`watcher.fds/1`), a profile, a flame graph.

use super::{FdKind, Fds, NOUNS, Site};
use crate::explain::words::duration;
use crate::report::folded::folded;
use crate::report::json;
use crate::report::ledger::{AccountsObject, CreatorObject, FrameObject, caveats, label, watched};
use crate::report::pprof::{Builder, Label, Profile, ValueType};
use crate::report::svg::{Caption, SvgError, flame_graph, name_of};
use serde::Serialize;
use std::time::Duration;

/// As one object on one line, ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that descriptors can cause; what serde reports is passed on.
pub fn json(fds: &Fds) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a, P: Serialize> {
        schema: &'static str,
        process: P,
        taken: Option<String>,
        #[serde(flatten)]
        watch: AccountsObject<'a>,
        sites: Vec<SiteObject<'a>>,
    }
    let object = Object {
        schema: "watcher.fds/1",
        process: json::target(&fds.process),
        taken: json::timestamp(fds.taken),
        watch: AccountsObject::of(&fds.watch),
        sites: fds.sites.iter().map(|site| SiteObject::of(site, fds)).collect(),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct SiteObject<'a> {
    outstanding: u64,
    created: u64,
    ended: u64,
    oldest_seconds: Option<f64>,
    youngest_seconds: Option<f64>,
    longest_ended_seconds: Option<f64>,
    /// Of those that are open.
    descriptors: Vec<KindObject<'a>>,
    #[serde(flatten)]
    creator: CreatorObject<'a>,
    waiting: Vec<WaitingObject<'a>>,
}

#[derive(Serialize)]
struct KindObject<'a> {
    count: u64,
    r#type: &'static str,
    protocol: Option<&'static str>,
    state: Option<&'static str>,
    peer: Option<&'a str>,
    /// A few of them.
    examples: Vec<ExampleObject<'a>>,
}

#[derive(Serialize)]
struct ExampleObject<'a> {
    fd: i32,
    /// What it refers to, where that is known.
    what: Option<&'a str>,
}

#[derive(Serialize)]
struct WaitingObject<'a> {
    goroutines: u64,
    stack: Vec<FrameObject<'a>>,
}

impl<'a> SiteObject<'a> {
    fn of(site: &'a Site, fds: &'a Fds) -> Self {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        SiteObject {
            outstanding: site.outstanding,
            created: site.created,
            ended: site.ended,
            oldest_seconds: seconds(site.oldest),
            youngest_seconds: seconds(site.youngest),
            longest_ended_seconds: seconds(site.longest_ended),
            descriptors: site
                .kinds
                .iter()
                .map(|(kind, count)| KindObject {
                    count: *count,
                    r#type: kind.name,
                    protocol: kind.protocol,
                    state: kind.state,
                    peer: kind.peer.as_deref(),
                    examples: site
                        .examples
                        .iter()
                        .filter(|example| example.kind == *kind)
                        .map(|example| ExampleObject { fd: example.fd, what: example.what.as_deref() })
                        .collect(),
                })
                .collect(),
            creator: CreatorObject::of(&site.creator, fds.main_module()),
            waiting: site
                .waiting
                .iter()
                .map(|(stack, goroutines)| WaitingObject {
                    goroutines: *goroutines,
                    stack: FrameObject::all(stack),
                })
                .collect(),
        }
    }
}

/// Descriptors by stack, the creators of its goroutine as its callers: how many are open, which is what is shown
/// unless something else is asked for, and how many were opened while watched. Type, state and peer are labels.
pub fn profile(fds: &Fds) -> Profile {
    let open = ValueType::new("open_fds", "count");
    let mut builder = Builder::of(Profile {
        sample_types: vec![ValueType::new("opened", "count"), open.clone()],
        default_sample_type: Some(open.kind.clone()),
        period_type: open,
        period: i64::from(fds.watch.accounts.one_in.max(1)),
        taken: Some(fds.taken),
        duration: fds.watch.watched,
        ..Profile::default()
    });
    builder.comment(watched(&fds.watch, &NOUNS));
    caveats(&fds.watch, &NOUNS).into_iter().for_each(|sentence| builder.comment(sentence));
    let value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for site in &fds.sites {
        let stack = site.creator.locations(&mut builder, &NOUNS);
        let mut opened = value(site.created);
        for (kind, number) in &site.kinds {
            // What those were that are closed again is not known: only a stack that opens one kind tells.
            let of_this_kind = if site.kinds.len() == 1 { std::mem::take(&mut opened) } else { 0 };
            builder.sample(stack.clone(), vec![of_this_kind, value(*number)], labels(kind));
        }
        if opened > 0 {
            builder.sample(stack, vec![opened, 0], Vec::new());
        }
    }
    builder.build()
}

fn labels(kind: &FdKind) -> Vec<Label> {
    let protocol = kind.protocol.map(|protocol| label("protocol", protocol));
    let state = kind.state.map(|state| label("state", state));
    let peer = kind.peer.as_deref().map(|peer| label("peer", peer));
    [Some(label("type", kind.name)), protocol, state, peer].into_iter().flatten().collect()
}

/// A flame graph of the open ones by the code that opened them.
///
/// # Errors
/// Where there is none.
pub fn svg(fds: &Fds) -> Result<Vec<u8>, SvgError> {
    let caption = Caption {
        title: &format!("Open descriptors of {}", name_of(&fds.process)),
        subtitle: &format!(
            "{} by the code that opened them and who started it, watched for {}{}",
            NOUNS.counted(fds.total()),
            duration(fds.watch.watched.as_secs_f64()),
            json::timestamp(fds.taken).map(|taken| format!("; {taken}")).unwrap_or_default()
        ),
        unit: NOUNS.many,
        main_module: fds.main_module(),
    };
    let profile = profile(fds);
    flame_graph(&folded(&profile, profile.value_index(None).unwrap_or(0)), &caption)
}
