//! Turns in which somebody reads and turns in which nobody does, and whether that makes a difference.

use anyhow::{Context, Result};
use std::fmt::Write;

/// What was done per second in turns that alternate: each unwatched, and the watched one that followed it.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// While nobody read.
    pub unwatched: Vec<f64>,
    /// While somebody read.
    pub watched: Vec<f64>,
}

impl Turns {
    /// A table of both sides, and a sentence that says whether they differ.
    pub fn tell(&self) -> Result<String> {
        let mut text = format!(
            "{:<12}{:>8}{:>12}{:>12}{:>12}{:>12}\n",
            "deals per s", "turns", "median", "mean", "least", "most"
        );
        for (name, rates) in [("unwatched", &self.unwatched), ("watched", &self.watched)] {
            let (least, most) =
                rates.iter().fold((f64::MAX, 0.0_f64), |(a, b), rate| (a.min(*rate), b.max(*rate)));
            #[expect(clippy::cast_precision_loss, reason = "a few dozen turns")]
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let median = median(rates).context("too short: there was no turn")?;
            let turns = rates.len();
            writeln!(text, "{name:<12}{turns:>8}{median:>12.0}{mean:>12.0}{least:>12.0}{most:>12.0}")?;
        }
        Ok(text + &self.difference().context("too short: there was no pair of turns")? + "\n")
    }

    /// What watching takes away or adds, in percent of what is done unwatched: the median of the pairs, with the
    /// interval between two of them that holds the true median with 95 % certainty whatever the distribution is.
    fn difference(&self) -> Option<String> {
        let pairs = self.unwatched.iter().zip(&self.watched);
        let mut percent: Vec<f64> =
            pairs.map(|(unwatched, watched)| (watched / unwatched - 1.0) * 100.0).collect();
        percent.sort_by(f64::total_cmp);
        let (median, pairs) = (median(&percent)?, percent.len());
        let Some(rank) = outer_rank(pairs) else {
            return Some(format!(
                "Watched turns do {median:+.1} % in the median of {pairs} pairs: too few to tell that from noise."
            ));
        };
        let (least, most) = (percent.get(rank)?, percent.get(pairs - 1 - rank)?);
        let verdict = if *least <= 0.0 && *most >= 0.0 { "within noise" } else { "more than noise" };
        Some(format!(
            "Watched turns do {median:+.1} % in the median of {pairs} pairs, with 95 % certainty between {least:+.1} \
             and {most:+.1} %: the difference is {verdict}."
        ))
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(low.midpoint(*high))
}

/// Between the values at this index from either end of `count` sorted ones the true median lies with 95 % certainty:
/// were it outside, as few values would lie on one side of it as `count` coins show heads at most once in 40 times.
/// `None` where there are too few.
fn outer_rank(count: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut below, mut rank) = (0.0, None);
    for index in 0..count / 2 {
        below += probability;
        if below > 0.025 {
            break;
        }
        rank = Some(index);
        #[expect(clippy::cast_precision_loss, reason = "a few dozen turns")]
        let factor = (count - index) as f64 / (index + 1) as f64;
        probability *= factor;
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::{Turns, outer_rank};
    use expect_test::expect;

    /// The table that textbooks print for the sign test, as ranks from 0.
    #[test]
    fn ranks_are_those_of_the_sign_test() {
        for (count, rank) in
            [(0, None), (5, None), (6, Some(0)), (8, Some(0)), (9, Some(1)), (20, Some(5)), (30, Some(9))]
        {
            assert_eq!(outer_rank(count), rank, "{count}");
        }
    }

    #[test]
    fn noise_is_called_noise() {
        let turns = |watched: [f64; 8]| Turns { unwatched: vec![1000.0; 8], watched: watched.to_vec() };
        expect![[r#"
            deals per s    turns      median        mean       least        most
            unwatched          8        1000        1000        1000        1000
            watched            8        1000        1001         980        1030
            Watched turns do +0.0 % in the median of 8 pairs, with 95 % certainty between -2.0 and +3.0 %: the difference is within noise.
        "#]]
        .assert_eq(&turns([980.0, 1010.0, 990.0, 1030.0, 1000.0, 1001.0, 1000.0, 997.0]).tell().unwrap());
        let worse = turns([980.0, 970.0, 990.0, 960.0, 950.0, 991.0, 985.0, 972.0]).difference().unwrap();
        expect!["Watched turns do -2.4 % in the median of 8 pairs, with 95 % certainty between -5.0 and -0.9 %: the difference is more than noise."].assert_eq(&worse);
        let few = Turns { unwatched: vec![10.0; 2], watched: vec![9.0; 2] }.difference().unwrap();
        expect!["Watched turns do -10.0 % in the median of 2 pairs: too few to tell that from noise."]
            .assert_eq(&few);
        assert!(Turns::default().tell().is_err());
    }
}
