//! Gains and thresholds of a neuron on which two operands of different scale meet.
//!
//! On the potential `v = g_0 a_0 + g_1 a_1` a level of the reference is a half-plane of pairs `(a_0, a_1)`.
//! Small gains serve as long as every pair of one level lies on its side of a threshold; the gains
//! that are the ratio of the scales itself always do where the reference is an exact sum. The smallest are
//! taken whose thresholds lie evenly, as most codings want them.

use snnc_ir::analysis::{Interval, StraightLine};
use snnc_ir::exact::{Line, gcd, parts, scaled};
use snnc_ir::{GradedNeuron, Neuron, ThresholdTable};

use crate::reference::Requantiser;

/// Bits after the binary point of the gains where accumulators of different scales meet.
const GAIN_BITS: u32 = 30;

/// Pairs that are looked at one by one.
const PAIRS: u64 = 1 << 20;

/// Largest potential: what an f64 holds, less what is added on the way.
const POTENTIAL: u128 = 1 << 50;

/// One channel of a join.
#[derive(Clone, Debug)]
pub(super) struct Join {
    /// What one unit of each operand counts.
    pub(super) gains: [i64; 2],
    /// For each level above the smallest: the largest potential below it and the least that has it,
    /// as far as there are such.
    bounds: Vec<(Option<i64>, Option<i64>)>,
}

/// The join of channel `c`; `ranges` are the operands' accumulators, bias included.
pub(super) fn join(r: &Requantiser, c: usize, ranges: [Interval; 2]) -> Join {
    match r.line(c) {
        Some(line) => of_line(&line, r, ranges),
        None if count(ranges[0]).saturating_mul(count(ranges[1])) <= PAIRS => {
            of_pairs(r, c, ranges)
        }
        None => of_many(r, c),
    }
}

fn count(range: Interval) -> u64 {
    range.high.abs_diff(range.low).saturating_add(1)
}

/// The fractions that are nearest to `a / b` for their size, smallest first, the fraction itself last.
fn convergents(a: i128, b: i128) -> Vec<[i64; 2]> {
    let (mut rest, mut p, mut q) = ((a, b), (0i128, 1i128), (1i128, 0i128));
    let mut found = Vec::new();
    while rest.1 != 0 {
        let whole = rest.0 / rest.1;
        rest = (rest.1, rest.0 % rest.1);
        p = (p.1, whole * p.1 + p.0);
        q = (q.1, whole * q.1 + q.0);
        if let (Ok(x @ 1..), Ok(y @ 1..)) = (i64::try_from(p.1), i64::try_from(q.1)) {
            found.push([x, y]);
        }
    }
    found
}

fn of_line(line: &Line, r: &Requantiser, ranges: [Interval; 2]) -> Join {
    let levels = (r.minimum() + 1)..=r.maximum();
    let thresholds: Vec<i128> = levels.map(|level| line.threshold(level)).collect();
    let small = usize::from(count(ranges[1]) < count(ranges[0]));
    if count(ranges[small]).saturating_mul(thresholds.len() as u64) <= PAIRS {
        let candidates = convergents(line.coefficients[0], line.coefficients[1]).into_iter();
        let joins = candidates.filter_map(|g| boundaries(line, &thresholds, ranges, small, g));
        if let Some(join) = best(joins, r.minimum()) {
            return join;
        }
    }
    // Beyond what potentials hold the lowest bits go.
    let reach: u128 = (0..2)
        .map(|p| line.coefficients[p].unsigned_abs().saturating_mul(ranges[p].magnitude().into()))
        .sum();
    let shift = (0..64).find(|s| reach >> s < POTENTIAL).unwrap_or(64);
    let cut = |x: i128| match shift {
        0 => x,
        s => (x + (1 << (s - 1))) >> s,
    };
    let gain = |p: usize| i64::try_from(cut(line.coefficients[p])).unwrap_or(i64::MAX).max(1);
    let far = (POTENTIAL * 2) as i128;
    let bound = |&t: &i128| {
        let t = cut(t).clamp(-far, far) as i64;
        (Some(t - 1), Some(t))
    };
    Join { gains: [gain(0), gain(1)], bounds: thresholds.iter().map(bound).collect() }
}

/// The first join of which a line says the thresholds, as most codings need; else the first.
fn best(joins: impl Iterator<Item = Join>, minimum: i64) -> Option<Join> {
    let mut first = None;
    for join in joins {
        if straight(&join, minimum).is_some() {
            return Some(join);
        }
        first = first.or(Some(join));
    }
    first
}

/// Multiplier, offset and divisor of a line with the thresholds of a join.
fn straight(join: &Join, minimum: i64) -> Option<(i64, i64, i64)> {
    let line = StraightLine::between(&join.bounds, minimum);
    let divided = line.fit_divisor(255, 1 << 46, |_, _, _| true);
    divided.or_else(|| line.fit_shift(46).map(|(m, o, shift)| (m, o, 1 << shift)))
}

/// The join with these gains, if they keep the two sides of every level apart.
fn boundaries(
    line: &Line,
    thresholds: &[i128],
    ranges: [Interval; 2],
    small: usize,
    gains: [i64; 2],
) -> Option<Join> {
    let large = 1 - small;
    let mut bounds = Vec::with_capacity(thresholds.len());
    for &threshold in thresholds {
        let (mut below, mut above) = (None::<i64>, None::<i64>);
        for x in ranges[small].low..=ranges[small].high {
            let rest = threshold - line.coefficients[small] * i128::from(x);
            let first = -(-rest).div_euclid(line.coefficients[large]);
            let (low, high) = (ranges[large].low, ranges[large].high);
            let first = first.clamp(i128::from(low), i128::from(high) + 1) as i64;
            let at =
                |y: i64| gains[small].checked_mul(x)?.checked_add(gains[large].checked_mul(y)?);
            if first > low {
                let v = at(first - 1)?;
                below = Some(below.map_or(v, |b| b.max(v)));
            }
            if first <= high {
                let v = at(first)?;
                above = Some(above.map_or(v, |a| a.min(v)));
            }
            if let (Some(b), Some(a)) = (below, above)
                && b >= a
            {
                return None;
            }
        }
        bounds.push((below, above));
    }
    Some(Join { gains, bounds })
}

/// A reference that is asked for every pair.
fn of_pairs(r: &Requantiser, c: usize, ranges: [Interval; 2]) -> Join {
    let mut pairs = Vec::new();
    for x in ranges[0].low..=ranges[0].high {
        for y in ranges[1].low..=ranges[1].high {
            pairs.push((x, y, r.payload(c, &[x, y])));
        }
    }
    let [(a, e), (b, f)] = [0, 1].map(|port| parts(r.scale(port, c)));
    let least = e.min(f);
    let (a, b) = (scaled(a, e - least), scaled(b, f - least));
    let common = gcd(a, b).max(1);
    let exact = convergents(a / common, b / common);
    let levels = (r.minimum() + 1)..=r.maximum();
    let serves = |gains: [i64; 2]| {
        let bounds = sides(&pairs, gains, (r.minimum(), r.maximum()))?;
        let apart = |(below, above): &(Option<i64>, Option<i64>)| match (below, above) {
            (Some(b), Some(a)) => b < a,
            _ => true,
        };
        bounds.iter().all(apart).then_some(Join { gains, bounds })
    };
    // Rounding in f32 may part pairs of one sum, which gains a little off the ratio do as well.
    let rounded = [0, 1].map(|port| r.gain(port, c, GAIN_BITS).max(1));
    let candidates = exact.iter().copied().chain([rounded]);
    if let Some(join) = best(candidates.filter_map(serves), r.minimum()) {
        return join;
    }
    // Rounding in f32 puts some pairs of one potential on either side: the threshold is where the
    // fewest are on the wrong one.
    let gains = exact.last().copied().unwrap_or([1, 1]);
    let potential = |&(x, y, level): &(i64, i64, i64)| (gains[0] * x + gains[1] * y, level);
    let mut potentials: Vec<(i64, i64)> = pairs.iter().map(potential).collect();
    potentials.sort_unstable();
    let mut last = i64::MIN;
    let bounds = levels.map(|level| {
        let threshold = best_threshold(&potentials, level).max(last);
        last = threshold;
        (Some(threshold.saturating_sub(1)), Some(threshold))
    });
    Join { gains, bounds: bounds.collect() }
}

/// For each level the largest potential below it and the least that has it.
fn sides(
    pairs: &[(i64, i64, i64)],
    gains: [i64; 2],
    (minimum, maximum): (i64, i64),
) -> Option<Vec<(Option<i64>, Option<i64>)>> {
    let levels = usize::try_from(maximum - minimum).ok()?;
    let mut ends: Vec<Option<(i64, i64)>> = vec![None; levels + 1];
    for &(x, y, level) in pairs {
        let v = gains[0].checked_mul(x)?.checked_add(gains[1].checked_mul(y)?)?;
        let end = ends.get_mut(usize::try_from(level - minimum).ok()?)?;
        *end = Some(end.map_or((v, v), |(low, high)| (low.min(v), high.max(v))));
    }
    let mut bounds = vec![(None, None); levels];
    let mut below = None::<i64>;
    for (bound, end) in bounds.iter_mut().zip(&ends) {
        below = below.max(end.map(|e| e.1));
        bound.0 = below;
    }
    let mut above = None::<i64>;
    for (bound, end) in bounds.iter_mut().zip(&ends[1..]).rev() {
        above = [above, end.map(|e| e.0)].into_iter().flatten().min();
        bound.1 = above;
    }
    Some(bounds)
}

/// The threshold that is wrong for the fewest of `potentials`, which are in order, each with its level.
fn best_threshold(potentials: &[(i64, i64)], level: i64) -> i64 {
    let below = potentials.iter().filter(|p| p.1 < level).count();
    // With the threshold at the first potential all pairs below the level are wrong.
    let (mut wrong, mut best, mut threshold) = (below, below, potentials[0].0);
    for (i, &(v, own)) in potentials.iter().enumerate() {
        if own < level {
            wrong -= 1;
        } else {
            wrong += 1;
        }
        let next = potentials.get(i + 1).map_or(v.saturating_add(1), |p| p.0);
        if next != v && wrong < best {
            (best, threshold) = (wrong, next);
        }
    }
    threshold
}

/// Gains of 30 bits and halves that go up, where there are too many pairs.
fn of_many(r: &Requantiser, c: usize) -> Join {
    let gains = [0, 1].map(|port| r.gain(port, c, GAIN_BITS));
    let start = r.added(GAIN_BITS) + r.offset(c, GAIN_BITS);
    let bound = |level: i64| {
        let t = (level << GAIN_BITS) - start;
        (Some(t - 1), Some(t))
    };
    Join { gains, bounds: ((r.minimum() + 1)..=r.maximum()).map(bound).collect() }
}

/// The neuron of all channels: one line each where there are such, else a table.
pub(super) fn neuron(r: &Requantiser, joins: &[Join], potentials: &[Interval]) -> Neuron {
    let (minimum, maximum) = (r.minimum(), r.maximum());
    let lines: Option<Vec<(i64, i64, i64)>> =
        joins.iter().map(|join| straight(join, minimum)).collect();
    if let Some(lines) = lines {
        let neuron = GradedNeuron {
            multiplier: lines.iter().map(|l| l.0).collect(),
            offset: lines.iter().map(|l| l.1).collect(),
            divisor: lines.iter().map(|l| l.2).collect(),
            minimum,
            maximum,
        };
        return neuron.into();
    }
    let row = |(join, v): (&Join, &Interval)| -> Vec<i64> {
        let threshold = |bound: &(Option<i64>, Option<i64>)| bound.1.unwrap_or(v.high + 1);
        join.bounds.iter().map(threshold).collect()
    };
    let thresholds = joins.iter().zip(potentials).map(row).collect();
    ThresholdTable { thresholds, minimum }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_approached_in_order() {
        assert_eq!(convergents(314, 100), [[3, 1], [22, 7], [157, 50]]);
        assert_eq!(convergents(1, 4), [[1, 4]]);
        assert_eq!(convergents(5, 5), [[1, 1]]);
    }

    #[test]
    fn the_fewest_are_wrong() {
        let potentials = [(0, 0), (1, 0), (2, 1), (2, 0), (2, 0), (3, 1)];
        assert_eq!(best_threshold(&potentials, 1), 3, "one of the three at 2 has the level");
        assert_eq!(best_threshold(&[(0, 1), (4, 1)], 1), 0);
        assert_eq!(best_threshold(&[(0, 0), (4, 0)], 1), 5);
    }

    #[test]
    fn gains_serve_only_if_they_keep_levels_apart() {
        // A half of either operand, halves to the even level.
        let line = Line::new(&[parts(0.5), parts(0.5)], &[], 1.0, Default::default()).unwrap();
        let ranges = [Interval::new(0, 15), Interval::new(0, 15)];
        let thresholds: Vec<i128> = (1..=15).map(|k| line.threshold(k)).collect();
        let join = boundaries(&line, &thresholds, ranges, 0, [1, 1]).unwrap();
        assert_eq!(join.bounds[..3], [(Some(1), Some(2)), (Some(2), Some(3)), (Some(5), Some(6))]);
        assert!(boundaries(&line, &thresholds, ranges, 0, [1, 2]).is_none());
    }
}
