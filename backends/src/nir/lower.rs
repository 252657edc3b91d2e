//! From the integer network to the real one that NIR can say, and what it cannot.
//!
//! NIR's neurons live in continuous time and fire where the potential is *above* a threshold. Here a
//! timestep is `DT` seconds by Euler's method, potentials are the integers themselves, and
//! thresholds lie half a unit below the integer at which a neuron fires, so that neither the
//! comparison nor rounding to f32 matters to whoever runs it.

use std::collections::{BTreeSet, HashMap};

use snnc_ir::{
    BiasPlacement, Comparison, Connectivity, CurrentBasedNeuron, Graph, IntegrateAndFire, Leak,
    Neuron, NodeId, PerChannel, Population, Projection, RealEdge, RealFiring, RealLeak,
    RealNetwork, RealNeurons, RealNode, RealOp, RealSynapses, Reset, Schedule, SpikingOp,
    TimeTable,
};

use super::metadata::{array, number, payload, presentation, text};
use super::portable;
use super::write::Metadata;
use crate::{Note, Violation};

/// Seconds of one timestep: what snnTorch reckons with, whatever a file says.
pub(super) const DT: f32 = 1e-4;

/// Whether f32 holds an integer: one of 24 bits, or such times a power of two.
fn is_exact(x: i64) -> bool {
    i128::from(x) == x as f32 as i128
}

/// The real network, what is beside each node, and what the user should know.
pub(super) struct Lowered {
    pub(super) network: RealNetwork,
    pub(super) metadata: Vec<Metadata>,
    pub(super) notes: Vec<Note>,
}

/// Lowers a network.
pub(super) fn lower(graph: &Graph) -> Result<Lowered, Vec<Violation>> {
    let mut lowering = Lowering {
        graph,
        nodes: Vec::new(),
        edges: Vec::new(),
        last: HashMap::new(),
        names: BTreeSet::new(),
        notes: Vec::new(),
        violations: Vec::new(),
    };
    for id in graph.order().unwrap_or_default() {
        lowering.node(id);
    }
    lowering.connect();
    lowering.finish()
}

/// One number for each neuron out of those of the channels.
type Spread<'a> = dyn Fn(&dyn Fn(usize) -> f32) -> Vec<f32> + 'a;

struct Lowering<'a> {
    graph: &'a Graph,
    nodes: Vec<(RealNode, Metadata)>,
    /// By place in `nodes`, and whether it is late.
    edges: Vec<(usize, usize, bool)>,
    /// First and last of the nodes made of each node of the graph.
    last: HashMap<NodeId, (usize, usize)>,
    names: BTreeSet<String>,
    notes: Vec<Note>,
    violations: Vec<Violation>,
}

impl Lowering<'_> {
    fn refuse(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) {
        self.violations.push(Violation::new(&self.graph[id], reason, remedy));
    }

    fn note(&mut self, id: NodeId, text: impl Into<String>) {
        self.notes.push(Note { node: self.graph[id].describe(), text: text.into() });
    }

    /// A name that HDF5 can hold: a slash would be a group.
    fn name(&mut self, wanted: &str) -> String {
        let plain: String =
            wanted.chars().map(|c| if matches!(c, '/' | '\0') { '.' } else { c }).collect();
        let plain = if plain.trim_matches('.').is_empty() { format!("node{plain}") } else { plain };
        let mut name = plain.clone();
        for i in 1.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{plain}.{i}");
        }
        name
    }

    fn push(&mut self, name: &str, op: RealOp, shape: &[usize], metadata: Metadata) -> usize {
        let name = self.name(name);
        self.nodes.push((RealNode { name, op, shape: shape.to_vec() }, metadata));
        self.nodes.len() - 1
    }

    fn node(&mut self, id: NodeId) {
        let node = &self.graph[id];
        let shape = node.ty.shape.clone();
        let own = match node.as_spiking() {
            Some(SpikingOp::Encoder(_)) => {
                let metadata = text("presentation", &presentation(node.as_spiking()));
                let place = self.push(&node.name, RealOp::Input, &shape, metadata);
                (place, place)
            }
            Some(SpikingOp::Decoder(_)) => {
                let place = self.push(&node.name, RealOp::Output, &shape, Metadata::new());
                (place, place)
            }
            Some(SpikingOp::Projection(p)) => match self.projection(id, p) {
                Some(own) => own,
                None => return,
            },
            Some(SpikingOp::Population(p)) => match self.population(id, p) {
                Some(place) => (place, place),
                None => return,
            },
            Some(SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. }) => {
                let remedy = "train the network with average pooling or strides";
                return self.refuse(id, "NIR has no maximum over windows", remedy);
            }
            Some(SpikingOp::Concatenate { .. }) => {
                let remedy = "add the branches instead of joining them";
                return self.refuse(id, "NIR does not join maps", remedy);
            }
            None => return self.refuse(id, "is no part of a spiking network", ""),
        };
        self.last.insert(id, own);
    }

    /// The synapses; a map is flattened before a dense layer.
    fn projection(&mut self, id: NodeId, p: &Projection) -> Option<(usize, usize)> {
        let node = &self.graph[id];
        let source = self.graph.source(id, 0).map(|s| self.graph[s].ty.shape.clone())?;
        if !p.input_shift.is_empty() || !p.delays.is_empty() || p.binary {
            let reason = "shifts, delays or binarises payloads in its synapses";
            self.refuse(id, reason, "compile without options that bring them in");
            return None;
        }
        let (Some(data), Some(user)) = (&node.data, self.graph.users(id).first().copied()) else {
            self.refuse(id, "has no weights or no target", "");
            return None;
        };
        let remedy = "compile it for another target";
        match &p.connectivity {
            Connectivity::Dense if node.ty.shape.iter().skip(1).any(|&d| d > 1) => {
                let reason = "projects onto a map by weights of their own for every neuron, and NIR \
                              does not shape what a linear layer gives as a map";
                self.refuse(id, reason, remedy);
                return None;
            }
            Connectivity::Convolution { window, .. } if window.rank() > 2 => {
                let reason =
                    format!("convolves maps of {} dimensions, NIR of 1 or 2", window.rank());
                self.refuse(id, reason, remedy);
                return None;
            }
            _ => {}
        }
        let weights = data.to_i64().unwrap_or_default();
        let filters = data.shape().first().copied().unwrap_or(1).max(1);
        let each = (weights.len() / filters).max(1);
        let factor = self.gain(user);
        let weights: Vec<i64> = weights
            .iter()
            .enumerate()
            .map(|(i, w)| w.saturating_mul(p.gain_at(i / each)).saturating_mul(factor))
            .collect();
        if !weights.iter().all(|&w| is_exact(w)) {
            if self.graph.sources(user).len() < 2 {
                let reason = "has weights of more than the 24 bits that f32 holds";
                self.refuse(id, reason, "use fewer bits");
                return None;
            }
            self.note(
                id,
                "meets an operand of another scale: their common unit takes more than the 24 bits of \
                 f32, so that other readers' potentials are off by up to 2^-24 of their size",
            );
        }
        let bias: Vec<i64> = self.bias(id, user).iter().map(|b| b.saturating_mul(factor)).collect();
        let real = |v: &[i64]| v.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let per_filter = |count: usize| -> Vec<f32> {
            match bias.as_slice() {
                [] => vec![0.0; count],
                [one] => vec![*one as f32; count],
                all => real(all),
            }
        };
        let shape = &node.ty.shape;
        let bits = weights.iter().map(|w| 65 - w.unsigned_abs().leading_zeros()).max();
        let metadata = number("weight_bits", i64::from(bits.unwrap_or(1).min(64)));
        let flat = match p.connectivity {
            Connectivity::Dense if source.len() > 1 => {
                let name = format!("{}.flatten", node.name);
                let count = source.iter().product();
                Some(self.push(&name, RealOp::Flatten, &[count], Metadata::new()))
            }
            _ => None,
        };
        let op = match &p.connectivity {
            Connectivity::Dense => {
                RealOp::Dense { weights: real(&weights), bias: Some(per_filter(filters)) }
            }
            Connectivity::Convolution { window, groups } => {
                let square = portable::square(window, *groups, (&real(&weights), &source));
                if square.0.before != square.0.after {
                    let remedy = "pad both sides alike";
                    self.refuse(id, "pads its sides differently, which NIR cannot express", remedy);
                    return None;
                }
                RealOp::Convolution {
                    window: square.0,
                    groups: 1,
                    weights: square.1,
                    bias: per_filter(filters),
                }
            }
            Connectivity::OneToOne => {
                if !bias.is_empty() {
                    let remedy = "give its source a weight for the bias";
                    self.refuse(id, "has a bias and weights from one neuron to one", remedy);
                    return None;
                }
                let plane = shape.iter().skip(1).product::<usize>().max(1);
                let factor = weights.iter().flat_map(|&w| std::iter::repeat_n(w as f32, plane));
                RealOp::Scale { factor: factor.collect() }
            }
        };
        let place = self.push(&node.name, op, shape, metadata);
        if let Some(flat) = flat {
            self.edges.push((flat, place, false));
        }
        Some((flat.unwrap_or(place), place))
    }

    /// What the weights onto a population are multiplied by: a leak divides what arrives.
    fn gain(&self, user: NodeId) -> i64 {
        let Some(SpikingOp::Population(p)) = self.graph[user].as_spiking() else { return 1 };
        match p.neuron.get::<IntegrateAndFire>().map(|n| n.leak) {
            Some(Leak::Subtracting { shift }) => 1 << shift.min(62),
            _ => 1,
        }
    }

    /// The bias of a population, on the first of its projections that has a place for it.
    fn bias(&self, id: NodeId, user: NodeId) -> Vec<i64> {
        match self.graph[user].as_spiking() {
            Some(SpikingOp::Population(p)) if !self.is_late(p) => {
                let sources = self.graph.sources(user);
                let has_place = |&&s: &&NodeId| {
                    !matches!(self.graph[s].as_spiking(), Some(SpikingOp::Projection(p))
                        if p.connectivity == Connectivity::OneToOne)
                };
                match sources.iter().find(has_place).or(sources.first()) {
                    Some(&carrier) if carrier == id => p.bias.clone(),
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    /// Whether the bias comes once in several timesteps.
    fn is_late(&self, p: &Population) -> bool {
        self.graph.timing.timesteps > 1 && p.bias_placement != BiasPlacement::EveryTimestep
    }

    fn population(&mut self, id: NodeId, p: &Population) -> Option<usize> {
        let (timing, node) = (self.graph.timing, &self.graph[id]);
        if timing.timesteps > 1 && timing.schedule == Schedule::LayerSynchronous {
            let remedy = "compile it with --code rate or multi-level";
            self.refuse(id, "waits for a whole frame, and NIR has none", remedy);
            return None;
        }
        let channels = node.ty.shape.first().copied().unwrap_or(1).max(1);
        let plane = (node.ty.len() / channels).max(1);
        let spread = |of: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..channels * plane).map(|i| of(i / plane)).collect()
        };
        let plain = |firing: Option<RealFiring>| RealNeurons {
            synapses: None,
            leak: None,
            resistance: vec![1.0 / DT; channels * plane],
            firing,
        };
        let fires = |threshold: &dyn Fn(usize) -> i64| {
            let threshold = spread(&|c| threshold(c) as f32 - 0.5);
            Some(RealFiring { threshold, reset: vec![0.0; channels * plane] })
        };
        let mut metadata = payload(p);
        if self.is_late(p) && !p.bias.is_empty() {
            metadata.extend(array("bias", &p.bias));
            metadata.extend(text("bias_placement", "once"));
            self.note(
                id,
                "adds its bias once a frame, which NIR cannot express: it is in the metadata",
            );
        }
        let neurons = match &p.neuron {
            Neuron::Accumulate => plain(None),
            Neuron::Graded(n) => plain(fires(&|c| n.threshold(c, n.minimum.max(0) + 1))),
            Neuron::Thresholds(n) if n.thresholds.iter().all(|row| !row.is_empty()) => {
                plain(fires(&|c| PerChannel::of(&n.thresholds).at(c)[0]))
            }
            Neuron::IntegrateAndFire(n) => {
                self.integrate_and_fire(id, n, &spread, &mut metadata)?
            }
            Neuron::CurrentBased(n) => self.current_based(id, n, plane, channels)?,
            Neuron::Float(_) => {
                let reason = "is in float32, and this target writes integer networks";
                let remedy = "let the framework that trained it write NIR (snntorch.export_to_nir), or \
                              compile for reference, spleat or loihi";
                self.refuse(id, reason, remedy);
                return None;
            }
            _ => {
                let remedy =
                    "use an activation that never falls, such as ReLU, or compile for reference";
                self.refuse(id, "has neurons that NIR has no primitive for", remedy);
                return None;
            }
        };
        if p.maximum > 1 && neurons.firing.is_some() {
            let bits = p.payload_bits();
            let text = format!(
                "sends payloads of {bits} bits, which NIR cannot express: other readers run neurons that \
                 send one spike a timestep"
            );
            self.note(id, text);
        }
        Some(self.push(&node.name, RealOp::Neurons(neurons), &node.ty.shape, metadata))
    }

    fn integrate_and_fire(
        &mut self,
        id: NodeId,
        n: &IntegrateAndFire,
        spread: &Spread<'_>,
        metadata: &mut Metadata,
    ) -> Option<RealNeurons> {
        let constant = |t: &TimeTable| t.0.iter().all(|row| row.len() == 1);
        let once = match &n.reset {
            Reset::SoftBy(amount) => constant(amount),
            _ => true,
        };
        if !(constant(&n.threshold) && once && n.signed_limit.is_none() && n.decode.is_none()) {
            let reason = "has thresholds or spikes' values that change in time, or negative spikes";
            self.refuse(id, reason, "compile it with --code rate or multi-level");
            return None;
        }
        let above = if n.comparison == Comparison::Above { 0.5 } else { -0.5 };
        let threshold = spread(&|c| n.threshold.at(c, 0) as f32 + above);
        let (name, reset) = match n.reset {
            Reset::Hard(value) => ("hard", value as f32),
            Reset::Soft | Reset::SoftBy(_) => ("soft", 0.0),
        };
        metadata.extend(text("reset", name));
        if name == "soft" {
            self.note(id, "resets by subtraction, which NIR cannot express: it is in the metadata");
        }
        let neurons = threshold.len();
        let table: Vec<i64> = n.threshold.0.iter().flatten().copied().collect();
        metadata.extend(array("threshold", &table));
        if n.initial.iter().any(|&v| v != 0) {
            metadata.extend(array("initial", &n.initial));
            self.note(id, "starts at a potential that NIR cannot express: it is in the metadata");
        }
        let leak = match n.leak {
            Leak::None => None,
            Leak::Subtracting { shift } if shift <= 20 => {
                let tau = DT * (1u32 << shift) as f32;
                Some(RealLeak { tau: vec![tau; neurons], potential: vec![0.0; neurons] })
            }
            _ => {
                let reason = "has a leak that rounds the potential itself";
                self.refuse(id, reason, "use a leak that subtracts a share of at least 2^-20");
                return None;
            }
        };
        let resistance = if leak.is_some() { 1.0 } else { 1.0 / DT };
        let reset = vec![reset; neurons];
        let firing = Some(RealFiring { threshold, reset });
        Some(RealNeurons { synapses: None, leak, resistance: vec![resistance; neurons], firing })
    }

    /// `u += -d_u u + (in << 6)`, `v += -d_v v + u + bias`, decays in 1/4096.
    fn current_based(
        &mut self,
        id: NodeId,
        n: &CurrentBasedNeuron,
        plane: usize,
        channels: usize,
    ) -> Option<RealNeurons> {
        let neurons = plane * channels;
        if n.current_decay <= 0 || n.voltage_decay <= 0 || n.reset.is_some() {
            let reason = "has a current or voltage without decay, or resets periodically";
            self.refuse(id, reason, "use decays of at least 1/4096 and no periodic reset");
            return None;
        }
        let steps = |decay: i64| 4096.0 / decay as f32;
        let (current, voltage) = (steps(n.current_decay), steps(n.voltage_decay));
        let bias = |i: usize| match n.bias.as_slice() {
            [] => 0.0,
            [one] => *one as f32,
            all if all.len() == neurons => all[i] as f32,
            all => all.get(i / plane).copied().unwrap_or(0) as f32,
        };
        let shift = f32::from(n.bias_exponent).exp2();
        self.note(id, "truncates its state to integers, which NIR's equations do not");
        Some(RealNeurons {
            synapses: Some(RealSynapses {
                tau: vec![DT * current; neurons],
                weight: vec![64.0 * current; neurons],
            }),
            leak: Some(RealLeak {
                tau: vec![DT * voltage; neurons],
                potential: (0..neurons).map(|i| bias(i) * shift * voltage).collect(),
            }),
            resistance: vec![voltage; neurons],
            firing: n.fires.then(|| RealFiring {
                threshold: vec![(n.threshold << 6) as f32 + 0.5; neurons],
                reset: vec![0.0; neurons],
            }),
        })
    }

    fn connect(&mut self) {
        for id in self.graph.ids() {
            for operand in self.graph.operands(id) {
                let ends = (self.last.get(&operand.source), self.last.get(&id));
                let (Some(&(_, from)), Some(&(to, _))) = ends else { continue };
                if operand.delay > 1 {
                    let remedy = "compile it without a latency of hops";
                    self.refuse(id, "is reached after several timesteps", remedy);
                }
                self.edges.push((from, to, operand.delay > 0));
            }
        }
    }

    /// Nodes in the order of their names and edges in that of the nodes, as files have them.
    fn finish(self) -> Result<Lowered, Vec<Violation>> {
        if !self.violations.is_empty() {
            return Err(self.violations);
        }
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by(|&a, &b| self.nodes[a].0.name.cmp(&self.nodes[b].0.name));
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        let mut edges: Vec<RealEdge> = self
            .edges
            .iter()
            .map(|&(source, target, recurrent)| RealEdge {
                source: place[source],
                target: place[target],
                recurrent,
            })
            .collect();
        edges.sort_by_key(|e| (e.source, e.target));
        let mut all: Vec<Option<(RealNode, Metadata)>> = self.nodes.into_iter().map(Some).collect();
        let sorted = order.into_iter().filter_map(|old| all[old].take());
        let (nodes, metadata) = sorted.unzip();
        Ok(Lowered { network: RealNetwork { nodes, edges }, metadata, notes: self.notes })
    }
}
