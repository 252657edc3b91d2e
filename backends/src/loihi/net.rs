//! What a NetX `.net` file says, as types: a strictly sequential list of layers.

/// Bits of `u`, `v` and of the sigma-delta state (lava-nc 0.10.0; Davies et al. 2018).
pub(super) const STATE_BITS: u8 = 24;
/// Largest state: the wrap and the clip of the LIF model keep it within `-STATE_LIMIT..=STATE_LIMIT`.
pub(super) const STATE_LIMIT: i64 = (1 << (STATE_BITS - 1)) - 1;
/// Smallest and largest weight that NetX keeps.
pub(super) const WEIGHTS: (i64, i64) = (-256, 254);
/// Largest magnitude of a weight that is stored in 8 bits whatever its parity.
pub(super) const FINE_WEIGHT: i64 = 127;
/// Range of a 13-bit bias mantissa.
pub(super) const BIASES: (i64, i64) = (-4096, 4095);
/// Range of a 17-bit threshold mantissa.
pub(super) const THRESHOLDS: (i64, i64) = (0, 131_071);
/// Largest decay: nothing of the state is kept.
pub(super) const DECAY_ONE: i64 = 4096;
/// Largest synaptic delay in timesteps.
pub(super) const DELAY_LIMIT: i64 = 62;
/// Fractional bits of sigma-delta payloads (NetX's default), and further ones of the state.
pub(super) const SPIKE_EXPONENT: u8 = 6;
/// Further fractional bits of the sigma-delta state.
pub(super) const STATE_EXPONENT: u8 = 6;
/// `bias_exp` that NetX gives to every current-based neuron.
pub(super) const BIAS_EXPONENT: u8 = 6;
/// Encoding of graded input in a host that multiplies by 64 where a file does not say.
pub(super) const DEFAULT_INPUT_WEIGHT: f64 = 64.0;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Net {
    /// `/layer/0`, `/layer/1`, ..
    pub layers: Vec<Layer>,
    /// `/simulation/tSample`: timesteps for one sample. NetX does not look at it.
    pub timesteps: Option<usize>,
}

/// One layer group.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layer {
    /// `input`: the shape of what comes in, with or without neurons.
    Input {
        /// (C, H, W) or (N).
        shape: Vec<usize>,
        /// The neurons, if any, and the encoding that a host applies before them.
        neuron: Option<(Neurons, HostEncoding)>,
    },
    /// `dense` or `dense_rec`.
    Dense(Dense),
    /// `conv`.
    Conv(Conv),
    /// `flatten`: the next dense layer takes the map in (C, H, W) order.
    Flatten,
}

/// What a host makes of a number before it reaches the input neurons: `weight * x + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HostEncoding {
    /// Factor.
    pub weight: f64,
    /// Offset.
    pub bias: f64,
}

/// `dense` or, with recurrent weights, `dense_rec`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dense {
    /// As the file states it; the product is the number of neurons.
    pub shape: Vec<usize>,
    /// Number of sources.
    pub sources: usize,
    /// (targets, sources).
    pub weights: Vec<i64>,
    /// (targets, targets), or none.
    pub recurrent: Option<Vec<i64>>,
    /// One for each neuron, one for all, or none.
    pub bias: Vec<i64>,
    /// One for each weight, or none.
    pub delays: Vec<u16>,
    /// None where the file leaves it out: a read-out that never fires.
    pub neuron: Option<Neurons>,
}

/// `conv`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conv {
    /// (C, H, W) of the output.
    pub shape: [usize; 3],
    /// (targets, sources / groups, height, width).
    pub weight_shape: [usize; 4],
    /// Weights.
    pub weights: Vec<i64>,
    /// One for each channel, one for each neuron in (W, H, C) order, one for all, or none.
    pub bias: Vec<i64>,
    /// (H, W).
    pub stride: [usize; 2],
    /// (H, W), on either side.
    pub padding: [usize; 2],
    /// (H, W).
    pub dilation: [usize; 2],
    /// Number of groups.
    pub groups: usize,
    /// The neurons.
    pub neuron: Neurons,
}

/// A `neuron` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neurons {
    /// `CUBA` or `LOIHI`.
    CurrentBased {
        /// `iDecay`.
        current_decay: i64,
        /// `vDecay`.
        voltage_decay: i64,
        /// `vThMant`.
        threshold: i64,
    },
    /// `SDNN`.
    SigmaDelta {
        /// `vThMant`.
        threshold: i64,
        /// `sigma_output` is there.
        output: bool,
    },
}

impl Layer {
    /// Whether the layer has synapses, each layer of which takes one timestep.
    pub fn is_synaptic(&self) -> bool {
        matches!(self, Layer::Dense(_) | Layer::Conv(_))
    }
}

impl Net {
    /// Timesteps after which the first timestep's input has reached the output.
    pub fn latency(&self) -> usize {
        self.layers.iter().filter(|l| l.is_synaptic()).count()
    }
}
