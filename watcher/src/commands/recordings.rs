//! `watcher record` and `watcher replay`.

use super::output::{block_on, hint, layout, print, written};
use crate::agent::diagnose;
use crate::agent::record::Recording;
use crate::agent::replay::{self, Settings};
use crate::cli::{self, Format, Limit};
use crate::config::Config;
use crate::explain::words::{bytes as size_text, counted};
use crate::report::{EXIT_NO_LEAK, exit_status_of, json, replay as courses};
use crate::source::ordinary_files;
use crate::store::recording::{Override, Reader, RecordingError};
use anyhow::{Context, bail, ensure};
use std::path::Path;

/// A recording beside a diagnosis is no larger than this: a diagnosis takes no hours.
const MOST_BYTES_BESIDE: u64 = 256 << 20;

/// Where `diagnose --record` records to.
pub(super) fn beside(path: &Path) -> Recording {
    Recording { path: path.to_owned(), most_bytes: MOST_BYTES_BESIDE }
}

pub(super) fn record(args: &cli::Record) -> anyhow::Result<u8> {
    let config = Config::for_record(args)?;
    let recording = Recording { path: args.output.clone(), most_bytes: args.max_size };
    let recorded = block_on(diagnose::record(&config, &recording))?;
    for sentence in &recorded.left {
        hint(sentence);
    }
    hint(&format!(
        "{} recorded for {:.0} s: {} in {}",
        counted(recorded.processes, "process", "processes"),
        recorded.seconds,
        size_text(recorded.bytes as f64),
        args.output.display()
    ));
    Ok(EXIT_NO_LEAK)
}

pub(super) fn replay(args: &cli::Replay) -> anyhow::Result<u8> {
    let path = args.file.display();
    ensure!(args.every.is_none_or(|every| !every.is_zero()), "--every 0 would never come to an end");
    let file = ordinary_files::open(&args.file).map_err(RecordingError::Read);
    let reader = file.and_then(Reader::new).with_context(|| format!("cannot replay {path}"))?;
    let settings =
        Settings { pid: args.pid, limits: limits(&args.limit), until: args.until, every: args.every };
    let replayed = replay::replay(reader, &settings).with_context(|| format!("cannot replay {path}"))?;
    if replayed.courses.is_empty() && replayed.left.is_empty() {
        match args.pid {
            Some(pid) => bail!("{path} has no process {pid} that could be judged"),
            None => bail!("{path} has no process that could be judged"),
        }
    }
    let layout = layout(args.output.as_deref());
    let mut output = String::new();
    for (index, course) in replayed.courses.iter().enumerate() {
        match args.format {
            Format::Text => {
                if index > 0 {
                    output.push('\n');
                }
                output.push_str(&courses::text(course, layout));
            }
            Format::Json if args.every.is_some() => {
                output.push_str(&courses::json_line(course, replayed.seconds, replayed.is_cut_off)?);
            }
            Format::Json => output.push_str(&json::diagnosis_line(&course.diagnosis)?),
        }
    }
    written(print(args.output.as_deref(), &output))?;
    for sentence in &replayed.left {
        hint(sentence);
    }
    if replayed.is_cut_off {
        hint(&format!(
            "{path} was cut off: its recorder was killed or could not write on; judged are the {:.0} s that are whole",
            replayed.seconds
        ));
    }
    Ok(exit_status_of(replayed.courses.iter().map(|course| &course.diagnosis)))
}

/// The last of several counts.
fn limits(given: &[(Limit, u64)]) -> Override {
    let mut limits = Override::default();
    for &(limit, value) in given {
        let which = match limit {
            Limit::Nofile => &mut limits.open_files,
            Limit::Nproc => &mut limits.user_processes,
            Limit::Maps => &mut limits.mappings,
            Limit::Memory => &mut limits.cgroup_memory_bytes,
            Limit::Pids => &mut limits.cgroup_pids,
            Limit::HostMemory => &mut limits.host_memory_bytes,
            Limit::HostTasks => &mut limits.host_tasks,
        };
        *which = Some(value);
    }
    limits
}
