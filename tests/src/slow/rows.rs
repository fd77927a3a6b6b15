//! Which programs are watched at the pace of production: one to six pieces a minute, one to ten kilobytes a second.

use crate::corpus::{self, BASE, Leaks, Peer, Row};
use anyhow::{Context, Result};

/// A row of the corpus at a slow pace, and what may be asked of it.
#[derive(Clone, Copy, Debug)]
pub struct SlowRow {
    /// The program and its lines.
    pub row: Row,
    /// One of the nine leaks of which no cell may say healthy and of which five must be seen at first glance.
    pub is_of_the_nine: bool,
    /// `run` must tell the leak this many minutes after it began to watch.
    pub told_within_minutes: Option<f64>,
    /// Until then it fills for the first time, and nobody outside can know that it has an end: a window that ends
    /// before accuses nobody wrongly. Seconds since its start.
    pub fills_for_seconds: u64,
}

/// A row of the corpus, by its name there.
const fn kept(name: &'static str, per_minute: f64) -> Named {
    Named { name, per_minute, pace: None, nine: None, arguments: &[] }
}

struct Named {
    name: &'static str,
    per_minute: f64,
    pace: Option<&'static str>,
    /// One of the nine, and the minutes after which `run` must have told it.
    nine: Option<f64>,
    /// Instead of the row's own.
    arguments: &'static [&'static str],
}

const fn nine(name: &'static str, per_minute: f64, minutes: f64) -> Named {
    Named { nine: Some(minutes), ..kept(name, per_minute) }
}

/// Rows that the corpus has, at another pace. Of heaps the pieces are 4 kB, 6 kB, 40 kB, 1 MiB; of native memory 320 KiB.
#[rustfmt::skip]
const OF_THE_CORPUS: [Named; 32] = [
    nine("ingest", 3.0, 15.0),
    nine("tickets", 2.0, 20.0),
    Named { pace: Some("1kBs"), ..nine("lending", 10.0, 60.0) },
    nine("thumbs", 2.0, 20.0),
    nine("signer", 2.0, 20.0),
    nine("relay", 3.0, 15.0),
    nine("courier", 3.0, 15.0),
    nine("pressings", 2.0, 60.0),
    Named { pace: Some("50_at_once"), arguments: &["-batch=50"], ..nine("ingest", 150.0, 15.0) },
    kept("stocktake", 3.0),
    kept("kiosk", 3.0),
    kept("brokers", 4.0),
    kept("queues_mutex", 2.0),
    kept("queues_group", 1.0),
    kept("pulses", 2.0),
    kept("journal", 2.0),
    kept("alarms", 2.0),
    kept("envoys", 3.0),
    kept("courier_brief", 2.0),
    kept("parlour", 6.0),
    kept("relay_patient", 3.0),
    kept("divers", 2.0),
    kept("divers_bell", 2.0),
    kept("pressings_sheet", 2.0),
    kept("archive", 3.0),
    kept("thumbs_album", 2.0),
    Named { pace: Some("10kBs"), ..kept("lending", 100.0) },
    Named { pace: Some("10kBs"), ..kept("herald", 15.0) },
    Named { pace: Some("10kBs"), ..kept("carousel", 60.0) },
    kept("digest_page", 1.0),
    Named { pace: Some("1kBs"), ..kept("postroom", 15.0) },
    kept("tickets_mix", 40.0),
];

const SLOW: Row = Row { pace: Some("slow"), situations: &[27], ..BASE };
const INNOCENT: Row = Row { leaks: Leaks::Never, ..SLOW };
const CLOAKROOM: Row = Row { program: "cloakroom", ..INNOCENT };

const fn row(row: &Row, per_minute: f64) -> SlowRow {
    SlowRow {
        row: Row { rate_per_second: per_minute / 60.0, ..*row },
        is_of_the_nine: false,
        told_within_minutes: None,
        fills_for_seconds: 0,
    }
}

#[rustfmt::skip]
const OTHERS: [SlowRow; 17] = [
    // Watchers of files that are kept, beside many descriptors that are not, and a service that is its own client.
    row(&Row { program: "tenants", kind: "fd", lines: &["syscall.InotifyInit1("], ..SLOW }, 4.0),
    row(&Row { program: "canteen", kind: "connection", lines: &["http.Get(url)"], ..SLOW }, 3.0),
    // A bounded set of files: the oldest makes room; full after 192 s.
    SlowRow { fills_for_seconds: 192, ..row(&Row { arguments: &["-way=file", "-hooks=64"], ..CLOAKROOM }, 20.0) },
    // The same, which is full after twenty minutes only.
    SlowRow { fills_for_seconds: 1200, ..row(&Row { pace: Some("slower"), arguments: &["-way=file", "-hooks=120"], ..CLOAKROOM }, 6.0) },
    // Sessions of 200 s; naps of an hour, which end by themselves.
    SlowRow { fills_for_seconds: 200, ..row(&Row { arguments: &["-way=guest", "-stay=200s"], ..CLOAKROOM }, 12.0) },
    SlowRow { fills_for_seconds: 3600, ..row(&Row { arguments: &["-way=nap", "-stay=1h"], ..CLOAKROOM }, 3.0) },
    // Children that are waited for after two minutes.
    SlowRow { fills_for_seconds: 120, ..row(&Row { arguments: &["-way=child", "-stay=120s"], ..CLOAKROOM }, 3.0) },
    // A pool that fills within five minutes, all of which is used in turn.
    row(&Row { arguments: &["-way=call", "-most=60", "-touch=200ms"], peer: Peer::Server, ..CLOAKROOM }, 12.0),
    // Clients that come and stay and talk, from either side.
    row(&Row { arguments: &["-way=call", "-touch=300ms"], peer: Peer::Server, ..CLOAKROOM }, 6.0),
    row(&Row { arguments: &["-way=call"], peer: Peer::Caller, ..CLOAKROOM }, 6.0),
    // Keeps a bounded list of buffers.
    SlowRow { fills_for_seconds: 60, ..row(&Row { arguments: &["-way=coat", "-hooks=100"], ..CLOAKROOM }, 100.0) },
    // Whatever was there from the start: descriptors, idle workers, connections that stay.
    row(&Row { program: "depot", arguments: &["-fds=300"], ..INNOCENT }, 1.0),
    row(&Row { program: "porters", ..INNOCENT }, 60.0),
    row(&Row { program: "seasons", arguments: &["-season=fair"], ..INNOCENT }, 6.0),
    // An HTTP server that nobody calls; one that is called; some of everything, and all of it given back.
    row(&Row { program: "courier", arguments: &["-brief"], ..INNOCENT }, 1.0),
    row(&Row { program: "kiosk", peer: Peer::Visitor, ..INNOCENT }, 60.0),
    row(&Row { program: "ledger", ..INNOCENT }, 120.0),
];

/// Every row.
///
/// # Errors
/// Where the corpus has no row of a name.
pub fn rows() -> Result<Vec<SlowRow>> {
    let of_the_corpus = OF_THE_CORPUS.iter().map(|named| {
        let found = corpus::rows().find(|row| row.name() == named.name);
        let found = found.with_context(|| format!("the corpus has no row {}", named.name))?;
        let arguments = if named.arguments.is_empty() { found.arguments } else { named.arguments };
        Ok(SlowRow {
            is_of_the_nine: named.nine.is_some(),
            told_within_minutes: named.nine,
            ..row(&Row { pace: named.pace, descriptor_limit: None, arguments, ..found }, named.per_minute)
        })
    });
    of_the_corpus.chain(OTHERS.into_iter().map(Ok)).collect()
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::corpus::Leaks;
    use std::collections::BTreeSet;

    #[test]
    fn each_row_is_there_has_a_name_of_its_own_and_lines_that_are_in_its_sources() {
        let mut names = BTreeSet::new();
        for it in rows().unwrap() {
            assert!(names.insert(it.row.name()), "{} twice", it.row.name());
            for text in it.row.lines {
                it.row.line(text).unwrap();
            }
            let leaks = it.row.leaks != Leaks::Never;
            assert_eq!(leaks, !it.row.kind.is_empty() && !it.row.lines.is_empty(), "{}", it.row.name());
            assert!(leaks || !it.is_of_the_nine);
        }
    }

    #[test]
    fn nine_are_the_table_and_no_leak_is_faster_than_production() {
        let rows = rows().unwrap();
        assert_eq!(rows.iter().filter(|it| it.is_of_the_nine).count(), 9);
        assert!(rows.iter().all(|it| it.row.rate_per_second <= 150.0 / 60.0));
    }
}
