//! What the metric needs to know of a layer.

use super::profile::Memory;

/// How the sources of a layer meet its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A convolution over any number of spatial dimensions.
    Convolution {
        /// Extent of the kernel.
        kernel: Vec<usize>,
        /// Steps of the kernel.
        strides: Vec<usize>,
        /// Number of groups.
        groups: usize,
    },
    /// Every source meets every target.
    Dense,
    /// Each source meets the target of the same place, as on the short way of a residual block.
    OneToOne {
        /// Extents of the map.
        shape: Vec<usize>,
    },
}

/// What one event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bits of it; 1 for the mere presence of a spike.
    pub bits: u32,
    /// Largest magnitude; beyond 1 a synaptic operation multiplies.
    pub magnitude: u64,
}

impl Payload {
    /// A spike that is there or not.
    pub const BINARY: Payload = Payload { bits: 1, magnitude: 1 };

    /// Spikes of `bits` bits without sign.
    pub const fn graded(bits: u32) -> Payload {
        Payload { bits, magnitude: if bits >= 64 { u64::MAX } else { (1 << bits) - 1 } }
    }

    /// Whether it is the mere presence of a spike.
    pub const fn is_binary(self) -> bool {
        self.bits <= 1
    }
}

/// What arrives at a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Numbers, once, at every source: a layer of an ordinary network.
    Formal,
    /// Spikes.
    Spikes {
        /// What one carries.
        payload: Payload,
        /// How many arrive for one sample, all timesteps.
        events: f64,
        /// In how many timesteps the source may send.
        presentations: f64,
    },
}

/// The neurons that a layer ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neurons {
    /// They integrate and fire.
    Fire,
    /// They integrate, leak and fire.
    Leak,
    /// None fire: the membrane potential is read out.
    ReadOut,
    /// Counted with another layer that ends in the same neurons.
    Shared,
}

/// Bits of a layer's own memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Of a weight.
    pub weight: u32,
    /// Of a membrane potential, and of a bias.
    pub potential: u32,
}

impl Widths {
    /// 32 bits everywhere.
    pub const WORDS: Widths = Widths { weight: 32, potential: 32 };
}

/// A layer's memories as a device has them; of banks one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memories {
    /// Weights.
    pub weights: Memory,
    /// Biases.
    pub bias: Memory,
    /// Membrane potentials.
    pub potentials: Memory,
    /// Events that wait before the layer.
    pub queue_in: Memory,
    /// Events that wait behind it.
    pub queue_out: Memory,
}

/// One layer: synapses, and the neurons that they lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// How sources meet targets.
    pub kind: Kind,
    /// Channels of the sources (for [`Kind::Dense`]: the sources).
    pub input_channels: usize,
    /// Number of sources.
    pub inputs: usize,
    /// Channels of the targets (for [`Kind::Dense`]: the targets).
    pub output_channels: usize,
    /// Number of targets.
    pub outputs: usize,
    /// Timesteps in which the neurons are updated for one sample.
    pub timesteps: f64,
    /// What arrives.
    pub input: Input,
    /// What one spike that leaves carries.
    pub sends: Payload,
    /// How many spikes leave for one sample.
    pub events_out: f64,
    /// Whether there are biases. Qualia and the `events` counting take them for granted.
    pub bias: bool,
    /// What the layer ends in.
    pub neurons: Neurons,
    /// Weights met by spikes for one sample, where a run has counted them.
    pub synaptic_operations: Option<f64>,
    /// Bits of its memories.
    pub widths: Widths,
    /// Its memories on the device, where an artefact lays them out.
    pub memories: Option<Memories>,
}

impl Layer {
    /// Taps of the kernel.
    pub fn taps(&self) -> f64 {
        match &self.kind {
            Kind::Convolution { kernel, .. } => kernel.iter().product::<usize>() as f64,
            Kind::Dense | Kind::OneToOne { .. } => 1.0,
        }
    }

    /// Target channels that one source channel reaches.
    pub fn reached(&self) -> f64 {
        match &self.kind {
            Kind::Convolution { groups, .. } => {
                self.output_channels as f64 / (*groups).max(1) as f64
            }
            Kind::Dense => self.outputs as f64,
            Kind::OneToOne { .. } => 1.0,
        }
    }

    /// Source channels that one target channel sums.
    pub fn summed(&self) -> f64 {
        match &self.kind {
            Kind::Convolution { groups, .. } => {
                self.input_channels as f64 / (*groups).max(1) as f64
            }
            Kind::Dense => self.inputs as f64,
            Kind::OneToOne { .. } => 1.0,
        }
    }

    /// Weights that one event meets, borders and strides aside.
    pub fn fan_out(&self) -> f64 {
        self.reached() * self.taps()
    }

    /// Weights that one event meets with strides: `ceil(kernel / stride)` in each dimension.
    pub fn strided_fan_out(&self) -> f64 {
        match &self.kind {
            Kind::Convolution { kernel, strides, .. } => {
                let taps = kernel.iter().zip(strides).map(|(k, s)| k.div_ceil((*s).max(1)));
                self.reached() * taps.product::<usize>() as f64
            }
            Kind::Dense | Kind::OneToOne { .. } => self.fan_out(),
        }
    }

    /// Number of weights.
    pub fn weights(&self) -> f64 {
        match &self.kind {
            Kind::Convolution { .. } => self.output_channels as f64 * self.summed() * self.taps(),
            Kind::Dense => self.inputs as f64 * self.outputs as f64,
            Kind::OneToOne { .. } => self.output_channels as f64,
        }
    }

    /// Number of biases.
    pub fn biases(&self) -> f64 {
        match self.kind {
            Kind::Dense => self.outputs as f64,
            _ => self.output_channels as f64,
        }
    }

    /// Multiplications of the same layer in an ordinary network.
    pub fn formal_operations(&self) -> f64 {
        self.outputs as f64 * self.summed() * self.taps()
    }

    /// The same layer in an ordinary network: dense numbers, once, and no spikes.
    pub fn formal(&self) -> Layer {
        Layer {
            input: Input::Formal,
            timesteps: 1.0,
            events_out: 0.0,
            synaptic_operations: None,
            memories: None,
            ..self.clone()
        }
    }
}
