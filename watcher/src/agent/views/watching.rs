//! A process that the programs in the kernel watch for a while, and what they saw in the terms of the reports.

use crate::agent::interruption;
use crate::agent::progress::Progress;
use crate::agent::views::subject::{GoSubject, Subject, ViewError, who};
use crate::observed::ledger::{Accounts, Ledger, Site};
use crate::report::ledger::{Creator, Watch};
use crate::source::kernel::Kernel;
use crate::source::kernel::ledger::{Kind, Kinds, Ledgers, Refusal, go_view};
use crate::source::proc::{ProcRoot, ProcTables};
use crate::source::{KernelTables, Scope};
use crate::vocabulary::reading::Reading;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is made sure that the process is still there.
const BEAT: Duration = Duration::from_millis(500);

/// Programs in the kernel that watch one process; dropped, they are detached.
pub(super) struct Watching {
    pub ledgers: Ledgers,
    /// The kernel's own, or `/proc` where it does not let us read them.
    pub tables: Box<dyn KernelTables>,
    kind: Kind,
}

impl Watching {
    /// Watches a process for things of one kind from now on; else why it is not watched.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn begin(subject: &mut GoSubject, kind: Kind) -> Result<(Watching, Option<Refusal>), ViewError> {
        let mut kernel = Kernel::load();
        let mut ledgers = Ledgers::new(&kernel);
        let view = subject.runtime.kernel_view(&subject.file, &subject.memory);
        let id = subject.subject.target.id;
        let refusal = ledgers.watch(id, view.as_ref().map(go_view), Kinds::from([kind])).err();
        let gives_tables = kernel.descriptors(Scope::Process(id.pid), &mut |_| {}).seen().is_some();
        let tables: Box<dyn KernelTables> = if gives_tables {
            Box::new(kernel)
        } else {
            Box::new(ProcTables::new(ProcRoot::host().map_err(ViewError::NoProc)?))
        };
        Ok((Watching { ledgers, tables, kind }, refusal))
    }

    /// How `ledger` was kept. `remarks` are what else makes it less sure.
    pub fn account<T>(&self, ledger: &Ledger<T>, mut remarks: Vec<String>) -> Watch {
        let gaps = self.ledgers.gaps(self.kind).iter();
        remarks.extend(gaps.map(|gap| format!("Not seen here: {}. {}", gap.what, gap.why)));
        let lost = self.ledgers.losses().into_iter();
        remarks.extend(lost.map(|(what, count)| format!("Lost in the kernel: {count} {what}.")));
        Watch { watched: ledger.watched(), route: Some(ledger.route), accounts: ledger.accounts, remarks }
    }
}

/// Waits for `wanted`, or until somebody asks to end, and tells people at a terminal how far it is.
///
/// # Errors
/// As soon as the process has exited, or runs another program.
pub(super) async fn wait(subject: &Subject, wanted: Duration) -> Result<(), ViewError> {
    let interrupted = interruption();
    tokio::pin!(interrupted);
    let mut progress = Progress::new(format!("watching {}", who(&subject.target)), "shows", wanted);
    let began = Instant::now();
    let until = began + wanted;
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = &mut interrupted => return Ok(()),
            () = tokio::time::sleep_until(until) => return Ok(()),
            _ = beats.tick() => {}
        }
        subject.verify()?;
        progress.show(began.elapsed());
    }
}

/// Who made what a site holds.
pub(super) fn creator<T>(site: &Site<T>, accounts: &Accounts) -> Creator {
    match site.stack.is_empty() {
        false => Creator::Seen { stack: site.stack.clone(), started_by: site.started_by.clone() },
        // What nobody saw and what has no stack look alike where there are both.
        true if accounts.missed > 0 && accounts.without_stack == 0 => Creator::Missed,
        true => Creator::NoStack,
    }
}

/// Why what was seen of a process is not to be had.
pub(super) fn unread<T>(reading: &Reading<T>, who: String) -> ViewError {
    match reading {
        Reading::Gone => ViewError::Left { who },
        Reading::Denied => ViewError::Denied { who },
        Reading::Failed => ViewError::Lacking { who },
        _ => ViewError::NoLedger { who },
    }
}
