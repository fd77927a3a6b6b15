//! The cases of the kernel in virtual machines: Debian's older kernels, in an emulator that needs no hardware
//! support, with nothing but what the cases need in memory.
//!
//! `packages` fetches emulator, kernels and tools; `image` puts the files together that the machine sees;
//! `machine` runs one; `ending` tells from what it printed how it ended.

mod ending;
mod image;
mod machine;
mod packages;

use crate::{cases, runner};
use anyhow::{Context, Result, bail};
use ending::{Counts, Ending};
use machine::Machine;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// The kernels: those of Debian 12 and 13, both packaged for the former. The older is the oldest that the
/// exact ledger is promised for.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// A machine that runs longer hangs. All cases together take two minutes where nothing else wants the processors.
const LONGEST_RUN: Duration = Duration::from_secs(40 * 60);
/// The same of one case.
const LONGEST_CASE: Duration = Duration::from_secs(15 * 60);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// Only cases whose names contain this.
    filter: Option<String>,
    /// Only this kernel: 6.1 or 6.12.
    #[arg(long, value_parser = KERNELS)]
    kernel: Option<String>,
    /// Where there can be no virtual machine, say so and be content, unless WATCHER_TESTS_REQUIRE is 1.
    #[arg(long)]
    optional: bool,
    /// Where the programs lie that the machine runs, linked statically.
    #[arg(long)]
    programs: PathBuf,
}

/// Boots the kernels side by side and prints what came of the cases in each. `false` where a case failed or a
/// machine did not come to its end; an error where there is none to boot.
pub fn boot(order: &Order) -> Result<bool> {
    let wanted = |name: &str| order.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let cases = cases::guest().into_iter();
    let kernels: Vec<&str> = KERNELS
        .into_iter()
        .filter(|kernel| order.kernel.as_ref().is_none_or(|only| only == kernel))
        .collect();
    let named =
        cases.filter(|case| kernels.iter().any(|kernel| wanted(&format!("linux-{kernel}::{}", case.name()))));
    if named.count() == 0 {
        let filter = order.filter.as_deref().unwrap_or_default();
        if order.optional {
            return say(&format!("virtual machines: none of their cases has {filter:?} in its name"));
        }
        bail!("none of the cases that run there has {filter:?} in its name");
    }
    let machines = match machines(order, &kernels) {
        Ok(machines) => machines,
        Err(error) if order.optional && !runner::is_strict() => {
            return say(&format!("virtual machines: left out: {error:#}"));
        }
        Err(error) => return Err(error),
    };
    let endings = run_side_by_side(machines.list)?;
    tell(&kernels, &endings)
}

/// Machines that are ready to be started, and the directory that they need for as long as they run.
struct Machines {
    list: Vec<Machine>,
    _directory: tempfile::TempDir,
}

fn machines(order: &Order, kernels: &[&str]) -> Result<Machines> {
    let emulator = packages::emulator().context("no emulator (Debian's qemu-system-x86)")?;
    let busybox = packages::busybox().context("no tools for the inside (Debian's busybox-static)")?;
    let directory = tempfile::tempdir().context("create a directory for the image")?;
    let image = directory.path().join("image.cpio");
    image::write(&image, &busybox, &order.programs, order.filter.as_deref())
        .context("the image could not be put together")?;
    let mut list = Vec::new();
    for name in kernels {
        let kernel = packages::kernel(name).with_context(|| format!("no kernel {name}"))?;
        writeln!(io::stdout(), "Linux {name} is {}, in {}", kernel.package, emulator.package)?;
        let directory = directory.path().join(name);
        std::fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        list.push(Machine {
            emulator: emulator.clone(),
            kernel: kernel.file,
            image: image.clone(),
            directory,
        });
    }
    Ok(Machines { list, _directory: directory })
}

fn run_side_by_side(machines: Vec<Machine>) -> Result<Vec<Ending>> {
    let running: Vec<_> = machines
        .into_iter()
        .map(|machine| thread::spawn(move || machine.run(LONGEST_RUN, LONGEST_CASE)))
        .collect();
    let joined = running.into_iter().map(|thread| match thread.join() {
        Ok(ending) => ending,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    joined.collect()
}

/// What each machine printed, how it ended where that was not well, and one line that counts.
fn tell(kernels: &[&str], endings: &[Ending]) -> Result<bool> {
    let mut out = io::stdout().lock();
    let mut parts = Vec::new();
    let mut total = Counts::default();
    let mut well = true;
    for (kernel, ending) in kernels.iter().zip(endings) {
        writeln!(out, "\nLinux {kernel}\n{}", ending.printed.trim_end())?;
        if let Some(trouble) = &ending.trouble {
            writeln!(out, "Linux {kernel}: {trouble}")?;
        }
        for complaint in &ending.complaints {
            writeln!(out, "Linux {kernel} complained: {complaint}")?;
        }
        well &= ending.is_well();
        match ending.counts {
            Some(counts) => {
                total = total.plus(counts);
                parts.push(format!("Linux {kernel}: {counts}"));
            }
            None => parts.push(format!("Linux {kernel}: not finished")),
        }
    }
    let word = if well { "ok" } else { "FAILED" };
    writeln!(out, "\nvirtual machines: {word}. {total} ({})", parts.join("; "))?;
    Ok(well)
}

fn say(sentence: &str) -> Result<bool> {
    writeln!(io::stdout(), "{sentence}")?;
    Ok(true)
}
