//! `watcher pull` and `watcher show`, and the endpoints of `watcher list`.

use super::output::{give, give_profile, process_id, runtime};
use crate::agent::observer::Observer;
use crate::agent::pulls::{Missing, Puller, Settings, Wanted};
use crate::agent::views::Subject;
use crate::cli::{self, Picture, ProfileFormat, ProfileKind, View};
use crate::config::Selection;
use crate::report::endpoints::{Endpoint, Endpoints};
use crate::report::graph::{self, CallGraph};
use crate::report::pprof::Profile;
use crate::report::pulled::{self, Pulled};
use crate::report::svg::{Caption, flame_graph};
use crate::report::{EXIT_NO_LEAK, diff, folded, peek, traces};
use crate::source::ordinary_files;
use crate::source::pprof::ProfileName;
use crate::vocabulary::process::Target;
use anyhow::{Context, anyhow, bail};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// What looking for the endpoints of all processes may take together.
const LOOKED_FOR: Duration = Duration::from_secs(6);
/// Processes that are looked at together then: those that do not answer must not take all turns.
const LOOKS_AT_ONCE: usize = 128;
/// Rows of the table below a pull.
const ROWS: usize = 10;

/// Where the endpoints of these processes are; those that may not be asked have a reason.
pub(super) fn endpoints(args: &cli::Pprof, targets: &[Target]) -> anyhow::Result<Endpoints> {
    let mut settings = Settings::load(args)?;
    settings.at_once = settings.at_once.max(LOOKS_AT_ONCE);
    let puller = Arc::new(Puller::new(settings));
    let runtime = runtime()?;
    let deadline = Instant::now() + LOOKED_FOR;
    let found = runtime.block_on(all(targets.iter().cloned().map(|target| {
        let puller = Arc::clone(&puller);
        async move {
            let endpoint = match timeout_at(deadline, puller.endpoint(&target)).await {
                Ok(Ok(found)) => Endpoint { address: Some(found.endpoint.address()), why: None },
                Ok(Err(missing)) => Endpoint { address: None, why: Some(missing.to_string()) },
                Err(_) => Endpoint { address: None, why: Some(not_in_time()) },
            };
            (target.id, endpoint)
        }
    })));
    // A thread that waits for a silent socket is not waited for.
    runtime.shutdown_background();
    Ok(found.into_iter().collect())
}

fn not_in_time() -> String {
    format!(
        "no endpoint was found within {} s, which is all that `watcher list` takes for those of all processes",
        LOOKED_FOR.as_secs()
    )
}

/// What each comes to, in the order in which they end. One that panics is left out.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    work: impl Iterator<Item = F>,
) -> Vec<T> {
    let mut running: JoinSet<T> = work.collect();
    let mut done = Vec::with_capacity(running.len());
    while let Some(one) = running.join_next().await {
        done.extend(one);
    }
    done
}

/// `watcher pull`.
pub(super) fn pull(args: &cli::Pull) -> anyhow::Result<u8> {
    let pid = process_id(args.pid)?;
    let puller = Puller::new(Settings::load(&args.pprof)?);
    let mut observer = Observer::start(Selection::Pid(pid), 8)?;
    observer.discover();
    let Some(target) = observer.targets().first() else { bail!("there is no process {pid} that we can see") };
    // Says what a person asked for who gave the pid of something else.
    if target.go.is_none() {
        Subject::open(pid)?;
    }
    let wanted = Wanted {
        name: name(args.profile),
        collect: args.gc,
        reason: "somebody asked for it by hand".to_owned(),
    };
    let pulled = runtime()?.block_on(puller.pull(target, &[wanted])).pop();
    let pull = match pulled {
        Some(Ok(pull)) => pull,
        Some(Err(missing)) => return Err(refusal(target, &missing)),
        None => bail!("nothing was pulled from process {pid} ({})", target.name),
    };
    let shown = Pulled {
        name: pull.name.path(),
        endpoint: &pull.endpoint,
        profile: &pull.profile,
        bytes: pull.bytes,
        target,
        taken: SystemTime::now(),
        took: pull.took,
        target_cpu: pull.target_cpu,
        kept: &pull.kept,
    };
    let output = match args.format {
        ProfileFormat::Text => pulled::text(&shown, ROWS),
        ProfileFormat::Json => pulled::json(&shown)?,
        ProfileFormat::Pprof => return give_profile(&pull.profile, args.output.as_deref()),
        ProfileFormat::Folded => folded::folded(&pull.profile, pull.profile.value_index(None).unwrap_or(0)),
        ProfileFormat::Svg => {
            let value = pull.profile.value_index(None).unwrap_or(0);
            give(args.output.as_deref(), &flame(&pull.profile, value)?)?;
            return Ok(EXIT_NO_LEAK);
        }
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn refusal(target: &Target, missing: &Missing) -> anyhow::Error {
    anyhow!("no profile of process {} ({}): {missing}", target.id.pid, target.name)
}

fn name(kind: ProfileKind) -> ProfileName {
    match kind {
        ProfileKind::Heap => ProfileName::Heap,
        ProfileKind::Allocs => ProfileName::Allocs,
        ProfileKind::Goroutine => ProfileName::Goroutine,
        ProfileKind::GoroutineLeak => ProfileName::GoroutineLeak,
        ProfileKind::ThreadCreate => ProfileName::ThreadCreate,
        ProfileKind::Block => ProfileName::Block,
        ProfileKind::Mutex => ProfileName::Mutex,
    }
}

/// One of its values as a flame graph.
fn flame(profile: &Profile, value: usize) -> anyhow::Result<Vec<u8>> {
    let shown = profile.sample_types.get(value);
    let caption = Caption {
        title: shown.map_or("", |each| each.kind.as_str()),
        subtitle: &profile.comments.join("; "),
        unit: shown.map_or("", |each| each.unit.as_str()),
        main_module: None,
    };
    Ok(flame_graph(&folded::folded(profile, value), &caption)?)
}

/// `watcher show`.
pub(super) fn show(args: &cli::Show) -> anyhow::Result<u8> {
    let path = args.file.display();
    let bytes =
        ordinary_files::read(&args.file, diff::MAX_FILE_BYTES).with_context(|| format!("read {path}"))?;
    let profile = diff::load(&bytes).with_context(|| format!("read {path}"))?;
    let Some(value) = profile.value_index(args.sample_type.as_deref()) else {
        let held: Vec<&str> = profile.sample_types.iter().map(|each| each.kind.as_str()).collect();
        let asked = args.sample_type.as_deref().unwrap_or("value");
        bail!("{path} holds no {asked}: it holds {}", held.join(", "));
    };
    let output = match (args.view, args.format) {
        (View::Top, Picture::Text) => folded::top(&profile, value, args.rows),
        (View::Peek, Picture::Text) => peek::text(&profile, value, &args.function),
        (View::Traces, Picture::Text) => traces::text(&profile, value, args.rows),
        (View::Flame, Picture::Text) => folded::folded(&profile, value),
        (View::Graph, Picture::Text) => graph::tree(&profile, value, args.rows),
        (View::Flame, Picture::Svg) => {
            give(args.output.as_deref(), &flame(&profile, value)?)?;
            return Ok(EXIT_NO_LEAK);
        }
        (View::Graph, Picture::Svg) => CallGraph::of(&profile, value)
            .svg()
            .context("there is nothing to draw: nothing has a value above 0")?,
        (View::Top | View::Peek | View::Traces, Picture::Svg) => {
            bail!("only flame and graph are pictures: ask for --format text")
        }
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}
