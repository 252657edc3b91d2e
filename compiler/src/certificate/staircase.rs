//! Holds one staircase against another, channel by channel.

use snnc_ir::analysis::{Interval, bisect_thresholds};

use super::frame::Frame;
use super::{Difference, PopulationCertificate, Verdict};

/// A staircase that is taken as given, and a frame that should be it.
pub(super) struct Staircases<'a> {
    /// Payload of a channel for an accumulator without bias.
    pub(super) reference: &'a dyn Fn(usize, i64) -> i64,
    /// Smallest and largest payload of the reference.
    pub(super) levels: (i64, i64),
    /// What is held against it.
    pub(super) frame: &'a Frame<'a>,
    /// For each channel the factor of accumulators in the emitted network, as a fraction.
    pub(super) factors: &'a [(i64, i64)],
    /// For each channel the bias of a whole frame in the emitted network.
    pub(super) bias: &'a [i64],
    /// Reachable accumulators of each channel, without bias.
    pub(super) accumulators: &'a [Interval],
}

/// What came out of comparing two staircases.
#[derive(Default)]
struct Found {
    compared: u64,
    reachable: u64,
    differences: Vec<Difference>,
}

impl Staircases<'_> {
    /// The statement on a population whose frame is comparable; `base` names it.
    pub(super) fn compare(&self, base: PopulationCertificate) -> PopulationCertificate {
        let mut found = Found::default();
        for (c, range) in self.accumulators.iter().enumerate() {
            found.reachable += range.high.abs_diff(range.low).saturating_add(1);
            self.channel(c, (range.low, range.high), &mut found);
        }
        let method = match self.frame {
            Frame::Staircase { method, .. } => method,
            Frame::Trains { .. } => {
                "at both ends of every level the same train is sent, so it is sent between"
            }
            Frame::Unknown(reason) => {
                return PopulationCertificate {
                    verdict: Verdict::Approximate,
                    method: (*reason).into(),
                    ..base
                };
            }
        };
        concluded(base, method, found.compared, found.reachable, found.differences)
    }

    fn potential(&self, channel: usize, accumulator: i64) -> i64 {
        let (n, d) = self.factors[channel];
        let scaled = i128::from(accumulator) * i128::from(n) / i128::from(d.max(1));
        (scaled + i128::from(self.bias[channel])).clamp(i128::from(i64::MIN), i128::from(i64::MAX))
            as i64
    }

    fn channel(&self, c: usize, span: (i64, i64), found: &mut Found) {
        let expected = bisect_thresholds(|v| (self.reference)(c, v), span, self.levels);
        match self.frame {
            Frame::Staircase { answer, threshold, .. } => {
                let answer = |v: i64| answer(c, self.potential(c, v));
                let threshold = |level| threshold(c, level);
                self.staircase(c, span, &expected, &answer, &threshold, found);
            }
            Frame::Trains { neuron, timesteps } => {
                let train = |v: i64| neuron.fire(c, self.potential(c, v), *timesteps);
                found.compared += expected.len() as u64;
                let mut from = span.0;
                let ends = expected.iter().copied().chain([span.1.saturating_add(1)]);
                for (index, end) in ends.enumerate() {
                    if end > from {
                        let level = self.levels.0 + index as i64;
                        same_train((c, level), (from, end - 1), &train, &mut found.differences);
                        from = end;
                    }
                }
            }
            Frame::Unknown(_) => {}
        }
    }

    fn staircase(
        &self,
        channel: usize,
        (low, high): (i64, i64),
        expected: &[i64],
        answer: &dyn Fn(i64) -> i64,
        threshold: &dyn Fn(i64) -> Option<i64>,
        found: &mut Found,
    ) {
        let minimum = self.levels.0;
        // Outside the reference's range of payloads a threshold of the emitted neuron counts too.
        let levels = (answer(low).min(minimum), answer(high).max(self.levels.1));
        let wanted = |level: i64| match usize::try_from(level - minimum - 1) {
            Ok(index) => expected.get(index).copied().unwrap_or(high + 1),
            Err(_) => low,
        };
        let (numerator, denominator) = self.factors[channel];
        let emitted = |level: i64| match threshold(level) {
            Some(potential) => {
                let needed = i128::from(potential) - i128::from(self.bias[channel]);
                let v = -(-needed * i128::from(denominator)).div_euclid(i128::from(numerator));
                v.clamp(i128::from(low), i128::from(high) + 1) as i64
            }
            None => bisect_thresholds(answer, (low, high), (level - 1, level))[0],
        };
        found.compared += (levels.1 - levels.0).max(0) as u64;
        let mut cuts: Vec<i64> = (levels.0 + 1..=levels.1)
            .map(|level| (wanted(level), emitted(level)))
            .filter(|(a, b)| a != b)
            .flat_map(|(a, b)| [a, b])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        for pair in cuts.windows(2) {
            let (a, b) = ((self.reference)(channel, pair[0]), answer(pair[0]));
            if a != b {
                let (from, to) = (pair[0], pair[1] - 1);
                found.differences.push(Difference { channel, from, to, reference: a, emitted: b });
            }
        }
    }
}

/// Finds all accumulators of `from..=to` at which the train does not sum up to `level`.
///
/// Each decision of a neuron is monotone in its potential once the decisions before are fixed, and a
/// reset moves all potentials alike; so where both ends of an interval send the same train, all
/// between do.
fn same_train(
    (channel, level): (usize, i64),
    (from, to): (i64, i64),
    train: &dyn Fn(i64) -> Vec<i64>,
    differences: &mut Vec<Difference>,
) {
    let (first, last) = (train(from), train(to));
    if first == last {
        let emitted = first.iter().sum();
        if emitted != level {
            differences.push(Difference { channel, from, to, reference: level, emitted });
        }
        return;
    }
    let middle = from + (to - from) / 2;
    same_train((channel, level), (from, middle), train, differences);
    same_train((channel, level), (middle + 1, to), train, differences);
}

pub(super) fn concluded(
    base: PopulationCertificate,
    method: &str,
    thresholds: u64,
    reachable: u64,
    differences: Vec<Difference>,
) -> PopulationCertificate {
    PopulationCertificate {
        verdict: if differences.is_empty() { Verdict::Proved } else { Verdict::Differs },
        method: method.into(),
        thresholds,
        reachable,
        differing: differences.iter().map(|d| d.to.abs_diff(d.from).saturating_add(1)).sum(),
        differences,
        ..base
    }
}
