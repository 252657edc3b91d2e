//! Ranges of integers.

/// All integers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Smallest.
    pub low: i64,
    /// Largest.
    pub high: i64,
}

impl Interval {
    /// From `low` to `high`.
    pub const fn new(low: i64, high: i64) -> Self {
        Interval { low, high }
    }

    /// The interval and the integer 0.
    pub fn with_zero(self) -> Self {
        Interval::new(self.low.min(0), self.high.max(0))
    }

    /// Sums of one number of each interval.
    pub fn plus(self, other: Interval) -> Self {
        Interval::new(self.low.saturating_add(other.low), self.high.saturating_add(other.high))
    }

    /// The interval times a constant of any sign.
    pub fn times(self, factor: i64) -> Self {
        let (a, b) = (self.low.saturating_mul(factor), self.high.saturating_mul(factor));
        Interval::new(a.min(b), a.max(b))
    }

    /// The smallest interval around both.
    pub fn union(self, other: Interval) -> Self {
        Interval::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// The larger distance from 0.
    pub fn magnitude(self) -> u64 {
        self.low.unsigned_abs().max(self.high.unsigned_abs())
    }
}
