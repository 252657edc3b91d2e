//! The straight line that a requantising neuron follows, its steps smoothed.

use snnc_ir::analysis::Interval;
use snnc_ir::{Neuron, Population};

/// `code = slope * accumulator + offset`, accumulator with the population's bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Codes per unit of the accumulator; 0 for a channel that never changes.
    pub slope: f64,
    /// Codes at accumulator 0.
    pub offset: f64,
}

/// The line of one channel of a monotone population over the reachable accumulators.
///
/// The reference rounds `slope * accumulator` to the nearest code, so level `k` begins where the
/// line is at `k - 1/2`. One line through the origin is fitted to all reachable thresholds; where
/// that misses them by more than the rounding of accumulators to integers, the line is free.
/// `None` for a neuron that is no staircase along a line, to within one code.
pub(super) fn line(population: &Population, channel: usize, reachable: Interval) -> Option<Line> {
    let row = |n: usize| if n == 1 { 0 } else { channel };
    let steps: Vec<(f64, f64)> = match &population.neuron {
        Neuron::Accumulate => return Some(Line { slope: 1.0, offset: 0.0 }),
        Neuron::Graded(n) => (n.minimum + 1..=n.maximum)
            .map(|level| (n.threshold(channel, level), level))
            .filter(|&(t, _)| reachable.low < t && t <= reachable.high)
            .map(|(t, level)| (t as f64 - 0.5, level as f64 - 0.5))
            .collect(),
        Neuron::Thresholds(n) => n.thresholds[row(n.thresholds.len())]
            .iter()
            .zip(n.minimum + 1..)
            .filter(|&(&t, _)| reachable.low < t && t <= reachable.high)
            .map(|(&t, level)| (t as f64 - 0.5, level as f64 - 0.5))
            .collect(),
        _ => return None,
    };
    let (Some(&(first, low)), Some(&(last, high))) = (steps.first(), steps.last()) else {
        let level = population.neuron.single_shot(channel, reachable.low)?;
        return Some(Line { slope: 0.0, offset: level as f64 });
    };
    let (xy, xx) = steps.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    if xy > 0.0 {
        let slope = xy / xx;
        if steps.iter().all(|(x, y)| (y / slope - x).abs() <= 1.5) {
            return Some(Line { slope, offset: 0.0 });
        }
    }
    if high > low {
        let slope = (high - low) / (last - first);
        let offset = low - slope * first;
        // Steps that lie elsewhere than along a line are another function.
        let near = |(x, y): &(f64, f64)| (slope * x + offset - y).abs() <= 1.0;
        return steps.iter().all(near).then_some(Line { slope, offset });
    }
    // One step off the origin says where the code changes, but not how fast.
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use snnc_ir::{Coding, GradedNeuron, ThresholdTable};

    fn population(neuron: Neuron) -> Population {
        Population {
            coding: Coding::Graded,
            bias: Vec::new(),
            bias_placement: Default::default(),
            neuron,
            minimum: 0,
            maximum: 15,
            scale: Vec::new(),
        }
    }

    #[test]
    fn the_scale_is_found_again() {
        let scale = 0.0371;
        let thresholds: Vec<i64> =
            (1..=15).map(|k| ((f64::from(k) - 0.5) / scale).ceil() as i64).collect();
        let table = Neuron::Thresholds(ThresholdTable { thresholds: vec![thresholds], minimum: 0 });
        let line = line(&population(table), 0, Interval::new(-900, 300)).unwrap();
        assert!((line.slope / scale - 1.0).abs() < 0.005 && line.offset == 0.0, "{line:?}");
    }

    #[test]
    fn a_shifted_line_keeps_its_shift() {
        let n = GradedNeuron {
            multiplier: vec![1],
            offset: vec![500],
            divisor: vec![100],
            minimum: 0,
            maximum: 15,
        };
        let line = line(&population(Neuron::Graded(n)), 0, Interval::new(-900, 2000)).unwrap();
        assert!((line.slope - 0.01).abs() < 1e-4 && (line.offset - 4.5).abs() < 0.01, "{line:?}");
    }

    #[test]
    fn two_gains_are_no_line() {
        let rows = vec![(-20..20).map(|k| if k < 0 { 80 * k } else { 10 * k }).collect()];
        let table = Neuron::Thresholds(ThresholdTable { thresholds: rows, minimum: 0 });
        assert_eq!(line(&population(table), 0, Interval::new(-2000, 300)), None);
    }

    #[test]
    fn a_channel_that_never_changes_is_its_level() {
        let table = ThresholdTable { thresholds: vec![vec![-50, 70, 80]], minimum: 0 };
        let population = population(Neuron::Thresholds(table));
        let constant = line(&population, 0, Interval::new(-20, 60)).unwrap();
        assert_eq!(constant, Line { slope: 0.0, offset: 1.0 });
    }
}
