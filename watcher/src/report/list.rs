//! The table of `watcher list`.

use super::endpoints::Endpoints;
use super::fit;
use crate::explain::words::duration;
use crate::vocabulary::process::{Container, Target};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::time::SystemTime;

/// Digits of a container's id that people use to name it.
const SHORT_ID: usize = 12;

/// A row for each process, in the order given; `now` is what uptimes count to.
pub fn table(targets: &[&Target], endpoints: &Endpoints, now: SystemTime) -> String {
    if targets.is_empty() {
        return "No Go process was found. `watcher doctor` tells whether some could not be read.\n"
            .to_owned();
    }
    let mut table = plain_table();
    let looked_for = !endpoints.is_empty();
    let columns = ["PID", "GO", "MODULE", "VERSION", "CONTAINER", "ENDPOINT", "UP", "NAME"];
    let shown = |column: &usize| looked_for || columns[*column] != "ENDPOINT";
    table.set_header((0..columns.len()).filter(shown).map(|column| columns[column]));
    for target in targets {
        let row = row(target, endpoints, now);
        table.add_row((0..row.len()).filter(shown).map(|column| fit::cell(&row[column])));
    }
    for right_aligned in [0, if looked_for { 6 } else { 5 }] {
        if let Some(column) = table.column_mut(right_aligned) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    without_trailing_blanks(&table)
}

fn row(target: &Target, endpoints: &Endpoints, now: SystemTime) -> [String; 8] {
    let dash = || "-".to_owned();
    let go = target.go.as_deref();
    let module = go.and_then(|go| go.module.as_ref());
    [
        target.id.pid.to_string(),
        go.map_or_else(dash, |go| go.version.clone()),
        go.and_then(|go| go.module_path()).map_or_else(dash, str::to_owned),
        module.map_or_else(dash, |module| module.version.clone()),
        target.container.as_ref().map_or_else(dash, container),
        endpoints.of(target.id).and_then(|endpoint| endpoint.address.clone()).unwrap_or_else(dash),
        now.duration_since(target.started).map_or_else(|_| dash(), |up| duration(up.as_secs_f64())),
        name(target),
    ]
}

/// A program of another language stands beside the Go library that it has loaded.
fn name(target: &Target) -> String {
    let library = target.go.as_deref().and_then(|go| go.library.as_ref());
    match library.and_then(|library| library.path.rsplit('/').next()) {
        Some(library) => format!("{} with {library}", target.name),
        None => target.name.clone(),
    }
}

fn container(container: &Container) -> String {
    let id = short_id(&container.id);
    container.runtime.map_or_else(|| id.to_owned(), |runtime| format!("{runtime}/{id}"))
}

/// A container's id in the length in which people use it.
pub(super) fn short_id(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// A table without lines, two blanks between columns, as wide as its content.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The table's text without the padding left of the first and right of the last column.
pub(super) fn without_trailing_blanks(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::report::endpoints::{Endpoint, Endpoints};
    use crate::vocabulary::process::{Container, GoProgram, Limits, Lineage, Module, ProcessId, Target};
    use expect_test::expect;
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    fn target(pid: i32, name: &str, go: Option<GoProgram>, container: Option<Container>) -> Target {
        Target {
            id: ProcessId { pid, start_ticks: 1 },
            parent_pid: 1,
            name: name.to_owned(),
            exe: None,
            exe_deleted: false,
            args: Vec::new(),
            uid: Some(0),
            started: UNIX_EPOCH + Duration::from_secs(1_000),
            go: go.map(Arc::new),
            container,
            cgroup: None,
            network_namespace: None,
            limits: Limits::default(),
            lineage: Lineage::default(),
        }
    }

    #[test]
    fn each_process_has_a_row() {
        let module =
            |path: &str, version: &str| Some(Module { path: path.to_owned(), version: version.to_owned() });
        let etcd = GoProgram {
            version: "go1.24.4".to_owned(),
            module: module("go.etcd.io/etcd/server/v3", "v3.5.16"),
            ..GoProgram::default()
        };
        let old = GoProgram {
            version: "go1.12.17".to_owned(),
            package: Some("github.com/example/cmd/worker".to_owned()),
            ..GoProgram::default()
        };
        let id = "3f4e5d6c7b8a9f0e".repeat(4);
        let container = Container { id, runtime: Some("docker") };
        let targets = [
            target(812, "etcd", Some(etcd), None),
            target(104_411, "worker", Some(old), Some(container)),
            target(9, "nginx", None, None),
        ];
        let all: Vec<&Target> = targets.iter().collect();
        let address = Some("http://127.0.0.1:2379/debug/pprof/".to_owned());
        let endpoints = Endpoints::from_iter([(targets[0].id, Endpoint { address, why: None })]);
        expect![[r#"
               PID  GO         MODULE                         VERSION  CONTAINER            ENDPOINT                                    UP  NAME
               812  go1.24.4   go.etcd.io/etcd/server/v3      v3.5.16  -                    http://127.0.0.1:2379/debug/pprof/  3 h 12 min  etcd
            104411  go1.12.17  github.com/example/cmd/worker  -        docker/3f4e5d6c7b8a  -                                   3 h 12 min  worker
                 9  -          -                              -        -                    -                                   3 h 12 min  nginx
        "#]]
        .assert_eq(&table(&all, &endpoints, UNIX_EPOCH + Duration::from_secs(12_520)));
    }

    #[test]
    fn nothing_to_list_is_said() {
        expect![[r#"
            No Go process was found. `watcher doctor` tells whether some could not be read.
        "#]]
        .assert_eq(&table(&[], &Endpoints::default(), UNIX_EPOCH));
    }
}
