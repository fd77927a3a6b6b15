use super::begin;
use crate::judge::judge;
use crate::judge::judgement::Judgement;
use crate::judge::simulation::{Beat, window};
use crate::judge::terms::{Bounds, Thresholds};
use crate::judge::weigh::evidence::{Begin, Evidence};
use crate::store::Window;

fn since(window: &Window, age_seconds: Option<f64>) -> Option<(f64, Begin)> {
    let judgement: Judgement =
        judge(window, &Bounds { age_seconds, ..Bounds::default() }, &Thresholds::default());
    let finding = judgement.findings.first().expect("a finding");
    let said = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Since { seconds, begin } => Some((*seconds, *begin)),
        _ => None,
    });
    assert_eq!(said, begin(finding, window, age_seconds));
    said
}

#[test]
fn growth_goes_back_to_the_start_or_no_further_than_its_pace_allows() {
    let from = |level: u64| window(move |second, beat: &mut Beat| beat.files = level + 2 * second as u64);
    // 90 more come in 45 s.
    for (level, age, expected) in [
        (5, 47.0, Some((47.0, Begin::ProcessStart))),
        (7_110, 3_600.0, Some((3_600.0, Begin::ProcessStart))),
        (910, 3_600.0, Some((500.0, Begin::NoEarlier))),
        (910, 200.0, None),
    ] {
        assert_eq!(since(&from(level), Some(age)), expected, "{level} in {age} s");
    }
    assert_eq!(since(&from(910), None), None, "when it started is not known");
}
