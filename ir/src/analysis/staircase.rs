//! Monotone staircases: thresholds by bisection, and integer straight lines that have them.
//!
//! A quantised neuron never sends less when it receives more, so it is described by the potentials
//! at which its payload rises; two neurons are equal for all inputs exactly if those lists are.

/// For each level `minimum + 1 ..= maximum` the smallest `v` in `low..=high` with
/// `answer(v) >= level`, or `high + 1` where none is. `answer` must not fall as `v` grows.
///
/// Thresholds of quantised neurons lie nearly evenly, so each is first looked for where the last gap
/// puts it; a staircase of any other form costs a bisection for each level.
pub fn bisect_thresholds(
    answer: impl Fn(i64) -> i64,
    (low, high): (i64, i64),
    (minimum, maximum): (i64, i64),
) -> Vec<i64> {
    let (mut from, mut gap) = (low, None);
    let end = high.saturating_add(1);
    (minimum + 1..=maximum)
        .map(|level| {
            let reached = |v: i64| answer(v) >= level;
            let span = match gap {
                Some(gap) => bracketed(&reached, (from, end), gap),
                None => (from, end),
            };
            let found = bisected(&reached, span);
            // The first threshold may lie at `low` for want of smaller potentials.
            gap = (from > low || found == low).then(|| found.saturating_sub(from));
            from = found;
            found
        })
        .collect()
}

/// The first of `below..beyond` that is reached, or `beyond`.
fn bisected(reached: &impl Fn(i64) -> bool, (mut below, mut beyond): (i64, i64)) -> i64 {
    while below < beyond {
        let middle = below + (beyond - below) / 2;
        if reached(middle) {
            beyond = middle;
        } else {
            below = middle + 1;
        }
    }
    below
}

/// A part of `below..beyond` in which the first that is reached lies, found by steps that double from
/// `below + gap` on.
fn bracketed(
    reached: &impl Fn(i64) -> bool,
    (mut below, mut beyond): (i64, i64),
    gap: i64,
) -> (i64, i64) {
    let start = below.saturating_add(gap);
    let mut step = 1i64;
    if start >= beyond {
        return (below, beyond);
    }
    if reached(start) {
        beyond = start;
        while below < beyond {
            let probe = start.saturating_sub(step).max(below);
            if !reached(probe) {
                below = probe + 1;
                break;
            }
            beyond = probe;
            step = step.saturating_mul(2);
        }
    } else {
        below = start + 1;
        while below < beyond {
            let probe = start.saturating_add(step).min(beyond - 1);
            if reached(probe) {
                beyond = probe;
                break;
            }
            below = probe + 1;
            step = step.saturating_mul(2);
        }
    }
    (below, beyond)
}

/// Pairs of a multiplier and a divisor that are tried at most.
const MOST_PAIRS: usize = 1 << 20;

/// A rational number, numerator and positive denominator.
pub type Fraction = (i128, i128);

/// The search for integers with `floor((multiplier * v + offset) / divisor)` on a given staircase.
///
/// For each level `k` reached at `t` the line must be at least `k` at `t` and below `k` at `t - 1`.
/// Each pair of one condition of either kind bounds the slope, so the slopes that serve form an
/// interval with rational ends (recognition of digital straight lines).
#[derive(Clone, Debug)]
pub struct StraightLine {
    /// (v, k): the line is at least k at v.
    at_least: Vec<(i64, i64)>,
    /// (v, k): the line is below k at v.
    below: Vec<(i64, i64)>,
}

impl StraightLine {
    /// The conditions for the thresholds of levels `minimum + 1 ..` on `low..=high`; `thresholds`
    /// as from [`bisect_thresholds`]. What the clamp to the range of levels does needs no condition.
    pub fn new(thresholds: &[i64], (low, high): (i64, i64), minimum: i64) -> Self {
        let (mut at_least, mut below) = (Vec::new(), Vec::new());
        let level = |index: usize| minimum + 1 + index as i64;
        for (index, &t) in thresholds.iter().enumerate() {
            if t <= low {
                at_least = vec![(low, level(index))];
            } else if t <= high {
                at_least.push((t, level(index)));
                below.push((t - 1, level(index)));
            } else {
                below.push((high, level(index)));
                break;
            }
        }
        StraightLine { at_least, below }
    }

    /// The conditions for levels `minimum + 1 ..` of which the largest potential below and the least one
    /// at the level are given, where there are such; what lies between does not occur.
    pub fn between(bounds: &[(Option<i64>, Option<i64>)], minimum: i64) -> Self {
        let levels = || bounds.iter().zip(minimum + 1..);
        let at_least = levels().filter_map(|(b, level)| Some((b.1?, level))).collect();
        let below = levels().filter_map(|(b, level)| Some((b.0?, level))).collect();
        StraightLine { at_least, below }
    }

    /// The same conditions, each threshold free to move by up to `slack` potentials either way: lines
    /// for staircases that no straight line has (round-half-even at a power of two, say).
    pub fn relaxed(&self, slack: i64) -> Self {
        let moved = |points: &[(i64, i64)], by: i64| {
            points.iter().map(|&(v, k)| (v.saturating_add(by), k)).collect()
        };
        StraightLine {
            at_least: moved(&self.at_least, slack),
            below: moved(&self.below, slack.saturating_neg()),
        }
    }

    /// The same search with the conditions that count alone: whatever the slope, the strictest are corners of
    /// convex hulls, of which even long staircases near a line have few.
    pub fn narrowed(&self) -> Self {
        let mirrored = |points: &[(i64, i64)]| -> Vec<(i64, i64)> {
            points.iter().map(|&(v, k)| (v, k.saturating_neg())).collect()
        };
        StraightLine {
            at_least: upper_hull(&self.at_least),
            below: mirrored(&upper_hull(&mirrored(&self.below))),
        }
    }

    /// The open interval of slopes `multiplier / divisor` that serve, as two fractions; the upper
    /// end is `None` if every steeper line serves too. `None` if no line serves.
    pub fn slopes(&self) -> Option<(Fraction, Option<Fraction>)> {
        // Of conditions at one potential the strictest counts.
        let (mut at_least, mut below) = (self.at_least.clone(), self.below.clone());
        at_least.sort_unstable_by_key(|&(v, k)| (v, std::cmp::Reverse(k)));
        below.sort_unstable();
        at_least.dedup_by_key(|point| point.0);
        below.dedup_by_key(|point| point.0);
        let limit = |&(v, k): &(i64, i64)| {
            let at = below.binary_search_by_key(&v, |point| point.0);
            at.is_ok_and(|index| below[index].1 <= k)
        };
        if at_least.iter().any(limit) {
            return None;
        }
        // a * v + b >= k and a * u + b < j: a < (j - k) / (u - v) where u > v, and where u < v
        // a > (k - j) / (v - u), which is the first in a mirror.
        let high = least_slope(&at_least, &below);
        let mirrored = |points: &[(i64, i64)]| -> Vec<(i64, i64)> {
            points.iter().rev().map(|&(v, k)| (v.saturating_neg(), k)).collect()
        };
        let low = match least_slope(&mirrored(&at_least), &mirrored(&below)) {
            Some((rise, run)) if rise < 0 => (-rise, run),
            _ => (0, 1),
        };
        match high {
            Some(h) if !less(low, h) => None,
            _ => Some((low, high)),
        }
    }

    /// The offsets that serve with this multiplier and divisor, smallest and largest.
    pub fn offsets(&self, multiplier: i64, divisor: i64) -> Option<(i64, i64)> {
        let (m, d) = (i128::from(multiplier), i128::from(divisor));
        let needed = |&(v, k): &(i64, i64)| i128::from(k) * d - m * i128::from(v);
        let low = self.at_least.iter().map(needed).max();
        let high = self.below.iter().map(|point| needed(point) - 1).min();
        let (low, high) = match (low, high) {
            (Some(l), Some(h)) => (l, h),
            (Some(l), None) => (l, l),
            (None, Some(h)) => (h, h),
            (None, None) => (0, 0),
        };
        let fits = |x: i128| i64::try_from(x).ok();
        if low <= high { Some((fits(low)?, fits(high)?)) } else { None }
    }

    /// Multiplier, offset and shift for the divisor `2^shift`, with the least shift up to
    /// `max_shift` that serves, and the offset in the middle of those that do.
    pub fn fit_shift(&self, max_shift: u8) -> Option<(i64, i64, u8)> {
        let (line, (low, high)) = (self.narrowed(), self.slopes()?);
        for shift in 0..=max_shift.min(62) {
            let divisor = 1i64 << shift;
            let first = low.0 * i128::from(divisor) / low.1 + 1;
            let end = match high {
                Some((n, d)) => (n * i128::from(divisor) - 1).div_euclid(d),
                None => first,
            };
            // Near the middle of the interval the choice of offsets is widest.
            let middle = first + (end - first) / 2;
            for multiplier in [middle, first, end] {
                if multiplier < first || multiplier > end {
                    continue;
                }
                let Ok(m) = i64::try_from(multiplier) else { continue };
                if let Some((l, h)) = line.offsets(m, divisor) {
                    return Some((m, l + (h - l) / 2, shift));
                }
            }
        }
        None
    }

    /// Multiplier, offset and divisor with the least multiplier up to `max_multiplier` and a divisor
    /// up to `max_divisor` that serve, among the first 2^20 pairs; `accept` may refuse a candidate.
    pub fn fit_divisor(
        &self,
        max_multiplier: i64,
        max_divisor: i64,
        accept: impl Fn(i64, i64, i64) -> bool,
    ) -> Option<(i64, i64, i64)> {
        let (line, (low, high)) = (self.narrowed(), self.slopes()?);
        let mut pairs = 0usize;
        for m in 1..=max_multiplier {
            if pairs > MOST_PAIRS {
                break;
            }
            // multiplier / divisor in (low, high), so divisor in (m / high, m / low).
            let first = match high {
                Some((n, d)) => (i128::from(m) * d).div_euclid(n) + 1,
                None => 1,
            };
            let first = first.max(1);
            let end = match low {
                (0, _) => first + 64,
                (n, d) => (i128::from(m) * d - 1).div_euclid(n),
            };
            let end = end.min(i128::from(max_divisor));
            for d in (first..=end).take(256) {
                pairs += 1;
                let Ok(d) = i64::try_from(d) else { break };
                if let Some((l, h)) = line.offsets(m, d) {
                    let r = l + (h - l) / 2;
                    if accept(m, r, d) {
                        return Some((m, r, d));
                    }
                }
            }
        }
        None
    }
}

/// The corners of the convex hull of points as seen from above, in ascending order.
fn upper_hull(points: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut sorted = points.to_vec();
    // Of points at one place the highest counts.
    sorted.sort_unstable_by_key(|&(v, k)| (v, std::cmp::Reverse(k)));
    sorted.dedup_by_key(|point| point.0);
    let run = |from: (i64, i64), to: (i64, i64)| -> Fraction {
        (i128::from(to.1) - i128::from(from.1), i128::from(to.0) - i128::from(from.0))
    };
    let mut hull: Vec<(i64, i64)> = Vec::new();
    for point in sorted {
        while let [.., a, b] = hull[..]
            && !less(run(b, point), run(a, b))
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// Whether one fraction is less than another.
fn less(a: Fraction, b: Fraction) -> bool {
    a.0 * b.1 < b.0 * a.1
}

/// The least slope from one of `points` to one of `ends` with a larger abscissa, as rise and run; each
/// list in ascending order of distinct abscissas.
///
/// The points before an end that can give the least slope to it are those on the upper convex hull, and
/// along that the slope falls and then rises: each end costs a bisection.
fn least_slope(points: &[(i64, i64)], ends: &[(i64, i64)]) -> Option<Fraction> {
    let slope = |from: (i64, i64), to: (i64, i64)| -> Fraction {
        (i128::from(to.1) - i128::from(from.1), i128::from(to.0) - i128::from(from.0))
    };
    let mut hull: Vec<(i64, i64)> = Vec::with_capacity(points.len());
    let mut rest = points.iter().copied().peekable();
    let mut least: Option<Fraction> = None;
    for &end in ends {
        while let Some(point) = rest.next_if(|point| point.0 < end.0) {
            while let [.., a, b] = hull[..]
                && !less(slope(b, point), slope(a, b))
            {
                hull.pop();
            }
            hull.push(point);
        }
        // The first of the hull whose successor is not lower still as seen from the end.
        let (mut first, mut last) = (0, hull.len().saturating_sub(1));
        while first < last {
            let middle = first + (last - first) / 2;
            if less(slope(hull[middle + 1], end), slope(hull[middle], end)) {
                first = middle + 1;
            } else {
                last = middle;
            }
        }
        if let Some(&point) = hull.get(first) {
            let found = slope(point, end);
            if least.is_none_or(|l| less(found, l)) {
                least = Some(found);
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GradedNeuron;
    use proptest::prelude::*;

    fn reference(scale: f32, levels: i64) -> impl Fn(i64) -> i64 {
        move |v| ((v as f32 * scale).round_ties_even() as i64).clamp(0, levels)
    }

    /// A level at a time over the whole range: the slow twin of [`bisect_thresholds`].
    fn one_by_one(
        answer: impl Fn(i64) -> i64,
        (low, high): (i64, i64),
        levels: (i64, i64),
    ) -> Vec<i64> {
        let first = |level| (low..=high).find(|&v| answer(v) >= level).unwrap_or(high + 1);
        (levels.0 + 1..=levels.1).map(first).collect()
    }

    /// Every pair of conditions: the slow twin of [`StraightLine::slopes`].
    fn slopes_of_pairs(line: &StraightLine) -> Option<(Fraction, Option<Fraction>)> {
        let mut low = (0i128, 1i128);
        let mut high: Option<Fraction> = None;
        for &(v, k) in &line.at_least {
            for &(u, j) in &line.below {
                let (run, rise) = (i128::from(u) - i128::from(v), i128::from(j) - i128::from(k));
                if run > 0 {
                    if high.is_none_or(|h| less((rise, run), h)) {
                        high = Some((rise, run));
                    }
                } else if run < 0 {
                    if less(low, (-rise, -run)) {
                        low = (-rise, -run);
                    }
                } else if rise <= 0 {
                    return None;
                }
            }
        }
        match high {
            Some(h) if !less(low, h) => None,
            _ => Some((low, high)),
        }
    }

    proptest! {
        #[test]
        fn thresholds_are_those_found_one_by_one(
            mut steps in proptest::collection::vec((-60i64..200, 0i64..4), 0..12),
            low in -50i64..50, span in 0i64..200, minimum in -3i64..2, levels in 0i64..20,
        ) {
            steps.sort_unstable();
            let answer = |v: i64| minimum + steps.iter().filter(|s| s.0 <= v).map(|s| s.1).sum::<i64>();
            let (range, levels) = ((low, low + span), (minimum, minimum + levels));
            prop_assert_eq!(bisect_thresholds(answer, range, levels), one_by_one(answer, range, levels));
        }

        #[test]
        fn slopes_are_those_of_all_pairs(
            mut thresholds in proptest::collection::vec(-40i64..90, 0..20),
            scale in 1i64..9, even in 0i64..2, minimum in -5i64..3, slack in 0i64..3,
        ) {
            thresholds.sort_unstable();
            for (i, t) in thresholds.iter_mut().enumerate() {
                // Half of the cases are near a line.
                *t = if even == 1 { i as i64 * scale + *t % 2 } else { *t };
            }
            thresholds.sort_unstable();
            let line = StraightLine::new(&thresholds, (-30, 70), minimum).relaxed(slack);
            let (found, wanted) = (line.slopes(), slopes_of_pairs(&line));
            let same = |a: Fraction, b: Fraction| !less(a, b) && !less(b, a);
            match (found, wanted) {
                (Some((a, c)), Some((b, d))) => {
                    prop_assert!(same(a, b));
                    prop_assert!(c.zip(d).is_none_or(|(c, d)| same(c, d)) && c.is_some() == d.is_some());
                }
                (found, wanted) => prop_assert_eq!(found, wanted),
            }
        }

        #[test]
        fn the_corners_of_hulls_say_what_all_conditions_say(
            mut thresholds in proptest::collection::vec(-400i64..900, 0..60),
            scale in 1i64..30, near in 0i64..40, multiplier in 1i64..200, divisor in 1i64..3000,
        ) {
            for (i, t) in thresholds.iter_mut().enumerate() {
                *t = i as i64 * scale + *t % (near + 1);
            }
            thresholds.sort_unstable();
            let line = StraightLine::new(&thresholds, (-300, 1500), -2);
            prop_assert_eq!(line.offsets(multiplier, divisor), line.narrowed().offsets(multiplier, divisor));
        }

        #[test]
        fn a_fitted_line_is_the_staircase(scale in 0.0005f32..0.9, levels in 1i64..31, low in -3000i64..0, high in 1i64..5000) {
            let answer = reference(scale, levels);
            let thresholds = bisect_thresholds(&answer, (low, high), (0, levels));
            let line = StraightLine::new(&thresholds, (low, high), 0);
            let mut fits = Vec::new();
            if let Some((m, r, s)) = line.fit_shift(40) {
                fits.push((m, r, 1i64 << s));
            }
            fits.extend(line.fit_divisor(256, 1 << 31, |_, _, _| true));
            for (m, r, d) in fits {
                let n = GradedNeuron { multiplier: vec![m], offset: vec![r], divisor: vec![d], minimum: 0, maximum: levels };
                for v in low..=high {
                    prop_assert_eq!(n.payload(0, v), answer(v));
                }
            }
        }
    }

    #[test]
    fn alternating_ties_have_no_line() {
        // Round-half-even at a scale of 1/8: thresholds 5, 12, 21, 28, ..
        let thresholds = bisect_thresholds(reference(0.125, 15), (-100, 200), (0, 15));
        assert_eq!(thresholds[..4], [5, 12, 21, 28]);
        let line = StraightLine::new(&thresholds, (-100, 200), 0);
        assert!(line.slopes().is_none() || line.fit_shift(40).is_none());
    }

    #[test]
    fn a_slack_of_one_gives_alternating_ties_a_line() {
        let range = (-100, 200);
        let answer = reference(0.125, 15);
        let thresholds = bisect_thresholds(&answer, range, (0, 15));
        let line = StraightLine::new(&thresholds, range, 0).relaxed(1);
        let (m, r, d) = line.fit_divisor(4, 64, |_, _, _| true).unwrap();
        let n = GradedNeuron {
            multiplier: vec![m],
            offset: vec![r],
            divisor: vec![d],
            minimum: 0,
            maximum: 15,
        };
        let found = bisect_thresholds(|v| n.payload(0, v), range, (0, 15));
        for (a, b) in thresholds.iter().zip(&found) {
            assert!((a - b).abs() <= 1, "{a} and {b}");
        }
    }

    #[test]
    fn unreachable_levels_bound_from_above_only() {
        let thresholds = bisect_thresholds(|v| v / 10, (0, 25), (0, 15));
        assert_eq!(thresholds[..4], [10, 20, 26, 26]);
        let line = StraightLine::new(&thresholds, (0, 25), 0);
        let (m, r, d) = line.fit_divisor(4, 100, |_, _, _| true).unwrap();
        for v in 0..=25 {
            assert_eq!((m * v + r).div_euclid(d), v / 10);
        }
    }
}
