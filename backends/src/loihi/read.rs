//! A `.net` file as a spiking graph, with the arithmetic of NetX on a CPU.

use snnc_ir::{
    Accumulator, Coding, Connectivity, CurrentBasedNeuron, DType, Decoder, Encoder, Graph, Neuron,
    Node, NodeId, Overflow, Population, Presentation, Projection, Readout, SigmaDeltaNeuron,
    SigmaDeltaRole, SpikingOp, Stage, Tensor, Timing, Window, window_outputs,
};

use super::container::Place;
use super::net::{
    BIAS_EXPONENT, Conv, DECAY_ONE, Dense, Layer, Net, Neurons, SPIKE_EXPONENT, STATE_EXPONENT,
    STATE_LIMIT,
};
use super::weights;
use crate::ReadError;

/// The network that NetX runs for this file.
///
/// Every synaptic layer takes one timestep: `a[t] = W s[t - 1]`, an edge of delay 1 from a
/// population to its projection.
pub(super) fn graph(net: &Net, file: &str) -> Result<Graph, ReadError> {
    let mut builder = Builder {
        graph: Graph::new(file.trim_end_matches(".net"), Stage::Spiking),
        file,
        last: None,
        flattened: false,
    };
    for (i, layer) in net.layers.iter().enumerate() {
        builder.layer(i, layer)?;
    }
    let timesteps = net.timesteps.unwrap_or(net.latency() + 1);
    builder.graph.timing = Timing { timesteps, ..Timing::default() };
    builder.finish(net)
}

/// What one timestep of an accumulator holds on a CPU: 32 bits, or 24 behind a convolution.
pub(super) fn accumulator(convolution: bool) -> Accumulator {
    Accumulator { bits: if convolution { 24 } else { 32 }, overflow: Overflow::Wrap }
}

/// A population of neurons as NetX runs them, without the scale that files do not hold.
pub(super) fn population(neuron: Neuron) -> Population {
    let coding = if neuron.sends_changes() { Coding::SigmaDelta } else { Coding::Rate };
    let (minimum, maximum) = match neuron.get::<CurrentBasedNeuron>() {
        Some(_) => (0, 1),
        None => (-STATE_LIMIT - 1, STATE_LIMIT),
    };
    Population {
        coding,
        bias: Vec::new(),
        bias_placement: Default::default(),
        neuron,
        minimum,
        maximum,
        scale: Vec::new(),
    }
}

/// A sigma-delta neuron with NetX's exponents.
pub(super) fn sigma_delta(role: SigmaDeltaRole, threshold: i64, bias: Vec<i64>) -> Neuron {
    Neuron::SigmaDelta(SigmaDeltaNeuron {
        role,
        threshold,
        bias,
        spike_exponent: SPIKE_EXPONENT,
        state_exponent: STATE_EXPONENT,
    })
}

struct Builder<'a> {
    graph: Graph,
    file: &'a str,
    /// What the next layer takes its spikes from.
    last: Option<NodeId>,
    flattened: bool,
}

impl Builder<'_> {
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(), ReadError> {
        let at = Place { file: self.file.to_owned(), place: format!("layer/{index}") };
        match layer {
            Layer::Input { shape, neuron } => {
                if index != 0 {
                    return Err(at.unsupported("an input layer that is not the first"));
                }
                self.input(shape, neuron.as_ref().map(|(n, host)| (n, host.weight, host.bias)));
                Ok(())
            }
            Layer::Flatten => {
                self.flattened = true;
                Ok(())
            }
            Layer::Dense(dense) => self.dense(index, dense, &at),
            Layer::Conv(conv) => self.conv(index, conv, &at),
        }
    }

    /// The input block. NetX leaves its weight and bias to the host: `weight * x + bias` is the
    /// constant bias of current-based neurons, or the number of which sigma-delta neurons send the
    /// changes. Codes go in as they are.
    fn input(&mut self, shape: &[usize], neuron: Option<(&Neurons, f64, f64)>) {
        let wide = i64::from(i32::MAX);
        let mut encoder = Encoder {
            scale: 1.0,
            zero_point: 0,
            minimum: -wide,
            maximum: wide,
            offset: None,
            rounding: Default::default(),
            thresholds: Vec::new(),
            presentation: Presentation::EveryTimestep,
        };
        let neuron = match neuron {
            None => {
                encoder.presentation = Presentation::InTime;
                None
            }
            Some((Neurons::SigmaDelta { threshold, .. }, ..)) => {
                Some(sigma_delta(SigmaDeltaRole::Delta, *threshold, Vec::new()))
            }
            Some((Neurons::CurrentBased { voltage_decay, threshold, .. }, weight, offset)) => {
                // The bias drives the voltage, and nothing drives the current; so does an input
                // that the current does not keep. Zero point and bias cancel each other for codes.
                let offset = offset.round() as i64;
                if weight > 0.0 {
                    encoder.scale = (1.0 / weight) as f32;
                }
                encoder.zero_point = offset;
                (encoder.minimum, encoder.maximum) = (i16::MIN.into(), i16::MAX.into());
                Some(Neuron::CurrentBased(CurrentBasedNeuron {
                    current_decay: DECAY_ONE,
                    voltage_decay: *voltage_decay,
                    threshold: *threshold,
                    bias: if offset == 0 { Vec::new() } else { vec![offset] },
                    bias_exponent: BIAS_EXPONENT,
                    fires: true,
                    reset: None,
                }))
            }
        };
        let node = Node::spiking("input", SpikingOp::Encoder(encoder), shape);
        let mut last = self.graph.add(node, &[]);
        if let Some(neuron) = neuron {
            let op = SpikingOp::Population(population(neuron));
            last = self.graph.add(Node::spiking("layer.0", op, shape), &[last]);
        }
        self.last = Some(last);
    }

    /// The source of a layer; a network without input block is fed with spikes.
    fn source(&mut self, shape: &[usize]) -> NodeId {
        if self.last.is_none() {
            self.input(shape, None);
        }
        // `input` has set it.
        self.last.unwrap_or_default()
    }

    /// Whether spikes of this source are cast to bool on arrival.
    fn is_binary(&self, source: NodeId) -> bool {
        !matches!(
            self.graph[source].as_spiking(),
            Some(SpikingOp::Population(p)) if p.neuron.sends_changes()
        )
    }

    fn dense(&mut self, index: usize, dense: &Dense, at: &Place) -> Result<(), ReadError> {
        let targets: usize = dense.shape.iter().product();
        let source = self.source(&[dense.sources]);
        let from = self.graph[source].ty.shape.clone();
        let found: usize = from.iter().product();
        if found != dense.sources {
            let sources = dense.sources;
            return Err(at.malformed(format!("weights for {sources} of {found} sources")));
        }
        let after_map = from.len() > 1
            && !matches!(self.graph[source].as_spiking(), Some(SpikingOp::Encoder(_)));
        if after_map && !self.flattened {
            return Err(at.malformed("a dense layer after a map needs a flatten layer between"));
        }
        self.flattened = false;
        let matrices: Vec<&[i64]> =
            std::iter::once(dense.weights.as_slice()).chain(dense.recurrent.as_deref()).collect();
        let mut loaded = weights::loaded_together(&matrices)
            .map_err(|e| at.malformed(e.to_string()))?
            .into_iter();
        let projection = Projection {
            delays: dense.delays.clone(),
            binary: self.is_binary(source),
            accumulator: accumulator(false),
            ..Projection::exact(Connectivity::Dense)
        };
        let forward = loaded.next().unwrap_or_default();
        let data = Tensor::from_integers(&[targets, dense.sources], &forward);
        let name = format!("layer.{index}");
        let node = Node::spiking(
            format!("{name}.synapses"),
            SpikingOp::Projection(projection.clone()),
            [targets],
        );
        let forward = self.graph.add(node.with_data(data), &[]);
        self.graph.connect(source, forward, 1);
        let op = SpikingOp::Population(population(neurons(dense.neuron, &dense.bias, at)?));
        let neurons = self.graph.add(Node::spiking(name.clone(), op, [targets]), &[forward]);
        if let Some(recurrent) = loaded.next() {
            if !dense.delays.is_empty() {
                return Err(at.unsupported("a recurrent layer with delays"));
            }
            self.recurrent(&name, neurons, projection, recurrent);
        }
        self.last = Some(neurons);
        Ok(())
    }

    /// Recurrent synapses are of the same kind as the forward ones, cast to bool included.
    fn recurrent(&mut self, name: &str, neurons: NodeId, like: Projection, weights: Vec<i64>) {
        let targets = self.graph[neurons].ty.len();
        let node =
            Node::spiking(format!("{name}.recurrent"), SpikingOp::Projection(like), [targets])
                .with_data(Tensor::from_integers(&[targets, targets], &weights));
        let recurrent = self.graph.add(node, &[]);
        self.graph.connect(neurons, recurrent, 1);
        self.graph.connect(recurrent, neurons, 0);
    }

    fn conv(&mut self, index: usize, conv: &Conv, at: &Place) -> Result<(), ReadError> {
        let Some(source) = self.last else {
            return Err(at.unsupported("a network that begins with a convolution"));
        };
        let [channels, height, width] = conv.shape;
        let [targets, per_group, kh, kw] = conv.weight_shape;
        let from = self.graph[source].ty.shape.clone();
        let window = Window {
            kernel: vec![kh, kw],
            strides: conv.stride.to_vec(),
            dilations: conv.dilation.to_vec(),
            before: conv.padding.to_vec(),
            after: conv.padding.to_vec(),
        };
        let spatial = from.get(1..).unwrap_or_default();
        let found =
            window_outputs(&window, spatial, false).map_err(|e| at.malformed(e.to_string()))?;
        if found != [height, width] || channels != targets {
            let stated = conv.shape;
            return Err(at.malformed(format!(
                "states the shape {stated:?}, but makes {targets} maps of {found:?}"
            )));
        }
        if per_group.checked_mul(conv.groups) != from.first().copied() || targets % conv.groups != 0
        {
            return Err(at.malformed(format!(
                "{targets} targets of {per_group} sources in {} groups after a map of {from:?}",
                conv.groups
            )));
        }
        let projection = Projection {
            binary: self.is_binary(source),
            accumulator: accumulator(true),
            ..Projection::exact(Connectivity::Convolution { window, groups: conv.groups })
        };
        let name = format!("layer.{index}");
        let op = SpikingOp::Projection(projection);
        let node = Node::spiking(format!("{name}.synapses"), op, conv.shape)
            .with_data(Tensor::from_integers(&conv.weight_shape, &conv.weights));
        let forward = self.graph.add(node, &[]);
        self.graph.connect(source, forward, 1);
        let bias = channel_first(&conv.bias, conv.shape, at)?;
        let op = SpikingOp::Population(population(neurons(Some(conv.neuron), &bias, at)?));
        self.last = Some(self.graph.add(Node::spiking(name, op, conv.shape), &[forward]));
        self.flattened = false;
        Ok(())
    }

    fn finish(mut self, net: &Net) -> Result<Graph, ReadError> {
        let place = format!("layer/{}", net.layers.len() - 1);
        let at = Place { file: self.file.to_owned(), place };
        let Some(last) = self.last else {
            return Err(at.malformed("the network has no neurons"));
        };
        let Some(SpikingOp::Population(p)) = self.graph[last].as_spiking() else {
            return Err(at.malformed("the network has no synapses"));
        };
        let sums = |n: &SigmaDeltaNeuron| n.role == SigmaDeltaRole::Sigma;
        let readout = match !p.neuron.fires() || p.neuron.get().is_some_and(sums) {
            true => Readout::Last,
            false => Readout::Sum,
        };
        let decoder = Decoder { readout, scale: vec![1.0], zero: Vec::new() };
        let shape = self.graph[last].ty.shape.clone();
        let mut node = Node::spiking("output", SpikingOp::Decoder(decoder), shape);
        node.ty.dtype = DType::F32;
        self.graph.add(node, &[last]);
        Ok(self.graph)
    }
}

/// The neuron model of a layer with the given biases, in channel-first order.
fn neurons(neurons: Option<Neurons>, bias: &[i64], at: &Place) -> Result<Neuron, ReadError> {
    let none_is_empty = |bias: &[i64]| {
        if bias.iter().all(|&b| b == 0) { Vec::new() } else { bias.to_vec() }
    };
    Ok(match neurons {
        // NetX's stand-in cannot fire; what its potential shows is the sum of what arrived.
        None if bias.iter().all(|&b| b == 0) => Neuron::Accumulate,
        None => return Err(at.unsupported("a bias without neurons")),
        Some(Neurons::CurrentBased { current_decay, voltage_decay, threshold }) => {
            // Biases are stored in 16 bits.
            let stored: Vec<i64> = bias.iter().map(|&b| i64::from(b as i16)).collect();
            Neuron::CurrentBased(CurrentBasedNeuron {
                current_decay,
                voltage_decay,
                threshold,
                bias: none_is_empty(&stored),
                bias_exponent: BIAS_EXPONENT,
                fires: true,
                reset: None,
            })
        }
        Some(Neurons::SigmaDelta { threshold, output }) => {
            let role = if output { SigmaDeltaRole::Sigma } else { SigmaDeltaRole::SigmaDelta };
            sigma_delta(role, threshold, none_is_empty(bias))
        }
    })
}

/// Biases of a convolution, those for each neuron turned from (W, H, C) to (C, H, W) order.
fn channel_first(bias: &[i64], [c, h, w]: [usize; 3], at: &Place) -> Result<Vec<i64>, ReadError> {
    match bias.len() {
        0 | 1 => Ok(bias.to_vec()),
        n if n == c => Ok(bias.to_vec()),
        n if n == c * h * w => Ok((0..n)
            .map(|i| {
                let (channel, y, x) = (i / (h * w), i / w % h, i % w);
                bias[(x * h + y) * c + channel]
            })
            .collect()),
        n => Err(at.malformed(format!("{n} biases for a map of {:?}", [c, h, w]))),
    }
}
