//! The files in which a process keeps data, at one moment: what a database is known by from outside.

use crate::observed::data_files::{DataFile, DataFiles};
use crate::source::clock;
use crate::source::proc::ProcessDir;
use crate::vocabulary::process::printable;
use crate::vocabulary::reading::Reading;

/// Looks at the data files of a process. Logs are left out: every program has some, whatever else it does.
pub fn capture(process: &ProcessDir) -> Reading<DataFiles> {
    let at = clock::now();
    process.writable_files().map(|all| {
        let mut files: Vec<DataFile> = all
            .into_iter()
            .filter(|file| !is_log(&file.path))
            .map(|file| DataFile {
                identity: file.identity,
                position: file.position,
                size: file.size,
                name: printable(name_of(&file.path)).into(),
            })
            .collect();
        // Opened twice, it is still one; where most was written counts.
        files.sort_by_key(|file| (file.identity, std::cmp::Reverse(file.position)));
        files.dedup_by_key(|file| file.identity);
        DataFiles { at, files }
    })
}

/// What follows the last slash, without the kernel's note on files that have no name any more.
fn name_of(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether a file is a log, by its name, since journals of databases are appended to as well: `access.log`, `server.log.3`, `access_log`, `app.out`, `x.log.INFO.2026`.
/// A number with that ending is the journal of a storage engine (LevelDB and its kin: `000012.log`).
fn is_log(path: &[u8]) -> bool {
    if path.starts_with(b"/var/log/") {
        return true;
    }
    let name = name_of(path).to_ascii_lowercase();
    let mut words = name.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let is_number = words.next().is_some_and(|first| first.iter().all(u8::is_ascii_digit));
    let tells = |word: &[u8]| {
        let told: [&[u8]; 11] = [
            b"log", b"logs", b"out", b"err", b"stdout", b"stderr", b"txt", b"trace", b"json", b"jsonl",
            b"ndjson",
        ];
        told.contains(&word)
    };
    !is_number && (words.any(tells) || name.ends_with(b"log"))
}

#[cfg(test)]
mod tests {
    use super::is_log;

    #[test]
    fn logs_are_told_by_their_names() {
        for (path, expected) in [
            ("/srv/caddy/access.log", true),
            ("/srv/app/server.log.3", true),
            ("/usr/local/apache/access_log", true),
            ("/tmp/shop.host.root.log.INFO.20261120-205830.1", true),
            ("/home/me/nohup.out", true),
            ("/srv/app/audit.jsonl", true),
            ("/var/log/influxdb/anything", true),
            ("/srv/app/app.LOG (deleted)", true),
            ("/srv/etcd/member/wal/0000000000000000-0000000000000000.wal", false),
            ("/srv/etcd/member/snap/db", false),
            ("/srv/influx/log/load/autogen/1/_00001.wal", false),
            ("/srv/prometheus/wal/00000000", false),
            ("/srv/badger/000001.vlog", false),
            ("/srv/leveldb/000012.log", false),
            ("/srv/shop.sqlite3-wal", false),
            ("", false),
        ] {
            assert_eq!(is_log(path.as_bytes()), expected, "{path}");
        }
    }
}
