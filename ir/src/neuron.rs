//! Neuron models, and the arithmetic that a single value meets in them.

use serde::{Deserialize, Serialize};

/// When the bias of a population is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasPlacement {
    /// In every timestep in which the neuron integrates.
    #[default]
    EveryTimestep,
    /// In the first of them.
    FirstTimestep,
    /// Once after the last of them, before the first comparison.
    AfterLastTimestep,
}

/// A neuron model. `v` is the membrane potential: what the projections brought, and the bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neuron {
    /// One graded spike a frame, by an integer affine map.
    Graded(GradedNeuron),
    /// One graded spike a frame, by comparison with a list of thresholds.
    Thresholds(ThresholdTable),
    /// Integrate and fire, leaky or not, with thresholds that may change in time.
    IntegrateAndFire(IntegrateAndFire),
    /// Graded signed changes of a rectified sum (Lava `sdn`).
    SigmaDelta(SigmaDeltaNeuron),
    /// Current-based leaky integrate and fire (Loihi CUBA).
    CurrentBased(CurrentBasedNeuron),
    /// Output stage of an Akida 2 layer.
    AkidaTwo(AkidaTwoNeuron),
    /// Never fires: the potential itself is the payload (a read-out).
    Accumulate,
    /// Leaky integrate and fire in single precision, in networks of such neurons alone.
    Float(crate::FloatNeuron),
    /// Payloads by a table, on what arrives: `table[v - minimum]`, the ends serving what lies beyond.
    Lookup {
        /// Potential of the first entry.
        minimum: i64,
        /// One payload for each potential.
        table: Vec<i64>,
    },
}

impl Neuron {
    /// The payload sent after a fresh neuron of `channel` got `v` in one timestep, for the neurons
    /// whose answer depends on that alone; `None` for the others.
    ///
    /// The result never falls as `v` grows, so it is described by its thresholds
    /// (`docs`: staircase lemma; Umuroglu et al., "FINN", FPGA 2017, section 4.1.2).
    pub fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        match self {
            Neuron::Graded(n) => Some(n.payload(channel, v)),
            Neuron::Thresholds(n) => Some(n.payload(channel, v)),
            Neuron::AkidaTwo(n) => Some(n.payload(channel, v)),
            Neuron::Accumulate => Some(v),
            Neuron::IntegrateAndFire(n) => n.single_shot(channel, v),
            Neuron::Lookup { minimum, table } => {
                let last = table.len().saturating_sub(1) as i64;
                table.get((v - minimum).clamp(0, last) as usize).copied()
            }
            Neuron::SigmaDelta(_) | Neuron::CurrentBased(_) | Neuron::Float(_) => None,
        }
    }
}

fn at(values: &[i64], channel: usize) -> i64 {
    if values.len() == 1 { values[0] } else { values[channel] }
}

/// `n = clamp(floor((multiplier * v + offset) / divisor), minimum, maximum)`, exact.
///
/// This one form holds a multiply-and-shift (divisor a power of two), a multi-level
/// integrate-and-fire neuron in its only timestep (multiplier 1, divisor the threshold), and the
/// activation of Akida 1.0. Vectors have one entry for each channel, or one for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradedNeuron {
    /// Positive.
    pub multiplier: Vec<i64>,
    /// Any sign.
    pub offset: Vec<i64>,
    /// Positive.
    pub divisor: Vec<i64>,
    /// Smallest payload.
    pub minimum: i64,
    /// Largest payload.
    pub maximum: i64,
}

impl GradedNeuron {
    /// The payload for potential `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        let scaled = i128::from(at(&self.multiplier, channel)) * i128::from(v)
            + i128::from(at(&self.offset, channel));
        let level = scaled.div_euclid(i128::from(at(&self.divisor, channel)));
        level.clamp(i128::from(self.minimum), i128::from(self.maximum)) as i64
    }

    /// The smallest potential with payload at least `level`, in closed form:
    /// `ceil((level * divisor - offset) / multiplier)`.
    pub fn threshold(&self, channel: usize, level: i64) -> i64 {
        let needed = i128::from(level) * i128::from(at(&self.divisor, channel))
            - i128::from(at(&self.offset, channel));
        let multiplier = i128::from(at(&self.multiplier, channel));
        (-(-needed).div_euclid(multiplier)).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

/// `n = minimum + #{threshold <= v}` (FINN's MultiThreshold).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdTable {
    /// For each channel, or one for all: the thresholds, ascending.
    pub thresholds: Vec<Vec<i64>>,
    /// Payload below the first threshold.
    pub minimum: i64,
}

impl ThresholdTable {
    /// The payload for potential `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        let row = if self.thresholds.len() == 1 { 0 } else { channel };
        self.minimum + self.thresholds[row].partition_point(|&t| t <= v) as i64
    }
}

/// Values that may differ by channel and by timestep: `values[channel][timestep]`, where either
/// index is 0 if there is only one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeTable(pub Vec<Vec<i64>>);

impl TimeTable {
    /// The same value everywhere.
    pub fn constant(value: i64) -> Self {
        TimeTable(vec![vec![value]])
    }

    /// One value for each channel, the same in every timestep.
    pub fn per_channel(values: impl IntoIterator<Item = i64>) -> Self {
        TimeTable(values.into_iter().map(|v| vec![v]).collect())
    }

    /// One value for each timestep, the same in every channel.
    pub fn per_timestep(values: Vec<i64>) -> Self {
        TimeTable(vec![values])
    }

    /// The value of `channel` at `timestep`; the last column serves all later timesteps.
    pub fn at(&self, channel: usize, timestep: usize) -> i64 {
        let row = &self.0[if self.0.len() == 1 { 0 } else { channel }];
        row[timestep.min(row.len() - 1)]
    }
}

/// How a potential is compared with a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Fires at the threshold.
    #[default]
    AtLeast,
    /// Fires above the threshold.
    Above,
}

/// What firing does to the membrane potential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// Soft: the payload times the threshold of that timestep is subtracted.
    Soft,
    /// Soft, by another amount than the threshold (few-spikes neurons' h(t)).
    SoftBy(TimeTable),
    /// Hard: the potential becomes this value.
    Hard(i64),
}

/// How the membrane potential decays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leak {
    /// It does not.
    #[default]
    None,
    /// `u = v >> shift` before the comparison; `kept * u` is stored after the reset. With the
    /// input scaled alike this is a decay of state and input with rate `1 - kept / 2^shift`.
    Averaging {
        /// Right shift, rounding toward minus infinity.
        shift: u8,
        /// `2^shift` less the input's share.
        kept: i64,
    },
    /// After the reset `u -= u >> shift`.
    Subtracting {
        /// Right shift, rounding toward minus infinity.
        shift: u8,
    },
}

/// When a spiking neuron sends negative spikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NegativeSpikes {
    /// What was sent too much is taken back: the level is `floor(v / threshold)`, at most the
    /// neuron's maximum in either direction, as far as the total of all that was sent stays in
    /// `minimum..=maximum` (QFFS, Li et al. 2022; ST-BIF, You et al. 2024).
    Retracting {
        /// Smallest total.
        minimum: i64,
        /// Largest total.
        maximum: i64,
    },
    /// -1 is sent where the potential is at most this threshold (ternary spikes); the reset then adds
    /// what it would subtract for a positive spike.
    Below(TimeTable),
}

/// Integrate and fire: `v += input`; fires `z = clamp(floor(v / threshold), 0, maximum)`; resets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrateAndFire {
    /// Threshold, positive.
    pub threshold: TimeTable,
    /// What firing does to the potential.
    pub reset: Reset,
    /// Potential at the start of a frame, for each channel or one for all.
    pub initial: Vec<i64>,
    /// Decay.
    #[serde(default)]
    pub leak: Leak,
    /// Most that can be sent in one timestep (1 for binary spikes).
    pub maximum: i64,
    /// How potential and threshold are compared.
    #[serde(default)]
    pub comparison: Comparison,
    /// Whether and when negative spikes are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_limit: Option<NegativeSpikes>,
    /// Value of a spike at each timestep, times the level; none means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<TimeTable>,
}

impl IntegrateAndFire {
    /// The level reached by potential `v`: how many thresholds fit.
    pub fn level(&self, channel: usize, timestep: usize, v: i64) -> i64 {
        let threshold = self.threshold.at(channel, timestep);
        let v = match self.comparison {
            Comparison::AtLeast => v,
            Comparison::Above => v.saturating_sub(1),
        };
        if self.maximum == 1 {
            // Few-spikes coefficients can be zero or negative thresholds.
            return i64::from(v >= threshold);
        }
        v.div_euclid(threshold.max(1)).clamp(0, self.maximum)
    }

    /// The level sent at potential `v` when `sent` is the total of the levels sent before.
    pub fn signed_level(&self, channel: usize, timestep: usize, v: i64, sent: i64) -> i64 {
        match &self.signed_limit {
            None => self.level(channel, timestep, v),
            Some(NegativeSpikes::Below(below)) => match self.level(channel, timestep, v) {
                0 => -i64::from(v <= below.at(channel, timestep)),
                level => level,
            },
            Some(NegativeSpikes::Retracting { minimum, maximum }) => {
                let threshold = self.threshold.at(channel, timestep).max(1);
                let level = match self.comparison {
                    Comparison::AtLeast => v.div_euclid(threshold),
                    Comparison::Above => v.saturating_sub(1).div_euclid(threshold),
                };
                let level = level.max(-self.maximum).min(self.maximum);
                level.min(maximum - sent).max(minimum - sent)
            }
        }
    }

    /// One timestep at potential `v`, its input included, when `sent` is the total of the levels sent
    /// before: the level sent, and the potential that is left.
    pub fn step(&self, channel: usize, timestep: usize, v: i64, sent: i64) -> (i64, i64) {
        let mut u = match self.leak {
            Leak::Averaging { shift, .. } => v >> shift,
            _ => v,
        };
        let level = self.signed_level(channel, timestep, u, sent);
        if level != 0 {
            match &self.reset {
                Reset::Soft => u -= level * self.threshold.at(channel, timestep),
                Reset::SoftBy(amount) => u -= level * amount.at(channel, timestep),
                Reset::Hard(value) => u = *value,
            }
        }
        let left = match self.leak {
            Leak::None => u,
            Leak::Averaging { kept, .. } => kept * u,
            Leak::Subtracting { shift } => u - (u >> shift),
        };
        (level, left)
    }

    /// What is sent in each of `timesteps` without further input, the whole of a frame having brought
    /// `v` behind a barrier (initial potential not included): levels times their decoded value.
    pub fn fire(&self, channel: usize, v: i64, timesteps: usize) -> Vec<i64> {
        let (mut potential, mut sent) = (v.saturating_add(at(&self.initial, channel)), 0);
        (0..timesteps)
            .map(|t| {
                let (level, left) = self.step(channel, t, potential, sent);
                potential = left;
                sent += level;
                level * self.decode.as_ref().map_or(1, |d| d.at(channel, t))
            })
            .collect()
    }

    fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        if self.leak != Leak::None || self.decode.is_some() {
            return None;
        }
        Some(self.signed_level(channel, 0, at(&self.initial, channel) + v, 0))
    }
}

/// Role of a sigma-delta neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigmaDeltaRole {
    /// Input: sends changes of what it is given.
    Delta,
    /// Hidden: sums changes, rectifies, sends changes.
    SigmaDelta,
    /// Output: sums changes and shows the sum.
    Sigma,
}

/// Sigma-delta neuron in fixed point (lava-nc 0.10.0, `PySigmaDeltaModelFixed`).
///
/// `sigma += input; act = max(sigma + (bias << (spike_exponent + state_exponent)), 0)`;
/// `d = act - previous + residue`; sends `(|d| >= threshold << (..) ? d : 0) >> state_exponent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigmaDeltaNeuron {
    /// Input, hidden or output.
    pub role: SigmaDeltaRole,
    /// Smallest change that is sent, before both shifts.
    pub threshold: i64,
    /// For each channel (or one for all, or none), before both shifts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bias: Vec<i64>,
    /// Fractional bits of what is sent.
    pub spike_exponent: u8,
    /// Further fractional bits of the state.
    pub state_exponent: u8,
}

/// Current-based leaky integrate and fire on 24-bit state (lava-nc 0.10.0, `PyLifModelBitAcc`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentBasedNeuron {
    /// Decay of the current u in 1/4096 a timestep, 0 to 4096.
    pub current_decay: i64,
    /// Decay of the voltage v in 1/4096 a timestep, 0 to 4096.
    pub voltage_decay: i64,
    /// Threshold, before the shift by 6; firing is strictly above.
    pub threshold: i64,
    /// Bias mantissa for each neuron, each channel, or one for all, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bias: Vec<i64>,
    /// Left shift of the bias.
    pub bias_exponent: u8,
    /// Whether the neuron can fire at all (a read-out's threshold is out of reach).
    pub fires: bool,
    /// Timesteps at the beginning of which u and v become 0; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<PeriodicReset>,
}

/// The timesteps `first`, `first + interval`, `first + 2 * interval`, .. of a run, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicReset {
    /// Timesteps from one to the next, at least 1.
    pub interval: usize,
    /// The first of them, below `interval`.
    pub first: usize,
}

impl PeriodicReset {
    /// Whether `timestep` is one of them.
    pub fn is_at(self, timestep: usize) -> bool {
        timestep % self.interval.max(1) == self.first
    }
}

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
    /// The payload for accumulator `v`.
    pub fn payload(&self, channel: usize, v: i64) -> i64 {
        let bias = saturate(
            at(&self.bias, channel) << at(&self.bias_shift, channel).clamp(0, 31),
            self.post_bits,
        );
        let mut a = match self.fused_bits {
            Some(bits) => saturate(v + bias, bits),
            None => saturate(v + bias, self.post_bits),
        };
        if let Some(ceiling) = &self.ceiling {
            a = a.clamp(0, at(ceiling, channel));
        }
        let scaled = saturate(a * at(&self.scale, channel), self.post_bits);
        let z = rounding_shift(scaled, at(&self.shift, channel));
        if self.output_bits <= 4 {
            z.clamp(0, (1 << self.output_bits) - 1)
        } else {
            saturate(z, self.output_bits)
        }
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
    fn graded_threshold_is_where_the_payload_changes() {
        let n = GradedNeuron {
            multiplier: vec![7, 3],
            offset: vec![-11, 20],
            divisor: vec![16, 10],
            minimum: 0,
            maximum: 15,
        };
        for channel in 0..2 {
            for level in 1..=15 {
                let t = n.threshold(channel, level);
                assert!(n.payload(channel, t) >= level && n.payload(channel, t - 1) < level);
            }
        }
    }

    #[test]
    fn table_counts_thresholds() {
        let n = ThresholdTable { thresholds: vec![vec![-3, 0, 0, 9]], minimum: -1 };
        assert_eq!([-4, -3, -1, 0, 8, 9].map(|v| n.payload(0, v)), [-1, 0, 0, 2, 2, 3]);
    }

    #[test]
    fn rounding_shift_rounds_half_up() {
        assert_eq!([-6, -5, 5, 6, 7].map(|x| rounding_shift(x, -2)), [-1, -1, 1, 2, 2]);
        assert_eq!(rounding_shift(-3, 2), -12);
        assert_eq!(rounding_shift(i64::MAX, -64), 0);
    }

    #[test]
    fn above_differs_from_at_least_by_one() {
        let mut n = IntegrateAndFire {
            threshold: TimeTable::constant(10),
            reset: Reset::Soft,
            initial: vec![0],
            leak: Leak::None,
            maximum: 3,
            comparison: Comparison::AtLeast,
            signed_limit: None,
            decode: None,
        };
        assert_eq!([9, 10, 29, 30, 99, -1].map(|v| n.level(0, 0, v)), [0, 1, 2, 3, 3, 0]);
        n.comparison = Comparison::Above;
        assert_eq!([9, 10, 11, 20, 21].map(|v| n.level(0, 0, v)), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn negative_spikes_take_back_or_lie_below() {
        let mut n = IntegrateAndFire {
            threshold: TimeTable::constant(10),
            reset: Reset::Soft,
            initial: vec![0],
            leak: Leak::None,
            maximum: 1,
            comparison: Comparison::AtLeast,
            signed_limit: Some(NegativeSpikes::Retracting { minimum: 0, maximum: 3 }),
            decode: None,
        };
        let at = |n: &IntegrateAndFire, v, sent| n.signed_level(0, 0, v, sent);
        assert_eq!([at(&n, 10, 2), at(&n, 10, 3), at(&n, -1, 1), at(&n, -1, 0)], [1, 0, -1, 0]);
        n.maximum = 3;
        assert_eq!([at(&n, 25, 0), at(&n, 25, 2), at(&n, -15, 3), at(&n, -15, 1)], [2, 1, -2, -1]);
        n.maximum = 1;
        n.signed_limit = Some(NegativeSpikes::Below(TimeTable::constant(-4)));
        assert_eq!([10, 9, -3, -4].map(|v| at(&n, v, 0)), [1, 0, 0, -1]);
    }
}
