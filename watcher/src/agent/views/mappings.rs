//! What one process maps while it is watched, and who asks for it.

use super::watching::{Watching, creator, unread, wait};
use crate::agent::views::subject::{Part, Subject, ViewError};
use crate::golang::heap::heap_reader::HeapReader;
use crate::ledger::mapping_ledger;
use crate::observed::ledger::{self, Accounts, Mappings};
use crate::report::mappings::{Mapped, Owner, Site};
use crate::source::clock;
use crate::source::kernel::ledger::Kind;
use crate::source::native_symbols::NativeSymbols;
use crate::vocabulary::reading::Reading;
use std::time::Duration;

/// Watches who maps memory and files in the process with this pid for `wanted`, or until somebody asks to end, and
/// reads what is mapped then.
///
/// # Errors
/// See [`ViewError`].
pub async fn mappings(pid: i32, wanted: Duration) -> Result<Mapped, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let (watching, refusal) = Watching::begin(&mut subject, Kind::Mappings)?;
    if let Some(why) = refusal {
        return Err(ViewError::NotWatched { who: subject.who(), why });
    }
    let mut book = match mapping_ledger::begin(&subject.subject.process) {
        Reading::Seen(book) => book,
        other => return Err(unread(&other, subject.who())),
    };
    wait(&subject.subject, wanted).await?;
    let reader = HeapReader::attach(&mut subject.runtime, &subject.file, &subject.memory);
    let census = reader.census(&subject.memory);
    let heap = census.map(|census| census.ranges).unwrap_or_default();
    let taken = clock::now().wall;
    let read = mapping_ledger::capture(
        &mut book,
        &watching.ledgers,
        &mut subject.runtime,
        &mut NativeSymbols::default(),
        &subject.subject.process,
        subject.subject.target.id,
        &heap,
    );
    let ledger = match read {
        Reading::Seen(ledger) => ledger,
        other => return Err(unread(&other, subject.who())),
    };
    subject.subject.verify()?;
    Ok(Mapped {
        process: subject.subject.target.clone(),
        taken,
        watch: watching.account(&ledger, subject.remarks(&[Part::Heap])),
        sites: ledger.sites.iter().map(|each| site(each, &ledger.accounts)).collect(),
    })
}

fn site(site: &ledger::Site<Mappings>, accounts: &Accounts) -> Site {
    let what = &site.what;
    let owner = match () {
        () if what.is_runtime => Owner::Runtime,
        () if what.is_thread_stack => Owner::Threads,
        () if what.is_native => Owner::Native,
        () if site.stack.is_empty() => Owner::Unknown,
        () => Owner::Go,
    };
    // Of what nobody saw come, nobody knows since when.
    let age = |age: Duration| (site.outstanding > 0 && site.created > 0).then_some(age);
    Site {
        creator: creator(site, accounts),
        owner,
        created: site.created,
        ended: site.ended,
        outstanding: site.outstanding,
        bytes: what.bytes,
        file_bytes: what.file_bytes,
        oldest: age(site.oldest),
        youngest: age(site.youngest),
    }
}
