//! One layer as its memories hold it: between the spiking IR and the image.

use snnc_ir::analysis::signed_bits;
use snnc_ir::{
    BiasPlacement, Comparison, Connectivity, Graph, IntegrateAndFire, Leak, Neuron, NodeId, Op,
    Population, Presentation, Projection, Reset, Schedule, SpikingOp, TimeTable, Window,
};

use super::geometry::{Geometry, Map};
use super::hardware::Hardware;

/// The synapses of a layer from one population before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Name of the projection.
    pub name: String,
    /// What meets what.
    pub geometry: Geometry,
    /// Weights in the order of the spiking IR.
    pub weights: Vec<i64>,
}

/// Widths in bits of a layer's memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Weights.
    pub weight: u8,
    /// Biases.
    pub bias: u8,
    /// Thresholds, resets and spike values.
    pub threshold: u8,
    /// Membrane potentials.
    pub membrane: u8,
}

/// What the neurons of a layer do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerNeuron {
    /// The model.
    pub kind: Kind,
    /// Hard reset to this potential; soft if none.
    pub hard_reset: Option<i64>,
    /// Most that is sent in a timestep.
    pub maximum: i64,
    /// Thresholds of each channel, one for all timesteps or one for each.
    pub threshold: Vec<Vec<i64>>,
    /// What a spike subtracts, where that is not the threshold.
    pub reset: Option<Vec<Vec<i64>>>,
    /// What a spike counts, where that is not 1.
    pub decode: Option<Vec<Vec<i64>>>,
}

/// A neuron model, with the code of configuration word 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0: integrate and fire.
    IntegrateAndFire,
    /// 1: leaky, state and input decaying together.
    LeakyAveraging {
        /// Right shift.
        shift: u8,
        /// Multiplier of what is written back.
        kept: i64,
    },
    /// 2: leaky, the state decaying after the reset.
    LeakySubtracting {
        /// Right shift.
        shift: u8,
    },
    /// 3: read-out of the potential.
    Accumulate,
    /// Layer type 2: the largest payload of each window in each timestep.
    Maximum,
    /// Layer type 4: by how much the largest total of each window, over all timesteps so far, grew.
    RunningMaximum,
}

impl Kind {
    /// Whether the layer takes maxima, without synapses or neurons.
    pub fn is_maximum(self) -> bool {
        matches!(self, Kind::Maximum | Kind::RunningMaximum)
    }
}

/// One layer: the neurons of a population and the synapses onto them.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Number in the image.
    pub index: usize,
    /// Name of the population.
    pub name: String,
    /// Synapses.
    pub ports: Vec<Port>,
    /// The neurons.
    pub target: Map,
    /// What they do.
    pub neuron: LayerNeuron,
    /// Bias of each channel.
    pub bias: Vec<i64>,
    /// Initial potential of each channel.
    pub initial: Vec<i64>,
    /// Widths of the memories.
    pub widths: Widths,
    /// Number of banks.
    pub npu: usize,
    /// Timesteps.
    pub timesteps: usize,
    /// Whether the layer integrates all timesteps before it fires.
    pub barrier: bool,
    /// Bits of a payload that it sends.
    pub payload_bits: u8,
}

impl Layer {
    /// Groups of channels that one bank holds.
    pub fn groups_per_bank(&self) -> usize {
        self.target.c.div_ceil(self.npu.max(1))
    }

    /// The layer of a population of a legalised graph; `Err` says what has no place in an image.
    pub fn of(
        graph: &Graph,
        id: NodeId,
        index: usize,
        hardware: &Hardware,
    ) -> Result<Layer, String> {
        let node = &graph[id];
        let population = match &node.op {
            Op::Spiking(SpikingOp::Population(population)) => population,
            Op::Spiking(SpikingOp::MaxPool { window }) => {
                return maximum(graph, id, (Kind::Maximum, window), index, hardware);
            }
            Op::Spiking(SpikingOp::RunningMaxPool { window }) => {
                return maximum(graph, id, (Kind::RunningMaximum, window), index, hardware);
            }
            _ => return Err("is no layer".into()),
        };
        let target = Map::of(&node.ty.shape).ok_or("has a map of too many dimensions")?;
        let mut ports = Vec::new();
        let mut membrane = 0;
        for source in graph.sources(id) {
            let (port, bits) = port(graph, source, &node.ty.shape)?;
            ports.push(port);
            membrane = membrane.max(bits);
        }
        let neuron = layer_neuron(population, target.c)?;
        let mut bias: Vec<i64> = (0..target.c).map(|c| population.bias_at(c)).collect();
        let initial = match population.neuron.get::<IntegrateAndFire>() {
            Some(n) => spread(&n.initial, target.c),
            // A bias that a read-out adds once is where its potentials begin.
            None if population.bias_placement == BiasPlacement::FirstTimestep => {
                std::mem::replace(&mut bias, vec![0; target.c])
            }
            None => vec![0; target.c],
        };
        let numbers = &hardware.numbers;
        let widths = if numbers.fitted {
            let weights = ports.iter().flat_map(|p| &p.weights);
            let tables = [Some(&neuron.threshold), neuron.reset.as_ref(), neuron.decode.as_ref()];
            Widths {
                weight: width(weights).max(2),
                bias: width(&bias),
                threshold: width(tables.into_iter().flatten().flatten().flatten()).max(2),
                membrane,
            }
        } else {
            Widths {
                weight: numbers.weight_bits,
                bias: numbers.bias_bits,
                threshold: numbers.threshold_bits,
                membrane,
            }
        };
        let barrier = graph.timing.schedule == Schedule::LayerSynchronous;
        Ok(Layer {
            index,
            name: node.name.clone(),
            ports,
            target,
            neuron,
            bias,
            initial,
            widths,
            npu: hardware.resources(&node.name).npu,
            timesteps: graph.timing.timesteps,
            barrier,
            payload_bits: population.payload_bits(),
        })
    }

    /// The neuron and its bias as the spiking IR has them.
    pub fn ir_neuron(&self) -> (Neuron, Vec<i64>, BiasPlacement) {
        let placement = if self.barrier {
            BiasPlacement::AfterLastTimestep
        } else {
            BiasPlacement::EveryTimestep
        };
        let n = &self.neuron;
        let leak = match n.kind {
            // Potentials that a read-out begins with are a bias that it adds once.
            Kind::Accumulate if self.initial.iter().any(|&v| v != 0) => {
                return (Neuron::Accumulate, self.initial.clone(), BiasPlacement::FirstTimestep);
            }
            Kind::Accumulate | Kind::Maximum | Kind::RunningMaximum => {
                return (Neuron::Accumulate, self.bias.clone(), placement);
            }
            Kind::IntegrateAndFire => Leak::None,
            Kind::LeakyAveraging { shift, kept } => Leak::Averaging { shift, kept },
            Kind::LeakySubtracting { shift } => Leak::Subtracting { shift },
        };
        let reset = match (n.hard_reset, &n.reset) {
            (Some(v), _) => Reset::Hard(v),
            (None, Some(table)) => Reset::SoftBy(TimeTable(table.clone())),
            (None, None) => Reset::Soft,
        };
        let neuron = IntegrateAndFire {
            threshold: TimeTable(n.threshold.clone()),
            reset,
            initial: self.initial.clone(),
            leak,
            maximum: n.maximum,
            comparison: Comparison::AtLeast,
            signed_limit: None,
            decode: n.decode.clone().map(TimeTable),
        };
        (Neuron::IntegrateAndFire(neuron), self.bias.clone(), placement)
    }
}

/// A layer of maxima: no synapses but windows, no neurons but the largest payload so far.
fn maximum(
    graph: &Graph,
    id: NodeId,
    (kind, window): (Kind, &Window),
    index: usize,
    hardware: &Hardware,
) -> Result<Layer, String> {
    let node = &graph[id];
    let source = graph.source(id, 0).ok_or("is fed by nothing")?;
    let channels = node.ty.shape.first().copied().unwrap_or(1);
    let windows = Connectivity::Convolution { window: window.clone(), groups: channels };
    let geometry = Geometry::of(&windows, &graph[source].ty.shape, &node.ty.shape)?;
    let target = geometry.target;
    let maximum = largest_payload(graph, source);
    let timesteps = graph.timing.timesteps;
    let held = match kind {
        Kind::RunningMaximum => {
            maximum.saturating_mul(i64::try_from(timesteps).unwrap_or(i64::MAX))
        }
        _ => maximum,
    };
    Ok(Layer {
        index,
        name: node.name.clone(),
        ports: vec![Port { name: String::new(), geometry, weights: Vec::new() }],
        target,
        neuron: LayerNeuron {
            kind,
            hard_reset: None,
            maximum,
            threshold: Vec::new(),
            reset: None,
            decode: None,
        },
        bias: Vec::new(),
        initial: Vec::new(),
        widths: Widths { weight: 1, bias: 1, threshold: 1, membrane: signed_bits(held) },
        npu: hardware.resources(&node.name).npu,
        timesteps,
        barrier: false,
        payload_bits: signed_bits(maximum).saturating_sub(1).max(1),
    })
}

/// Largest payload that a node sends.
pub fn largest_payload(graph: &Graph, id: NodeId) -> i64 {
    match &graph[id].op {
        Op::Spiking(SpikingOp::Population(p)) => p.maximum,
        Op::Spiking(SpikingOp::Encoder(e)) => match e.presentation {
            Presentation::BitSerial { .. } => 1,
            _ => e.maximum.saturating_sub(e.zero_point),
        },
        // Each total grows by one payload at most, and so does the largest of them.
        Op::Spiking(SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. }) => {
            graph.source(id, 0).map_or(0, |source| largest_payload(graph, source))
        }
        _ => 0,
    }
}

fn port(graph: &Graph, id: NodeId, target_shape: &[usize]) -> Result<(Port, u8), String> {
    let node = &graph[id];
    let Op::Spiking(SpikingOp::Projection(Projection { connectivity, accumulator, .. })) = &node.op
    else {
        return Err(format!("is fed by `{}`, which is no projection", node.name));
    };
    let source = graph.source(id, 0).ok_or("is fed by nothing")?;
    let geometry = Geometry::of(connectivity, &graph[source].ty.shape, target_shape)?;
    let weights = node.data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
    let expected = geometry.target.c * geometry.weights_per_channel();
    if weights.len() != expected {
        return Err(format!("has {} weights where the geometry takes {expected}", weights.len()));
    }
    Ok((Port { name: node.name.clone(), geometry, weights }, accumulator.bits))
}

fn layer_neuron(population: &Population, channels: usize) -> Result<LayerNeuron, String> {
    let n = match &population.neuron {
        Neuron::Accumulate => {
            return Ok(LayerNeuron {
                kind: Kind::Accumulate,
                hard_reset: None,
                maximum: 0,
                threshold: vec![vec![0]; channels],
                reset: None,
                decode: None,
            });
        }
        Neuron::IntegrateAndFire(n) => n,
        _ => return Err("has a neuron that images do not have".into()),
    };
    if n.signed_limit.is_some() || n.comparison != Comparison::AtLeast {
        return Err("has negative spikes or compares strictly".into());
    }
    let kind = match n.leak {
        Leak::None => Kind::IntegrateAndFire,
        Leak::Averaging { shift, kept } => Kind::LeakyAveraging { shift, kept },
        Leak::Subtracting { shift } => Kind::LeakySubtracting { shift },
    };
    let (hard_reset, reset) = match &n.reset {
        Reset::Soft => (None, None),
        Reset::SoftBy(table) => (None, Some(rows(table, channels))),
        Reset::Hard(v) => (Some(*v), None),
    };
    Ok(LayerNeuron {
        kind,
        hard_reset,
        maximum: n.maximum,
        threshold: rows(&n.threshold, channels),
        reset,
        decode: n.decode.as_ref().map(|table| rows(table, channels)),
    })
}

/// One row for each channel.
pub fn rows(table: &TimeTable, channels: usize) -> Vec<Vec<i64>> {
    match table.0.as_slice() {
        [row] => vec![row.clone(); channels],
        rows => rows.to_vec(),
    }
}

/// One value for each channel; none means 0.
pub fn spread(values: &[i64], channels: usize) -> Vec<i64> {
    match values {
        [] => vec![0; channels],
        [value] => vec![*value; channels],
        values => values.to_vec(),
    }
}

/// Bits of two's complement that hold all values, at least 1.
pub fn width<'a>(values: impl IntoIterator<Item = &'a i64>) -> u8 {
    values.into_iter().map(|&v| signed_bits(v)).max().unwrap_or(1)
}
