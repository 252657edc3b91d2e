//! From a histogram to a threshold: the largest value that payloads can stand for.

use snnc_runtime::kernels::rounding::{LANES, MOST_LEVELS_F64, nearest_f64, value_errors};
use snnc_runtime::kernels::{Isa, Kernels};

use super::Distribution;

/// How thresholds are chosen. A threshold `t` with `n` levels gives the step `t / n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdMethod {
    /// The largest activation (Diehl et al. 2015, data-based normalisation).
    Max,
    /// The share of the activations that are not 0 (Rueckauer et al. 2017; 0.999 in snntoolbox).
    Percentile(f64),
    /// Least mean squared error of the quantised activations, by the fixed point
    /// `t <- sum(x q(x)) / sum(q(x)^2)` in units of the step (the stationarity condition of the error
    /// in the step; cf. Li et al. 2021, "A free lunch from ANN", section 4.1).
    LeastSquares,
}

/// The share of `percentile`.
const USUAL_SHARE: f64 = 0.999;

impl std::fmt::Display for ThresholdMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ThresholdMethod::Max => f.write_str("max"),
            ThresholdMethod::LeastSquares => f.write_str("mmse"),
            ThresholdMethod::Percentile(USUAL_SHARE) => f.write_str("percentile"),
            ThresholdMethod::Percentile(share) => {
                // What is read back is the same number.
                let percent = share * 100.0;
                let near = [percent, percent.next_up(), percent.next_down()];
                let exact = near.into_iter().find(|p| p / 100.0 == *share).unwrap_or(percent);
                write!(f, "percentile:{exact}")
            }
        }
    }
}

impl ThresholdMethod {
    /// The method of that name: `max`, `mmse`, `percentile` or `percentile:99.9`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.split_once(':') {
            None if name == "max" => ThresholdMethod::Max,
            None if name == "mmse" => ThresholdMethod::LeastSquares,
            None if name == "percentile" => ThresholdMethod::Percentile(USUAL_SHARE),
            Some(("percentile", share)) => {
                let share: f64 = share.parse().ok()?;
                if !(share > 0.0 && share <= 100.0) {
                    return None;
                }
                ThresholdMethod::Percentile(share / 100.0)
            }
            _ => return None,
        })
    }

    /// The threshold for `levels` positive levels; `signed` codes have as many negative ones.
    /// A distribution of nothing but zeros gives 1, so that scales stay positive.
    pub fn threshold(self, of: &Distribution, levels: i64, signed: bool) -> f64 {
        let reach = if signed { of.maximum.max(-of.minimum) } else { of.maximum };
        if reach <= 0.0 || !reach.is_finite() {
            return 1.0;
        }
        match self {
            ThresholdMethod::Max => reach,
            ThresholdMethod::Percentile(share) => match of.percentile(share) {
                t if t > 0.0 => t,
                _ => reach,
            },
            ThresholdMethod::LeastSquares => least_squares(of, levels, signed, reach),
        }
    }
}

/// Sum of `count * (x - step * code(x))^2` over the distribution.
pub fn quantised_error(of: &Distribution, step: f64, levels: i64, signed: bool) -> f64 {
    let error = |&(x, count): &(f64, u64)| {
        count as f64 * (x - step * code(x, step, levels, signed)).powi(2)
    };
    of.points.iter().map(error).sum()
}

fn code(x: f64, step: f64, levels: i64, signed: bool) -> f64 {
    let (low, high) = range(levels, signed);
    if high <= MOST_LEVELS_F64 {
        return nearest_f64(x / step, low, high);
    }
    (x / step).round_ties_even().clamp(low, high)
}

/// The smallest and the largest code.
fn range(levels: i64, signed: bool) -> (f64, f64) {
    (if signed { -(levels as f64) } else { 0.0 }, levels as f64)
}

/// Steps of the grid on which the least error is looked for.
const GRID: usize = 400;
/// So many of them are refined.
const STARTS: usize = 4;
/// Between so many points it is seen whether a step can still be among the best.
const STRETCH: usize = 64;

/// The error has many local minima in the step, so the fixed points are those near the best of a
/// grid.
fn least_squares(of: &Distribution, levels: i64, signed: bool, reach: f64) -> f64 {
    let step = |i: usize| reach * i as f64 / GRID as f64 / levels as f64;
    let isa = Isa::of(Kernels::chosen()).filter(|_| levels as f64 <= MOST_LEVELS_F64);
    let candidates = match isa {
        Some(isa) => starts(isa, of, levels, signed, step),
        None => starts_one_by_one(of, levels, signed, step),
    };
    let mut best = candidates[0];
    for &(_, start) in &candidates {
        let step = fixed_point(of, start, levels, signed);
        let found = (quantised_error(of, step, levels, signed), step);
        if found.0 < best.0 {
            best = found;
        }
    }
    best.1 * levels as f64
}

/// The [`STARTS`] best steps of the grid with their errors, the best first, of equals the smaller step:
/// the slow twin of [`starts`].
fn starts_one_by_one(
    of: &Distribution,
    levels: i64,
    signed: bool,
    step: impl Fn(usize) -> f64,
) -> Vec<(f64, f64)> {
    let with_error = |step: f64| (quantised_error(of, step, levels, signed), step);
    let mut candidates: Vec<(f64, f64)> = (1..=GRID).map(|i| with_error(step(i))).collect();
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    candidates.truncate(STARTS);
    candidates
}

/// The [`STARTS`] best steps of the grid with their errors, the best first, of equals the smaller step.
/// An error only grows along the points, so those that are above the best of all points are left.
fn starts(
    isa: Isa,
    of: &Distribution,
    levels: i64,
    signed: bool,
    step: impl Fn(usize) -> f64,
) -> Vec<(f64, f64)> {
    let (low, high) = range(levels, signed);
    let points: Vec<(f64, f64)> = of.points.iter().map(|&(x, n)| (x, n as f64)).collect();
    let mut best: Vec<(f64, usize)> = Vec::with_capacity(STARTS + LANES);
    // Coarse steps first: with more than a few levels the best are among them.
    for last in (1..=GRID).rev().step_by(LANES) {
        let indices: [usize; LANES] = std::array::from_fn(|l| last.saturating_sub(l).max(1));
        let steps = indices.map(&step);
        let mut errors = [0.0; LANES];
        let limit = best.get(STARTS - 1).map_or(f64::NAN, |b| b.0);
        for stretch in points.chunks(STRETCH) {
            value_errors(isa, stretch, &steps, low, high, &mut errors);
            if errors.iter().all(|&e| e > limit) {
                break;
            }
        }
        let new = errors.into_iter().zip(indices).take(last.min(LANES));
        best.extend(new);
        best.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.truncate(STARTS);
    }
    best.into_iter().map(|(error, index)| (error, step(index))).collect()
}

/// Iterates `step <- sum(x q(x)) / sum(q(x)^2)` until it stands.
fn fixed_point(of: &Distribution, start: f64, levels: i64, signed: bool) -> f64 {
    let mut step = start;
    for _ in 0..100 {
        let (mut product, mut square) = (0.0, 0.0);
        for &(x, count) in &of.points {
            let q = code(x, step, levels, signed);
            product += count as f64 * x * q;
            square += count as f64 * q * q;
        }
        if square <= 0.0 || product <= 0.0 {
            break;
        }
        let next = product / square;
        let settled = (next - step).abs() <= 1e-9 * step;
        step = next;
        if settled {
            break;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Histogram;
    use super::*;

    /// Rectified, roughly normal numbers.
    fn sample() -> Distribution {
        let mut state = 1u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let values: Vec<f32> =
            (0..20_000).map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0).max(0.0)).collect();
        let mut h = Histogram::default();
        h.extend(&values);
        h.distribution(1.0)
    }

    #[test]
    fn least_squares_is_as_good_as_a_finer_grid() {
        let h = sample();
        for levels in [1, 3, 4, 15, 255] {
            let t = ThresholdMethod::LeastSquares.threshold(&h, levels, false);
            let own = quantised_error(&h, t / levels as f64, levels, false);
            let reach = h.maximum;
            let grid = (1..1500).map(|i| reach * f64::from(i) / 1500.0);
            let best = grid.map(|t| quantised_error(&h, t / levels as f64, levels, false));
            let best = best.fold(f64::INFINITY, f64::min);
            assert!(own <= best * 1.01, "{levels} levels: {own} against {best}");
        }
    }

    proptest! {
        #[test]
        fn all_steps_at_once_are_one_by_one(
            values in proptest::collection::vec(
                prop_oneof![-4f32..4f32, (-20i32..20).prop_map(|h| h as f32 / 8.0)], 1..300),
            levels in prop_oneof![1i64..20, 1i64..70_000], signed in any::<bool>(),
        ) {
            let mut h = Histogram::default();
            h.extend(&values);
            let h = h.distribution(1.0);
            let reach = h.maximum.max(-h.minimum);
            let step = |i: usize| reach * i as f64 / GRID as f64 / levels as f64;
            let slow = starts_one_by_one(&h, levels, signed, step);
            for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
                let fast = starts(isa, &h, levels, signed, step);
                let bits = |c: &[(f64, f64)]| -> Vec<[u64; 2]> {
                    c.iter().map(|c| [c.0.to_bits(), c.1.to_bits()]).collect()
                };
                prop_assert_eq!(bits(&fast), bits(&slow));
            }
        }
    }

    #[test]
    fn methods_order_as_they_should() {
        let h = sample();
        let at = |m: ThresholdMethod| m.threshold(&h, 4, false);
        let (max, percentile, mmse) = (
            at(ThresholdMethod::Max),
            at(ThresholdMethod::Percentile(0.999)),
            at(ThresholdMethod::LeastSquares),
        );
        assert!(mmse < percentile && percentile < max);
        assert_eq!(ThresholdMethod::Max.threshold(&Distribution::default(), 4, false), 1.0);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(
            ThresholdMethod::from_name("percentile:99"),
            Some(ThresholdMethod::Percentile(0.99))
        );
        for wrong in ["percentile:0", "percentile:x", "percentile:101", "median"] {
            assert_eq!(ThresholdMethod::from_name(wrong), None);
        }
    }
}
