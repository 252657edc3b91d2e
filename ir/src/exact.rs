//! Sums of integers times f32 scales, in exact rationals.

use crate::Rounding;

/// Mantissa and exponent: `x = mantissa * 2^exponent`, for a positive x.
pub fn parts(x: f32) -> (i128, i32) {
    let bits = x.to_bits();
    let (fraction, exponent) = (i128::from(bits & 0x7f_ffff), (bits >> 23 & 0xff) as i32);
    if exponent == 0 { (fraction, -149) } else { (fraction | 1 << 23, exponent - 150) }
}

/// `x * 2^shift`, at most the largest integer.
pub fn scaled(x: i128, shift: i32) -> i128 {
    let room = x.unsigned_abs().leading_zeros() as i32 - 1;
    if x == 0 || shift < room { x << shift.clamp(0, 126) } else { x.signum() * (i128::MAX / 4) }
}

/// `numerator / denominator` as an integer; the denominator is positive.
pub fn rounded(numerator: i128, denominator: i128, rounding: Rounding) -> i64 {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let half = rest.cmp(&(denominator - rest));
    let negative = numerator < 0;
    let up = rest != 0
        && match (rounding, half) {
            (Rounding::Floor, _) => false,
            (Rounding::Ceil, _) => true,
            (Rounding::Up, _) => !negative,
            (Rounding::Down, _) => negative,
            (_, Less) => false,
            (_, Greater) => true,
            (Rounding::HalfAway, Equal) => !negative,
            (Rounding::HalfTowardZero, Equal) => negative,
            (Rounding::HalfEven, Equal) => floor & 1 == 1,
        };
    to_i32(floor + i128::from(up))
}

/// The nearest integer of 32 bits.
pub fn to_i32(level: i128) -> i64 {
    level.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i64
}

/// `round(sum_i(a_i * s_i) / scale)`, an integer of 32 bits.
pub fn level(terms: &[(i64, f32)], scale: f32, rounding: Rounding) -> i64 {
    let product = |&(a, s): &(i64, f32)| {
        let (mantissa, exponent) = parts(s);
        (i128::from(a).saturating_mul(mantissa), exponent)
    };
    let terms: Vec<(i128, i32)> = terms.iter().map(product).filter(|t| t.0 != 0).collect();
    let least = terms.iter().map(|t| t.1).min().unwrap_or(0);
    let add = |sum: i128, &(m, e): &(i128, i32)| sum.saturating_add(scaled(m, e - least));
    let sum = terms.iter().fold(0i128, add);
    let (mantissa, exponent) = parts(scale);
    let (numerator, denominator) = match least - exponent {
        up @ 0.. => (scaled(sum, up), mantissa),
        down => (sum, scaled(mantissa, -down)),
    };
    // A scale of 0 is none that a verified graph has.
    rounded(numerator, denominator.max(1), rounding)
}

/// `level = round((sum_p coefficient_p * a_p + constant) / unit)`, all integers: a sum of accumulators in
/// units of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What one unit of each operand counts; positive.
    pub coefficients: Vec<i128>,
    /// What the constants count.
    pub constant: i128,
    /// What one code counts; positive.
    pub unit: i128,
    /// How what is between two codes becomes one of them.
    pub rounding: Rounding,
}

/// Bits of the largest coefficient that is dealt with: products with accumulators of 32 bits, and of
/// these with each other's coefficients, stay below 127.
const COEFFICIENT_BITS: u32 = 48;

impl Line {
    /// The line of operands and constants that are `mantissa * 2^exponent`; `None` where they differ by
    /// so much that integers of 48 bits do not hold both.
    pub fn new(
        operands: &[(i128, i32)],
        constants: &[(i128, i32)],
        scale: f32,
        rounding: Rounding,
    ) -> Option<Line> {
        let (mantissa, exponent) = parts(scale);
        let all = operands.iter().chain(constants).filter(|t| t.0 != 0);
        let least = all.map(|t| t.1).chain([exponent]).min()?;
        let up = |&(m, e): &(i128, i32)| scaled(m, e - least);
        let coefficients: Vec<i128> = operands.iter().map(up).collect();
        let constant = constants.iter().map(up).fold(0i128, i128::saturating_add);
        let unit = scaled(mantissa, exponent - least);
        let common = coefficients.iter().fold(gcd(constant, unit), |g, &c| gcd(g, c)).max(1);
        let line = Line {
            coefficients: coefficients.iter().map(|c| c / common).collect(),
            constant: constant / common,
            unit: unit / common,
            rounding,
        };
        let small = |x: i128, bits: u32| x.unsigned_abs() < 1 << bits;
        let holds = line.coefficients.iter().all(|&c| c > 0 && small(c, COEFFICIENT_BITS))
            && small(line.constant, COEFFICIENT_BITS + 31)
            && line.unit > 0
            && small(line.unit, COEFFICIENT_BITS + 16);
        holds.then_some(line)
    }

    /// The least sum over the operands, constant not included, whose level is at least `level`.
    pub fn threshold(&self, level: i64) -> i128 {
        // Every rounding moves a quotient by less than one.
        let at = |by: i128| (i128::from(level) + by) * self.unit - self.constant;
        let (mut low, mut high) = (at(-1), at(1));
        while low < high {
            let middle = low + (high - low).div_euclid(2);
            if rounded(middle + self.constant, self.unit, self.rounding) >= level {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// The greatest common divisor of the magnitudes.
pub fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_integer() {
        let found = [-5, -3, -1, 1, 3, 5, 6].map(|n| rounded(n, 2, Rounding::HalfEven));
        assert_eq!(found, [-2, -2, 0, 0, 2, 2, 3]);
    }

    #[test]
    fn fractions_round_as_their_floats_do() {
        use Rounding::*;
        for rounding in [HalfEven, Floor, Ceil, HalfAway, HalfTowardZero, Up, Down] {
            for n in -17i128..=17 {
                let float = rounding.round(n as f32 / 4.0) as i64;
                assert_eq!(rounded(n, 4, rounding), float, "{n} / 4, {rounding:?}");
            }
        }
    }

    #[test]
    fn a_float_is_its_parts() {
        for x in [0.1f32, 1.0, 3.5e-20, 7.0e12, f32::MIN_POSITIVE / 8.0] {
            let (mantissa, exponent) = parts(x);
            assert_eq!(mantissa as f64 * f64::from(exponent).exp2(), f64::from(x));
        }
    }

    #[test]
    fn what_does_not_fit_is_as_large_as_can_be() {
        assert_eq!(scaled(3, 4), 48);
        assert_eq!(scaled(-1, 200), -(i128::MAX / 4));
        assert_eq!(scaled(0, 200), 0);
    }

    #[test]
    fn thresholds_are_the_first_of_their_level() {
        use Rounding::*;
        for rounding in [HalfEven, Floor, Ceil, HalfAway, HalfTowardZero, Up, Down] {
            for unit in [1, 2, 3, 4, 7] {
                let line = Line { coefficients: vec![1], constant: 5, unit, rounding };
                for level in -4..=4 {
                    let wanted = (-99..99).find(|v| rounded(v + 5, unit, rounding) >= level);
                    assert_eq!(Some(line.threshold(level)), wanted, "{rounding:?} {unit} {level}");
                }
            }
        }
    }

    #[test]
    fn common_factors_are_divided_out() {
        let line = Line::new(&[parts(0.5), parts(1.5)], &[], 4.0, Rounding::HalfEven).unwrap();
        assert_eq!((line.coefficients, line.unit), (vec![1, 3], 8));
        let far = [parts(1e-20), parts(1e20)];
        assert_eq!(Line::new(&far, &[], 1.0, Rounding::HalfEven), None);
    }
}
