//! Whether more than a window's totals stands behind a finding.

use super::{Evidence, Finding, Ladder};

/// Of those that came so many must have been seen for their staying to say something.
const LEAST_CAME: u64 = 10;

/// Whether places in the program, or the horizons, stand behind a finding. What totals of one window show alone may be
/// load that rises.
pub fn stands(finding: &Finding, ladder: &Ladder) -> bool {
    finding.evidence.iter().any(speaks_of_places) || ladder.alarms().any(|alarm| alarm.kind == finding.kind)
}

fn speaks_of_places(evidence: &Evidence) -> bool {
    match evidence {
        Evidence::Rose { .. }
        | Evidence::Quarters { .. }
        | Evidence::Share { .. }
        | Evidence::Steps { .. }
        | Evidence::Collections { .. }
        | Evidence::Concentrated { .. }
        | Evidence::WithoutStack { .. }
        | Evidence::SittingOn { .. } => false,
        Evidence::Origin { came, stayed, .. } => *came >= LEAST_CAME && 2 * stayed >= *came,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::speaks_of_places;
    use crate::judge::Evidence;

    #[test]
    fn who_came_and_went_again_is_no_evidence() {
        let origin = |came, stayed| Evidence::Origin {
            grown: 40,
            share: 1.0,
            seconds: 60.0,
            came,
            stayed,
            wait: None,
        };
        assert!(speaks_of_places(&origin(20, 20)));
        assert!(!speaks_of_places(&origin(20, 5)));
        assert!(!speaks_of_places(&origin(0, 0)), "nothing was captured in between");
        assert!(!speaks_of_places(&Evidence::Steps { up: 30, down: 0 }));
        assert!(speaks_of_places(&Evidence::ClosedByCollector { collections: 2, count: 30 }));
    }
}
