//! The canonical network in Akida's arithmetic.
//!
//! Populations become layers one by one; where a population differs from the reference for some
//! accumulators, or uses a range that the chip does not have, a note says so. What cannot be said at
//! all is a violation, and all of them are reported together.

mod copies;
mod one;
mod overflow;
mod synapses;
mod two;

use std::collections::{HashMap, HashSet};

use snnc_ir::analysis::{Intervals, intervals};
use snnc_ir::{
    Coding, Decoder, Encoder, Graph, NodeId, Op, Population, Presentation, SpikingOp, Verified,
    verify,
};

use super::layer::{Layer, LayerType, Version};
use super::lift::{payloads, set_weight_bits};
use super::lower::lower;
use super::rules;
use super::spec::{Decoding, Encoding, Spec};
use crate::{Legalised, Note, TargetOptions, Violation};

/// The network as layers of one generation, and those layers as spiking IR.
///
/// # Errors
/// Everything that the generation, or the chosen device, cannot hold.
pub fn legalise(
    version: Version,
    network: &Verified,
    options: &TargetOptions,
) -> Result<Legalised, Vec<Violation>> {
    let mut legaliser = Legaliser::new(version, network, options)?;
    let order = network.order().map_err(|e| vec![whole(e.to_string(), "")])?;
    for id in order {
        legaliser.node(id);
    }
    legaliser.finish(options)
}

fn whole(reason: impl Into<String>, remedy: &str) -> Violation {
    Violation { node: "the network".into(), reason: reason.into(), remedy: remedy.into() }
}

/// What a layer sends, in terms of the canonical payloads that it stands for.
#[derive(Clone, Debug)]
struct Signal {
    /// Name of the layer.
    layer: String,
    /// Canonical units in one unit of what is sent.
    ratio: f64,
    /// Smallest and largest that is sent.
    range: (i64, i64),
    /// Map (C, X, Y) that is sent.
    map: [usize; 3],
    /// First row and column of the canonical map within it.
    offset: [usize; 2],
}

struct Legaliser<'a> {
    version: Version,
    graph: &'a Graph,
    intervals: Intervals,
    spec: Spec,
    signals: HashMap<NodeId, Signal>,
    /// Canonical population and projection behind each layer.
    owners: HashMap<String, (NodeId, NodeId)>,
    /// Real value of one unit of what a layer sends.
    scales: HashMap<String, Vec<f32>>,
    absorbed: HashSet<NodeId>,
    /// Layers whose windows a device would have with another padding: reason and remedy, in the model's terms.
    paddings: HashMap<String, (String, String)>,
    /// Input convolutions whose larger half of padding comes first, which send 8 bits only.
    upper: HashSet<NodeId>,
    violations: Vec<Violation>,
    notes: Vec<Note>,
    device: Option<&'static rules::Device>,
    /// Most copies of a filter.
    copies: usize,
}

impl<'a> Legaliser<'a> {
    fn new(
        version: Version,
        network: &'a Verified,
        options: &TargetOptions,
    ) -> Result<Self, Vec<Violation>> {
        let copies = options.whole("copies").unwrap_or(copies::MOST_COPIES);
        let device = rules::device(version, options.device.as_deref());
        if device.is_none() {
            let name = options.device.as_deref().unwrap_or_default();
            return Err(vec![whole(format!("there is no device `{name}`"), "see `snnc targets`")]);
        }
        if network.timing.timesteps != 1 {
            let reason = format!("it takes {} timesteps; Akida runs one", network.timing.timesteps);
            return Err(vec![whole(reason, "use `--code graded`")]);
        }
        let intervals = intervals(network).map_err(|e| vec![whole(e.to_string(), "")])?;
        Ok(Legaliser {
            version,
            graph: network,
            intervals,
            spec: Spec {
                network: network.name.clone(),
                version,
                layers: Vec::new(),
                shapes: Vec::new(),
                encoding: None,
                decoding: None,
            },
            signals: HashMap::new(),
            owners: HashMap::new(),
            scales: HashMap::new(),
            absorbed: HashSet::new(),
            paddings: HashMap::new(),
            upper: HashSet::new(),
            violations: Vec::new(),
            notes: Vec::new(),
            device,
            copies,
        })
    }

    fn violation(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) {
        self.violations.push(Violation::new(&self.graph[id], reason, remedy));
    }

    fn note(&mut self, id: NodeId, text: impl Into<String>) {
        self.notes.push(Note { node: self.graph[id].describe(), text: text.into() });
    }

    fn node(&mut self, id: NodeId) {
        let Op::Spiking(op) = &self.graph[id].op else { return };
        if self.graph.operands(id).iter().any(|o| o.delay > 0) {
            self.violation(id, "an input that arrives later", "Akida runs one timestep");
        }
        match op {
            SpikingOp::Encoder(e) => self.encoder(id, e),
            SpikingOp::Projection(_) => {}
            SpikingOp::Population(p) => match self.version {
                Version::V1 => self.population_one(id, p),
                Version::V2 => self.population_two(id, p),
            },
            SpikingOp::MaxPool { .. } if self.absorbed.contains(&id) => {}
            SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. } => {
                self.violation(
                    id,
                    "Akida pools only behind a convolution that nothing else reads, in its padding mode",
                    "put the MaxPool right behind a convolution's activation",
                );
                self.pass_on(id);
            }
            SpikingOp::Concatenate { axis } => self.concatenate(id, *axis),
            SpikingOp::Decoder(d) => self.decoder(id, d),
        }
    }

    /// Lets later layers be checked although this node cannot be built.
    fn pass_on(&mut self, id: NodeId) {
        let signal = self.graph.source(id, 0).and_then(|s| self.signals.get(&s)).cloned();
        self.signals.extend(signal.map(|s| (id, s)));
    }

    fn encoder(&mut self, id: NodeId, encoder: &Encoder) {
        if self.spec.encoding.is_some() {
            self.violation(id, "a second input; an Akida model has one", "join the inputs");
            return;
        }
        if encoder.presentation != Presentation::Once {
            self.violation(id, "an input over several timesteps", "use `--code graded`");
        }
        let node = &self.graph[id];
        let (low, high) = payloads(encoder);
        self.spec.encoding = Some(Encoding {
            name: node.name.clone(),
            shape: node.ty.shape.clone(),
            encoder: encoder.clone(),
        });
        let pixels = self.takes_pixels(id, (low, high));
        if !pixels {
            self.input_data(id, (low, high));
        }
        let range = if pixels { (low, high) } else { (low.max(-128), high.min(127)) };
        let Some(map) = self.map(id) else { return };
        let layer = node.name.clone();
        self.signals.insert(id, Signal { layer, ratio: 1.0, range, map, offset: [0, 0] });
    }

    /// Whether an input goes into an input convolution; everything else goes through InputData.
    fn takes_pixels(&self, id: NodeId, (low, high): (i64, i64)) -> bool {
        let channels = self.graph[id].ty.shape.first().copied().unwrap_or(0);
        let users = self.graph.users(id);
        let convolution = |&u: &NodeId| self.convolution_groups(u) == Some(1);
        let image = self.graph[id].ty.shape.len() == 3
            && matches!(channels, 1 | 3)
            && users.len() == 1
            && users.iter().all(convolution)
            && high - low <= 255;
        image && (self.version == Version::V2 || low < 0 || high > 15)
    }

    fn input_data(&mut self, id: NodeId, (low, high): (i64, i64)) {
        let shape = &self.graph[id].ty.shape;
        let (c, x, y) = match *shape.as_slice() {
            [c] => (c, 1, 1),
            [c, x, y] => (c, x, y),
            ref other => {
                let reason = format!("an input of shape {other:?}; Akida takes maps (C, H, W)");
                self.violation(id, reason, "use an input of 3 dimensions and the batch");
                return;
            }
        };
        let fits = match self.version {
            Version::V1 => low >= 0 && high <= 15,
            Version::V2 => low >= -128 && high <= 127,
        };
        if !fits {
            let takes = match self.version {
                Version::V1 => "codes 0 to 15",
                Version::V2 => "codes -128 to 127",
            };
            let reason = format!(
                "an input with codes {low} to {high} must feed exactly one convolution with 1 or 3 channels; any other input of Akida {} takes {takes}",
                generation(self.version)
            );
            let remedy = "start the network with a convolution over 1 or 3 channels, or quantise its input to fewer bits";
            self.violation(id, reason, remedy);
        }
        let layer = super::lift::input_data(
            self.version,
            &self.graph[id].name,
            [c, x, y],
            (low.max(-128), high.min(127)),
        );
        self.spec.layers.push(layer);
    }

    fn decoder(&mut self, id: NodeId, decoder: &Decoder) {
        let node = &self.graph[id];
        if self.spec.decoding.is_some() {
            self.violation(id, "a second output; an Akida model has one", "join the outputs");
            return;
        }
        self.spec.decoding = Some(Decoding {
            name: node.name.clone(),
            shape: node.ty.shape.clone(),
            decoder: decoder.clone(),
        });
        let source = self.graph.source(id, 0).and_then(|s| self.signals.get(&s)).cloned();
        if let (Some(signal), Version::V2) = (source, self.version) {
            let units = self.scales.get(&signal.layer).cloned();
            let layer =
                Layer::new(node.name.clone(), LayerType::Dequantizer).after(signal.layer.clone());
            if let (Some(units), Some(decoding)) = (units, &mut self.spec.decoding) {
                decoding.decoder.scale = units;
            }
            self.spec.layers.push(layer);
        }
    }

    /// The pooling behind a population, if nothing else reads it.
    fn pool_behind(&self, id: NodeId) -> Option<NodeId> {
        match self.graph.users(id).as_slice() {
            &[user] if matches!(self.graph[user].as_spiking(), Some(SpikingOp::MaxPool { .. })) => {
                Some(user)
            }
            _ => None,
        }
    }

    /// Remembers a layer: what sends like the canonical `id`, and where it came from. What reads a layer
    /// that hands on what it cannot be read from directly gets an identity convolution.
    fn push(&mut self, layer: Layer, id: NodeId, projection: NodeId, mut signal: Signal) {
        self.owners.insert(layer.name.clone(), (id, projection));
        let pool = self.pool_behind(id).filter(|p| self.absorbed.contains(p));
        let sender = pool.unwrap_or(id);
        let users = self.graph.users(sender);
        let plain = |&u: &NodeId| self.convolution_groups(u).is_some();
        let direct = users.iter().all(plain);
        let crowded = layer.kind == LayerType::InputConv2D && (users.len() > 1 || !direct);
        self.spec.layers.push(layer);
        if (pool.is_some() && !direct) || crowded {
            let wanted =
                pool.map_or(format!("{}.copy", signal.layer), |p| self.graph[p].name.clone());
            let identity = match self.version {
                Version::V1 => self.identity_one(wanted.clone(), &signal),
                Version::V2 => self.identity_two(wanted.clone(), &signal, sender),
            };
            self.spec.layers.push(identity);
            self.owners.insert(wanted.clone(), (sender, projection));
            let reason = if pool.is_some() {
                "a dense layer, an addition or the output cannot follow a max-pool directly"
            } else {
                "an input convolution feeds one layer only"
            };
            self.note(sender, format!("{reason}: an identity convolution hands the payloads on"));
            signal.layer = wanted;
        }
        self.signals.insert(sender, signal);
    }

    fn finish(mut self, options: &TargetOptions) -> Result<Legalised, Vec<Violation>> {
        let named = |layer: &str| {
            let owner =
                self.owners.get(layer).map(|&(id, _)| id).or_else(|| self.graph.find(layer));
            owner.map_or_else(|| format!("`{layer}`"), |id| self.graph[id].describe())
        };
        if self.version == Version::V2 {
            set_weight_bits(&mut self.spec.layers);
        }
        let broken = self.device.map(|d| rules::check(&self.spec, d)).unwrap_or_default();
        for broken in broken {
            let node = named(&broken.layer);
            if options.force {
                self.notes.push(Note { node, text: format!("does not fit: {}", broken.reason) });
            } else {
                let about_windows =
                    broken.rule.contains("padding") || broken.rule.contains("kernel");
                let padding = self.paddings.get(&broken.layer).filter(|_| about_windows).cloned();
                let (reason, remedy) = padding.unwrap_or((broken.reason, broken.remedy));
                let violation = Violation { node, reason, remedy };
                if !self.violations.contains(&violation) {
                    self.violations.push(violation);
                }
            }
        }
        if !self.violations.is_empty() {
            return Err(self.violations);
        }
        let mut graph = lower(&self.spec).map_err(|e| {
            vec![Violation { node: named(&e.layer), reason: e.reason, remedy: String::new() }]
        })?;
        self.annotate(&mut graph);
        self.report_saturation(&graph);
        let fit = rules::fit(&self.spec, self.device);
        let network = verify(graph).map_err(|errors| {
            errors.iter().map(|e| whole(e.to_string(), "")).collect::<Vec<_>>()
        })?;
        Ok(Legalised { network, notes: self.notes, fit })
    }

    /// Gives the nodes of a layer the origins and units of what they stand for.
    fn annotate(&self, graph: &mut Graph) {
        let ids: Vec<NodeId> = graph.ids().collect();
        for id in ids {
            let name = graph[id].name.clone();
            if let Some(own) = self.graph.find(&name) {
                graph[id].origins = self.graph[own].origins.clone();
            } else if let Some(&(population, projection)) = self.owner(&name) {
                let is_projection =
                    matches!(graph[id].as_spiking(), Some(SpikingOp::Projection(_)));
                let own = if is_projection { projection } else { population };
                graph[id].origins = self.graph[own].origins.clone();
            }
            if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op
                && let Some(scale) = self.scales.get(&name)
            {
                p.scale = scale.clone();
            }
        }
    }

    /// The layer of which `name` is an inner node: the longest that it starts with.
    fn owner(&self, name: &str) -> Option<&(NodeId, NodeId)> {
        let ends = name.rmatch_indices('.').map(|(at, _)| &name[..at]);
        ends.filter_map(|layer| self.owners.get(layer)).next()
    }
}

fn generation(version: Version) -> &'static str {
    match version {
        Version::V1 => "1.0",
        Version::V2 => "2.0",
    }
}

/// Whether a population is the network's answer rather than spikes.
fn is_read_out(p: &Population) -> bool {
    !p.neuron.fires()
}

impl Legaliser<'_> {
    /// Whether what a population sends depends on what arrives alone, as layers have it; says so if not.
    fn answers_once(&mut self, id: NodeId, p: &Population) -> bool {
        let answers = p.neuron.single_shot(0, 0).is_some();
        if !answers {
            let reason = format!("{}, which integrate over time", p.neuron.name());
            self.violation(id, reason, "use another target");
        }
        answers
    }
}

/// Whether a node's coding is the one that Akida has.
fn is_graded(p: &Population) -> bool {
    p.coding == Coding::Graded
}
