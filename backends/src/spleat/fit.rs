//! A neuron's staircase as a multi-level integrate-and-fire neuron with an integer threshold.

use snnc_ir::analysis::{Interval, StraightLine, bisect_thresholds};

/// `clamp(floor((multiplier * v + offset) / threshold), 0, N)`, and how often it is not what was
/// asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Factor on the channel's weights and bias, positive.
    pub multiplier: i64,
    /// Initial potential.
    pub offset: i64,
    /// Threshold, positive.
    pub threshold: i64,
    /// Number of reachable potentials with another payload.
    pub differing: u64,
}

impl Fit {
    /// Whether more than every fourth reachable potential gets another payload.
    pub fn misses(&self, reachable: Interval) -> bool {
        self.differing > reachable.high.abs_diff(reachable.low) / 4
    }
}

/// Candidates that are weighed for a staircase which no line has exactly.
const CANDIDATES: usize = 256;
/// Thresholds that are compared for all candidates together.
const COMPARED: usize = 1 << 21;

/// The neuron for `answer`, which rises from 0 to at most `levels` over the reachable potentials.
///
/// The exact neuron with the smallest multiplier if there is one within `max_multiplier` and
/// `max_threshold` that `accept` takes; else that with the fewest differing potentials among those
/// whose thresholds are moved the least. `None` if `accept` refuses all.
pub fn fit(
    answer: impl Fn(i64) -> i64,
    reachable: Interval,
    levels: i64,
    (max_multiplier, max_threshold): (i64, i64),
    accept: impl Fn(&Fit) -> bool,
) -> Option<Fit> {
    let range = (reachable.low, reachable.high);
    let thresholds = bisect_thresholds(answer, range, (0, levels));
    let line = StraightLine::new(&thresholds, range, 0);
    let exact = |multiplier, offset, threshold| {
        accept(&Fit { multiplier, offset, threshold, differing: 0 })
    };
    if let Some((multiplier, offset, threshold)) =
        line.fit_divisor(max_multiplier, max_threshold, exact)
    {
        return Some(Fit { multiplier, offset, threshold, differing: 0 });
    }
    let span = reachable.high.saturating_sub(reachable.low);
    let slacks = (0..62).map(|bit| 1i64 << bit).take_while(|&slack| slack <= span.max(1));
    slacks.into_iter().find_map(|slack| {
        best(&line.relaxed(slack), &thresholds, range, (max_multiplier, max_threshold), &accept)
    })
}

fn best(
    relaxed: &StraightLine,
    thresholds: &[i64],
    range: (i64, i64),
    (max_multiplier, max_threshold): (i64, i64),
    accept: &impl Fn(&Fit) -> bool,
) -> Option<Fit> {
    let found = std::cell::RefCell::new((0usize, None::<Fit>));
    let relaxed = relaxed.narrowed();
    let candidates = (COMPARED / thresholds.len().max(1)).clamp(4, CANDIDATES);
    relaxed.fit_divisor(max_multiplier, max_threshold, |multiplier, middle, threshold| {
        let (low, high) = relaxed.offsets(multiplier, threshold).unwrap_or((middle, middle));
        let quarter = (high - low) / 4;
        let mut state = found.borrow_mut();
        for offset in [low, low + quarter, middle, high - quarter, high] {
            let mut fit = Fit { multiplier, offset, threshold, differing: 0 };
            if accept(&fit) {
                fit.differing = differing(thresholds, &fit, range);
                if state.1.is_none_or(|best| fit.differing < best.differing) {
                    state.1 = Some(fit);
                }
            }
        }
        // A refused candidate lets the search go on.
        state.0 += 1;
        state.0 >= candidates
    });
    found.into_inner().1
}

/// Number of potentials in the range for which the neuron and the staircase differ: the length of
/// the symmetric difference of two ascending lists of steps.
fn differing(thresholds: &[i64], fit: &Fit, (low, high): (i64, i64)) -> u64 {
    let step = |level: usize| {
        let needed = (level as i128 + 1) * i128::from(fit.threshold) - i128::from(fit.offset);
        let at = -(-needed).div_euclid(i128::from(fit.multiplier));
        at.clamp(i128::from(low), i128::from(high) + 1) as i64
    };
    let (mut total, mut ahead, mut since) = (0u64, 0i64, low);
    let mut wanted = thresholds.iter().map(|&t| t.clamp(low, high + 1)).peekable();
    let mut found = (0..thresholds.len()).map(step).peekable();
    loop {
        let (at, change) = match (wanted.peek(), found.peek()) {
            (Some(&a), Some(&b)) if a <= b => (a, 1),
            (Some(&a), None) => (a, 1),
            (_, Some(&b)) => (b, -1),
            (None, None) => break,
        };
        if change > 0 {
            wanted.next()
        } else {
            found.next()
        };
        if ahead != 0 {
            total += (at - since) as u64;
        }
        ahead += change;
        since = at;
    }
    if ahead != 0 {
        total += (high + 1 - since) as u64;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(fit: &Fit, v: i64, levels: i64) -> i64 {
        (fit.multiplier * v + fit.offset).div_euclid(fit.threshold).clamp(0, levels)
    }

    proptest! {
        #[test]
        fn differing_potentials_are_counted(
            scale in 0.001f32..0.8, levels in 1i64..40, low in -900i64..0, high in 1i64..1500,
            max_multiplier in 1i64..20, max_threshold in 4i64..4000, power in any::<bool>(),
        ) {
            let scale = if power { scale.log2().round().exp2() } else { scale };
            let answer = |v: i64| ((v as f32 * scale).round_ties_even() as i64).clamp(0, levels);
            let found = fit(answer, Interval::new(low, high), levels, (max_multiplier, max_threshold), |_| true);
            if let Some(found) = found {
                let counted = (low..=high).filter(|&v| payload(&found, v, levels) != answer(v)).count();
                prop_assert_eq!(found.differing, counted as u64);
                prop_assert!(found.multiplier <= max_multiplier && found.threshold <= max_threshold);
            }
        }
    }

    #[test]
    fn round_half_even_at_a_power_of_two_differs_at_ties_only() {
        let answer = |v: i64| ((v as f32 / 8.0).round_ties_even() as i64).clamp(0, 15);
        let found = fit(answer, Interval::new(-50, 200), 15, (64, 1 << 20), |_| true).unwrap();
        assert!(found.differing > 0 && found.differing <= 8, "{found:?}");
    }

    #[test]
    fn silent_and_constant_neurons_have_a_line() {
        let silent = fit(|_| 0, Interval::new(-40, -3), 7, (9, 100), |_| true).unwrap();
        assert_eq!((silent.differing, payload(&silent, -3, 7)), (0, 0));
        let constant = fit(|_| 5, Interval::new(-40, 90), 7, (9, 1000), |_| true).unwrap();
        assert_eq!([-40, 0, 90].map(|v| payload(&constant, v, 7)), [5, 5, 5]);
        assert_eq!(fit(|v| v.clamp(0, 3), Interval::new(0, 9), 3, (4, 9), |_| false), None);
    }
}
