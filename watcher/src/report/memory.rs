//! What the memory of one process is made of: what `watcher memory` prints.

use super::json;
use super::threads::who;
use crate::explain::Part;
use crate::explain::words::{bytes, percent};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::fmt::Write;
use std::time::SystemTime;

/// Resident memory of a process, split. The parts and what none of them explains add up to the whole.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Whose.
    pub process: Target,
    /// When it was read.
    pub taken: SystemTime,
    /// Resident set size.
    pub rss_bytes: u64,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// The rest.
    pub unexplained_bytes: u64,
    /// Memory that was swapped out, no part of the resident set.
    pub swapped_bytes: u64,
    /// What makes this less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// For people: a line for each part.
pub fn text(memory: &Memory) -> String {
    let mut text =
        format!("{}\n\n{} resident, of it\n", who(&memory.process), bytes(memory.rss_bytes as f64));
    let mut line = |size: u64, name: &str, meaning: &str| {
        let share = size as f64 / memory.rss_bytes.max(1) as f64;
        let row = format!("{:>9}  {:>5}  {name:<16}  {meaning}", bytes(size as f64), percent(share));
        _ = writeln!(text, "{}", row.trim_end());
    };
    // A program that is not Go has nothing of what Go's consist of.
    for part in memory.parts.iter().filter(|part| part.bytes > 0 || memory.process.go.is_some()) {
        line(part.bytes, part.name, part.meaning);
    }
    line(memory.unexplained_bytes, "unexplained", "");
    if memory.swapped_bytes > 0 {
        _ = writeln!(text, "\n{} more were swapped out.", bytes(memory.swapped_bytes as f64));
    }
    if !memory.remarks.is_empty() {
        text.push('\n');
    }
    for remark in &memory.remarks {
        _ = writeln!(text, "{remark}");
    }
    text
}

/// As one object on one line (`watcher.memory/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that this can cause; what serde reports is passed on.
pub fn json(memory: &Memory) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct PartObject {
        name: &'static str,
        bytes: u64,
    }
    #[derive(Serialize)]
    struct Object<'a, P: Serialize> {
        schema: &'static str,
        process: P,
        taken: Option<String>,
        rss_bytes: u64,
        parts: Vec<PartObject>,
        unexplained_bytes: u64,
        swapped_bytes: u64,
        remarks: &'a [String],
    }
    let object = Object {
        schema: "watcher.memory/1",
        process: json::target(&memory.process),
        taken: json::timestamp(memory.taken),
        rss_bytes: memory.rss_bytes,
        parts: memory.parts.iter().map(|part| PartObject { name: part.name, bytes: part.bytes }).collect(),
        unexplained_bytes: memory.unexplained_bytes,
        swapped_bytes: memory.swapped_bytes,
        remarks: &memory.remarks,
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::{Memory, Part, json, text};
    use crate::report::stack::fixture::process;
    use expect_test::expect;
    use std::time::UNIX_EPOCH;

    fn memory() -> Memory {
        Memory {
            process: process(),
            taken: UNIX_EPOCH,
            rss_bytes: 41 << 20,
            parts: vec![
                Part {
                    name: "live heap",
                    bytes: 20 << 20,
                    meaning: "what the last collection found reachable",
                },
                Part { name: "mapped files", bytes: 20 << 20, meaning: "code and files" },
            ],
            unexplained_bytes: 1 << 20,
            swapped_bytes: 3 << 20,
            remarks: vec!["No collection has ended yet.".to_owned()],
        }
    }

    #[test]
    fn people_see_a_line_for_each_part() {
        expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            41 MiB resident, of it
               20 MiB   49 %  live heap         what the last collection found reachable
               20 MiB   49 %  mapped files      code and files
                1 MiB    2 %  unexplained

            3 MiB more were swapped out.

            No collection has ended yet.
        "#]]
        .assert_eq(&text(&memory()));
    }

    #[test]
    fn programs_get_the_same() {
        expect![[r#"
            {"schema":"watcher.memory/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"taken":"1970-01-01T00:00:00Z","rss_bytes":42991616,"parts":[{"name":"live heap","bytes":20971520},{"name":"mapped files","bytes":20971520}],"unexplained_bytes":1048576,"swapped_bytes":3145728,"remarks":["No collection has ended yet."]}
        "#]].assert_eq(&json(&memory()).unwrap());
    }
}
