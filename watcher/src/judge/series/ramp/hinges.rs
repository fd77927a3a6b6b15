//! Ramps with any begin, tried without writing each of them out.
//!
//! A ramp is 0 and then the axis less the place where it begins, so that its product with anything is made of sums of
//! the rest of that: one pass for all begins.

use super::beside::{Beside, COLLINEAR, product, unit};

/// What ramps leave unexplained beside load with one lag, along one axis.
pub struct Hinges<'a> {
    /// Beside which load.
    pub beside: &'a Beside,
    /// Along which axis.
    pub axis: &'a [f64],
    rows: Vec<Row>,
    /// Sum of the squares of the values.
    left: f64,
    /// How far the values, load included, go along the direction of load.
    along_load: Option<f64>,
}

/// Sums over one index and all after it.
#[derive(Clone, Copy, Default)]
struct Row {
    /// The axis here, from its first value on, so that its squares keep their digits. This one is no sum.
    place: f64,
    places: f64,
    squares: f64,
    values: f64,
    values_by_place: f64,
    /// Of the unit vector of load.
    loads: f64,
    loads_by_place: f64,
}

impl<'a> Hinges<'a> {
    /// For ramps beside `beside` along `axis`; `values` are those of the curve, load included.
    pub fn new(beside: &'a Beside, axis: &'a [f64], values: &[f64]) -> Self {
        let first = axis.first().copied().unwrap_or_default();
        let load = beside.directions.get(1).and_then(|direction| unit(direction.clone()));
        let along_load = load.as_ref().map(|load| product(values, load));
        let load = load.unwrap_or_else(|| vec![0.0; axis.len()]);
        let mut rows = vec![Row::default(); axis.len()];
        let mut sums = Row::default();
        let each = axis.iter().zip(&beside.values).zip(&load).zip(&mut rows);
        for (((at, value), load), row) in each.rev() {
            let place = at - first;
            sums = Row {
                place,
                places: sums.places + place,
                squares: sums.squares + place * place,
                values: sums.values + value,
                values_by_place: sums.values_by_place + value * place,
                loads: sums.loads + load,
                loads_by_place: sums.loads_by_place + load * place,
            };
            *row = sums;
        }
        let left = product(&beside.values, &beside.values);
        Hinges { beside, axis, rows, left, along_load }
    }

    /// Which of these begins leaves least unexplained, and how much that is.
    pub fn best(&self, begins: impl Iterator<Item = usize>) -> Option<(f64, usize)> {
        let tried = begins.filter_map(|begins| Some((self.unexplained(begins)?, begins)));
        tried.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Sum of the squares that the ramp from this index on leaves, with the slope that suits it best; `None` where it
    /// cannot be told from load, or load would free things.
    pub fn unexplained(&self, begins: usize) -> Option<f64> {
        let row = self.rows.get(begins)?;
        let (place, beyond) = (row.place, (self.rows.len() - begins) as f64);
        let total = row.places - place * beyond;
        let square = row.squares - 2.0 * place * row.places + place * place * beyond;
        // What a level explains of the ramp is taken out, and then what load does.
        let whole = square - total * total / self.rows.len() as f64;
        let load = row.loads_by_place - place * row.loads;
        let own = whole - load * load;
        if own <= 1e-9 * whole {
            return None;
        }
        let along = row.values_by_place - place * row.values;
        if self.beside.lag.is_some() {
            let per_load = self.along_load? - along / own * load;
            let rises_alike = load > 0.0 && own < (1.0 - COLLINEAR) * whole;
            if per_load <= 0.0 || rises_alike {
                return None;
            }
        }
        Some((self.left - along * along / own).max(0.0))
    }
}
