//! Seeded noise.

/// Splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of one seed and one scene.
    pub fn of(seed: u64, scene: u64) -> Self {
        let mut dice =
            Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ scene.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly between the two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Between the two, each factor as likely as any other.
    pub fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// About normal, from the four quarters of one number.
    pub fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|quarter| bits >> (16 * quarter) & 0xffff).sum();
        (sum as f64 / 65_535.0 - 2.0) * 1.732
    }
}

/// Noise that remembers: an autoregressive process with this deviation and time constant.
#[derive(Clone, Debug)]
pub struct Drift {
    value: f64,
    keeps: f64,
    step: f64,
}

impl Drift {
    /// One step is a beat.
    pub fn new(deviation: f64, seconds: f64, beat: f64, dice: &mut Dice) -> Self {
        let keeps = (-beat / seconds).exp();
        Drift { value: deviation * dice.normal(), keeps, step: deviation * (1.0 - keeps * keeps).sqrt() }
    }

    /// The next value.
    pub fn next(&mut self, dice: &mut Dice) -> f64 {
        self.value = self.keeps * self.value + self.step * dice.normal();
        self.value
    }
}
