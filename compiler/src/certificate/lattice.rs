//! Counts of integer pairs between two straight lines, without walking over them.

/// All pairs `(a, b)` with `p * a + q * b >= t`; p and q positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HalfPlane {
    pub(super) p: i128,
    pub(super) q: i128,
    pub(super) t: i128,
}

/// Pairs of a rectangle, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) a: (i128, i128),
    pub(super) b: (i128, i128),
}

impl Rectangle {
    /// Number of pairs.
    pub(super) fn count(&self) -> u128 {
        let side = |(low, high): (i128, i128)| (high - low + 1).max(0) as u128;
        side(self.a).saturating_mul(side(self.b))
    }
}

fn ceil_div(n: i128, d: i128) -> i128 {
    -(-n).div_euclid(d)
}

impl HalfPlane {
    /// Whether products with another half-plane of such numbers stay within 127 bits.
    pub(super) fn is_small(&self) -> bool {
        let fits = |x: i128, bits: u32| x.unsigned_abs() < 1 << bits;
        fits(self.p, 56) && fits(self.q, 56) && fits(self.t, 68)
    }

    /// The least b of the half-plane at `a`, stopped one beyond the ends of `b`.
    fn first(&self, a: i128, b: (i128, i128)) -> i128 {
        ceil_div(self.t - self.p * a, self.q).clamp(b.0, b.1 + 1)
    }

    /// Sum of [`HalfPlane::first`] over `a`.
    fn sum_of_firsts(&self, (from, to): (i128, i128), b: (i128, i128)) -> i128 {
        if from > to {
            return 0;
        }
        // `first` falls as a grows: beyond the upper end up to here, at the lower end from there on.
        let beyond = (ceil_div(self.t - self.q * b.1, self.p) - 1).clamp(from - 1, to);
        let lowest = ceil_div(self.t - self.q * b.0, self.p).clamp(beyond + 1, to + 1);
        let ends = (beyond - from + 1) * (b.1 + 1) + (to - lowest + 1) * b.0;
        let last = lowest - 1;
        ends + floor_sum(last - beyond, self.q, self.p, self.t - self.p * last + self.q - 1)
    }
}

/// `sum_{i < n} floor((a * i + b) / m)` for positive m and a not below 0, by Euclid's algorithm.
fn floor_sum(n: i128, m: i128, a: i128, b: i128) -> i128 {
    let (mut n, mut m, mut a, mut b, mut sum) = (n, m, a, b, 0i128);
    while n > 0 {
        sum += n * (n - 1) / 2 * a.div_euclid(m) + n * b.div_euclid(m);
        (a, b) = (a.rem_euclid(m), b.rem_euclid(m));
        let last = a * n + b;
        if last < m {
            break;
        }
        (n, b) = (last / m, last % m);
        (a, m) = (m, a);
    }
    sum
}

/// The values of `a` at which the boundary of `inside` lies below that of `outside`.
fn between(inside: HalfPlane, outside: HalfPlane, (from, to): (i128, i128)) -> (i128, i128) {
    let slope = inside.q * outside.p - outside.q * inside.p;
    let rest = inside.q * outside.t - outside.q * inside.t;
    match slope.signum() {
        1 => (from, to.min(ceil_div(rest, slope) - 1)),
        -1 => (from.max((-rest).div_euclid(-slope) + 1), to),
        _ if rest > 0 => (from, to),
        _ => (from, from - 1),
    }
}

/// Number of pairs in `inside` that are not in `outside`.
pub(super) fn count(inside: HalfPlane, outside: HalfPlane, rectangle: Rectangle) -> u128 {
    let a = between(inside, outside, rectangle.a);
    let sum = |h: HalfPlane| h.sum_of_firsts(a, rectangle.b);
    u128::try_from(sum(outside) - sum(inside)).unwrap_or(0)
}

/// A pair in `inside` that is not in `outside`, if there is one.
pub(super) fn find(
    inside: HalfPlane,
    outside: HalfPlane,
    rectangle: Rectangle,
) -> Option<(i128, i128)> {
    let within = |a: (i128, i128)| count(inside, outside, Rectangle { a, ..rectangle });
    let (mut from, mut to) = rectangle.a;
    if within((from, to)) == 0 {
        return None;
    }
    while from < to {
        let middle = from + (to - from) / 2;
        if within((from, middle)) > 0 {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    Some((from, inside.first(from, rectangle.b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half_plane() -> impl Strategy<Value = HalfPlane> {
        (1i128..40, 1i128..40, -300i128..300).prop_map(|(p, q, t)| HalfPlane { p, q, t })
    }

    proptest! {
        #[test]
        fn pairs_are_those_found_one_by_one(
            inside in half_plane(), outside in half_plane(), alike in any::<bool>(),
            a in (-12i128..8, 0i128..20), b in (-12i128..8, 0i128..20),
        ) {
            let outside = match alike {
                true => HalfPlane { p: 2 * inside.p, q: 2 * inside.q, ..outside },
                false => outside,
            };
            let rectangle = Rectangle { a: (a.0, a.0 + a.1 - 1), b: (b.0, b.0 + b.1 - 1) };
            let is_in = |h: HalfPlane, x: i128, y: i128| h.p * x + h.q * y >= h.t;
            let mut pairs = 0u128;
            for x in rectangle.a.0..=rectangle.a.1 {
                for y in rectangle.b.0..=rectangle.b.1 {
                    pairs += u128::from(is_in(inside, x, y) && !is_in(outside, x, y));
                }
            }
            prop_assert_eq!(count(inside, outside, rectangle), pairs);
            let found = find(inside, outside, rectangle);
            prop_assert_eq!(found.is_some(), pairs > 0);
            if let Some((x, y)) = found {
                prop_assert!(is_in(inside, x, y) && !is_in(outside, x, y));
                prop_assert!(rectangle.a.0 <= x && x <= rectangle.a.1);
                prop_assert!(rectangle.b.0 <= y && y <= rectangle.b.1);
            }
        }
    }
}
