//! A rate-coded network as current-based neurons.
//!
//! The input drives neurons by a constant bias, and every layer counts spikes for T timesteps, one
//! timestep behind the layer before. Such a neuron differs from the integrate-and-fire neuron of the
//! coding in three ways, and each has its place here:
//!
//! * all neurons of a layer share a threshold: that of each channel goes into its weights;
//! * the potential begins at 0: what it began with is spread over the timesteps as bias;
//! * a spike sets it to 0, so that what exceeds the threshold is lost, about half of what a timestep
//!   brings. Neurons that fire rarely lose less of what they got: the largest code is `peak-rate`
//!   spikes a timestep, not one. What is still lost on average is made good by lower thresholds
//!   (`threshold.NAME`), for which a calibration set is asked, or else half the peak rate taken.

use snnc_ir::{
    Connectivity, CurrentBasedNeuron, DType, Decoder, Encoder, Graph, IntegrateAndFire, Leak,
    Neuron, Node, NodeId, Op, PerChannel, Population, Presentation, Projection, Readout, SpikingOp,
    Stage, Tensor, Timing, Verified,
};

use super::chain::{Chain, Link, chain};
use super::net::{
    BIAS_EXPONENT, BIASES, DECAY_ONE, FINE_WEIGHT, STATE_BITS, STATE_LIMIT, THRESHOLDS,
};
use super::read::{accumulator, population};
use super::settings::Settings;
use super::weights;
use crate::{FitRow, Legalised, Note, Violation};

/// Additions of a search for a threshold, about: larger layers get fewer candidates.
const SEARCH: usize = 100_000_000;
/// Most thresholds that are tried for a layer.
const CANDIDATES: usize = 400;

/// Whether the network is rate-coded.
pub(super) fn is_rate(network: &Graph) -> bool {
    network.ids().any(|id| {
        matches!(&network[id].op, Op::Spiking(SpikingOp::Population(p))
            if matches!(p.neuron, Neuron::IntegrateAndFire(_)))
    })
}

/// The network in NetX's current-based arithmetic.
///
/// # Errors
/// Everything in the network that NetX cannot hold.
pub(super) fn legalise(
    network: &Verified,
    settings: &Settings,
) -> Result<Legalised, Vec<Violation>> {
    let chain = chain(network)?;
    let presented = network.timing.timesteps;
    let mut legaliser = Legaliser {
        network,
        settings,
        presented: presented as f64,
        output: Graph::new(network.name.clone(), Stage::Spiking),
        notes: Vec::new(),
        violations: Vec::new(),
        current_bits: 0,
        largest_weight: 0,
    };
    let (mut last, mut gain) = legaliser.input(&chain)?;
    for &link in &chain.links {
        let layer = legaliser.layer(link, gain);
        // Only the first layer takes the input's unit, whether it can be had or not.
        gain = 1.0;
        let Some(layer) = layer else { continue };
        last = legaliser.add(link, last, &layer);
        if chain.links.last().is_some_and(|l| l.population == link.population) {
            legaliser.decoder(&chain, last, &layer);
        }
    }
    legaliser.finish(presented + chain.links.len())
}

/// Synapses and neurons of one layer in units of the threshold, or of the read-out's sum.
pub(super) struct Real {
    /// (targets, sources), with the gain of each target.
    pub weights: Vec<f64>,
    /// One for each target.
    pub bias: Vec<f64>,
    /// Whether there is a threshold, and `vDecay`.
    pub fires: Option<i64>,
}

/// The same in integers.
struct Layer {
    weights: Vec<i64>,
    bias: Vec<i64>,
    /// Integers to one unit of [`Real`]: the threshold where there is one.
    unit: f64,
    fires: Option<i64>,
}

struct Legaliser<'a> {
    network: &'a Graph,
    settings: &'a Settings,
    /// Timesteps for which the input is shown to each layer.
    presented: f64,
    output: Graph,
    notes: Vec<Note>,
    violations: Vec<Violation>,
    current_bits: u32,
    largest_weight: i64,
}

impl Legaliser<'_> {
    fn note(&mut self, id: NodeId, text: impl Into<String>) {
        self.notes.push(Note { node: self.network[id].describe(), text: text.into() });
    }

    fn violation(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) {
        self.violations.push(Violation::new(&self.network[id], reason, remedy));
    }

    /// The encoder and the neurons that it drives; units of payload that one spike stands for, times
    /// the peak rate.
    fn input(&mut self, chain: &Chain) -> Result<(NodeId, f64), Vec<Violation>> {
        let node = &self.network[chain.encoder];
        let Some(SpikingOp::Encoder(e)) = node.as_spiking() else {
            return Err(vec![Violation::new(node, "is no encoder", "")]);
        };
        let (low, high) = (e.minimum - e.zero_point, e.maximum - e.zero_point);
        if low < 0 || !(1..=BIASES.1).contains(&high) {
            let reason =
                format!("takes numbers {low} to {high}, of which rates hold 0 to {}", BIASES.1);
            let remedy = "feed the network with numbers from 0 up, or use --code sigma-delta";
            return Err(vec![Violation::new(node, reason, remedy)]);
        }
        let shape = node.ty.shape.clone();
        let encoder = Encoder { presentation: Presentation::EveryTimestep, ..e.clone() };
        let added = Node { name: node.name.clone(), ..like(node, SpikingOp::Encoder(encoder)) };
        let input = self.output.add(added, &[]);
        let name = self.network.fresh_name(&format!("{}.rate", node.name));
        let nominal = high as f64 / self.settings.peak_rate;
        let threshold = (nominal * self.factor(&name)).round().max(1.0) as i64;
        let neuron = current_based(0, threshold, Vec::new());
        let scale = f64::from(e.scale) * nominal / self.presented;
        let neurons = Population { scale: vec![scale as f32], ..population(neuron) };
        let op = SpikingOp::Population(neurons);
        let added = Node { name, ..Node::spiking("", op, shape).with_origins(&node.origins) };
        Ok((self.output.add(added, &[input]), high as f64))
    }

    /// Integer weights and threshold of one layer; `None` when it cannot be had. `gain` is the unit
    /// of payload that one spike of the sources stands for.
    fn layer(&mut self, link: Link, gain: f64) -> Option<Layer> {
        let real = self.real(link, gain)?;
        let Some(top) = top(&real) else {
            let reason = "all its weights are 0, so that nothing reaches its neurons";
            self.violation(link.projection, reason, "remove the layer, or train it");
            return None;
        };
        let unit = best_unit(top, &real);
        let rounded = |x: &f64| (x * unit).round() as i64;
        let mut weights: Vec<i64> = real.weights.iter().map(rounded).collect();
        let bias = real.bias.iter().map(|b| rounded(b).clamp(BIASES.0, BIASES.1)).collect();
        if self.is_dense(link) {
            match weights::repair(&mut weights) {
                Ok(0) => {}
                Ok(n) => self.note(link.projection, format!("{n} weights changed by one: NetX would have rounded a smallest weight of minus a power of two")),
                Err(fault) => {
                    self.violation(link.projection, fault.to_string(), fault.remedy());
                    return None;
                }
            }
        }
        let layer = Layer { weights, bias, unit, fires: real.fires };
        self.account(link, &layer);
        Some(layer)
    }

    fn is_dense(&self, link: Link) -> bool {
        matches!(self.network[link.projection].as_spiking(),
            Some(SpikingOp::Projection(p)) if p.connectivity == Connectivity::Dense)
    }

    /// The layer in units of its threshold, for spikes at the peak rate.
    fn real(&mut self, link: Link, gain: f64) -> Option<Real> {
        let (from, to) = (&self.network[link.projection], &self.network[link.population]);
        let (Some(SpikingOp::Projection(projection)), Some(data)) = (from.as_spiking(), &from.data)
        else {
            return None;
        };
        let Some(SpikingOp::Population(neurons)) = to.as_spiking() else { return None };
        let weights = data.to_i64().ok()?;
        let rows = data.shape().first().copied().unwrap_or(0);
        let channels = to.ty.shape.first().copied().unwrap_or(0);
        if rows == 0 || rows != channels {
            let reason = format!("its {rows} neurons are shaped as a map of {channels} channels");
            self.violation(link.projection, reason, "leave the reshape out");
            return None;
        }
        let peak = self.settings.peak_rate;
        let (mut thresholds, mut bias, mut fires) = (vec![1.0; rows], vec![0.0; rows], None);
        match &neurons.neuron {
            Neuron::Accumulate => {}
            Neuron::IntegrateAndFire(n) => {
                fires = Some(self.decay(link, n)?);
                let factor = self.factor(&to.name);
                for (c, (threshold, bias)) in thresholds.iter_mut().zip(&mut bias).enumerate() {
                    *threshold = n.threshold.at(c, 0) as f64 * factor;
                    let start = *PerChannel::of(&n.initial).at(c) as f64;
                    *bias =
                        peak * (neurons.bias_at(c) as f64 + start / self.presented) / *threshold;
                }
            }
            _ => {
                let remedy = "use ReLU, or another target";
                self.violation(link.population, "its neuron does not integrate and fire", remedy);
                return None;
            }
        }
        let width = weights.len() / rows;
        let weight = |(i, &w): (usize, &i64)| {
            let c = i / width.max(1);
            w as f64 * projection.gain_at(c) as f64 * gain / thresholds[c]
        };
        Some(Real { weights: weights.iter().enumerate().map(weight).collect(), bias, fires })
    }

    /// Factor of a population's threshold: what is lost on average with each spike, if timesteps
    /// bring on average what half the peak rate asks for.
    fn factor(&self, name: &str) -> f64 {
        let usual = 1.0 - self.settings.peak_rate / 4.0;
        self.settings.thresholds.get(name).copied().unwrap_or(usual)
    }

    /// `vDecay` of the neuron's leak.
    fn decay(&mut self, link: Link, n: &IntegrateAndFire) -> Option<i64> {
        match n.leak {
            Leak::None => Some(0),
            Leak::Subtracting { shift } if shift <= 12 => Some(DECAY_ONE >> shift),
            _ => {
                let reason = "Loihi's potential decays by 1/4096 a timestep or a multiple of that";
                self.violation(link.population, reason, "use --leak 12 or less, or no leak");
                None
            }
        }
    }

    /// Notes whether the current is proved to fit.
    fn account(&mut self, link: Link, layer: &Layer) {
        let rows = layer.bias.len().max(1);
        let worst = layer
            .weights
            .chunks((layer.weights.len() / rows).max(1))
            .flat_map(|row| {
                let sum = |sign: i64| row.iter().filter(|w| w.signum() == sign).sum::<i64>();
                [sum(1), -sum(-1)]
            })
            .max()
            .unwrap_or(0)
            << BIAS_EXPONENT;
        self.current_bits = self.current_bits.max(65 - worst.leading_zeros());
        if layer.fires.is_some() && worst > STATE_LIMIT {
            let needed = 65 - worst.leading_zeros();
            self.note(
                link.population,
                format!(
                    "its current is not proved to stay within {STATE_BITS} bits for every input: \
                     the worst case needs {needed}"
                ),
            );
        }
        let largest = layer.weights.iter().map(|w| w.abs()).max().unwrap_or(0);
        self.largest_weight = self.largest_weight.max(largest);
        if layer.fires.is_some() {
            self.note(
                link.population,
                "approximate: neurons are reset to 0, and lose what exceeds the threshold",
            );
        }
    }

    /// Adds a projection and its population.
    fn add(&mut self, link: Link, source: NodeId, layer: &Layer) -> NodeId {
        let (from, to) = (&self.network[link.projection], &self.network[link.population]);
        let connectivity = match from.as_spiking() {
            Some(SpikingOp::Projection(p)) => p.connectivity.clone(),
            _ => Connectivity::Dense,
        };
        let projection = Projection {
            binary: true,
            accumulator: accumulator(connectivity != Connectivity::Dense),
            ..Projection::exact(connectivity)
        };
        let shape = from.data.as_ref().map(|d| d.shape().to_vec()).unwrap_or_default();
        let node =
            Node { name: from.name.clone(), ..like(from, SpikingOp::Projection(projection)) };
        let data = Tensor::from_integers(&shape, &layer.weights);
        let projection = self.output.add(node.with_data(data), &[]);
        self.output.connect(source, projection, 1);
        let neuron = match layer.fires {
            None => Neuron::Accumulate,
            Some(decay) => {
                let silent = layer.bias.iter().all(|&b| b == 0);
                let bias = if silent { Vec::new() } else { layer.bias.clone() };
                current_based(decay, layer.unit as i64, bias)
            }
        };
        let coded = match to.as_spiking() {
            Some(SpikingOp::Population(p)) => p.scale.clone(),
            _ => Vec::new(),
        };
        let worth = match layer.fires {
            Some(_) => 1.0 / self.settings.peak_rate,
            None => 1.0 / (self.settings.peak_rate * layer.unit),
        };
        let scale = coded.iter().map(|s| (f64::from(*s) * worth) as f32).collect();
        let population = Population { scale, ..population(neuron) };
        let node = Node { name: to.name.clone(), ..like(to, SpikingOp::Population(population)) };
        self.output.add(node, &[projection])
    }

    /// The output: the bias of a read-out, which NetX cannot add, is in the zero.
    fn decoder(&mut self, chain: &Chain, last: NodeId, layer: &Layer) {
        let node = &self.network[chain.decoder];
        let Some(SpikingOp::Decoder(d)) = node.as_spiking() else { return };
        let Some(link) = chain.links.last() else { return };
        let Some(SpikingOp::Population(p)) = self.network[link.population].as_spiking() else {
            return;
        };
        let once = p.bias_placement != snnc_ir::BiasPlacement::EveryTimestep;
        let times = if once { 1.0 } else { self.presented };
        let (per_unit, readout) = match layer.fires {
            Some(_) => (self.settings.peak_rate, Readout::Sum),
            None => (self.settings.peak_rate * layer.unit, Readout::Last),
        };
        let pick = |n: usize, c: usize| if n == 1 { 0 } else { c };
        let scores = layer.bias.len();
        let scale = |c: usize| (f64::from(d.scale[pick(d.scale.len(), c)]) / per_unit) as f32;
        let zero = |c: usize| {
            let from = d.zero.get(pick(d.zero.len(), c)).copied().unwrap_or(0) as f64;
            let bias = if layer.fires.is_some() { 0.0 } else { times * p.bias_at(c) as f64 };
            ((from - bias) * per_unit).round() as i64
        };
        let decoder = Decoder {
            readout,
            scale: (0..scores).map(scale).collect(),
            zero: (0..scores).map(zero).collect(),
        };
        let mut added = Node { name: node.name.clone(), ..like(node, SpikingOp::Decoder(decoder)) };
        added.ty.dtype = DType::F32;
        self.output.add(added, &[last]);
    }

    fn finish(mut self, timesteps: usize) -> Result<Legalised, Vec<Violation>> {
        if !self.violations.is_empty() {
            return Err(self.violations);
        }
        self.output.timing = Timing { timesteps, ..Timing::default() };
        let row = |resource: String, used, available| FitRow { resource, used, available };
        let fit = vec![
            row(
                "largest weight".into(),
                self.largest_weight.unsigned_abs(),
                Some(FINE_WEIGHT.unsigned_abs()),
            ),
            row(
                format!("current in the worst case (bits, of {STATE_BITS})"),
                self.current_bits.into(),
                None,
            ),
        ];
        super::verified(self.output, self.notes, fit)
    }
}

/// A neuron without memory of its current, which fires when its potential reaches `threshold`: NetX
/// asks for more than its own threshold, and potentials are whole multiples of 64 as long as none
/// of them decays.
fn current_based(decay: i64, threshold: i64, bias: Vec<i64>) -> Neuron {
    Neuron::CurrentBased(CurrentBasedNeuron {
        current_decay: DECAY_ONE,
        voltage_decay: decay,
        threshold: threshold - 1,
        bias,
        bias_exponent: BIAS_EXPONENT,
        fires: true,
        reset: None,
    })
}

/// The largest threshold, or unit of a read-out, with which weights and biases fit; `None` if all
/// weights are 0.
pub(super) fn top(real: &Real) -> Option<f64> {
    let largest = |values: &[f64]| values.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let weight = largest(&real.weights);
    let by_bias = BIASES.1 as f64 / largest(&real.bias).max(f64::MIN_POSITIVE);
    let by_threshold = if real.fires.is_some() { (THRESHOLDS.1 + 1) as f64 } else { f64::INFINITY };
    (weight > 0.0).then(|| (FINE_WEIGHT as f64 / weight).min(by_bias).min(by_threshold))
}

/// The unit between a half of `top` and `top` that weights and biases lose least by.
pub(super) fn best_unit(top: f64, real: &Real) -> f64 {
    let fires = real.fires.is_some();
    let whole = |unit: f64| if fires { unit.floor().max(1.0) } else { unit };
    let error = |unit: f64| {
        let off = |x: &f64| ((x * unit).round() - x * unit) / unit;
        real.weights.iter().chain(&real.bias).map(|x| off(x) * off(x)).sum::<f64>()
    };
    let count = (SEARCH / real.weights.len().max(1)).clamp(1, CANDIDATES);
    let mut best = (whole(top), error(whole(top)));
    for i in 1..count {
        let unit = whole(top * (1.0 - 0.5 * i as f64 / count as f64));
        let found = error(unit);
        if found < best.1 {
            best = (unit, found);
        }
    }
    best.0
}

/// A node of the same shape and origins.
pub(super) fn like(node: &Node, op: SpikingOp) -> Node {
    Node::spiking("", op, node.ty.shape.clone()).with_origins(&node.origins)
}
