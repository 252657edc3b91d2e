//! Output stage of an Akida 2 layer.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, InnerSum, NeuronModel, Place, at};
use crate::interval::Interval;

/// Output stage of an Akida 2 layer: bias, rectification, scale and shift, saturation.
///
/// `a = sat_p(v + sat_p(bias << bias_shift)); a = clamp(a, 0, ceiling); z = shift(sat_p(a * scale),
/// shift)`; then the output's own range. Vectors have one entry for each channel, or one for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AkidaTwoNeuron {
    /// 8-bit mantissa of the bias.
    pub bias: Vec<i64>,
    /// Left shift of the bias, 0 to 31.
    pub bias_shift: Vec<i64>,
    /// The bias joins the accumulator before that saturates to this many bits (input layers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused_bits: Option<u8>,
    /// Bits of the post-operation buffer.
    pub post_bits: u8,
    /// Upper bound of the rectifier; none means no rectifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Vec<i64>>,
    /// 8-bit output scale.
    pub scale: Vec<i64>,
    /// Shift after the scale: left if positive, else right with rounding half up.
    pub shift: Vec<i64>,
    /// Bits of the output; up to 4 mean unsigned.
    pub output_bits: u8,
}

impl AkidaTwoNeuron {
    /// Bits that hold the sum with its bias.
    fn sum_bits(&self) -> u8 {
        self.fused_bits.unwrap_or(self.post_bits)
    }

    /// The bias of `channel` at its place.
    fn shifted_bias(&self, channel: usize) -> i64 {
        let bias = at(&self.bias, channel) << at(&self.bias_shift, channel).clamp(0, 31);
        saturate(bias, self.post_bits)
    }

    /// What the rectifier leaves of a sum that its bits hold.
    fn rectified(&self, channel: usize, sum: i64) -> i64 {
        let ceiling = self.ceiling.as_ref().map(|ceiling| at(ceiling, channel).max(0));
        ceiling.map_or(sum, |ceiling| sum.clamp(0, ceiling))
    }

    /// The payload for accumulator `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        let sum = v.saturating_add(self.shifted_bias(channel));
        let a = self.rectified(channel, saturate(sum, self.sum_bits()));
        let scaled = saturate(a.saturating_mul(at(&self.scale, channel)), self.post_bits);
        let z = rounding_shift(scaled, at(&self.shift, channel));
        if self.output_bits <= 4 {
            z.clamp(0, (1 << self.output_bits) - 1)
        } else {
            saturate(z, self.output_bits)
        }
    }
}

impl NeuronModel for AkidaTwoNeuron {
    /// What arrived last.
    type State = i64;
    type Value = i64;
    const WORD: &'static str = "akida-two";
    const NAME: &'static str = "Akida 2 output stages";

    fn rest(&self, _: Place) -> i64 {
        0
    }

    fn step(&self, place: Place, _: usize, state: &mut i64, input: i64) -> i64 {
        *state = input;
        self.payload(place.channel, input)
    }

    fn potential(state: &i64) -> i64 {
        *state
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Firing
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.lengths("bias", self.bias.len());
        checks.lengths("bias shift", self.bias_shift.len());
        checks.lengths("scale", self.scale.len());
        checks.lengths("shift", self.shift.len());
        if let Some(ceiling) = &self.ceiling {
            checks.lengths("ceiling", ceiling.len());
        }
        let held = self.post_bits > 0 && self.fused_bits != Some(0);
        checks.require(held, "a buffer of 0 bits");
    }

    fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        Some(self.payload(channel, v))
    }

    fn rises(&self) -> bool {
        self.scale.iter().all(|&scale| scale >= 0)
    }

    /// Falls where a scale is negative.
    fn sent(&self, channel: usize, v: Interval, _: usize) -> Option<Interval> {
        let [a, b] = [v.low, v.high].map(|v| self.payload(channel, v));
        Some(Interval::new(a.min(b), a.max(b)).with_zero())
    }

    fn bias(&self) -> &[i64] {
        &self.bias
    }

    fn inner_sums(&self, channel: usize, v: Interval) -> Vec<InnerSum> {
        let bias = self.shifted_bias(channel);
        let sum = v.plus(Interval::new(bias, bias));
        let held = |x: i64| self.rectified(channel, saturate(x, self.sum_bits()));
        let held = Interval::new(held(sum.low), held(sum.high));
        let scaled = held.times(at(&self.scale, channel));
        vec![
            InnerSum { what: "the sum with its bias", reach: sum, bits: self.sum_bits() },
            InnerSum { what: "the scaled sum", reach: scaled, bits: self.post_bits },
        ]
    }
}

/// `x` limited to `bits` bits of two's complement.
pub fn saturate(x: i64, bits: u8) -> i64 {
    if bits >= 64 {
        return x;
    }
    let half = 1i64 << (bits - 1);
    x.clamp(-half, half - 1)
}

/// `x * 2^shift`; for a negative shift a division, rounded to nearest, ties toward plus infinity.
pub fn rounding_shift(x: i64, shift: i64) -> i64 {
    match shift {
        0.. => ((i128::from(x)) << shift.min(62)).clamp(i128::from(i64::MIN), i128::from(i64::MAX))
            as i64,
        -62..=-1 => (x.saturating_add(1 << (-shift - 1))) >> -shift,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_shift_rounds_half_up() {
        assert_eq!([-6, -5, 5, 6, 7].map(|x| rounding_shift(x, -2)), [-1, -1, 1, 2, 2]);
        assert_eq!(rounding_shift(-3, 2), -12);
        assert_eq!(rounding_shift(i64::MAX, -64), 0);
    }
}
