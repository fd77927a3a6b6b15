//! Where output goes: files that were named, terminals, pipes.

use crate::cli::ProfileFormat;
use crate::report::{EXIT_NO_LEAK, pprof, text};
use crate::store::place::create_named;
use anyhow::{Context, ensure};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Of a new output file, as far as the umask lets it.
const OUTPUT_MODE: u32 = 0o666;

/// The process id that was typed, which has to be one.
pub fn process_id(pid: i32) -> anyhow::Result<i32> {
    ensure!(pid > 0, "{pid} is no process id: process ids are positive");
    Ok(pid)
}

/// Before anything takes its time: a profile and a picture are no text.
pub fn refuse_terminal(format: ProfileFormat, output: Option<&Path>) -> anyhow::Result<()> {
    let what = match format {
        ProfileFormat::Pprof => "a profile",
        ProfileFormat::Svg => "a picture",
        ProfileFormat::Text | ProfileFormat::Json | ProfileFormat::Folded => return Ok(()),
    };
    ensure!(
        output.is_some() || !io::stdout().is_terminal(),
        "{what} is no text: write it to a file (--output FILE) or into a pipe"
    );
    Ok(())
}

/// Writes a profile in the format of `go tool pprof`.
pub fn give_profile(profile: &pprof::Profile, output: Option<&Path>) -> anyhow::Result<u8> {
    refuse_terminal(ProfileFormat::Pprof, output)?;
    let mut bytes = Vec::new();
    pprof::encode(profile, &mut bytes).context("encode the profile")?;
    give(output, &bytes)?;
    Ok(EXIT_NO_LEAK)
}

/// Writes a picture.
pub fn give_picture(svg: &[u8], output: Option<&Path>) -> anyhow::Result<u8> {
    refuse_terminal(ProfileFormat::Svg, output)?;
    give(output, svg)?;
    Ok(EXIT_NO_LEAK)
}

/// Carries something out. What still blocks at its end is not waited for: it may never come back.
pub fn block_on<T, E: Into<anyhow::Error>>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let result = runtime.block_on(work).map_err(Into::into);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// One that runs on this thread.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")
}

/// Wide as the terminal is. Colours are for people at one who have not asked for none (<https://no-color.org>).
pub fn layout(output: Option<&Path>) -> text::Layout {
    let stdout = io::stdout();
    if output.is_some() || !stdout.is_terminal() {
        return text::Layout::PLAIN;
    }
    let columns = terminal_size::terminal_size_of(&stdout).map(|(columns, _)| columns.0);
    text::Layout::terminal(columns, std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
}

/// Writes text as `stdout` takes it, or into the file that was named.
pub fn print(output: Option<&Path>, text: &str) -> io::Result<()> {
    match output {
        Some(path) => create_named(path, OUTPUT_MODE)?.write_all(text.as_bytes()),
        None => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        }
    }
}

/// Writes what was asked for to where it was asked for.
pub fn give(output: Option<&Path>, bytes: &[u8]) -> anyhow::Result<()> {
    match output {
        Some(path) => create_named(path, OUTPUT_MODE)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(|| format!("write {}", path.display())),
        None => {
            let mut stdout = io::stdout().lock();
            written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
        }
    }
}

/// A reader that has read enough (`watcher list | head`) is no failure of ours.
pub fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("write the output"),
        _ => Ok(()),
    }
}

/// Tells people something beside the output.
pub fn hint(sentence: &str) {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(io::stderr(), "watcher: {sentence}");
}
