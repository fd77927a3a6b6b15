//! The numbers of all turns, as a table.

use anyhow::{Context, Result};
use std::io::Write;

/// What was measured in one state, a list for each round.
pub type Rounds = Vec<Vec<f64>>;

/// What a number may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The state that it is about.
    pub state: &'static str,
    /// What may be added.
    pub most: f64,
}

/// Prints a row for each state: the median of all batches and their spread, and what each round had more than the
/// first state had in the same round.
pub fn print(
    out: &mut impl Write,
    title: &str,
    digits: usize,
    states: &[(&str, Rounds)],
    goals: &[Goal],
) -> Result<()> {
    writeln!(out, "\n{title}")?;
    writeln!(
        out,
        "  {:<38}{:>9}{:>9}{:>9}  | {:>9}{:>9}{:>9}{:>9}",
        "", "median", "p10", "p90", "added", "least", "most", "goal"
    )?;
    let (_, first) = states.first().context("something was measured")?;
    let before = medians(first);
    for (index, (state, rounds)) in states.iter().enumerate() {
        let mut all: Vec<f64> = rounds.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let (median, p10, p90) = (at(&all, 50), at(&all, 10), at(&all, 90));
        write!(out, "  {state:<38}{median:>9.digits$}{p10:>9.digits$}{p90:>9.digits$}  |")?;
        if index > 0 {
            let mut added: Vec<f64> =
                medians(rounds).iter().zip(&before).map(|(now, before)| now - before).collect();
            added.sort_by(f64::total_cmp);
            let (median, least, most) = (at(&added, 50), at(&added, 0), at(&added, 100));
            write!(out, " {median:>+9.digits$}{least:>+9.digits$}{most:>+9.digits$}")?;
        }
        if let Some(goal) = goals.iter().find(|goal| goal.state == *state) {
            let goal = format!("<= {:.0}", goal.most);
            write!(out, "{goal:>9}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Prints what one state adds to the first as a part of what another adds, round by round.
pub fn compare(out: &mut impl Write, what: &str, [first, one, other]: [&Rounds; 3], goal: f64) -> Result<()> {
    let (before, one, other) = (medians(first), medians(one), medians(other));
    let mut parts: Vec<f64> = before
        .iter()
        .zip(one.iter().zip(&other))
        .map(|(before, (one, other))| (one - before) / (other - before))
        .collect();
    parts.sort_by(f64::total_cmp);
    let (median, least, most) = (at(&parts, 50), at(&parts, 0), at(&parts, 100));
    writeln!(out, "  {what}: {median:.2} of bpftrace's ({least:.2} to {most:.2}), goal <= {goal:.2}")?;
    Ok(())
}

/// Prints a row for each state: the median and the extremes.
pub fn list(out: &mut impl Write, title: &str, rows: &[(&str, Vec<f64>)]) -> Result<()> {
    writeln!(out, "\n{title}\n  {:<38}{:>9}{:>9}{:>9}", "", "median", "least", "most")?;
    for (name, numbers) in rows {
        let mut numbers = numbers.clone();
        numbers.sort_by(f64::total_cmp);
        let (median, least, most) = (at(&numbers, 50), at(&numbers, 0), at(&numbers, 100));
        writeln!(out, "  {name:<38}{median:>9.1}{least:>9.1}{most:>9.1}")?;
    }
    Ok(())
}

fn medians(rounds: &Rounds) -> Vec<f64> {
    let median = |round: &Vec<f64>| {
        let mut round = round.clone();
        round.sort_by(f64::total_cmp);
        at(&round, 50)
    };
    rounds.iter().map(median).collect()
}

/// A percentile of numbers in order; NaN of none.
fn at(numbers: &[f64], percent: usize) -> f64 {
    numbers.get((numbers.len().max(1) - 1) * percent / 100).copied().unwrap_or(f64::NAN)
}
