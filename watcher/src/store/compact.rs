//! Numbers in sixteen bits: exact below 2,048, and to one part in 2,048 above. A history of weeks holds many.

/// A number that is not negative, rounded to eleven significant bits; or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact(u16);

/// Bits behind the leading one.
const MANTISSA_BITS: u32 = 10;
const IMPLICIT: u64 = 1 << MANTISSA_BITS;

impl Compact {
    /// Was not read.
    pub const NONE: Compact = Compact(u16::MAX);

    /// The nearest number that can be kept; nothing for what is negative or no number.
    pub fn new(value: f64) -> Compact {
        if !value.is_finite() || value < 0.0 {
            return Compact::NONE;
        }
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "it is finite and not negative"
        )]
        let whole = value.round() as u64;
        if whole < IMPLICIT {
            return Compact(u16::try_from(whole).unwrap_or(u16::MAX));
        }
        let shift = whole.ilog2() - MANTISSA_BITS;
        let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
        let rounded = whole.saturating_add(half);
        // Rounding up may reach the next power of two.
        let shift = rounded.ilog2() - MANTISSA_BITS;
        let code = (u64::from(shift + 1) << MANTISSA_BITS) | ((rounded >> shift) - IMPLICIT);
        Compact(u16::try_from(code).unwrap_or(u16::MAX))
    }

    /// The number, where there is one.
    pub fn value(self) -> Option<f64> {
        if self == Compact::NONE {
            return None;
        }
        let (exponent, mantissa) = (u64::from(self.0) >> MANTISSA_BITS, u64::from(self.0) & (IMPLICIT - 1));
        Some(match exponent {
            0 => mantissa as f64,
            _ => ((mantissa + IMPLICIT) << (exponent - 1)) as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Compact;
    use proptest::prelude::*;

    #[test]
    fn small_numbers_are_exact_and_what_is_no_number_is_none() {
        for whole in 0..=2_048_u32 {
            assert_eq!(Compact::new(f64::from(whole)).value(), Some(f64::from(whole)));
        }
        for none in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Compact::new(none).value(), None);
        }
        assert!(Compact::new(1.8e19).value().is_some_and(|value| value > 1.7e19));
    }

    proptest! {
        #[test]
        fn a_number_keeps_eleven_bits_and_its_order(one in 0..u64::MAX / 2, other in 0..u64::MAX / 2) {
            let kept = |whole: u64| Compact::new(whole as f64).value().unwrap();
            prop_assert!((kept(one) - one as f64).abs() <= one as f64 / 2_048.0 + 0.5);
            if one <= other {
                prop_assert!(kept(one) <= kept(other));
            }
        }
    }
}
