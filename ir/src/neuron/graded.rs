//! Graded spikes by an integer affine map.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place, at};
use crate::interval::Interval;

/// `n = clamp(floor((multiplier * v + offset) / divisor), minimum, maximum)`, exact.
///
/// This one form holds a multiply-and-shift (divisor a power of two), a multi-level
/// integrate-and-fire neuron in its only timestep (multiplier 1, divisor the threshold), and the
/// activation of Akida 1.0. Vectors have one entry for each channel, or one for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradedNeuron {
    /// Positive.
    pub multiplier: Vec<i64>,
    /// Any sign.
    pub offset: Vec<i64>,
    /// Positive.
    pub divisor: Vec<i64>,
    /// Smallest payload.
    pub minimum: i64,
    /// Largest payload.
    pub maximum: i64,
}

impl GradedNeuron {
    /// The payload for potential `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        let scaled = i128::from(at(&self.multiplier, channel)) * i128::from(v)
            + i128::from(at(&self.offset, channel));
        let level = scaled.div_euclid(i128::from(at(&self.divisor, channel)));
        level.clamp(i128::from(self.minimum), i128::from(self.maximum)) as i64
    }

    /// The smallest potential with payload at least `level`, in closed form:
    /// `ceil((level * divisor - offset) / multiplier)`.
    pub fn threshold(&self, channel: usize, level: i64) -> i64 {
        let needed = i128::from(level) * i128::from(at(&self.divisor, channel))
            - i128::from(at(&self.offset, channel));
        let multiplier = i128::from(at(&self.multiplier, channel));
        (-(-needed).div_euclid(multiplier)).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

impl NeuronModel for GradedNeuron {
    /// What arrived last.
    type State = i64;
    type Value = i64;
    const WORD: &'static str = "graded";
    const NAME: &'static str = "graded neurons";

    fn rest(&self, _: Place) -> i64 {
        0
    }

    fn step(&self, place: Place, _: usize, state: &mut i64, input: i64) -> i64 {
        *state = input;
        self.payload(place.channel, input)
    }

    fn potential(state: &i64) -> i64 {
        *state
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Firing
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.lengths("multiplier", self.multiplier.len());
        checks.lengths("offset", self.offset.len());
        checks.lengths("divisor", self.divisor.len());
        checks.require(self.rises(), "multipliers and divisors must be positive");
        checks.require(self.minimum <= self.maximum, "the neuron's range is empty");
    }

    fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        Some(self.payload(channel, v))
    }

    fn rises(&self) -> bool {
        self.multiplier.iter().chain(&self.divisor).all(|&v| v > 0)
    }

    fn least_potential(&self, channel: usize, level: i64) -> Option<i64> {
        let between = level > self.minimum && level <= self.maximum;
        between.then(|| self.threshold(channel, level))
    }

    fn sent(&self, channel: usize, v: Interval, _: usize) -> Option<Interval> {
        let ends = (self.payload(channel, v.low), self.payload(channel, v.high));
        Some(Interval::new(ends.0, ends.1).with_zero())
    }

    fn levels(&self) -> Option<Interval> {
        Some(Interval::new(self.minimum, self.maximum))
    }

    fn thresholds(&self, channels: usize) -> Vec<i64> {
        if self.minimum >= self.maximum {
            return Vec::new();
        }
        let ends = |c| [self.minimum + 1, self.maximum].map(|level| self.threshold(c, level));
        (0..channels).flat_map(ends).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graded_threshold_is_where_the_payload_changes() {
        let n = GradedNeuron {
            multiplier: vec![7, 3],
            offset: vec![-11, 20],
            divisor: vec![16, 10],
            minimum: 0,
            maximum: 15,
        };
        for channel in 0..2 {
            for level in 1..=15 {
                let t = n.threshold(channel, level);
                assert!(n.payload(channel, t) >= level && n.payload(channel, t - 1) < level);
            }
        }
    }
}
