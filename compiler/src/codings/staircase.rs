//! What a canonical neuron computes, channel by channel: its thresholds, and straight lines with them.

use snnc_ir::analysis::{Interval, StraightLine, bisect_thresholds};
use snnc_ir::{GradedNeuron, PerChannel, Population};

/// Multipliers up to this are preferred to the canonical neuron's own, for shorter potentials.
const MAX_MULTIPLIER: i64 = 255;

/// `n = clamp(floor((multiplier * v + offset) / divisor), minimum, maximum)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) multiplier: i64,
    pub(super) offset: i64,
    pub(super) divisor: i64,
    /// By how much `multiplier * v` must be larger for odd levels: round-half-even at a power of two.
    pub(super) odd: i64,
}

/// The staircase of one channel.
#[derive(Clone, Debug)]
pub(super) struct Staircase {
    /// For each level `minimum + 1 ..= maximum` the smallest reachable potential that has it, or one
    /// above the largest reachable.
    pub(super) thresholds: Vec<i64>,
    /// Reachable potentials, bias included.
    pub(super) reachable: Interval,
    /// The line with these thresholds, if there is one.
    pub(super) line: Option<Line>,
}

impl Staircase {
    /// The line, or where there is none the one that misses the thresholds by the least; for codings
    /// that lose more elsewhere.
    pub(super) fn nearest(&self, minimum: i64) -> Option<Line> {
        let straight = self.line.filter(|l| l.odd == 0);
        let span = (self.reachable.low, self.reachable.high);
        straight.or_else(|| {
            let line = StraightLine::new(&self.thresholds, span, minimum);
            (0..40).map(|bits| 1i64 << bits).find_map(|slack| {
                let relaxed = line.relaxed(slack);
                let (multiplier, offset, shift) = relaxed.fit_shift(30)?;
                Some(Line { multiplier, offset, divisor: 1 << shift, odd: 0 })
            })
        })
    }
}

/// The staircases of a population, `None` if its neuron is not monotone.
pub(super) fn of(population: &Population, potentials: &[Interval]) -> Option<Vec<Staircase>> {
    let (minimum, maximum) = levels(population);
    let stairs = population.neuron.staircase()?;
    let channel = |(c, &reachable): (usize, &Interval)| {
        let span = (reachable.low, reachable.high);
        let thresholds = bisect_thresholds(|v| stairs.payload(c, v), span, (minimum, maximum));
        let own = stairs.line().map(|n| own_line(n, c));
        let line = line(&thresholds, span, minimum, own);
        Staircase { thresholds, reachable, line }
    };
    Some(potentials.iter().enumerate().map(channel).collect())
}

/// Smallest and largest payload that a population's neuron can send.
pub(super) fn levels(population: &Population) -> (i64, i64) {
    let named = population.neuron.levels().map(|levels| (levels.low, levels.high));
    named.unwrap_or((population.minimum, population.maximum))
}

fn own_line(n: &GradedNeuron, channel: usize) -> Line {
    let at = |v: &[i64]| *PerChannel::of(v).at(channel);
    Line { multiplier: at(&n.multiplier), offset: at(&n.offset), divisor: at(&n.divisor), odd: 0 }
}

/// The line with the least multiplier, else the neuron's own, else one for each parity of the level.
fn line(thresholds: &[i64], span: (i64, i64), minimum: i64, own: Option<Line>) -> Option<Line> {
    let fit = |thresholds: &[i64]| {
        let line = StraightLine::new(thresholds, span, minimum);
        let found = line.fit_divisor(MAX_MULTIPLIER, 1 << 40, |_, _, _| true);
        found.or_else(|| line.fit_shift(46).map(|(m, r, shift)| (m, r, 1i64 << shift)))
    };
    if own.is_some_and(|l| l.multiplier == 1) {
        return own;
    }
    let straight = fit(thresholds).map(|(multiplier, offset, divisor)| Line {
        multiplier,
        offset,
        divisor,
        odd: 0,
    });
    straight.or(own).or_else(|| {
        [1, -1].into_iter().find_map(|odd| {
            let shifted: Vec<i64> = thresholds
                .iter()
                .enumerate()
                .map(|(index, &t)| {
                    let level = minimum + 1 + index as i64;
                    let inside = t > span.0 && t <= span.1;
                    if inside && level.rem_euclid(2) == 1 { t - odd } else { t }
                })
                .collect();
            if !shifted.is_sorted() {
                return None;
            }
            let (multiplier, offset, divisor) = fit(&shifted)?;
            Some(Line { multiplier, offset, divisor, odd: odd * multiplier })
        })
    })
}
