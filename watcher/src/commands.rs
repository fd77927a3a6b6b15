//! What each command does and prints: from what was typed, through `agent`, to `report`.

use self::output::{
    block_on, give, give_picture, give_profile, hint, layout, print, process_id, refuse_terminal, written,
};
use crate::agent::diagnose::diagnose;
use crate::agent::observer::Observer;
use crate::agent::run::run as watch;
use crate::agent::{bench, views};
use crate::cli::{self, Command, DiffFormat, FdGroup, Format, GoroutineFormat, ProfileFormat};
use crate::config::{Config, Selection};
use crate::explain::words;
use crate::report::fds::Grouping;
use crate::report::teller::{Teller, overview};
use crate::report::{
    EXIT_FAILED, EXIT_LEAK, EXIT_NO_LEAK, diff, doctor, exit_status_of, fds, folded, goroutines, growing,
    heap, holders, json, leaked, list, mappings, memory, news, pprof, threads,
};
use crate::source::own_limits::raise_descriptor_limit;
use crate::source::{ordinary_files, reader};
use crate::vocabulary::health::all_essential_work;
use anyhow::{Context, anyhow, bail, ensure};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

mod output;
mod pulls;
mod recordings;

/// Runs one command to its end and gives its exit status.
///
/// # Errors
/// Where it could not do what was asked, in one sentence.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    raise_descriptor_limit();
    if let Some(output) = command.output() {
        refuse_unwritable(output)?;
    }
    match command {
        Command::Run(args) => run_agent(args),
        Command::List(args) => list_processes(args),
        Command::Diagnose(args) => diagnose_processes(args),
        Command::Record(args) => recordings::record(args),
        Command::Replay(args) => recordings::replay(args),
        Command::Goroutines(args) => show_goroutines(args),
        Command::Heap(args) => show_heap(args),
        Command::Fds(args) => show_descriptors(args),
        Command::Memory(args) if args.mappings => show_mappings(args),
        Command::Memory(args) => show_memory(args),
        Command::Diff(args) => show_difference(args),
        Command::Pull(args) => pulls::pull(args),
        Command::Show(args) => pulls::show(args),
        Command::Doctor(args) => show_checks(args),
        Command::BenchSweep(args) => bench_sweep(args),
        Command::BenchGoroutines(args) => bench_goroutines(args),
    }
}

fn run_agent(args: &cli::Run) -> anyhow::Result<u8> {
    let config = Config::for_run(args)?;
    let layout = layout(None);
    let mut failure = None;
    let mut teller = Teller::new(layout, !matches!(config.selection, Selection::AllGo));
    block_on(watch(&config, |event| {
        let line = match args.format {
            Format::Text => Ok(teller.hear(&event)),
            Format::Json => news::json(&event).map_err(io::Error::from),
        };
        match line.and_then(|line| print(None, &line)) {
            Ok(()) => true,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    }))?;
    if failure.is_none() && args.format == Format::Text {
        failure = print(None, &teller.summary(SystemTime::now())).err();
    }
    match failure {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write the output"),
        _ => Ok(EXIT_NO_LEAK),
    }
}

fn list_processes(args: &cli::List) -> anyhow::Result<u8> {
    let mut observer = Observer::start(Selection::AllGo, 8)?;
    let found = observer.discover();
    let targets: Vec<_> = observer.targets().iter().collect();
    let is_hidden = observer.hides_processes();
    ensure!(
        !(is_hidden && targets.is_empty()),
        "no Go process of yours was found: {}",
        words::HIDDEN_PROCESSES
    );
    let left_out = words::left_out(&observer.left_out());
    let endpoints = pulls::endpoints(&args.pprof, observer.targets())?;
    let output = match args.format {
        Format::Text => list::table(&targets, &endpoints, SystemTime::now()),
        Format::Json => json::list(&targets, &endpoints)?,
    };
    written(print(args.output.as_deref(), &output))?;
    if found.denied > 0 {
        hint(&format!("{}: `watcher doctor` says what would help", words::denied(found.denied)));
    }
    let unread = found.put_off + found.failed;
    if unread > 0 {
        let unread = words::counted(usize::try_from(unread).unwrap_or(usize::MAX), "process", "processes");
        hint(&format!("{unread} could not be looked at in time, or for want of descriptors or memory"));
    }
    if is_hidden {
        hint(words::HIDDEN_PROCESSES);
    }
    if let Some(sentence) = left_out {
        hint(&sentence);
    }
    for silent in reader::silent().0 {
        hint(&format!("pid {} ({}) {}", silent.id.pid, silent.name, silent.why()));
    }
    Ok(EXIT_NO_LEAK)
}

fn diagnose_processes(args: &cli::Diagnose) -> anyhow::Result<u8> {
    let config = Config::for_diagnose(args)?;
    let recording = args.record.as_deref().map(recordings::beside);
    let diagnosed = block_on(diagnose(&config, recording.as_ref()))?;
    let layout = layout(args.output.as_deref());
    let output = match args.format {
        Format::Text => overview(&diagnosed.diagnoses, layout),
        Format::Json => {
            diagnosed.diagnoses.iter().map(json::diagnosis_line).collect::<serde_json::Result<String>>()?
        }
    };
    written(print(args.output.as_deref(), &output))?;
    for sentence in &diagnosed.left {
        hint(sentence);
    }
    if let Some(failure) = &diagnosed.not_recorded {
        hint(&format!("{failure}: the recording is not whole; up to there it can be replayed"));
    }
    Ok(exit_status_of(diagnosed.diagnoses.iter()))
}

fn show_goroutines(args: &cli::Goroutines) -> anyhow::Result<u8> {
    if args.leaked {
        return show_leaked(args);
    }
    let seen = views::goroutines(process_id(args.pid)?)?;
    let output = match args.format {
        GoroutineFormat::Text => {
            let mut output = goroutines::text(&seen, args.groups);
            if args.threads {
                output.push('\n');
                match &seen.threads {
                    Some(seen) => output.push_str(&threads::text(seen)),
                    None => output.push_str("The OS threads could not be read.\n"),
                }
            }
            output
        }
        GoroutineFormat::Json => goroutines::json(&seen)?,
        GoroutineFormat::Pprof => return give_profile(&goroutines::profile(&seen), args.output.as_deref()),
        GoroutineFormat::Folded => folded::folded(&goroutines::profile(&seen), 0),
        GoroutineFormat::Svg => return give_picture(&goroutines::svg(&seen)?, args.output.as_deref()),
        GoroutineFormat::Debug1 => goroutines::debug1(&seen),
        GoroutineFormat::Debug2 => goroutines::debug2(&seen),
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn show_leaked(args: &cli::Goroutines) -> anyhow::Result<u8> {
    let as_json = match args.format {
        GoroutineFormat::Text => false,
        GoroutineFormat::Json => true,
        _ => anyhow::bail!("--leaked is told as text or as json"),
    };
    hint(&format!(
        "Reading its heap for {}, to see what can never go on …",
        words::duration(args.duration.as_secs_f64())
    ));
    let seen = views::leaked(process_id(args.pid)?, args.duration)?;
    let output = if as_json { leaked::json(&seen)? } else { leaked::text(&seen, args.groups) };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(if seen.count() > 0 { EXIT_LEAK } else { EXIT_NO_LEAK })
}

fn show_heap(args: &cli::Heap) -> anyhow::Result<u8> {
    if args.holders {
        return show_holders(args);
    }
    let seen = views::heap(process_id(args.pid)?)?;
    let profile = || {
        let why = || seen.samples.as_ref().err().map_or("", String::as_str);
        heap::profile(&seen).ok_or_else(|| anyhow!(heap::no_samples(why())))
    };
    let output = match args.format {
        ProfileFormat::Text => heap::text(&seen, args.stacks),
        ProfileFormat::Json => heap::json(&seen)?,
        ProfileFormat::Pprof => return give_profile(&profile()?, args.output.as_deref()),
        ProfileFormat::Svg => {
            profile()?;
            return give_picture(&heap::svg(&seen)?, args.output.as_deref());
        }
        ProfileFormat::Folded => shown_value(&profile()?),
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn show_holders(args: &cli::Heap) -> anyhow::Result<u8> {
    let output = args.output.as_deref();
    refuse_terminal(args.format, output)?;
    if let Some(time) = args.growing {
        let as_json = match args.format {
            ProfileFormat::Text => false,
            ProfileFormat::Json => true,
            _ => bail!("--growing is told as text or as json"),
        };
        hint(&format!("Reading its heap five times within {} …", words::duration(time.as_secs_f64())));
        let seen = views::growing(process_id(args.pid)?, time)?;
        let text = if as_json { growing::json(&seen)? } else { growing::text(&seen, args.stacks) };
        give(output, text.as_bytes())?;
        return Ok(EXIT_NO_LEAK);
    }
    let seen = views::holders(process_id(args.pid)?)?;
    let text = match args.format {
        ProfileFormat::Text => holders::text(&seen, args.stacks),
        ProfileFormat::Json => holders::json(&seen)?,
        ProfileFormat::Folded => holders::folded(&seen),
        ProfileFormat::Svg => return give_picture(&holders::svg(&seen)?, output),
        ProfileFormat::Pprof => {
            bail!("--holders is told as text, json, folded or svg: it has no stacks of code")
        }
    };
    give(output, text.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn show_descriptors(args: &cli::Fds) -> anyhow::Result<u8> {
    let output = args.output.as_deref();
    refuse_terminal(args.format, output)?;
    let seen = block_on(views::fds(process_id(args.pid)?, args.duration))?;
    let grouping = match args.group {
        None if !args.stacks => Grouping::None,
        None | Some(FdGroup::Stack) => Grouping::Stack { whole: args.stacks },
        Some(FdGroup::Type) => Grouping::Type,
        Some(FdGroup::Peer) => Grouping::Peer,
    };
    let text = match args.format {
        ProfileFormat::Text => fds::text(&seen, grouping, args.groups),
        ProfileFormat::Json => fds::json(&seen)?,
        ProfileFormat::Pprof => return give_profile(&fds::profile(&seen), output),
        ProfileFormat::Svg => return give_picture(&fds::svg(&seen)?, output),
        ProfileFormat::Folded => shown_value(&fds::profile(&seen)),
    };
    give(output, text.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn show_mappings(args: &cli::Memory) -> anyhow::Result<u8> {
    let output = args.output.as_deref();
    refuse_terminal(args.format, output)?;
    let seen = block_on(views::mappings(process_id(args.pid)?, args.duration))?;
    let text = match args.format {
        ProfileFormat::Text => mappings::text(&seen, args.groups, args.stacks),
        ProfileFormat::Json => mappings::json(&seen)?,
        ProfileFormat::Pprof => return give_profile(&mappings::profile(&seen), output),
        ProfileFormat::Svg => return give_picture(&mappings::svg(&seen)?, output),
        ProfileFormat::Folded => shown_value(&mappings::profile(&seen)),
    };
    give(output, text.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

fn show_memory(args: &cli::Memory) -> anyhow::Result<u8> {
    let seen = views::memory(process_id(args.pid)?)?;
    let output = match args.format {
        ProfileFormat::Text => memory::text(&seen),
        ProfileFormat::Json => memory::json(&seen)?,
        ProfileFormat::Pprof | ProfileFormat::Folded | ProfileFormat::Svg => {
            bail!("what resident memory is made of has no stacks: with --mappings, there are some")
        }
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

/// The stacks of a profile with the value that is shown where nothing else is asked for.
fn shown_value(profile: &pprof::Profile) -> String {
    folded::folded(profile, profile.value_index(None).unwrap_or(0))
}

fn show_difference(args: &cli::Diff) -> anyhow::Result<u8> {
    let load = |path: &Path| {
        let bytes = ordinary_files::read(path, diff::MAX_FILE_BYTES)
            .with_context(|| format!("read {}", path.display()))?;
        diff::load(&bytes).with_context(|| format!("read {}", path.display()))
    };
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    if !args.across {
        diff::of_one_process(&before, &after)?;
    }
    let comparison = diff::compare(&before, &after, args.sample_type.as_deref())?;
    let output = match args.format {
        DiffFormat::Text => comparison.text(args.stacks),
        DiffFormat::Json => comparison.json()?,
        DiffFormat::Pprof => return give_profile(&comparison.profile(), args.output.as_deref()),
    };
    give(args.output.as_deref(), output.as_bytes())?;
    Ok(EXIT_NO_LEAK)
}

/// Before anything takes its time: what it comes to has to be written somewhere.
fn refuse_unwritable(output: &Path) -> anyhow::Result<()> {
    let directory = output.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    ensure!(directory.is_dir(), "write {}: there is no directory {}", output.display(), directory.display());
    ensure!(!output.is_dir(), "write {}: that is a directory", output.display());
    Ok(())
}

fn show_checks(args: &cli::Doctor) -> anyhow::Result<u8> {
    let checks = Observer::start(Selection::AllGo, 8)?.checks();
    let output = match args.format {
        Format::Text => doctor::table(&checks, layout(None).colour),
        Format::Json => json::checks(&checks)?,
    };
    written(print(None, &output))?;
    Ok(if all_essential_work(&checks) { EXIT_NO_LEAK } else { EXIT_FAILED })
}

fn bench_sweep(args: &cli::BenchSweep) -> anyhow::Result<u8> {
    let cost = bench::sweep(&args.name, args.sweeps, !args.no_kernel)?;
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
    let answer = serde_json::json!({
        "processes": cost.processes,
        "settling_cpu_milliseconds": milliseconds(&cost.settling),
        "cpu_milliseconds": cost.sweeps.iter().map(milliseconds).collect::<Vec<_>>(),
    });
    written(print(None, &format!("{answer}\n")))?;
    Ok(EXIT_NO_LEAK)
}

fn bench_goroutines(args: &cli::BenchGoroutines) -> anyhow::Result<u8> {
    let mut reads = 0;
    let mut outcome = Ok(());
    let mut due = None;
    views::goroutines_repeatedly(args.pid, |attaching, reading, snapshot| {
        let groups = snapshot.groups.iter().map(|group| {
            let functions: Vec<&str> = group.frames.iter().map(|frame| &*frame.function).collect();
            serde_json::json!({
                "count": group.count,
                "reading": format!("{:?}", group.reading).to_lowercase(),
                "stack": functions.join(";"),
            })
        });
        let line = serde_json::json!({
            "attach_milliseconds": attaching.as_secs_f64() * 1000.0,
            "milliseconds": reading.as_secs_f64() * 1000.0,
            "live": snapshot.effort.live,
            "retried": snapshot.effort.retried,
            "given_up": snapshot.effort.given_up,
            "running": snapshot.effort.running,
            "incomplete": snapshot.effort.incomplete_stacks,
            "unreadable": snapshot.effort.unreadable,
            "groups": groups.collect::<Vec<_>>(),
        });
        outcome = print(None, &format!("{line}\n"));
        reads += 1;
        let goes_on = outcome.is_ok() && reads < args.reads;
        if goes_on {
            let now = std::time::Instant::now();
            // The first has already been read.
            let next = due.unwrap_or_else(|| now.checked_sub(reading).unwrap_or(now)) + args.every;
            std::thread::sleep(next.saturating_duration_since(now));
            due = Some(next.max(now));
        }
        goes_on
    })?;
    written(outcome)?;
    Ok(EXIT_NO_LEAK)
}
