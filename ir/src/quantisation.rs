//! Uniform affine quantisation.

use crate::PerChannel;
use serde::{Deserialize, Serialize};

use crate::exact;

/// How a real number becomes the nearest code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To nearest, ties to the even code (ONNX QuantizeLinear).
    #[default]
    HalfEven,
    /// Toward minus infinity.
    Floor,
    /// Toward plus infinity.
    Ceil,
    /// To nearest, ties away from zero.
    HalfAway,
    /// To nearest, ties toward zero.
    HalfTowardZero,
    /// Away from zero.
    Up,
    /// Toward zero.
    Down,
}

impl Rounding {
    /// Whether it is the rounding of ONNX QuantizeLinear.
    pub fn is_default(&self) -> bool {
        *self == Rounding::default()
    }

    /// Rounds `x` to an integer.
    pub fn round(self, x: f32) -> f32 {
        match self {
            Rounding::HalfEven => x.round_ties_even(),
            Rounding::Floor => x.floor(),
            Rounding::Ceil => x.ceil(),
            // As QONNX's executor has it, where the number below one half rounds to 1 in f32.
            Rounding::HalfAway => (x.abs() + 0.5).floor().copysign(x),
            Rounding::HalfTowardZero => (x.abs() - 0.5).ceil().copysign(x),
            Rounding::Up => x.abs().ceil().copysign(x),
            Rounding::Down => x.trunc(),
        }
    }
}

/// The one form in which every dialect of quantisation ends:
/// `real = scale[c] * (code - zero_point[c])`, with `code` in `minimum..=maximum`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantisation {
    /// Real value of one unit, positive. One entry, or one for each index along `axis`.
    pub scale: Vec<f32>,
    /// Code of the real number 0. One entry, or one for each index along `axis`.
    pub zero_point: Vec<i64>,
    /// The dimension along which `scale` varies; `None` for one scale for the whole tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<usize>,
    /// Smallest code.
    pub minimum: i64,
    /// Largest code.
    pub maximum: i64,
    /// How reals become codes.
    #[serde(default)]
    pub rounding: Rounding,
    /// What is added to `real / scale` before it is rounded, in place of the zero point after it:
    /// `code = round(real / scale + offset)`, both operations in f32 (QONNX `Quant`, where a zero point
    /// may be a fraction). Empty: the zero point is added to the rounded number (ONNX QuantizeLinear).
    /// One entry, or one for each index along `axis`. Reals of codes are the same in either case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offset: Vec<f32>,
    /// What making arithmetic before the quantiser part of it has changed, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Folded>,
}

/// How a quantiser differs from the model's, of which some f32 arithmetic has become part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folded {
    /// At most so many f32 numbers get another code, each beside a threshold; at least 1.
    pub numbers: u64,
    /// One of them.
    pub example: f32,
}

impl Quantisation {
    /// One scale for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i64, minimum: i64, maximum: i64) -> Self {
        let (scale, zero_point) = (vec![scale], vec![zero_point]);
        Quantisation {
            scale,
            zero_point,
            axis: None,
            minimum,
            maximum,
            rounding: Rounding::HalfEven,
            offset: Vec::new(),
            folded: None,
        }
    }

    /// One scale for each index along `axis`, all zero points 0.
    pub fn per_axis(scale: Vec<f32>, axis: usize, minimum: i64, maximum: i64) -> Self {
        let zero_point = vec![0; scale.len()];
        Quantisation {
            scale,
            zero_point,
            axis: Some(axis),
            minimum,
            maximum,
            rounding: Rounding::HalfEven,
            offset: Vec::new(),
            folded: None,
        }
    }

    /// Scale at index `channel` along the axis.
    pub fn scale_at(&self, channel: usize) -> f32 {
        *PerChannel::of(&self.scale).at(channel)
    }

    /// Zero point at index `channel` along the axis.
    pub fn zero_at(&self, channel: usize) -> i64 {
        *PerChannel::of(&self.zero_point).at(channel)
    }

    /// Bits that the codes need: of an unsigned number when no code is negative, else of two's
    /// complement.
    pub fn bits(&self) -> u8 {
        bits_for(self.minimum, self.maximum)
    }

    /// Whether codes can be negative.
    pub fn signed(&self) -> bool {
        self.minimum < 0
    }

    /// Whether a signed range leaves out its most negative code, as `-127..=127` does.
    pub fn narrow(&self) -> bool {
        self.signed() && self.minimum == -self.maximum
    }

    /// What is added before rounding, if the zero point is not added after it.
    pub fn offset_at(&self, channel: usize) -> Option<f32> {
        PerChannel::of(&self.offset).get(channel).copied()
    }

    /// The code of `real` (ONNX QuantizeLinear: division, rounding, zero point, saturation).
    pub fn code(&self, real: f32, channel: usize) -> i64 {
        self.code_of_units(real / self.scale_at(channel), channel)
    }

    /// The code of a real that is given in units of the scale. NaN becomes the zero point.
    pub fn code_of_units(&self, units: f32, channel: usize) -> i64 {
        let zero = self.zero_at(channel);
        let (units, zero_after) = match self.offset_at(channel) {
            Some(offset) => (units + offset, 0),
            None => (units, zero),
        };
        if units.is_nan() {
            return zero.clamp(self.minimum, self.maximum);
        }
        let rounded = self.rounding.round(units) as i64;
        rounded.saturating_add(zero_after).clamp(self.minimum, self.maximum)
    }

    /// `round(sum_i(a_i * s_i) / scale)` in exact rationals, the zero point not added: what a sum of
    /// accumulators `a_i` in units `s_i` is in this quantisation, for integers of 32 bits.
    pub fn level_of_sum(&self, terms: &[(i64, f32)], channel: usize) -> i64 {
        let scale = self.scale_at(channel);
        if self.rounding == Rounding::HalfEven {
            let product = |&(a, s): &(i64, f32)| a as f64 * f64::from(s);
            let (sum, size) = terms
                .iter()
                .map(product)
                .fold((0.0, 0.0), |(s, m): (f64, f64), x| (s + x, m + x.abs()));
            let (level, size) = (sum / f64::from(scale), size / f64::from(scale));
            // Products of 24 and 29 bits are exact, a sum or quotient is off by 2^-53 of its size.
            let from_tie = (level - level.floor() - 0.5).abs();
            if size < f64::from(1u32 << 26) && from_tie > 1e-6 {
                return level.round_ties_even() as i64;
            }
        }
        exact::level(terms, scale, self.rounding)
    }

    /// The real number of `code` (ONNX DequantizeLinear, in f32).
    pub fn real(&self, code: i64, channel: usize) -> f32 {
        (code - self.zero_at(channel)) as f32 * self.scale_at(channel)
    }
}

/// Bits that hold `minimum..=maximum`: unsigned if `minimum` is not negative, else two's complement.
pub(crate) fn bits_for(minimum: i64, maximum: i64) -> u8 {
    let unsigned = |x: i64| (64 - x.max(0).leading_zeros()) as u8;
    if minimum >= 0 {
        unsigned(maximum).max(1)
    } else {
        1 + unsigned(maximum).max(unsigned(-(minimum + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_the_range() {
        for (low, high, bits) in
            [(0, 15, 4), (0, 1, 1), (-8, 7, 4), (-7, 7, 4), (-128, 127, 8), (0, 256, 9)]
        {
            assert_eq!(bits_for(low, high), bits, "{low}..={high}");
        }
    }

    #[test]
    fn ties_go_where_the_mode_says() {
        let at = |mode: Rounding| [-2.5f32, -0.5, 0.5, 1.5].map(|x| mode.round(x) as i64);
        assert_eq!(at(Rounding::HalfEven), [-2, 0, 0, 2]);
        assert_eq!(at(Rounding::HalfAway), [-3, -1, 1, 2]);
        assert_eq!(at(Rounding::HalfTowardZero), [-2, 0, 0, 1]);
        assert_eq!(at(Rounding::Floor), [-3, -1, 0, 1]);
        assert_eq!(at(Rounding::Up), [-3, -1, 1, 2]);
        assert_eq!(at(Rounding::Down), [-2, 0, 0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn quick_sums_are_the_exact_ones(
            a in -3_000_000i64..3_000_000, b in -300i64..300,
            s in 1e-6f32..1e-2, u in 1e-3f32..1.0, scale in 1e-3f32..1.0, tie in proptest::bool::ANY,
        ) {
            // Scales that are multiples of each other make ties.
            let (s, u, scale) = if tie { (0.25 * scale, 0.5 * scale, scale) } else { (s, u, scale) };
            let q = Quantisation::per_tensor(scale, 0, -128, 127);
            let terms = [(a, s), (b, u)];
            proptest::prop_assert_eq!(
                q.level_of_sum(&terms, 0), exact::level(&terms, scale, Rounding::HalfEven)
            );
        }
    }

    #[test]
    fn an_offset_is_rounded_with_the_number() {
        let after = Quantisation::per_tensor(1.0, 3, 0, 15);
        let before = Quantisation { offset: vec![3.0], ..after.clone() };
        let codes = |q: &Quantisation| [-1.5f32, -0.5, 0.5, 1.5].map(|x| q.code(x, 0));
        assert_eq!(codes(&after), [1, 3, 3, 5]);
        assert_eq!(codes(&before), [2, 2, 4, 4]);
        let down = Quantisation { rounding: Rounding::Down, ..before };
        assert_eq!(codes(&down), [1, 2, 3, 4], "toward the code 0, not toward the real 0");
        let half = Quantisation { offset: vec![0.5], ..Quantisation::per_tensor(1.0, 0, -8, 7) };
        assert_eq!([-1.0, 0.0, 0.25].map(|x| half.code(x, 0)), [0, 0, 1]);
    }

    #[test]
    fn codes_saturate_and_survive_nan() {
        let q = Quantisation::per_tensor(0.5, 3, 0, 15);
        assert_eq!([q.code(1e9, 0), q.code(-1e9, 0), q.code(f32::NAN, 0)], [15, 0, 3]);
        assert_eq!(q.code(0.25, 0), 3, "0.5 rounds to the even 0");
    }
}
