//! A heap that rises, by too little to accuse, in a process that is no longer young: a suspicion, where the lines are known
//! that keep what came.

use super::attribute;
use crate::judge::few::CONFIDENCE;
use crate::judge::growth::{Course, Growth};
use crate::judge::{Kind, Outcome, Rate, Suspected, Undecided, UndecidedWhy};
use crate::store::Window;

/// What a younger process gains is its start as a rule.
const LEAST_AGE_SECONDS: f64 = 300.0;
/// What requests hold rises and falls for a minute or two.
const LEAST_WINDOW_SECONDS: f64 = 120.0;

/// What is said of an undecided heap of a process of this age.
pub fn suspect(undecided: Undecided, window: &Window, age_seconds: Option<f64>) -> Outcome {
    let old_enough =
        age_seconds.is_some_and(|age| age >= LEAST_AGE_SECONDS) && window.seconds() >= LEAST_WINDOW_SECONDS;
    let UndecidedWhy::Ambiguous { per_second, slowing: false, need_seconds } = undecided.why else {
        return Outcome::Undecided(undecided);
    };
    if undecided.kind != Kind::Heap || !old_enough || per_second <= 0.0 {
        return Outcome::Undecided(undecided);
    }
    let growth = Growth {
        rate: Rate { per_second, low: 0.5 * per_second, high: 2.0 * per_second },
        confidence: CONFIDENCE,
        evidence: vec![super::collections_rose(&super::collections(window))],
    };
    match Outcome::of(Kind::Heap, Course::Grows(growth), |finding| attribute(finding, window.captures())) {
        Outcome::Leaks(finding) if !finding.culprits.is_empty() => {
            Outcome::Suspected(Suspected { finding, need_seconds: Some(need_seconds) })
        }
        _ => Outcome::Undecided(undecided),
    }
}

#[cfg(test)]
mod tests {
    use super::suspect;
    use crate::judge::simulation::{moment, window_of};
    use crate::judge::{Frame, Kind, Outcome, Undecided, UndecidedWhy};
    use crate::sample::heap_sites::{HeapCapture, HeapSite};

    /// Whether a rise is suspected, and at which line; one stack has so many MiB at the last of two captures.
    fn line(slowing: bool, age: f64, mib: u64) -> Option<String> {
        let mut window = window_of(300.0, 5.0, |_, _| {});
        for (second, mib) in [(0.0, 1), (300.0, mib)] {
            let stack = [Frame::new("main.keep", "/src/keep.go", 7)].into();
            let site = HeapSite { stack, objects: mib, bytes: mib << 20, object_bytes: 1 << 20 };
            let capture = HeapCapture { at: moment(second), sites: Ok(vec![site]), mapped_bytes: None };
            window.captures_mut().heap.push(capture);
        }
        let why = UndecidedWhy::Ambiguous { per_second: 1e4, slowing, need_seconds: 600.0 };
        match suspect(Undecided { kind: Kind::Heap, why }, &window, Some(age)) {
            Outcome::Suspected(one) => Some(one.finding.culprits[0].frame.function.to_string()),
            Outcome::Undecided(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rise_is_suspected_where_a_line_keeps_it_and_the_process_is_not_young() {
        assert_eq!(line(false, 1_800.0, 4).as_deref(), Some("main.keep"));
        assert_eq!(line(false, 1_800.0, 1), None, "no line has grown");
        assert_eq!(line(false, 100.0, 4), None, "it has just started");
        assert_eq!(line(true, 1_800.0, 4), None, "it slows down");
    }
}
