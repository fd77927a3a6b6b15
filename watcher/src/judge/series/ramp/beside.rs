//! What is taken out of a curve before ramps are held against it.

/// A step must have so many values before and after it.
pub const STEP_MARGIN: usize = 2;

/// So many steps are tried. Each beyond the first must lower what is left unexplained by this factor, since more steps
/// fit more of any noise.
pub const STEPS: usize = 3;

pub const WORTH_OF_A_STEP: f64 = 1.2;

/// Where load itself rises so like the ramp that it explains this part of it, the rise may be its doing.
pub const COLLINEAR: f64 = 0.5;

/// The mean, and load with one lag or none.
pub struct Beside {
    /// In buckets.
    pub lag: Option<f64>,
    /// Load with that lag.
    pub load: Vec<f64>,
    /// What is taken out, each as a direction.
    pub directions: Vec<Vec<f64>>,
    /// The values, less their part along those.
    pub values: Vec<f64>,
}

impl Beside {
    pub fn new(lag: Option<f64>, load: Vec<f64>, directions: Vec<Vec<f64>>, values: &[f64]) -> Beside {
        let mut beside = Beside { lag, load, directions, values: Vec::new() };
        beside.values = beside.rest(values);
        beside
    }

    pub fn rest(&self, values: &[f64]) -> Vec<f64> {
        self.directions.iter().fold(values.to_vec(), |values, direction| without(values, direction))
    }

    /// What one step leaves unexplained, and two, and three, each found where it fits best beside those before it, and
    /// weighed by how many they are.
    pub fn steps(&self, n: usize) -> impl Iterator<Item = f64> {
        let mut steps: Vec<usize> = Vec::new();
        let mut weight = 1.0;
        (0..STEPS).map_while(move |_| {
            let (mut left, mut at) = self.best_step(n, &steps)?;
            // The steps before it were found without it: each is looked for once more.
            for _ in 0..steps.len() {
                steps.push(at);
                steps.remove(0);
                (left, at) = self.best_step(n, &steps)?;
            }
            steps.push(at);
            let weighed = left * weight;
            weight *= WORTH_OF_A_STEP;
            Some(weighed)
        })
    }

    /// The step that leaves least unexplained beside those at `known`: how much that is, and where it is.
    ///
    /// A step is 0 and then 1, so that its product with anything is the sum of the rest of that: no step has to be
    /// written out to be tried.
    pub fn best_step(&self, n: usize, known: &[usize]) -> Option<(f64, usize)> {
        let mut base: Vec<Vec<f64>> =
            self.directions.iter().filter_map(|direction| unit(direction.clone())).collect();
        let mut left = self.values.clone();
        for at in known {
            let step = (0..n).map(|index| f64::from(u8::from(index >= *at))).collect();
            let rest = base.iter().fold(step, |rest: Vec<f64>, direction| without(rest, direction));
            let Some(rest) = unit(rest) else { continue };
            left = without(left, &rest);
            base.push(rest);
        }
        let square = product(&left, &left);
        let along = sums_of_rest(&left);
        let base: Vec<Vec<f64>> = base.iter().map(|direction| sums_of_rest(direction)).collect();
        let candidates = (STEP_MARGIN..=n.checked_sub(STEP_MARGIN)?).map(|at| {
            let own = (n - at) as f64 - base.iter().map(|sums| sums[at].powi(2)).sum::<f64>();
            let explained = if own > 1e-9 * n as f64 { along[at].powi(2) / own } else { 0.0 };
            ((square - explained).max(0.0), at)
        });
        candidates.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Sum of the squares of the values that these shapes leave.
    pub fn unexplained(&self, shapes: &[Vec<f64>]) -> f64 {
        let mut seen: Vec<Vec<f64>> = Vec::new();
        let mut left = self.values.clone();
        for shape in shapes {
            let shape = seen.iter().fold(self.rest(shape), |rest, other| without(rest, other));
            left = without(left, &shape);
            seen.push(shape);
        }
        product(&left, &left)
    }
}

/// The same direction with length 1; `None` where hardly anything is there.
pub fn unit(values: Vec<f64>) -> Option<Vec<f64>> {
    let square = product(&values, &values);
    (square > 1e-18).then(|| values.iter().map(|value| value / square.sqrt()).collect())
}

/// `values` less their part along `direction`.
pub fn without(mut values: Vec<f64>, direction: &[f64]) -> Vec<f64> {
    let square = product(direction, direction);
    if square > 1e-18 {
        let along = product(&values, direction) / square;
        values.iter_mut().zip(direction).for_each(|(value, direction)| *value -= along * direction);
    }
    values
}

/// Sum of what is the product at each index.
pub fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// Of each index what it and all after it hold together; one more, with nothing, at the end.
pub fn sums_of_rest(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; values.len() + 1];
    for (index, value) in values.iter().enumerate().rev() {
        sums[index] = sums[index + 1] + value;
    }
    sums
}
