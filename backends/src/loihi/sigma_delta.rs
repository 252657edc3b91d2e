//! A canonical network as sigma-delta neurons.
//!
//! The input sends its changes, every layer sums the changes that arrive, rectifies, and sends the
//! changes of that; the output shows the sum. After one timestep for each layer the sums are those
//! of a rectified network on codes that are neither rounded nor clamped.
//!
//! A neuron can be made to stop at the largest code `q` by a second one behind it: with the weights
//! `w` for `relu(y)` and `-w` for `relu(y - q)` the next layer gets `w * min(relu(y), q)`. A layer's
//! second neurons lie behind its first ones, as channels of their own.

mod synapses;

use snnc_ir::analysis::{Interval, intervals};
use snnc_ir::{
    Connectivity, DType, Decoder, Encoder, Graph, Node, NodeId, Population, Presentation,
    Projection, Readout, SigmaDeltaRole, SpikingOp, Stage, Tensor, Timing, Verified,
};

use synapses::{Synapses, fan_in, source_channels};

use super::chain::{Chain, Link, chain};
use super::net::{FINE_WEIGHT, SPIKE_EXPONENT, STATE_BITS};
use super::read::{accumulator, population, sigma_delta};
use super::slope::{Line, line};
use super::units::{Choice, Row, Sources, choose, typical_size};
use super::weights;
use crate::{FitRow, Legalised, Note, Violation};

/// The network in NetX's sigma-delta arithmetic.
///
/// # Errors
/// Everything in the network that NetX cannot hold.
pub(super) fn legalise(network: &Verified, saturate: bool) -> Result<Legalised, Vec<Violation>> {
    let chain = chain(network)?;
    let reachable = intervals(network).map_err(|e| {
        let node = network[chain.encoder].describe();
        vec![Violation { node, reason: e.to_string(), remedy: String::new() }]
    })?;
    let mut legaliser = Legaliser {
        network,
        output: Graph::new(network.name.clone(), Stage::Spiking),
        steps: chain.links.len() + 1,
        notes: Vec::new(),
        violations: Vec::new(),
        state_bits: 0,
        largest_weight: 0,
    };
    let (mut last, sources) = legaliser.input(&chain)?;
    // Behind a layer that cannot be had nothing is known of what arrives; what is wrong with the
    // layers themselves is said all the same.
    let mut arriving = Some(sources);
    for (i, &link) in chain.links.iter().enumerate() {
        let is_last = i + 1 == chain.links.len();
        let mut lines = legaliser.lines(link, is_last, &reachable);
        let doubled = saturate
            && chain
                .links
                .get(i + 1)
                .is_some_and(|&next| is_ungrouped(network, link) && is_ungrouped(network, next));
        if doubled {
            let q = ceiling(network, link);
            let beyond = |l: &Line| Line { offset: l.offset - q, ..*l };
            lines.extend(lines.iter().map(beyond).collect::<Vec<_>>());
        }
        let next = chain.links.get(i + 1).map_or(0, |next| fan_in(network, next.projection));
        let layer = match arriving.take() {
            Some(sources) => legaliser.layer(link, &lines, &sources, next),
            None => {
                legaliser.check_weights(link);
                None
            }
        };
        let Some(layer) = layer else { continue };
        last = legaliser.add_layer(link, last, &layer, is_last);
        if is_last {
            legaliser.decoder(&chain, last, &layer, &lines);
        }
        arriving = Some(layer.sources(network, link, legaliser.steps));
    }
    legaliser.finish()
}

/// One layer in NetX's integers.
struct Layer {
    choices: Vec<Choice>,
    /// Shape of the weights.
    shape: Vec<usize>,
}

impl Layer {
    /// The layer as sources of the next one.
    fn sources(&self, network: &Graph, link: Link, steps: usize) -> Sources {
        let ceiling = ceiling(network, link);
        // Each of the changes sent is cut to whole units, downward.
        let range = |c: &Choice| Interval::new(-(steps as i64), (c.range.high >> 6).max(0));
        Sources {
            unit: self.choices.iter().map(Choice::unit).collect(),
            range: self.choices.iter().map(range).collect(),
            useful: self.choices.iter().map(|c| ceiling / c.unit()).collect(),
        }
    }
}

struct Legaliser<'a> {
    network: &'a Graph,
    output: Graph,
    steps: usize,
    notes: Vec<Note>,
    violations: Vec<Violation>,
    state_bits: u32,
    largest_weight: i64,
}

impl Legaliser<'_> {
    fn note(&mut self, id: NodeId, text: impl Into<String>) {
        self.notes.push(Note { node: self.network[id].describe(), text: text.into() });
    }

    fn violation(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) {
        self.violations.push(Violation::new(&self.network[id], reason, remedy));
    }

    /// The encoder and the neurons that send its changes.
    fn input(&mut self, chain: &Chain) -> Result<(NodeId, Sources), Vec<Violation>> {
        let node = &self.network[chain.encoder];
        let Some(SpikingOp::Encoder(e)) = node.as_spiking() else {
            return Err(vec![Violation::new(node, "is no encoder", "")]);
        };
        let shape = node.ty.shape.clone();
        let encoder = Encoder { presentation: Presentation::EveryTimestep, ..e.clone() };
        let unit = f64::from(1u32 << SPIKE_EXPONENT);
        let delta = Population {
            scale: vec![(f64::from(e.scale) / unit) as f32],
            ..population(sigma_delta(SigmaDeltaRole::Delta, 0, Vec::new()))
        };
        let added = Node { name: node.name.clone(), ..spiking(node, SpikingOp::Encoder(encoder)) };
        let input = self.output.add(added, &[]);
        let name = self.network.fresh_name(&format!("{}.delta", node.name));
        let added = Node { name, ..spiking(node, SpikingOp::Population(delta)) };
        let neurons = self.output.add(added, &[input]);
        let codes = Interval::new(e.minimum - e.zero_point, e.maximum - e.zero_point).with_zero();
        let channels = shape.first().copied().unwrap_or(1);
        let sources = Sources {
            unit: vec![1.0 / unit; channels],
            range: vec![codes.times(1 << SPIKE_EXPONENT); channels],
            useful: vec![codes.magnitude() as f64 * unit; channels],
        };
        Ok((neurons, sources))
    }

    /// The lines that the channels of a population follow.
    fn lines(
        &mut self,
        link: Link,
        is_last: bool,
        reachable: &snnc_ir::analysis::Intervals,
    ) -> Vec<Line> {
        let id = link.population;
        let Some(SpikingOp::Population(p)) = self.network[id].as_spiking() else {
            return Vec::new();
        };
        let potentials = reachable.potentials(id);
        let lines: Option<Vec<Line>> =
            potentials.iter().enumerate().map(|(c, &v)| line(p, c, v)).collect();
        let staircase = p.neuron.fires() && p.neuron.levels().is_some();
        if !is_last && staircase && p.minimum < 0 {
            self.violation(
                id,
                format!(
                    "sends payloads down to {}, but NetX's sigma-delta neurons rectify",
                    p.minimum
                ),
                "put a ReLU before the quantiser, or use another target",
            );
        }
        if !is_last && staircase && !p.scale.is_empty() {
            let ceiling = p.maximum;
            self.note(
                id,
                format!(
                    "approximate: NetX's sigma-delta neurons neither round to codes nor saturate at {ceiling}"
                ),
            );
        }
        match lines {
            Some(lines) if is_last || staircase => lines,
            _ => {
                self.violation(
                    id,
                    "its activation is no rectified straight line, the only one that NetX's \
                     sigma-delta neurons have",
                    "use ReLU with at least two levels above zero, or another target",
                );
                Vec::new()
            }
        }
    }

    /// Weights and biases of one layer; `None` when it cannot be had.
    fn layer(
        &mut self,
        link: Link,
        lines: &[Line],
        sources: &Sources,
        next_fan_in: usize,
    ) -> Option<Layer> {
        let node = &self.network[link.projection];
        let (Some(SpikingOp::Projection(p)), Some(data)) = (node.as_spiking(), &node.data) else {
            return None;
        };
        let Some(SpikingOp::Population(neurons)) = self.network[link.population].as_spiking()
        else {
            return None;
        };
        let own = node.ty.shape.first().copied().unwrap_or(1).max(1);
        let before = self.network.source(link.projection, 0)?;
        let sending = self.network[before].ty.shape.first().copied().unwrap_or(1);
        let twice = (lines.len() == 2 * own, sources.unit.len() == 2 * sending);
        let Synapses { shape, weights } = Synapses::doubled(data, twice.0, twice.1)?;
        let bias: Vec<i64> = (0..lines.len()).map(|c| neurons.bias_at(c % own)).collect();
        let rows = shape.first().copied().unwrap_or(0);
        let width = weights.len() / rows.max(1);
        if lines.is_empty() {
            // What is wrong has been said.
            return None;
        }
        if rows != lines.len() || width == 0 {
            self.violation(
                link.projection,
                format!("its {rows} neurons are shaped as a map of {} channels", lines.len()),
                "leave the reshape out",
            );
            return None;
        }
        let channels = source_channels(p, &shape, sources.unit.len());
        let mut choices: Vec<Option<Choice>> = Vec::with_capacity(rows);
        for (c, weights) in weights.chunks(width).enumerate() {
            let Line { slope, offset } = lines[c];
            let channels = &channels[c / (rows / channels.len()).max(1)];
            let slope_of_weights = slope * p.gain_at(c % own) as f64;
            let full_scale = match neurons.neuron.fires() {
                false => typical_size(weights, channels, sources) * slope_of_weights.abs(),
                true => neurons.maximum.max(1) as f64,
            };
            let row = Row {
                weights,
                channels,
                slope: slope_of_weights,
                beta: slope * bias[c] as f64 + offset,
                full_scale,
                next_fan_in,
            };
            choices.push(choose(&row, sources));
        }
        let choices = self.complete(link, choices, lines, &bias, width)?;
        let mut layer = Layer { choices, shape };
        self.guard(link, &p.connectivity, &mut layer)?;
        self.account(link, &layer);
        Some(layer)
    }

    fn dead(&mut self, link: Link) {
        self.violation(
            link.projection,
            "all its weights are 0, so that nothing reaches its neurons",
            "remove the layer, or train it",
        );
    }

    /// What is wrong with the weights of a layer whatever arrives.
    fn check_weights(&mut self, link: Link) {
        let weights = self.network[link.projection].data.as_ref().and_then(|d| d.to_i64().ok());
        if weights.is_some_and(|all| all.iter().all(|&w| w == 0)) {
            self.dead(link);
        }
    }

    /// Gives the channels without weights a unit as well.
    fn complete(
        &mut self,
        link: Link,
        choices: Vec<Option<Choice>>,
        lines: &[Line],
        bias: &[i64],
        width: usize,
    ) -> Option<Vec<Choice>> {
        let Some(t) = choices.iter().flatten().map(|c| c.t).reduce(f64::min) else {
            self.dead(link);
            return None;
        };
        let constant = |c: usize| {
            let beta = lines[c].slope * bias[c] as f64 + lines[c].offset;
            let bias = (beta * t / 4096.0).round().clamp(-4096.0, 4095.0) as i64;
            let range = Interval::new(0, 0).union(Interval::new(bias << 12, bias << 12));
            Choice { weights: vec![0; width], bias, t, error: 0.0, range }
        };
        let whole = choices.into_iter().enumerate();
        Some(whole.map(|(c, choice)| choice.unwrap_or_else(|| constant(c))).collect())
    }

    /// Keeps NetX's loader from changing the weights of a dense layer.
    fn guard(&mut self, link: Link, connectivity: &Connectivity, layer: &mut Layer) -> Option<()> {
        if *connectivity != Connectivity::Dense {
            return Some(());
        }
        let mut all: Vec<i64> =
            layer.choices.iter().flat_map(|c| c.weights.iter().copied()).collect();
        match weights::repair(&mut all) {
            Ok(0) => {}
            Ok(changed) => {
                let width = all.len() / layer.choices.len().max(1);
                for (choice, row) in layer.choices.iter_mut().zip(all.chunks(width.max(1))) {
                    choice.weights = row.to_vec();
                }
                self.note(
                    link.projection,
                    format!(
                        "{changed} weights changed by one: NetX would have rounded a smallest \
                         weight of minus a power of two"
                    ),
                );
            }
            Err(fault) => {
                self.violation(link.projection, fault.to_string(), fault.remedy());
                return None;
            }
        }
        Some(())
    }

    /// Notes how exact the layer is, and whether its state is proved to fit.
    fn account(&mut self, link: Link, layer: &Layer) {
        let error = layer.choices.iter().fold(0.0, |m: f64, c| m.max(c.error));
        self.note(
            link.projection,
            format!(
                "approximate: integer weights, biases and payloads are off by about {:.2} % of the \
                 full scale (RMS, estimated)",
                100.0 * error
            ),
        );
        let worst = layer
            .choices
            .iter()
            .map(|c| c.range.high.saturating_sub(c.range.low))
            .max()
            .unwrap_or(0);
        let bits = 65 - worst.leading_zeros();
        self.state_bits = self.state_bits.max(bits);
        let open = layer.choices.iter().filter(|c| !c.is_proved()).count();
        if open > 0 {
            self.note(
                link.population,
                format!(
                    "{open} of {} channels are not proved to stay within {STATE_BITS} bits for \
                     every input: the worst case needs {bits}",
                    layer.choices.len()
                ),
            );
        }
        let largest = layer.choices.iter().flat_map(|c| &c.weights).map(|w| w.abs()).max();
        self.largest_weight = self.largest_weight.max(largest.unwrap_or(0));
    }

    /// Adds a projection and its population.
    fn add_layer(&mut self, link: Link, source: NodeId, layer: &Layer, is_last: bool) -> NodeId {
        let (from, to) = (&self.network[link.projection], &self.network[link.population]);
        let connectivity = match from.as_spiking() {
            Some(SpikingOp::Projection(p)) => p.connectivity.clone(),
            _ => Connectivity::Dense,
        };
        let projection = Projection {
            accumulator: accumulator(connectivity != Connectivity::Dense),
            ..Projection::exact(connectivity)
        };
        let weights: Vec<i64> =
            layer.choices.iter().flat_map(|c| c.weights.iter().copied()).collect();
        let mut map = to.ty.shape.clone();
        if let Some(channels) = map.first_mut() {
            *channels = layer.choices.len();
        }
        let mut node =
            Node { name: from.name.clone(), ..spiking(from, SpikingOp::Projection(projection)) };
        node.ty.shape.clone_from(&map);
        let projection =
            self.output.add(node.with_data(Tensor::from_integers(&layer.shape, &weights)), &[]);
        self.output.connect(source, projection, 1);

        let canonical = match to.as_spiking() {
            Some(SpikingOp::Population(p)) => p.scale.clone(),
            _ => Vec::new(),
        };
        let neuron = if is_last {
            sigma_delta(SigmaDeltaRole::Sigma, 0, Vec::new())
        } else {
            let bias: Vec<i64> = layer.choices.iter().map(|c| c.bias).collect();
            let silent = bias.iter().all(|&b| b == 0);
            sigma_delta(SigmaDeltaRole::SigmaDelta, 0, if silent { Vec::new() } else { bias })
        };
        let scale = layer.choices.iter().enumerate().filter_map(|(c, choice)| {
            let code = canonical.get(c % canonical.len().max(1))?;
            let unit = if is_last { 1.0 / choice.t } else { choice.unit() };
            Some((f64::from(*code) * unit) as f32)
        });
        let population = Population { scale: scale.collect(), ..population(neuron) };
        let mut node =
            Node { name: to.name.clone(), ..spiking(to, SpikingOp::Population(population)) };
        node.ty.shape = map;
        self.output.add(node, &[projection])
    }

    /// The output: the bias of the last layer, which NetX's `Sigma` cannot add, is in the zero.
    fn decoder(&mut self, chain: &Chain, last: NodeId, layer: &Layer, lines: &[Line]) {
        let node = &self.network[chain.decoder];
        let Some(SpikingOp::Decoder(d)) = node.as_spiking() else { return };
        let Some(link) = chain.links.last() else { return };
        let bias = |c: usize| match self.network[link.population].as_spiking() {
            Some(SpikingOp::Population(p)) => p.bias_at(c),
            _ => 0,
        };
        // Scores may be fewer or more dimensions than neurons, but in the same order.
        let pick = |n: usize, c: usize| if n == 1 { 0 } else { c };
        let (mut scale, mut zero) = (Vec::new(), Vec::new());
        for (c, choice) in layer.choices.iter().enumerate() {
            let unit = f64::from(d.scale[pick(d.scale.len(), c)]);
            let from = d.zero.get(pick(d.zero.len(), c)).copied().unwrap_or(0) as f64;
            let beta = lines[c].slope * bias(c) as f64 + lines[c].offset;
            scale.push((unit / choice.t) as f32);
            zero.push(((from - beta) * choice.t).round() as i64);
        }
        let decoder = Decoder { readout: Readout::Last, scale, zero };
        let mut added =
            Node { name: node.name.clone(), ..spiking(node, SpikingOp::Decoder(decoder)) };
        added.ty.dtype = DType::F32;
        self.output.add(added, &[last]);
    }

    fn finish(mut self) -> Result<Legalised, Vec<Violation>> {
        if !self.violations.is_empty() {
            return Err(self.violations);
        }
        self.output.timing = Timing { timesteps: self.steps, ..Timing::default() };
        let fit = vec![
            FitRow {
                resource: "largest weight".into(),
                used: self.largest_weight.unsigned_abs(),
                available: Some(FINE_WEIGHT.unsigned_abs()),
            },
            FitRow {
                // Not a limit that decides on its own: the worst case need not be an input.
                resource: format!("state in the worst case (bits, of {STATE_BITS})"),
                used: self.state_bits.into(),
                available: None,
            },
        ];
        super::verified(self.output, self.notes, fit)
    }
}

/// Largest code of a layer.
fn ceiling(network: &Graph, link: Link) -> f64 {
    match network[link.population].as_spiking() {
        Some(SpikingOp::Population(p)) => p.maximum.max(1) as f64,
        _ => 1.0,
    }
}

/// Whether every neuron of a layer may see every channel of its source.
fn is_ungrouped(network: &Graph, link: Link) -> bool {
    match network[link.projection].as_spiking() {
        Some(SpikingOp::Projection(p)) => match p.connectivity {
            Connectivity::Convolution { groups, .. } => groups == 1,
            _ => true,
        },
        _ => false,
    }
}

/// A node of the same shape and origins.
fn spiking(like: &Node, op: SpikingOp) -> Node {
    Node::spiking("", op, like.ty.shape.clone()).with_origins(&like.origins)
}
