//! Counts of what came of simulated weeks, with the intervals that so many weeks allow.

use super::Week;
use super::curves::Scene;
use watcher::judge::horizons::HORIZONS;

/// A thousand innocent weeks may have so many false alarms.
const MOST_PER_THOUSAND: f64 = 1.0;
/// One percent of the level per hour under daily waves must be found within so many hours: in a process that was known
/// before, and in one that has leaked for as long as it lives. In the first day of such a one nothing tells it from
/// what fills for a day, and a horizon that tried accused too many innocents.
const ASKED: [(Scene, f64); 2] = [(Scene::SlowLeak, 24.0), (Scene::SlowLeakFromStart, 48.0)];
/// This part of them must be.
const MIN_FOUND: f64 = 0.95;

/// What is missed of that, in words; nothing where all of it is held. A scene without weeks misses nothing.
pub fn missed(alarms: &FalseAlarms, leaks: &[(Scene, Found)]) -> Vec<String> {
    let (rate, _, _) = alarms.per_thousand();
    let accused = (rate > MOST_PER_THOUSAND)
        .then(|| format!("{rate:.2} false alarms per 1,000 weeks, at most {MOST_PER_THOUSAND} wanted"));
    let late = ASKED.iter().flat_map(|(asked, hours)| {
        let found = leaks.iter().filter(move |(scene, found)| scene == asked && found.weeks > 0);
        let found = found.map(|(_, found)| found.within(*hours)).filter(|share| *share < MIN_FOUND);
        found.map(move |share| {
            let (share, wanted) = (100.0 * share, 100.0 * MIN_FOUND);
            format!("{share:.1} % of {asked:?} found within {hours} h, {wanted} % wanted")
        })
    });
    accused.into_iter().chain(late).collect()
}

/// False alarms of innocent weeks.
#[derive(Clone, Debug, Default)]
pub struct FalseAlarms {
    /// Weeks that were lived.
    pub weeks: u64,
    /// Alarms in them.
    pub alarms: u64,
    /// The same by horizon.
    pub by_horizon: [u64; HORIZONS.len()],
    /// The same by kind, as far as there are any.
    pub by_kind: std::collections::BTreeMap<String, u64>,
}

impl FalseAlarms {
    /// Adds one week.
    pub fn add(&mut self, week: &Week) {
        self.weeks += 1;
        for told in &week.told {
            self.alarms += 1;
            self.by_horizon[told.horizon] += 1;
            *self.by_kind.entry(format!("{:?}", told.kind).to_lowercase()).or_default() += 1;
        }
    }

    /// Alarms per thousand weeks, and the 95 % interval of that rate.
    pub fn per_thousand(&self) -> (f64, f64, f64) {
        let (low, high) = poisson_interval(self.alarms);
        let per = 1_000.0 / self.weeks.max(1) as f64;
        (self.alarms as f64 * per, low * per, high * per)
    }
}

/// How soon leaks were found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Weeks that held a leak.
    pub weeks: u64,
    /// Hours from its begin to the alarm of its kind, for those that were found.
    pub hours: Vec<f64>,
    /// Weeks with an alarm before it began, or of another kind only.
    pub otherwise: u64,
}

impl Found {
    /// Adds one week.
    pub fn add(&mut self, week: &Week) {
        self.weeks += 1;
        let Some(begins) = week.leaks_after else { return };
        let right = week.told.iter().find(|told| Some(told.kind) == week.leaks && told.hours >= begins);
        match right {
            Some(told) => self.hours.push(told.hours - begins),
            None => self.otherwise += u64::from(!week.told.is_empty()),
        }
    }

    /// Part of the leaks that was found within so many hours.
    pub fn within(&self, hours: f64) -> f64 {
        self.hours.iter().filter(|found| **found <= hours).count() as f64 / self.weeks.max(1) as f64
    }

    /// So many of a hundred of those that were found were found within these hours.
    pub fn percentile(&self, percent: usize) -> Option<f64> {
        let mut hours = self.hours.clone();
        hours.sort_by(f64::total_cmp);
        hours.get(hours.len() * percent / 100).or(hours.last()).copied()
    }
}

/// The exact 95 % interval of the mean of a Poisson variable that was so much once (Garwood 1936), by the
/// approximation of Wilson and Hilferty to the chi-squared distribution.
pub fn poisson_interval(count: u64) -> (f64, f64) {
    let k = count as f64;
    let quantile = |freedom: f64, z: f64| {
        let part = 2.0 / (9.0 * freedom);
        freedom * (1.0 - part + z * part.sqrt()).max(0.0).powi(3) / 2.0
    };
    let low = if count == 0 { 0.0 } else { quantile(2.0 * k, -1.96) };
    (low, quantile(2.0 * k + 2.0, 1.96))
}

#[cfg(test)]
mod tests {
    use super::{FalseAlarms, Found, missed, poisson_interval};
    use crate::process_weeks::curves::Scene;

    #[test]
    fn one_alarm_and_one_late_leak_too_many_are_missed() {
        let words = |alarms, hours: f64, scene| {
            let alarms = FalseAlarms { weeks: 2_000, alarms, ..FalseAlarms::default() };
            let mut found = Found { weeks: 20, hours: vec![3.0; 19], otherwise: 0 };
            found.hours[0] = hours;
            missed(&alarms, &[(scene, found)])
        };
        assert!(words(2, 24.0, Scene::SlowLeak).is_empty());
        assert_eq!(words(3, 24.0, Scene::SlowLeak), ["1.50 false alarms per 1,000 weeks, at most 1 wanted"]);
        assert_eq!(words(2, 24.1, Scene::SlowLeak), ["90.0 % of SlowLeak found within 24 h, 95 % wanted"]);
        assert!(words(2, 48.0, Scene::SlowLeakFromStart).is_empty());
        assert_eq!(
            words(2, 48.1, Scene::SlowLeakFromStart),
            ["90.0 % of SlowLeakFromStart found within 48 h, 95 % wanted"]
        );
        assert!(words(2, 24.1, Scene::StepLeak).is_empty(), "of others that is not asked");
        assert!(missed(&FalseAlarms::default(), &[(Scene::SlowLeak, Found::default())]).is_empty());
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        for (count, low, high) in [(0, 0.0, 3.69), (1, 0.025, 5.57), (10, 4.80, 18.39), (100, 81.4, 121.6)] {
            let (ours_low, ours_high) = poisson_interval(count);
            assert!(
                (ours_low - low).abs() < 0.1 && (ours_high - high).abs() < 0.1,
                "{count}: {ours_low} {ours_high}"
            );
        }
    }
}
