//! The ledger of descriptors against the kernel's own table.

use anyhow::{Context, Error, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use watcher::observed::ledger::Route;
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds, Ledgers, RawDescriptor, RawLedger};
use watcher::source::proc::ProcRoot;
use watcher::source::{KernelTables, Scope};
use watcher::vocabulary::process::ProcessId;
use watcher::vocabulary::reading::Reading;

/// Ledgers that watch one process for its descriptors, and what it had before.
pub struct Watch {
    /// The kernel's own tables.
    pub kernel: Kernel,
    /// The ledgers.
    pub ledgers: Ledgers,
    /// The process.
    pub id: ProcessId,
    /// What was open before, by number.
    pub before: Table,
    /// What was missed and is known of by comparison.
    known: Table,
}

/// Open descriptors and the inode numbers of their files.
pub type Table = BTreeMap<i32, u64>;

/// What of the ledger and what of the table the other does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Open, opened since, and not in the ledger.
    pub missed: BTreeSet<i32>,
    /// In the ledger and not open.
    pub stale: BTreeSet<i32>,
}

impl Watch {
    /// Begins to watch a process that holds still.
    pub fn begin(pid: i32) -> Result<Watch> {
        Watch::with(Kernel::load(), pid, &[]).map_err(|refused| refused.1)
    }

    /// The same as if the kernel refused these programs. Gives the kernel back where the process is not watched.
    pub fn with(mut kernel: Kernel, pid: i32, refused: &[&str]) -> Result<Watch, Box<(Kernel, Error)>> {
        match begin(&mut kernel, pid, refused) {
            Ok((ledgers, id, before)) => Ok(Watch { kernel, ledgers, id, before, known: Table::new() }),
            Err(error) => Err(Box::new((kernel, error))),
        }
    }

    /// Watches another process as well.
    pub fn also(&mut self, id: ProcessId) -> Result<()> {
        self.ledgers.watch(id, None, Kinds::from([Kind::Descriptors])).context("watch another process")
    }

    /// Forgets what was closed unseen, as those do who join the ledger with a scan.
    pub fn put_right(&mut self, differences: &Differences) -> Result<()> {
        let mut stale = self.raw()?.things;
        stale.retain(|thing| differences.stale.contains(&thing.fd));
        self.ledgers.forget_descriptors(self.id, &stale);
        let since = self.since()?;
        self.known.extend(since.into_iter().filter(|(fd, _)| differences.missed.contains(fd)));
        Ok(())
    }

    /// How the programs see what happens.
    pub fn route(&self) -> Result<Route> {
        self.ledgers.route(Kind::Descriptors).context("nothing is watched")
    }

    /// What the programs know.
    pub fn raw(&self) -> Result<RawLedger<RawDescriptor>> {
        self.ledgers.descriptors(self.id).context("the process is not watched")
    }

    /// What is open now and was opened since.
    pub fn since(&mut self) -> Result<Table> {
        let mut table = table(&mut self.kernel, self.id.pid)?;
        table.retain(|fd, inode| self.before.get(fd) != Some(inode));
        Ok(table)
    }

    /// The ledger against the table. A number that another file has by now is in both sets; what was missed and put
    /// right before is not told again.
    pub fn differences(&mut self) -> Result<Differences> {
        let since = self.since()?;
        let known = |(fd, inode): &(&i32, &u64)| self.known.get(fd) == Some(inode);
        let mut differences = Differences {
            missed: since.iter().filter(|entry| !known(entry)).map(|(fd, _)| *fd).collect(),
            stale: BTreeSet::new(),
        };
        let mut numbers = BTreeSet::new();
        for entry in self.raw()?.things {
            ensure!(numbers.insert(entry.fd), "descriptor {} is in the ledger twice", entry.fd);
            let is_it = |inode: &u64| entry.inode.is_none_or(|believed| believed == *inode);
            if since.get(&entry.fd).is_some_and(is_it) {
                differences.missed.remove(&entry.fd);
            } else {
                differences.stale.insert(entry.fd);
            }
        }
        Ok(differences)
    }
}

fn begin(kernel: &mut Kernel, pid: i32, refused: &[&str]) -> Result<(Ledgers, ProcessId, Table)> {
    let id = identity(pid)?;
    let mut ledgers = Ledgers::new(kernel);
    for program in refused {
        ledgers.refuse(program);
    }
    let before = table(kernel, pid)?;
    ledgers.watch(id, None, Kinds::from([Kind::Descriptors])).context("watch the process")?;
    Ok((ledgers, id, before))
}

/// Who a process is.
pub fn identity(pid: i32) -> Result<ProcessId> {
    let root = ProcRoot::host().context("read /proc")?;
    let process = root.open(pid).into_seen().with_context(|| format!("open process {pid}"))?;
    process.id().into_seen().with_context(|| format!("identify process {pid}"))
}

/// The kernel's own table.
pub fn table(kernel: &mut Kernel, pid: i32) -> Result<Table> {
    let mut table = Table::new();
    let reading = kernel.descriptors(Scope::Process(pid), &mut |descriptor| {
        table.insert(descriptor.fd, descriptor.inode);
    });
    ensure!(reading == Reading::Seen(()), "the descriptors of {pid} are {reading:?}");
    Ok(table)
}
