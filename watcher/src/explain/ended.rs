//! A process that has ended: what was seen of it until then, and nothing that only a living one could be asked.

use super::words::{count, duration, quantity, rate};
use super::{Judgement, Kind, explain};
use crate::explain::diagnosis::{Diagnosis, Ended};
use crate::judge;
use crate::vocabulary::process::Target;

/// Explains what was seen of a process that has ended. Nothing is advised that would ask it.
pub fn explain_ended(judgement: &Judgement, target: &Target, ended: Ended) -> Diagnosis {
    let mut diagnosis = explain(judgement, target, &[]);
    let pid = target.id.pid.to_string();
    let asks = |step: &String| step.split(|it: char| !it.is_ascii_digit()).any(|word| word == pid);
    diagnosis.next_steps.retain(|step| !asks(step));
    diagnosis.ended = Some(ended);
    diagnosis
}

/// How what grew in a process stood at the last: "at 19,987 of 20,000 descriptors, 166 per second from main.open1".
/// `level` is what there was in its last sample, for sockets and files all descriptors.
pub fn at_the_end(finding: &judge::judgement::Finding, level: Option<f64>) -> String {
    let unit = finding.kind.unit();
    let limit =
        finding.exhausts.filter(|it| it.limit.is_of_bytes() == matches!(unit, judge::terms::Unit::Bytes));
    let level = level.map(|level| {
        let of = limit.map(|it| format!(" of {}", quantity(it.limit_value as f64, unit)));
        format!("at {}{} {}, ", quantity(level, unit), of.unwrap_or_default(), things(finding.kind))
    });
    let from = finding.culprits.first().map(|it| format!(" from {}", it.frame.function));
    let pace = rate(finding.rate.per_second, unit);
    format!("{}growing by {pace}{}", level.unwrap_or_default(), from.unwrap_or_default())
}

/// What is about to be full: "descriptors 12,000 of 20,000, 166 per second more: full in 48 s".
pub fn filling(kind: Kind, level: f64, limit: f64, per_second: f64, seconds_left: f64) -> String {
    format!(
        "{} {} of {}, growing by {}: full in {}",
        things(kind),
        count(level),
        count(limit),
        rate(per_second, kind.unit()),
        duration(seconds_left)
    )
}

fn things(kind: Kind) -> &'static str {
    match kind {
        Kind::Fd | Kind::Connection => "descriptors",
        Kind::Thread => "threads",
        Kind::Child => "children that nobody waited for",
        Kind::Mapping => "mappings",
        Kind::Goroutine => "goroutines",
        Kind::Heap => "of live heap",
        Kind::Native => "of anonymous memory",
    }
}

#[cfg(test)]
mod tests {
    use super::{at_the_end, explain_ended, filling};
    use crate::explain::Kind;
    use crate::explain::diagnosis::Ended;
    use crate::explain::tests::target;
    use crate::judge::judge;
    use crate::judge::simulation::window;
    use crate::judge::terms::{Bounds, Thresholds};

    #[test]
    fn what_has_ended_is_said_to_have_and_is_asked_nothing() {
        let ended = Ended { after_seconds: 19.6, of_seconds: Some(45.0), runs_another: false };
        assert_eq!(ended.sentence(), "It exited after 20 of 45 s; this is what was seen until then.");
        let rises = window(|second, beat| beat.files += second as u64);
        let judgement = judge(&rises, &Bounds::default(), &Thresholds::default());
        let diagnosis = explain_ended(&judgement, &target(), ended.clone());
        assert_eq!(diagnosis.ended, Some(ended));
        assert!(diagnosis.next_steps.iter().all(|step| !step.contains("812")), "{:?}", diagnosis.next_steps);
        let finding = judgement.findings.first().expect("it grows");
        assert_eq!(at_the_end(finding, Some(19_987.0)), "at 19,987 descriptors, growing by 1 per second");
        let other = Ended { after_seconds: 3_700.0, of_seconds: None, runs_another: true };
        assert!(
            other.sentence().starts_with("It began to run another program after "),
            "{}",
            other.sentence()
        );
    }

    #[test]
    fn what_is_about_to_be_full_is_said_in_numbers() {
        let text = filling(Kind::Connection, 12_000.0, 20_000.0, 166.7, 47.9);
        assert_eq!(text, "descriptors 12,000 of 20,000, growing by 167 per second: full in 48 s");
    }
}
