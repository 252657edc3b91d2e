//! The search for a neuron's parameters: those that differ from the reference for the fewest
//! accumulator values.
//!
//! A staircase is the list of its thresholds, the accumulators at which each level is reached. Two
//! staircases differ exactly on the union of the intervals between their thresholds, so candidates
//! are compared without running anything. Where a digital straight line of the neuron's form has the
//! reference's thresholds, the count is 0.

use super::lower::UNBOUNDED;

/// What a channel's neuron should do.
#[derive(Clone, Debug)]
pub struct Staircase {
    /// For each level above the least, the smallest accumulator (bias excluded) that reaches it;
    /// ascending. Beyond `range` where it cannot be reached.
    pub thresholds: Vec<i64>,
    /// Smallest and largest accumulator that can occur.
    pub range: (i64, i64),
}

impl Staircase {
    /// Number of reachable accumulators at which the staircase with thresholds `other` differs.
    pub fn differing(&self, other: impl Iterator<Item = i64>) -> u64 {
        let (low, high) = self.range;
        let clamp = |t: i64| t.clamp(low, high.saturating_add(1));
        let (mut total, mut end) = (0u64, i64::MIN);
        for (&a, b) in self.thresholds.iter().zip(other) {
            let (a, b) = (clamp(a), clamp(b));
            let (from, to) = (a.min(b).max(end), a.max(b));
            if to > from {
                total += to.abs_diff(from);
                end = to;
            }
        }
        total
    }

    /// Levels whose thresholds lie inside the range, by index.
    fn inner(&self) -> impl Iterator<Item = (usize, i64)> + '_ {
        let (low, high) = self.range;
        self.thresholds.iter().copied().enumerate().filter(move |&(_, t)| t > low && t <= high)
    }

    /// Accumulators from one level to the next, least and most that fit the reachable thresholds;
    /// with fewer than two of them any step serves that keeps the others out of reach.
    fn step(&self) -> (f64, f64) {
        let levels: Vec<(usize, i64)> = self.inner().collect();
        let (Some(&first), Some(&last)) = (levels.first(), levels.last()) else {
            let all = (self.range.1 - self.range.0 + 1) as f64;
            return (all, all);
        };
        if first.0 == last.0 {
            let (low, high) = self.range;
            let room = (last.1 - low).max(high + 1 - last.1) as f64;
            return (room, room);
        }
        let (rise, run) = ((last.0 - first.0) as f64, (last.1 - first.1) as f64);
        (((run - 1.0) / rise).max(1e-9), (run + 1.0) / rise)
    }
}

/// The best parameters found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<P> {
    /// The parameters.
    pub parameters: P,
    /// Factor by which the channel's weights are multiplied.
    pub factor: i64,
    /// Reachable accumulators at which the neuron differs from the reference.
    pub differing: u64,
}

/// Keeps the better of two; the earlier of equals.
fn keep<P: Copy>(best: &mut Option<Found<P>>, candidate: Found<P>) {
    if best.is_none_or(|b| candidate.differing < b.differing) {
        *best = Some(candidate);
    }
}

/// Threshold and step of one channel of Akida 1.0, in its own fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneParameters {
    /// Fires above this potential.
    pub threshold: i64,
    /// `act_step` in sixteenths.
    pub sixteenths: i64,
}

/// Limits of an Akida 1.0 activation.
#[derive(Clone, Copy, Debug)]
pub struct OneLimits {
    /// Bits of the output, 1 to 4.
    pub bits: u32,
    /// Most sixteenths of `act_step`.
    pub sixteenths: i64,
    /// Largest magnitude of a threshold.
    pub threshold: i64,
    /// Most by which weights can be multiplied.
    pub factor: i64,
}

/// Beyond this factor of the weights nothing is gained on payloads of 4 bits.
const MOST_FACTOR: i64 = 28;

/// The threshold and step of an Akida 1.0 channel with the fewest differing accumulators.
///
/// Level k is reached at `threshold + 1 + floor((k - 1) * q / 2^bits)`, so the first threshold is
/// any integer and the distance between levels a multiple of `1 / 2^bits`; multiplied weights make
/// both finer. `None` if the limits leave nothing.
pub fn search_one(wanted: &Staircase, limits: OneLimits) -> Option<Found<OneParameters>> {
    let mut best = None;
    let scale = (1i64 << limits.bits) as f64;
    for factor in 1..=limits.factor.clamp(1, MOST_FACTOR) {
        let (low, high) = wanted.step();
        let first = ((low * factor as f64 * scale).floor() as i64).max(1);
        let last = ((high * factor as f64 * scale).ceil() as i64).max(first);
        for q in samples(first, last.min(limits.sixteenths), 64) {
            let rise = |k: usize| ((k as i64).saturating_mul(q)) >> limits.bits;
            for threshold in origins(wanted, factor, rise) {
                let threshold = threshold - 1;
                if threshold.abs() > limits.threshold {
                    continue;
                }
                let reached = |k: usize| ceil_div(threshold + 1 + rise(k), factor);
                let differing = wanted.differing((0..wanted.thresholds.len()).map(reached));
                let parameters = OneParameters { threshold, sixteenths: q };
                keep(&mut best, Found { parameters, factor, differing });
            }
        }
        if best.is_some_and(|b| b.differing == 0) {
            break;
        }
    }
    best
}

/// Where level 0's threshold may lie so that one level's threshold is right, and some places more.
fn origins(wanted: &Staircase, factor: i64, rise: impl Fn(usize) -> i64) -> Vec<i64> {
    let mut origins: Vec<i64> = wanted
        .inner()
        .flat_map(|(k, t)| {
            let at = t * factor - rise(k);
            [at, at - factor / 2, at - (factor - 1)]
        })
        .collect();
    if origins.is_empty() {
        // Nothing changes within the range: all levels on one side or the other of it.
        let reached = wanted.thresholds.iter().filter(|&&t| t <= wanted.range.0).count();
        let edge = wanted.range.0 * factor;
        origins.extend(reached.checked_sub(1).map(|k| edge - rise(k)));
        origins.push((wanted.range.1 + 1) * factor - rise(reached));
        origins.push(edge - rise(reached.saturating_sub(1)));
    }
    origins.sort_unstable();
    origins.dedup();
    origins
}

/// At most `most` integers of `first..=last`, evenly spread, both ends among them.
fn samples(first: i64, last: i64, most: i64) -> impl Iterator<Item = i64> {
    let span = (last - first).max(-1);
    let count = (span + 1).min(most);
    (0..count).map(move |i| first + if count > 1 { i * span / (count - 1) } else { 0 })
}

/// `ceil(a / b)` for a positive `b`.
pub fn ceil_div(a: i64, b: i64) -> i64 {
    -((-a).div_euclid(b))
}

/// Bias, scale and shift of one channel of Akida 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoParameters {
    /// 8-bit mantissa of the bias.
    pub bias: i64,
    /// Left shift of the bias.
    pub bias_shift: i64,
    /// 8-bit scale.
    pub scale: i64,
    /// Shift after the scale, positive to the left.
    pub shift: i64,
}

impl TwoParameters {
    /// The smallest potential (bias excluded) whose output, unlimited, is at least `level`.
    pub fn reached(&self, level: i64) -> i64 {
        let needed = if self.shift < 0 {
            let right = (-self.shift).min(62);
            (i128::from(level) << right) - (1i128 << (right - 1))
        } else {
            // `z << shift >= level` exactly if `z >= ceil(level / 2^shift)`.
            -((-i128::from(level)) >> self.shift.min(62))
        };
        let z = -(-needed).div_euclid(i128::from(self.scale.max(1)));
        let bias = i128::from(self.bias << self.bias_shift);
        (z - bias).clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
    }
}

/// Limits of an Akida 2.0 output stage.
#[derive(Clone, Copy, Debug)]
pub struct TwoLimits {
    /// The level below the first threshold.
    pub minimum: i64,
    /// Most by which weights can be multiplied.
    pub factor: i64,
    /// What the padding's value brings to the potential beside the weights' sum.
    pub zero_bias: i64,
    /// Whether the stage has a bias at all (none behind a global sum).
    pub biased: bool,
}

/// The bias, scale and shift of an Akida 2.0 channel with the fewest differing accumulators.
pub fn search_two(wanted: &Staircase, limits: TwoLimits) -> Option<Found<TwoParameters>> {
    let mut best = None;
    for factor in 1..=limits.factor.clamp(1, MOST_FACTOR) {
        let (low, high) = wanted.step();
        for (scale, shift) in scales(low * factor as f64, high * factor as f64) {
            let unbiased = TwoParameters { bias: 0, bias_shift: 0, scale, shift };
            let reached = |k: usize| unbiased.reached(limits.minimum + 1 + k as i64);
            let targets = match limits.biased {
                true => bias_targets(wanted, factor, reached, limits.zero_bias * factor),
                false => vec![0],
            };
            for origin in targets {
                for (bias, bias_shift) in mantissas(origin) {
                    let parameters = TwoParameters { bias, bias_shift, scale, shift };
                    let at = |k: usize| {
                        let v = parameters.reached(limits.minimum + 1 + k as i64);
                        ceil_div(v - limits.zero_bias * factor, factor)
                    };
                    let differing = wanted.differing((0..wanted.thresholds.len()).map(at));
                    keep(&mut best, Found { parameters, factor, differing });
                }
            }
        }
        if best.is_some_and(|b| b.differing == 0) {
            break;
        }
    }
    best
}

/// Scales of 8 bits and their shifts for steps from `low` to `high` accumulators a level.
fn scales(low: f64, high: f64) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    let middle = 2.0 / (low + high);
    // middle * 2^right in 128..256.
    let right = 7 - middle.log2().floor() as i64;
    for (right, most) in [(right, 255), (right - 1, 127)] {
        let unit = 2f64.powi(right.clamp(-64, 64) as i32);
        let first = ((unit / high).floor() as i64).clamp(1, most);
        let last = ((unit / low).ceil() as i64).clamp(first, most);
        for scale in samples(first, last, 64) {
            // Even scales have the same ratio one shift further down.
            if (-32..=31).contains(&-right) && (most == 255 || scale % 2 == 1) {
                found.push((scale, -right));
            }
        }
    }
    found
}

/// Biases with which some level's threshold is right: both ends of those that do, evenly thinned.
fn bias_targets(
    wanted: &Staircase,
    factor: i64,
    reached: impl Fn(usize) -> i64,
    zero_bias: i64,
) -> Vec<i64> {
    let mut biases: Vec<i64> =
        wanted.inner().map(|(k, t)| reached(k) - (t * factor + zero_bias) + factor / 2).collect();
    if biases.is_empty() {
        let count = wanted.thresholds.iter().filter(|&&t| t <= wanted.range.0).count();
        let edge = |v: i64| v * factor + zero_bias;
        biases.extend(count.checked_sub(1).map(|k| reached(k) - edge(wanted.range.0)));
        if count < wanted.thresholds.len() {
            biases.push(reached(count) - edge(wanted.range.1 + 1));
        }
    }
    biases.sort_unstable();
    biases.dedup();
    const MOST: usize = 9;
    if biases.len() <= MOST {
        return biases;
    }
    (0..MOST).map(|i| biases[i * (biases.len() - 1) / (MOST - 1)]).collect()
}

/// The 8-bit mantissas and shifts next to `x`, below and above.
pub fn mantissas(x: i64) -> impl Iterator<Item = (i64, i64)> {
    let shift = (0..=31).find(|&s| (-128..=127).contains(&(x >> s))).unwrap_or(31);
    let below = (x >> shift).clamp(-128, 127);
    let above = if below < 127 { (below + 1, shift) } else { (64, (shift + 1).min(31)) };
    let exact = below << shift == x;
    [Some((below, shift)), (!exact).then_some(above)].into_iter().flatten()
}

/// The mantissa and shift nearest to `x`.
pub fn nearest_mantissa(x: i64) -> (i64, i64) {
    let distance = |&(m, s): &(i64, i64)| (m << s).abs_diff(x);
    mantissas(x).min_by_key(distance).unwrap_or((0, 0))
}

/// A rectifier's limit that leaves `top` levels and no more: some `value << shift` with an 8-bit value
/// at which the output is `top`; unbounded where the output's own range ends there.
pub fn ceiling(parameters: &TwoParameters, top: i64, output_top: i64) -> Option<i64> {
    if top >= output_top {
        return Some(UNBOUNDED);
    }
    let own = TwoParameters { bias: 0, bias_shift: 0, ..*parameters };
    let (from, to) = (own.reached(top), own.reached(top + 1) - 1);
    (0..=31).rev().find_map(|shift| {
        let value = (to >> shift).min(255);
        (value << shift >= from && value > 0).then_some(value << shift)
    })
}

#[cfg(test)]
mod tests;
