//! What makes readings of a Go runtime less sure than those of one whose layout is known: offsets that were found in the
//! process alone, or that nothing confirms, and what could not be found.

use crate::golang::heap::spans::Spans;
use crate::golang::runtime::Runtime;
use crate::golang::runtime::found::Remark;
use crate::observed::doubts::{Doubt, Structure, Why};
use crate::source::memory::ProcessMemory;
use crate::vocabulary::process::{ProcessId, printable};

/// What makes readings of this process, whose runtime is attached to, less sure.
pub fn of(runtime: &mut Runtime, id: ProcessId) -> Vec<Doubt> {
    let memory = ProcessMemory::new(id.pid);
    let minor = runtime.minor().map(|minor| minor.0);
    let heap = runtime.heap(&memory);
    let spans = heap.and_then(|heap| Spans::locate(&memory, heap, minor));
    let mut doubts = by_remarks(&runtime.remarks(), heap.is_ok());
    let differs = spans.is_ok_and(|spans| spans.is_calibrated());
    if differs && !doubts.iter().any(|doubt| matches!(doubt.why, Why::UnknownVersion(_))) {
        doubts.push(Doubt { structure: Structure::Span, why: Why::Disagreement });
    }
    if let Err(error) = heap {
        doubts.push(Doubt { structure: Structure::Heap, why: Why::NotRead(error.to_string()) });
    } else if let Err(error) = spans {
        doubts.push(Doubt { structure: Structure::Span, why: Why::NotRead(error.to_string()) });
    }
    doubts
}

/// That goroutines were not found needs no doubt: it is seen by their not being captured.
fn by_remarks(remarks: &[Remark], has_heap: bool) -> Vec<Doubt> {
    let named = |structure: &str| match structure {
        "g" => Some(Structure::Goroutine),
        "m" => Some(Structure::Thread),
        "gcController" => Some(Structure::Heap),
        _ => None,
    };
    let is_found = |variable| !remarks.contains(&Remark::NotFound { variable });
    let mut doubts = Vec::new();
    let mut doubt = |structure: Option<Structure>, why: Why| {
        doubts.extend(structure.map(|structure| Doubt { structure, why }));
    };
    for remark in remarks {
        match remark {
            Remark::UnknownVersion { version } => {
                for (structure, is_read) in [
                    (Structure::Goroutine, is_found("allgs")),
                    (Structure::Thread, is_found("allm")),
                    (Structure::Heap, has_heap),
                ] {
                    doubt(
                        Some(structure).filter(|_| is_read),
                        Why::UnknownVersion(printable(version.as_bytes())),
                    );
                }
            }
            Remark::Disagreement { structure } => doubt(named(structure), Why::Disagreement),
            Remark::NotConfirmed { structure } => doubt(named(structure), Why::NotConfirmed),
            Remark::NotFound { variable: "allm" } => {
                let why = "the runtime's list of threads was not found".to_owned();
                doubt(Some(Structure::Thread), Why::NotRead(why));
            }
            // A variable's content is checked by whatever route it was found.
            Remark::ByContentAlone { .. } | Remark::NotFound { .. } => {}
        }
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::by_remarks;
    use crate::golang::runtime::found::Remark;
    use crate::observed::doubts::{Structure, Why};

    #[test]
    fn each_structure_that_is_read_and_not_known_is_doubted() {
        let version = || Why::UnknownVersion("go1.99".to_owned());
        let not_found = "the runtime's list of threads was not found".to_owned();
        for (remarks, has_heap, expected) in [
            (vec![], true, vec![]),
            (
                vec![Remark::UnknownVersion { version: "go1.99".to_owned() }],
                true,
                vec![
                    (Structure::Goroutine, version()),
                    (Structure::Thread, version()),
                    (Structure::Heap, version()),
                ],
            ),
            (
                vec![
                    Remark::UnknownVersion { version: "go1.99".to_owned() },
                    Remark::NotFound { variable: "allm" },
                ],
                false,
                vec![(Structure::Goroutine, version()), (Structure::Thread, Why::NotRead(not_found))],
            ),
            (
                vec![
                    Remark::Disagreement { structure: "gcController" },
                    Remark::NotConfirmed { structure: "g" },
                    Remark::ByContentAlone { variable: "allgs" },
                ],
                true,
                vec![(Structure::Heap, Why::Disagreement), (Structure::Goroutine, Why::NotConfirmed)],
            ),
        ] {
            let doubts = by_remarks(&remarks, has_heap);
            let doubts: Vec<_> = doubts.into_iter().map(|doubt| (doubt.structure, doubt.why)).collect();
            assert_eq!(doubts, expected, "{remarks:?}");
        }
    }
}
