//! When it is news that a limit is near: once for each of [`STEPS`], and again only after it was clearly left.

use crate::explain::Level;
use std::collections::HashMap;

/// Parts of a limit at which it is told.
const STEPS: [f64; 3] = [0.8, 0.9, 0.95];

/// A step is left where the level has fallen below it by this part of the limit: what swings around it is told once.
const HYSTERESIS: f64 = 0.05;

/// What was told of the limits of one process.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// The highest step that was told, by the limit's name.
    told: HashMap<&'static str, f64>,
}

impl Steps {
    /// Takes in the levels of the next judgement; those that are news, each with the step that it has passed.
    pub fn hear(&mut self, levels: &[Level]) -> Vec<(Level, f64)> {
        let mut news = Vec::new();
        for level in levels {
            if let Some(told) = self.told.get_mut(level.limit) {
                let kept = |step: &f64| level.share >= step - HYSTERESIS && *step <= *told;
                match STEPS.into_iter().rfind(kept) {
                    Some(step) => *told = step,
                    None => {
                        self.told.remove(level.limit);
                    }
                }
            }
            let passed = STEPS.into_iter().rfind(|step| level.share >= *step);
            let before = self.told.get(level.limit).copied().unwrap_or(0.0);
            if let Some(passed) = passed.filter(|passed| level.is_near && *passed > before) {
                self.told.insert(level.limit, passed);
                news.push((level.clone(), passed));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;
    use crate::explain::Level;
    use crate::explain::tests::diagnosed;
    use crate::judge::simulation::window;

    fn level(share: f64) -> Level {
        let diagnosis = diagnosed(&window(|_, beat| beat.files = 60_000));
        let level = diagnosis.levels.into_iter().next().expect("it has a limit");
        Level { share, is_near: share >= 0.8, ..level }
    }

    fn told(shares: &[f64]) -> Vec<(usize, f64)> {
        let mut steps = Steps::default();
        let base = level(0.0);
        let hear = |(index, share): (usize, &f64)| {
            let now = Level { share: *share, is_near: *share >= 0.8, ..base.clone() };
            steps.hear(&[now]).into_iter().map(move |(_, passed)| (index, passed)).collect::<Vec<_>>()
        };
        shares.iter().enumerate().flat_map(hear).collect()
    }

    #[test]
    fn each_step_is_told_once_on_the_way_up() {
        assert_eq!(
            told(&[0.5, 0.79, 0.8, 0.85, 0.91, 0.94, 0.96, 0.99, 1.0]),
            [(2, 0.8), (4, 0.9), (6, 0.95)]
        );
        assert_eq!(told(&[0.97, 0.97]), [(0, 0.95)], "at the first look");
    }

    #[test]
    fn what_swings_around_a_step_is_told_once_and_what_came_back_again() {
        assert_eq!(told(&[0.81, 0.79, 0.82, 0.76, 0.83]), [(0, 0.8)]);
        assert_eq!(told(&[0.96, 0.89, 0.96]), [(0, 0.95), (2, 0.95)]);
        assert_eq!(told(&[0.81, 0.5, 0.81]), [(0, 0.8), (2, 0.8)]);
        assert_eq!(told(&[0.91, 0.89, 0.91, 0.84, 0.92]), [(0, 0.9), (4, 0.9)]);
    }

    #[test]
    fn what_others_hold_is_no_news() {
        let mut steps = Steps::default();
        let elsewhere = Level { is_near: false, ..level(0.97) };
        assert_eq!(steps.hear(&[elsewhere]), []);
    }
}
