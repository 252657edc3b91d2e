//! The parts of a spiking network.

use serde::{Deserialize, Serialize};

use crate::{BiasPlacement, Neuron, Rounding, Window};

/// A part of a spiking network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpikingOp {
    /// A graph input, turned into payloads.
    Encoder(Encoder),
    /// The synapses between two populations. The node's data is the weights.
    Projection(Projection),
    /// The neurons of one layer.
    Population(Population),
    /// Maximum of the payloads in each window of a (C, H, W) map.
    MaxPool {
        /// Geometry.
        window: Window,
    },
    /// Maximum, in each window of a (C, H, W) map, of all that was sent so far: each timestep sends
    /// by how much it has changed. Summed over time this is the maximum of the sums, whatever the
    /// coding; of numbers sent digit by digit, most significant first, it sends the maximum's digits.
    RunningMaxPool {
        /// Geometry.
        window: Window,
    },
    /// Joins the populations' maps along dimension `axis` of (C, H, W).
    Concatenate {
        /// The dimension.
        axis: usize,
    },
    /// A graph output: scores out of what the operand sends.
    Decoder(Decoder),
}

/// How a graph input becomes payloads: `payload = clamp(round(x / scale) + zero) - zero`, in f32 as
/// ONNX QuantizeLinear has it; quantisers of other dialects round otherwise. An integer input is
/// taken as the code itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// Real value of one unit of payload.
    pub scale: f32,
    /// Code of the real 0.
    pub zero_point: i64,
    /// Smallest code.
    pub minimum: i64,
    /// Largest code.
    pub maximum: i64,
    /// How reals become whole numbers of units.
    #[serde(default, skip_serializing_if = "Rounding::is_default")]
    pub rounding: Rounding,
    /// What is added to `x / scale` before rounding, in place of the zero point after it, as in
    /// [`Quantisation::offset`](crate::Quantisation::offset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<f32>,
    /// In place of rounding, for each channel or one row for all: `code = minimum + #{threshold <= x}`.
    /// Empty: reals are rounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Vec<f32>>,
    /// When the payload is sent.
    pub presentation: Presentation,
}

/// When an encoder sends a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presentation {
    /// In the first timestep only.
    Once,
    /// In every timestep, as a constant current.
    EveryTimestep,
    /// Its bits, most significant first, one a timestep (payload in `0..2^bits`).
    BitSerial {
        /// Number of bits.
        bits: u8,
    },
    /// The input itself has time as its first dimension.
    InTime,
}

/// The synapses between two populations: for each target neuron
/// `gain * accumulate(sum(weight * (payload << input_shift)))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Which source meets which target with which weight.
    pub connectivity: Connectivity,
    /// Multiplier of the sum for each target channel; one entry serves all, none means 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gain: Vec<i64>,
    /// Left shift of payloads of each source channel before the weights; none means 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_shift: Vec<u8>,
    /// Synaptic delays in timesteps, one for each weight; none means 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<u16>,
    /// Every payload that is not 0 counts as 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// What the accumulator can hold.
    pub accumulator: Accumulator,
}

impl Encoder {
    /// The smallest and the largest payload.
    pub fn payloads(&self) -> (i64, i64) {
        let payload = |code: i64| code.saturating_sub(self.zero_point);
        (payload(self.minimum), payload(self.maximum))
    }
}

impl Projection {
    /// A projection with exact accumulators, without gain, shift or delay.
    pub fn exact(connectivity: Connectivity) -> Self {
        Projection {
            connectivity,
            gain: Vec::new(),
            input_shift: Vec::new(),
            delays: Vec::new(),
            binary: false,
            accumulator: Accumulator::EXACT,
        }
    }

    /// Multiplier of the sum of target channel `channel`.
    pub fn gain_at(&self, channel: usize) -> i64 {
        match self.gain.as_slice() {
            [] => 1,
            [gain] => *gain,
            gains => gains[channel],
        }
    }
}

/// Which source neuron meets which target neuron.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connectivity {
    /// Weights (targets, sources); a source map counts in (C, H, W) order.
    Dense,
    /// Weights (F, C/groups, kernel..), cross-correlation of a (C, spatial..) map.
    Convolution {
        /// Geometry.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// Each neuron to the neuron of the same place; weights (C), one for each channel.
    OneToOne,
}

/// What an accumulator can hold, and what it does beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accumulator {
    /// Two's complement bits.
    pub bits: u8,
    /// What happens beyond them.
    pub overflow: Overflow,
}

impl Accumulator {
    /// 64 bits, which no supported network exceeds (the verifier checks).
    pub const EXACT: Accumulator = Accumulator { bits: 64, overflow: Overflow::Error };
}

/// What an accumulator does beyond its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The run is stopped with an error.
    Error,
    /// The finished sum is clamped.
    Saturate,
    /// The partial sum is clamped after every addition, in event order.
    SaturateEach,
    /// The finished sum wraps.
    Wrap,
}

/// The neurons of one layer: what they add up, when they fire and what they send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// How a value becomes spikes.
    pub coding: Coding,
    /// Added to the membrane potential of each channel; one entry serves all, none means 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bias: Vec<i64>,
    /// In which timesteps the bias is added.
    #[serde(default)]
    pub bias_placement: BiasPlacement,
    /// The neuron model.
    pub neuron: Neuron,
    /// Smallest payload that can be sent.
    pub minimum: i64,
    /// Largest payload that can be sent.
    pub maximum: i64,
    /// Real value of one unit of payload, for each channel or one for all; none if unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<f32>,
}

impl Population {
    /// Bias of `channel`.
    pub fn bias_at(&self, channel: usize) -> i64 {
        match self.bias.as_slice() {
            [] => 0,
            [bias] => *bias,
            biases => biases[channel],
        }
    }

    /// Bits of a payload: unsigned, or two's complement when payloads can be negative.
    pub fn payload_bits(&self) -> u8 {
        crate::quantisation::bits_for(self.minimum, self.maximum)
    }
}

/// Makes [`Coding`] of one line for each: its variant, the name that users write, and what it is.
macro_rules! codings {
    ($($variant:ident = $name:literal, $what:literal;)*) => {
        /// How a value becomes spikes.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Coding {
            $(#[doc = $what] $variant,)*
        }

        impl Coding {
            /// Every coding, in the order of the documentation.
            pub const ALL: [Coding; [$($name),*].len()] = [$(Coding::$variant),*];

            /// The name users write, as `few-spikes`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Coding::$variant => $name,)*
                }
            }

            /// What it is, in a sentence.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Coding::$variant => $what,)*
                }
            }
        }
    };
}

#[rustfmt::skip]
codings! {
    Graded = "graded", "One spike with a payload, one timestep.";
    FewSpikes = "few-spikes", "Binary spikes, most significant first (few-spikes neurons).";
    Rate = "rate", "Spike count of a soft-reset neuron, streaming.";
    RateSync = "rate-sync", "Spike count, each layer integrating all timesteps before it fires.";
    SignedRate = "signed-rate", "Spike count with negative spikes.";
    SigmaDelta = "sigma-delta", "Changes of the value as graded signed spikes.";
    MultiLevel = "multi-level", "Up to N a timestep, for T timesteps.";
    Atif = "atif", "Thresholds for each timestep, as trained.";
}

impl Coding {
    /// The coding of that name.
    pub fn from_name(name: &str) -> Option<Coding> {
        Coding::ALL.into_iter().find(|c| c.name() == name)
    }
}

impl std::fmt::Display for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Scores out of payloads: `score = scale[c] * (raw - zero[c])`, in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoder {
    /// Which payloads make up the raw value.
    pub readout: Readout,
    /// Real value of one unit, for each class or one for all.
    pub scale: Vec<f32>,
    /// Raw value of the score 0, for each class or one for all; none means 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zero: Vec<i64>,
}

/// Which payloads make up a raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// The payload of the last timestep.
    Last,
    /// The sum of the payloads of all timesteps.
    Sum,
}
