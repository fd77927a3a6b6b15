//! The ledgers of a running program, read as the agent reads them.

use crate::attached::Attached;
use crate::running::Running;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};
use watcher::ledger::descriptor_book::DescriptorBook;
use watcher::ledger::descriptor_ledger::{self, OpenedDescriptors, Sources};
use watcher::ledger::mapping_book::MappingBook;
use watcher::ledger::{mapping_ledger, task_ledger};
use watcher::observed::ledger::{Ledger, Mappings, Site, Tasks};
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds, Ledgers, TaskKind, go_view};
use watcher::source::native_symbols::NativeSymbols;
use watcher::source::proc::{ProcRoot, ProcessDir};
use watcher::vocabulary::frame::Frame;
use watcher::vocabulary::process::ProcessId;

/// How long a program may take for what it is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that is watched.
pub struct Watching {
    attached: Attached,
    root: ProcRoot,
    process: ProcessDir,
    id: ProcessId,
    ledgers: Ledgers,
    native: NativeSymbols,
    book: MappingBook,
    kernel: Kernel,
    descriptors: DescriptorBook,
}

impl Watching {
    /// Begins to watch a program.
    pub fn begin(running: &Running, kinds: impl Into<Kinds>) -> Result<Watching> {
        Watching::without(running, kinds, &[])
    }

    /// The same as if the kernel refused these programs.
    pub fn without(running: &Running, kinds: impl Into<Kinds>, refused: &[&str]) -> Result<Watching> {
        let mut attached = Attached::to(running.pid())?;
        let root = ProcRoot::host()?;
        let process = root.open(i32::try_from(running.pid())?).into_seen().context("open the process")?;
        let id = process.id().into_seen().context("identify the process")?;
        let mut kernel = Kernel::load();
        let mut ledgers = Ledgers::new(&kernel);
        refused.iter().for_each(|program| ledgers.refuse(program));
        let view = attached.runtime.kernel_view(&attached.file, &attached.memory);
        let view = view.context("find the way to the goroutine")?;
        let kinds = kinds.into();
        ledgers.watch(id, Some(go_view(&view)), kinds)?;
        let descriptors = if kinds.contains(Kind::Descriptors) {
            descriptor_ledger::begin(&ledgers, &mut kernel, id).into_seen().context("list its descriptors")?
        } else {
            DescriptorBook::default()
        };
        let book = mapping_ledger::begin(&process).into_seen().context("list its mappings")?;
        let native = NativeSymbols::default();
        Ok(Watching { attached, root, process, id, ledgers, native, book, kernel, descriptors })
    }

    /// The ledger of mappings now.
    pub fn mappings(&mut self) -> Result<Ledger<Mappings>> {
        let runtime = &mut self.attached.runtime;
        let (ledgers, native, process) = (&self.ledgers, &mut self.native, &self.process);
        mapping_ledger::capture(&mut self.book, ledgers, runtime, native, process, self.id, &[])
            .into_seen()
            .context("read the ledger of mappings")
    }

    /// The ledger of descriptors now.
    pub fn descriptors(&mut self) -> Result<OpenedDescriptors> {
        let sources = Sources {
            ledgers: &mut self.ledgers,
            tables: &mut self.kernel,
            runtime: &mut self.attached.runtime,
            native: &mut self.native,
            process: &self.process,
        };
        descriptor_ledger::capture(&mut self.descriptors, sources, self.id, &HashSet::new())
            .into_seen()
            .context("read the ledger of descriptors")
    }

    /// The ledger of threads or children now.
    pub fn tasks(&mut self, kind: TaskKind) -> Result<Ledger<Tasks>> {
        let runtime = &mut self.attached.runtime;
        let (ledgers, native, root) = (&self.ledgers, &mut self.native, &self.root);
        task_ledger::capture(kind, ledgers, runtime, native, root, &self.process, self.id)
            .into_seen()
            .context("read the ledger of tasks")
    }

    /// What the programs in the kernel had to drop.
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        self.ledgers.losses()
    }

    /// Reads until `is_it`.
    pub fn until<T>(
        &mut self,
        what: &str,
        read: impl Fn(&mut Watching) -> Result<Ledger<T>>,
        is_it: impl Fn(&Ledger<T>) -> bool,
    ) -> Result<Ledger<T>>
    where
        T: std::fmt::Debug,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ledger = read(self)?;
            if is_it(&ledger) {
                return Ok(ledger);
            }
            if Instant::now() > deadline {
                let remarks = self.attached.runtime.remarks();
                bail!("it took too long until {what}: {} {remarks:?}", told(&ledger));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The sites whose stack goes through this function.
pub fn through<'a, T>(ledger: &'a Ledger<T>, function: &'a str) -> impl Iterator<Item = &'a Site<T>> {
    ledger.sites.iter().filter(move |site| site.stack.iter().any(|frame| &*frame.function == function))
}

/// The stack is whole, and has these functions in this order.
pub fn is_complete(stack: &[Frame], functions: &[&str]) -> bool {
    let mut rest = stack.iter().map(|frame| &*frame.function);
    let in_order = functions.iter().all(|wanted| rest.by_ref().any(|function| function == *wanted));
    in_order && stack.last().is_some_and(|frame| &*frame.function == "runtime.goexit")
}

/// A ledger in a failure's words.
pub fn told<T: std::fmt::Debug>(ledger: &Ledger<T>) -> String {
    let mut text = format!("{:?}\n", ledger.accounts);
    for site in &ledger.sites {
        let stack: Vec<&str> = site.stack.iter().map(|frame| &*frame.function).collect();
        let creators: Vec<Vec<&str>> =
            site.started_by.iter().map(|it| it.iter().map(|frame| &*frame.function).collect()).collect();
        text += &format!(
            "created {} ended {} outstanding {} {:?} {} <- {creators:?}\n",
            site.created,
            site.ended,
            site.outstanding,
            site.what,
            stack.join(" < "),
        );
    }
    text
}
