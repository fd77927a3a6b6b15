//! Makes the recordings below `recordings/` anew, four at a time; `cargo xtask record-fixtures` runs it.

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::sync::Mutex;
use std::thread;
use tests::recordings::{Row, directory, record, table};

/// Programs that are watched at once: a core has to be left for each watcher.
const AT_ONCE: usize = 4;
/// All of them lie in the repository.
const MOST_BYTES: u64 = 1 << 20;

/// Makes recordings of programs at work.
#[derive(Parser)]
struct Arguments {
    /// Only those whose names contain this.
    filter: Option<String>,
}

fn main() -> Result<()> {
    let Arguments { filter } = Arguments::parse();
    let mut rows: Vec<(String, Row)> = table()?.into_iter().collect();
    rows.retain(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter)));
    if rows.is_empty() {
        bail!("no row of the table is called that");
    }
    let rows = Mutex::new(rows);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = rows.lock().map(|mut rows| rows.pop());
                    let Ok(Some((name, row))) = next else { return };
                    let said = match make(&name, &row) {
                        Ok(bytes) => format!("{name}: {bytes} bytes"),
                        Err(error) => {
                            failed.lock().map(|mut failed| failed.push(name.clone())).unwrap_or_default();
                            format!("{name}: {error:#}")
                        }
                    };
                    // Nobody is left to tell where standard output is closed.
                    let _ = writeln!(io::stdout(), "{said}");
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("not made: {}", failed.join(", "));
    }
    let mut total = 0;
    for entry in fs::read_dir(directory()).context("list the recordings")? {
        total += entry?.metadata()?.len();
    }
    if total > MOST_BYTES {
        bail!("all recordings together have {total} bytes, and {MOST_BYTES} is the most for the repository");
    }
    Ok(())
}

/// The old recording is there until the new one is whole.
fn make(name: &str, row: &Row) -> Result<u64> {
    let file = directory().join(format!("{name}.jsonl.gz"));
    let unfinished = directory().join(format!(".{name}.part"));
    record(row, &unfinished).inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    let bytes = fs::metadata(&unfinished)?.len();
    fs::rename(&unfinished, &file).with_context(|| format!("name {}", file.display()))?;
    Ok(bytes)
}
