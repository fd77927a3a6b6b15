//! Mappings for programs: JSON (`watcher.mappings/1`), a profile, a flame graph.

use super::{Mapped, NOUNS, Site};
use crate::explain::words::{bytes, duration};
use crate::report::folded::folded;
use crate::report::json;
use crate::report::ledger::{AccountsObject, CreatorObject, caveats, label, watched};
use crate::report::pprof::{Builder, Profile, ValueType};
use crate::report::svg::{Caption, SvgError, flame_graph, name_of};
use serde::Serialize;

/// As one object on one line, ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that mappings can cause; what serde reports is passed on.
pub fn json(mapped: &Mapped) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a, P: Serialize> {
        schema: &'static str,
        process: P,
        taken: Option<String>,
        bytes: u64,
        #[serde(flatten)]
        watch: AccountsObject<'a>,
        sites: Vec<SiteObject<'a>>,
    }
    let object = Object {
        schema: "watcher.mappings/1",
        process: json::target(&mapped.process),
        taken: json::timestamp(mapped.taken),
        bytes: mapped.bytes(),
        watch: AccountsObject::of(&mapped.watch),
        sites: mapped.sites.iter().map(|site| SiteObject::of(site, mapped)).collect(),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct SiteObject<'a> {
    outstanding: u64,
    bytes: u64,
    file_bytes: u64,
    created: u64,
    ended: u64,
    oldest_seconds: Option<f64>,
    youngest_seconds: Option<f64>,
    /// `go`, `native`, `threads`, `runtime` or `unknown`.
    owner: &'static str,
    #[serde(flatten)]
    creator: CreatorObject<'a>,
}

impl<'a> SiteObject<'a> {
    fn of(site: &'a Site, mapped: &'a Mapped) -> Self {
        SiteObject {
            outstanding: site.outstanding,
            bytes: site.bytes,
            file_bytes: site.file_bytes,
            created: site.created,
            ended: site.ended,
            oldest_seconds: site.oldest.map(|oldest| oldest.as_secs_f64()),
            youngest_seconds: site.youngest.map(|youngest| youngest.as_secs_f64()),
            owner: site.owner.word(),
            creator: CreatorObject::of(&site.creator, mapped.main_module()),
        }
    }
}

/// What is mapped by stack, the creators of its goroutine as its callers: how many mappings, and their bytes, which is
/// what is shown unless something else is asked for. On whose behalf and whether of a file are labels.
pub fn profile(mapped: &Mapped) -> Profile {
    let size = ValueType::new("mapped", "bytes");
    let mut builder = Builder::of(Profile {
        sample_types: vec![ValueType::new("mappings", "count"), size.clone()],
        default_sample_type: Some(size.kind.clone()),
        period_type: size,
        period: i64::from(mapped.watch.accounts.one_in.max(1)),
        taken: Some(mapped.taken),
        duration: mapped.watch.watched,
        ..Profile::default()
    });
    builder.comment(watched(&mapped.watch, &NOUNS));
    caveats(&mapped.watch, &NOUNS).into_iter().for_each(|sentence| builder.comment(sentence));
    let value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for site in mapped.present() {
        let stack = site.creator.locations(&mut builder, &NOUNS);
        let labels = vec![label("owner", site.owner.word()), label("of", site.backing())];
        builder.sample(stack, vec![value(site.outstanding), value(site.bytes)], labels);
    }
    builder.build()
}

/// A flame graph of the bytes by the code that asked for them.
///
/// # Errors
/// Where there are none.
pub fn svg(mapped: &Mapped) -> Result<Vec<u8>, SvgError> {
    let caption = Caption {
        title: &format!("Mappings of {}", name_of(&mapped.process)),
        subtitle: &format!(
            "{} mapped in {} and still there, by the code that asked for it{}",
            bytes(mapped.bytes() as f64),
            duration(mapped.watch.watched.as_secs_f64()),
            json::timestamp(mapped.taken).map(|taken| format!("; {taken}")).unwrap_or_default()
        ),
        unit: "bytes",
        main_module: mapped.main_module(),
    };
    let profile = profile(mapped);
    flame_graph(&folded(&profile, profile.value_index(None).unwrap_or(0)), &caption)
}
