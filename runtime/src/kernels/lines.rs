//! Straight lines in floating point that answer as integer thresholds do, found once when a network is prepared.

use super::neurons::{Line, WideLine};

/// The straight line in f32 that rises to level `k` at `thresholds[k]` and not before, for potentials
/// in `low..=high` and bytes `0..=thresholds.len()`; `None` where no such line is found. Thresholds
/// ascend; those beyond `high` are not reached.
pub fn fit(thresholds: &[i64], reach: (i64, i64)) -> Option<(f32, f32)> {
    let range = (0.0, thresholds.len() as f32);
    first_right(thresholds, reach, in_f32, |(slope, offset)| {
        let (slope, offset) = (slope as f32, offset as f32);
        let byte = |v: i64| Line::byte(v as i32, slope, offset, range);
        let finite = slope.is_finite() && offset.is_finite();
        (finite && rises_at(thresholds, reach, byte)).then_some((slope, offset))
    })
}

/// As [`fit`], but for a line that is nowhere above the levels and at most one below.
pub fn fit_below(thresholds: &[i64], reach: (i64, i64)) -> Option<(f32, f32)> {
    let range = (0.0, thresholds.len() as f32);
    let level = |v: i64| thresholds.partition_point(|&t| t <= v) as i64;
    first_right(thresholds, reach, in_f32, |(slope, offset)| {
        let (slope, offset) = (slope as f32, (offset - 0.5) as f32);
        let near = |v: i64| {
            let below = level(v) - i64::from(Line::byte(v as i32, slope, offset, range));
            v < reach.0 || v > reach.1 || below == 0 || below == 1
        };
        let right = thresholds.len() <= 255
            && slope.is_finite()
            && offset.is_finite()
            && near(reach.0)
            && near(reach.1)
            && thresholds.iter().all(|&t| near(t) && near(t.saturating_sub(1)));
        right.then_some((slope, offset))
    })
}

/// As [`fit`], in f64 for a [`WideLine`].
pub fn fit_wide(thresholds: &[i64], reach: (i64, i64)) -> Option<(f64, f64)> {
    first_right(
        thresholds,
        reach,
        |slope| slope,
        |(slope, offset)| {
            let byte = |v: i64| WideLine::byte(v as f64, slope, offset, thresholds.len() as f64);
            let finite = slope.is_finite() && offset.is_finite();
            (finite && rises_at(thresholds, reach, byte)).then_some((slope, offset))
        },
    )
}

fn in_f32(slope: f64) -> f64 {
    f64::from(slope as f32)
}

/// The guessed line if it is right, else the one that is searched for if that is; slopes are rounded by `round`.
fn first_right<L>(
    thresholds: &[i64],
    reach: (i64, i64),
    round: impl Fn(f64) -> f64,
    right: impl Fn((f64, f64)) -> Option<L>,
) -> Option<L> {
    let guessed = guess(thresholds, reach, &round).and_then(&right);
    guessed.or_else(|| right(search(thresholds, reach, &round)))
}

/// Whether a byte that never falls as potentials grow reaches each level at its threshold.
fn rises_at(thresholds: &[i64], (low, high): (i64, i64), byte: impl Fn(i64) -> u8) -> bool {
    let level = |v: i64| thresholds.partition_point(|&t| t <= v) as i64;
    let right = |v: i64| v < low || v > high || i64::from(byte(v)) == level(v);
    thresholds.len() <= 255
        && right(low)
        && right(high)
        && thresholds.iter().all(|&t| right(t) && right(t.saturating_sub(1)))
}

/// The line through the first and the last threshold that is reached, moved to the middle of what all allow: right
/// where thresholds have about equal distances, and much sooner found than by [`search`].
fn guess(
    thresholds: &[i64],
    (low, high): (i64, i64),
    round: impl Fn(f64) -> f64,
) -> Option<(f64, f64)> {
    let first = thresholds.partition_point(|&t| t <= low);
    let last = thresholds.partition_point(|&t| t <= high).checked_sub(1)?;
    let run = thresholds.get(last)?.checked_sub(*thresholds.get(first)?)?;
    if last <= first || run == 0 {
        return None;
    }
    let slope = round((last - first) as f64 / run as f64);
    let (mut needed, mut allowed) = (f64::MIN, f64::MAX);
    for (i, &t) in thresholds.iter().enumerate().take(last + 1).skip(first) {
        let k = (i + 1) as f64;
        needed = needed.max(k - slope * t as f64);
        allowed = allowed.min(k - slope * (t - 1) as f64);
    }
    Some((slope, (needed + allowed) / 2.0))
}

/// The line that is the furthest from all thresholds that it must not miss; `round` is what becomes of
/// a slope.
fn search(thresholds: &[i64], (low, high): (i64, i64), round: impl Fn(f64) -> f64) -> (f64, f64) {
    // (v, k): the line is at least k at v; the line is below k at v.
    let (mut reached, mut below) = (Vec::new(), Vec::new());
    for (i, &t) in thresholds.iter().enumerate() {
        let k = (i + 1) as f64;
        if t > low && t <= high {
            reached.push((t as f64, k));
            below.push(((t - 1) as f64, k));
        } else if t <= low {
            reached.push((low as f64, k));
        } else {
            below.push((high as f64, k));
            break;
        }
    }
    let needed = |a: f64| reached.iter().map(|&(v, k)| k - a * v).fold(f64::MIN, f64::max);
    let allowed = |a: f64| below.iter().map(|&(v, k)| k - a * v).fold(f64::MAX, f64::min);
    match (reached.is_empty(), below.is_empty()) {
        (true, _) => (0.0, 0.0),
        (_, true) => (0.0, thresholds.len() as f64 + 0.5),
        _ => {
            // The room for the offset is a concave function of the slope.
            let room = |a: f64| allowed(a) - needed(a);
            let (mut from, mut to) = (0.0, thresholds.len() as f64 + 1.0);
            // Thresholds at about equal distances have about this slope.
            if let [first, .., last] = reached.as_slice() {
                let guess = (last.1 - first.1) / (last.0 - first.0).max(1.0);
                let best = room(guess);
                if room(guess / 2.0) < best && room(2.0 * guess) < best {
                    (from, to) = (guess / 2.0, 2.0 * guess);
                }
            }
            let mut left = 250;
            while left > 0 && to - from > f64::EPSILON * to {
                let (a, b) = (from + (to - from) / 3.0, to - (to - from) / 3.0);
                if room(a) < room(b) {
                    from = a
                } else {
                    to = b
                }
                left -= 1;
            }
            let a = round((from + to) / 2.0);
            (a, (needed(a) + allowed(a)) / 2.0)
        }
    }
}
