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

    /// The integers whose products with a constant other than 0 lie in the interval; both ends rounded towards 0.
    pub fn over(self, factor: i64) -> Self {
        let (a, b) = (self.low.wrapping_div(factor), self.high.wrapping_div(factor));
        Interval::new(a.min(b), a.max(b))
    }

    /// Bits of two's complement that hold every number of the interval.
    pub fn bits(self) -> u8 {
        signed_bits(self.low).max(signed_bits(self.high))
    }

    /// The larger distance from 0.
    pub fn magnitude(self) -> u64 {
        self.low.unsigned_abs().max(self.high.unsigned_abs())
    }
}

/// Bits of two's complement that hold `value`, from 1 (for 0 and -1) to 64.
pub const fn signed_bits(value: i64) -> u8 {
    (65 - (value ^ (value >> 63)).leading_zeros()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_two_s_complement() {
        for (value, bits) in
            [(0, 1), (-1, 1), (1, 2), (-2, 2), (7, 4), (-8, 4), (8, 5), (i64::MIN, 64)]
        {
            assert_eq!(signed_bits(value), bits, "{value}");
        }
        // The smallest number of a width has no opposite in it.
        assert_eq!([Interval::new(-16, 15).bits(), Interval::new(-16, 16).bits()], [5, 6]);
    }

    #[test]
    fn division_undoes_products() {
        for factor in [-7, -1, 1, 3] {
            assert_eq!(Interval::new(-5, 9).times(factor).over(factor), Interval::new(-5, 9));
        }
    }
}
