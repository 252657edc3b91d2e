//! What rounding the same numbers to steps of many sizes costs, all sizes at once.
//!
//! Each size has its own sum of squared errors, made one number after another in their order, with the
//! operations of the definition in their precision: lanes lie across sizes, no sum is split, and every
//! instruction set gives the same bits.

use super::multiversion;

/// Sizes are tried so many at once.
pub const LANES: usize = 16;

/// Above this, and below it negated, single precision rounds every sum with it to an integer, ties to
/// even, as long as the other summand is smaller than a third of it.
const WHOLE_F32: f32 = 12_582_912.0;
/// The same in double precision.
const WHOLE_F64: f64 = 6_755_399_441_055_744.0;

/// Levels up to this are rounded as they should be in single precision.
pub const MOST_LEVELS_F32: f32 = 4_194_304.0;
/// Levels up to this are rounded as they should be in double precision.
pub const MOST_LEVELS_F64: f64 = 2_251_799_813_685_248.0;

/// The integer nearest to `x`, ties to even, of magnitude up to `levels`, which is a whole number up to
/// [`MOST_LEVELS_F32`]. NaN stays NaN; what rounds to 0 is +0.
#[inline(always)]
pub fn nearest_f32(x: f32, levels: f32) -> f32 {
    // The ends are integers, so that it is the same to stop at them before rounding.
    let stopped = if x < -levels { -levels } else { x };
    let stopped = if stopped > levels { levels } else { stopped };
    (stopped + WHOLE_F32) - WHOLE_F32
}

/// The integer nearest to `x`, ties to even, from `low` to `high`, which are whole numbers of magnitude
/// up to [`MOST_LEVELS_F64`]. NaN stays NaN; what rounds to 0 is +0.
#[inline(always)]
pub fn nearest_f64(x: f64, low: f64, high: f64) -> f64 {
    let stopped = if x < low { low } else { x };
    let stopped = if stopped > high { high } else { stopped };
    (stopped + WHOLE_F64) - WHOLE_F64
}

multiversion! {
    /// Adds to each of `errors` the sum over `row` of `(step * code(w) - w)^2`, `code` being `w / step`
    /// rounded half to even to `-levels ..= levels`; codes and their errors are in single precision,
    /// squares and sums in double precision. `levels` is at most [`MOST_LEVELS_F32`].
    pub fn weight_errors(row: &[f32], steps: &[f32; LANES], levels: f32, errors: &mut [f64; LANES]) {
        let mut sums = *errors;
        for &w in row {
            for (sum, &step) in sums.iter_mut().zip(steps) {
                let error = f64::from(nearest_f32(w / step, levels) * step - w);
                *sum += error * error;
            }
        }
        *errors = sums;
    }
}

multiversion! {
    /// Adds to each of `errors` the sum over `points` of `count * (x - step * code(x))^2`, `code` being
    /// `x / step` rounded half to even to `low ..= high`, which are at most [`MOST_LEVELS_F64`] in
    /// magnitude. A point is a number and how often it occurs.
    pub fn value_errors(
        points: &[(f64, f64)],
        steps: &[f64; LANES],
        low: f64,
        high: f64,
        errors: &mut [f64; LANES],
    ) {
        let mut sums = *errors;
        for &(x, count) in points {
            for (sum, &step) in sums.iter_mut().zip(steps) {
                let error = x - step * nearest_f64(x / step, low, high);
                *sum += count * (error * error);
            }
        }
        *errors = sums;
    }
}

multiversion! {
    /// `codes[i] = w[i] / step`, rounded half to even to `-levels ..= levels`, NaN being 0. `levels` is
    /// at most 32767.
    pub fn codes(row: &[f32], step: f32, levels: f32, codes: &mut [i16]) {
        for (code, &w) in codes.iter_mut().zip(row) {
            let level = nearest_f32(w / step, levels);
            *code = if level.is_nan() { 0 } else { level as i32 as i16 };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Isa, Kernels};
    use super::*;

    /// Numbers of all magnitudes, many of them halves of a step of 0.25.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![
            (-40i32..40).prop_map(|halves| halves as f32 * 0.125),
            -3f32..3f32,
            any::<f32>().prop_filter("finite or not a number", |x| !x.is_infinite()),
        ]
    }

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_bits_of_the_definition(
            row in proptest::collection::vec(number(), 0..70),
            first in prop_oneof![Just(0.25f32), 1e-3f32..2f32], bits in 2u32..17,
        ) {
            let levels = ((1i64 << (bits - 1)) - 1) as f32;
            let code = |w: f32, step: f32| (w / step).round_ties_even().clamp(-levels, levels);
            let steps: [f32; LANES] = std::array::from_fn(|l| first * (1.0 - l as f32 / 20.0));
            for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
                let mut found = [0.0; LANES];
                weight_errors(isa, &row, &steps, levels, &mut found);
                for (&found, &step) in found.iter().zip(&steps) {
                    let wanted: f64 = row.iter()
                        .map(|&w| f64::from(code(w, step) * step - w).powi(2)).sum();
                    prop_assert!(found == wanted || same(found, wanted), "{found} {wanted}");
                }
                let mut found = vec![0; row.len()];
                codes(isa, &row, first, levels, &mut found);
                let wanted: Vec<i16> = row.iter().map(|&w| code(w, first) as i16).collect();
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn errors_of_values_have_the_bits_of_the_definition(
            points in proptest::collection::vec((number(), 1u32..1000), 0..70),
            first in prop_oneof![Just(0.25f64), 1e-3f64..2f64],
            levels in 1i64..70_000, signed in any::<bool>(),
        ) {
            let points: Vec<(f64, f64)> =
                points.into_iter().map(|(x, n)| (f64::from(x), f64::from(n))).collect();
            let (low, high) = (if signed { -(levels as f64) } else { 0.0 }, levels as f64);
            let steps: [f64; LANES] = std::array::from_fn(|l| first * (l + 1) as f64);
            for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
                let mut found = [0.0; LANES];
                value_errors(isa, &points, &steps, low, high, &mut found);
                for (&found, &step) in found.iter().zip(&steps) {
                    let code = |x: f64| (x / step).round_ties_even().clamp(low, high);
                    let wanted: f64 =
                        points.iter().map(|&(x, n)| n * (x - step * code(x)).powi(2)).sum();
                    prop_assert!(found == wanted || same(found, wanted), "{found} {wanted}");
                }
            }
        }
    }
}
