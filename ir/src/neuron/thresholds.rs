//! Graded spikes by comparison with thresholds.

use crate::PerChannel;
use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place};
use crate::interval::Interval;

/// `n = minimum + #{threshold <= v}` (FINN's MultiThreshold).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdTable {
    /// For each channel, or one for all: the thresholds, ascending.
    pub thresholds: Vec<Vec<i64>>,
    /// Payload below the first threshold.
    pub minimum: i64,
}

impl ThresholdTable {
    /// The payload for potential `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        self.minimum + self.row(channel).partition_point(|&t| t <= v) as i64
    }

    /// The thresholds of `channel`.
    pub fn row(&self, channel: usize) -> &[i64] {
        PerChannel::of(&self.thresholds).at(channel)
    }
}

impl NeuronModel for ThresholdTable {
    /// What arrived last.
    type State = i64;
    type Value = i64;
    const WORD: &'static str = "thresholds";
    const NAME: &'static str = "threshold tables";

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
        checks.lengths("threshold table", self.thresholds.len());
        checks.require(self.rises(), "thresholds must ascend");
    }

    fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        Some(self.payload(channel, v))
    }

    fn rises(&self) -> bool {
        self.thresholds.iter().all(|row| row.is_sorted())
    }

    fn least_potential(&self, channel: usize, level: i64) -> Option<i64> {
        let index = usize::try_from(level.checked_sub(self.minimum)?.checked_sub(1)?).ok()?;
        self.row(channel).get(index).copied()
    }

    fn sent(&self, channel: usize, v: Interval, _: usize) -> Option<Interval> {
        let ends = (self.payload(channel, v.low), self.payload(channel, v.high));
        Some(Interval::new(ends.0, ends.1).with_zero())
    }

    fn levels(&self) -> Option<Interval> {
        let longest = self.thresholds.iter().map(Vec::len).max().unwrap_or(0);
        Some(Interval::new(self.minimum, self.minimum + longest as i64))
    }

    fn thresholds(&self, _: usize) -> Vec<i64> {
        self.thresholds.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_counts_thresholds() {
        let n = ThresholdTable { thresholds: vec![vec![-3, 0, 0, 9]], minimum: -1 };
        assert_eq!([-4, -3, -1, 0, 8, 9].map(|v| n.payload(0, v)), [-1, 0, 0, 2, 2, 3]);
    }
}
